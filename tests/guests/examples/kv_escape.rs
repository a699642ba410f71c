//! Looks for what others keep: by keys that would lead out of a path, by other names of stores, by cursors that it makes up, by
//! huge keys, and by a list of all keys.
//!
//! Others keep something under `canary` and `mine/canary`. The reply holds what it found that is not its own: nothing.

#![cfg(target_family = "wasm")]

use bailiwick_guests::kv::{answer, opened};
use bailiwick_sdk::guest::keyvalue::wasi::keyvalue::{atomics, batch};
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Serialize;

const STORES: [&str; 13] = [
    "",
    ".",
    "..",
    "*",
    "%",
    "memory/../board",
    "memory\0",
    "Memory",
    "board",
    "dev/alice/memory",
    "memory' OR '1'='1",
    "file:memory",
    "default",
];

const KEYS: [&str; 16] = [
    "../canary",
    "../../alice/canary",
    "/canary",
    "//canary",
    "..",
    "canary\0",
    "\0canary",
    "%",
    "_anary",
    "*",
    "canary' OR '1'='1",
    "dev\u{1f}alice\u{1f}memory\u{1f}canary",
    "CANARY",
    "canary ",
    "\u{202e}yranac",
    "canary",
];

#[derive(Serialize, JsonSchema)]
struct Report {
    /// Stores that opened beside its own.
    stores: Vec<String>,
    /// Keys under which it found something that it had not put there.
    found: Vec<String>,
    /// Keys of a list that are not its own.
    listed: Vec<String>,
    /// Keys outside of its prefix that it could write or delete.
    written: Vec<String>,
    /// What it found under its own key after all of it.
    own: String,
    /// Attempts that were refused.
    refused: usize,
}

/// Looks for what others keep.
#[tool]
fn kv_escape() -> Json<Report> {
    let mut report = Report {
        stores: Vec::new(),
        found: Vec::new(),
        listed: Vec::new(),
        written: Vec::new(),
        own: String::new(),
        refused: 0,
    };
    for name in STORES {
        match opened(name) {
            Ok(_) => report.stores.push(name.to_owned()),
            Err(_) => report.refused += 1,
        }
    }
    let bucket = opened("memory").expect("its own store");
    bucket.set("mine/own", b"own").expect("its own key");
    let huge = "x".repeat(900_000);
    for key in KEYS.into_iter().chain([huge.as_str()]) {
        let name = || key.chars().take(40).collect::<String>();
        for key in [key.to_owned(), format!("mine/{key}")] {
            match bucket.get(&key) {
                Ok(Some(_)) => report.found.push(name()),
                Ok(None) => {}
                Err(_) => report.refused += 1,
            }
            match batch::get_many(&bucket, &["mine/own".to_owned(), key]) {
                Ok(pairs) if pairs.iter().skip(1).any(|(_, value)| value.is_some()) => {
                    report.found.push(name());
                }
                Ok(_) => {}
                Err(_) => report.refused += 1,
            }
        }
        let tries = [
            bucket.set(key, b"x").is_ok(),
            bucket.delete(key).is_ok(),
            atomics::increment(&bucket, key, 1).is_ok(),
            atomics::Cas::new(&bucket, key).is_ok(),
            batch::delete_many(&bucket, &["mine/own".to_owned(), key.to_owned()]).is_ok(),
        ];
        if tries.contains(&true) {
            report.written.push(name());
        }
        report.refused += tries.iter().filter(|done| !**done).count();
    }
    let cursors = ["", "AA", "Y2FuYXJ5", "Y2FuYXJx", "LQ", "!", "../"];
    for cursor in cursors.into_iter().map(Some).chain([None]) {
        match bucket.list_keys(cursor) {
            Ok(page) => {
                let others = page.keys.into_iter().filter(|key| key != "mine/own");
                report.listed.extend(others);
            }
            Err(_) => report.refused += 1,
        }
    }
    report.own = answer(bucket.get("mine/own"), |value| {
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    });
    Json(report)
}
