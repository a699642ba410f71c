//! The user of a call and what the operator set, by the interfaces themselves, so that a tool can try what it did not ask for.

use bailiwick_sdk::guest;
use bailiwick_sdk::guest::config::bindings::wasi::config::store;
use bailiwick_sdk::{Answer, AskError, CallerError};

/// A form of one short text.
const FORM: &str =
    r#"{"type":"object","properties":{"a":{"type":"string","maxLength":9}},"required":["a"]}"#;

/// Asks the user something, and says what came of it: the text of the answer, or a word.
pub fn ask() -> String {
    match guest::ask("What do you say?", FORM) {
        Ok(Answer::Submitted(text)) => text,
        Ok(Answer::Declined) => "declined".to_owned(),
        Ok(Answer::Cancelled) => "cancelled".to_owned(),
        Err(AskError::Denied) => "denied".to_owned(),
        Err(AskError::Unavailable) => "unavailable".to_owned(),
        Err(other) => format!("other: {other}"),
    }
}

/// One claim as the text of its value, `subject` for the pseudonym; or a word.
pub fn claim(name: &str) -> String {
    let told = match name {
        "subject" => guest::subject().map(Some),
        name => guest::claim(name),
    };
    match told {
        Ok(Some(value)) => value,
        Ok(None) => "absent".to_owned(),
        Err(CallerError::Denied) => "denied".to_owned(),
        Err(other) => format!("other: {other}"),
    }
}

/// What the operator set under a key.
pub fn setting(key: &str) -> Option<String> {
    store::get(key).ok().flatten()
}

/// The keys of all that the operator set.
pub fn settings() -> Vec<String> {
    let all = store::get_all().unwrap_or_default();
    let mut keys: Vec<_> = all.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}
