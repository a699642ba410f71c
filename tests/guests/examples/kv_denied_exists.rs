//! Tries to tell stores and keys that it was not granted from those that are not there: by the answer, by its text, and by how
//! long it takes.
//!
//! The reply holds each attempt with the answer: the harness compares those about what is there with those about what is not.

#![cfg(target_family = "wasm")]

use bailiwick_guests::kv::{Attempt, answer, opened};
use bailiwick_sdk::guest::keyvalue::wasi::keyvalue::{atomics, batch};
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
struct Report {
    /// What was tried, and what came of it.
    attempts: Vec<Attempt>,
}

/// Tries to tell what is denied from what is not there.
#[tool]
fn kv_denied_exists() -> Json<Report> {
    let mut attempts = Vec::new();
    let mut tell = |what: String, answer: String| attempts.push(Attempt { what, answer });
    // `board` is bound and not granted, `unbound` is granted and not bound, `nowhere` is neither.
    for name in ["board", "unbound", "nowhere"] {
        let said = opened(name).map_or_else(|error| error, |_| "open".to_owned());
        tell(format!("open {name}"), said);
    }
    if let Ok(bucket) = opened("memory") {
        // The user keeps something under the first and nothing under the second; the grant covers `mine/` alone.
        for key in ["secret/there", "secret/absent"] {
            let value = |value: Option<Vec<u8>>| format!("{value:?}");
            let keys = || vec![key.to_owned()];
            tell(format!("get {key}"), answer(bucket.get(key), value));
            tell(
                format!("exists {key}"),
                answer(bucket.exists(key), |there| there.to_string()),
            );
            tell(
                format!("delete {key}"),
                answer(bucket.delete(key), |()| "done".to_owned()),
            );
            tell(
                format!("increment {key}"),
                answer(atomics::increment(&bucket, key, 0), |sum| sum.to_string()),
            );
            tell(
                format!("cas {key}"),
                answer(atomics::Cas::new(&bucket, key), |_| "made".to_owned()),
            );
            tell(
                format!("get-many {key}"),
                answer(batch::get_many(&bucket, &keys()), |all| format!("{all:?}")),
            );
            tell(
                format!("delete-many {key}"),
                answer(batch::delete_many(&bucket, &keys()), |()| "done".to_owned()),
            );
        }
        tell(
            "list".to_owned(),
            answer(bucket.list_keys(None), |page| page.keys.join(",")),
        );
    }
    Json(Report { attempts })
}
