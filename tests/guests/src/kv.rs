//! Stores, by the interface itself.

use bailiwick_sdk::guest::keyvalue::wasi::keyvalue::store::{Bucket, Error, open};
use schemars::JsonSchema;
use serde::Serialize;

/// What came of one attempt.
#[derive(Serialize, JsonSchema)]
pub struct Attempt {
    /// What was tried.
    pub what: String,
    /// What the host answered.
    pub answer: String,
}

/// The store of this name.
pub fn opened(name: &str) -> Result<Bucket, String> {
    open(name).map_err(word)
}

/// An error as one word, and its text where it has one.
pub fn word(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(text) => format!("other: {text}"),
    }
}

/// An answer as one word.
pub fn answer<T>(result: Result<T, Error>, done: impl FnOnce(T) -> String) -> String {
    result.map_or_else(word, done)
}

/// The text under a key; none where it is not there or not granted.
pub fn value(store: &str, key: &str) -> Option<String> {
    let value = opened(store).ok()?.get(key).ok()??;
    String::from_utf8(value).ok()
}

/// Whether something could be kept under a key.
pub fn keep(store: &str, key: &str) -> bool {
    opened(store).is_ok_and(|bucket| bucket.set(key, b"kept").is_ok())
}
