//! Writes without end: the largest values first, then small ones under ever new keys.
//!
//! The bounds of its call and of its store answer with errors; it tries for as long as it may.

#![cfg(target_family = "wasm")]

use bailiwick_guests::kv::{opened, word};
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct How {
    /// Bytes of each value.
    bytes: usize,
}

#[derive(Serialize, JsonSchema)]
struct Report {
    /// How many values were taken.
    taken: usize,
    /// What the host said last.
    last: String,
}

/// Writes without end.
#[tool]
fn kv_flood(how: How) -> Json<Report> {
    let mut report = Report {
        taken: 0,
        last: String::new(),
    };
    let Ok(bucket) = opened("memory") else {
        return Json(report);
    };
    // From where the call before ended.
    let mut number = 0;
    let value = vec![b'x'; how.bytes];
    while bucket.exists(&number.to_string()).unwrap_or_default() {
        number += 1;
    }
    for key in number.. {
        match bucket.set(&key.to_string(), &value) {
            Ok(()) => report.taken += 1,
            Err(error) => {
                report.last = word(error);
                break;
            }
        }
    }
    Json(report)
}
