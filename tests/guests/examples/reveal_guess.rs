//! Guesses handles: well formed ones, other spellings, parts of one, paths, and more of them than a call may try.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Json, Reveal, RevealError, tool};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
struct Report {
    opened: u32,
    denied: u32,
    too_many: u32,
    other: Vec<String>,
}

/// Opens what it was never given.
#[tool]
fn reveal_guess(reveal: Reveal) -> Json<Report> {
    let letters = "abcdefghijklmnopqrstuvwxyz234567";
    let spelled = |n: usize| {
        let pick = |at: usize| letters.as_bytes()[(n * 31 + at * 7) % 32] as char;
        let id: String = (0..25).map(pick).collect();
        match n % 8 {
            0 => format!("SEALED_{}A", id.to_uppercase()),
            1 => format!("sealed_{id}"),
            2 => format!("sealed_{id}a_{id}a"),
            3 => format!("../sealed_{id}a"),
            4 => format!("sealed_{id}a\0"),
            5 => "x".repeat(n * 100),
            6 => String::new(),
            _ => format!("sealed_{id}a"),
        }
    };
    let mut report = Report {
        opened: 0,
        denied: 0,
        too_many: 0,
        other: Vec::new(),
    };
    for n in 0..1_100 {
        match reveal.open(&spelled(n)) {
            Ok(_) => report.opened += 1,
            Err(RevealError::Denied) => report.denied += 1,
            Err(RevealError::TooMany) => report.too_many += 1,
            Err(other) => report.other.push(format!("{other:?}")),
        }
    }
    Json(report)
}
