//! Tries just what it is told to and says of each attempt what came of it.
//!
//! The probe of the law: the harness names places inside and outside of a grant, and computes by itself which of them can
//! be reached.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasip2::clocks::{monotonic_clock, wall_clock};

/// How long the clock is watched, in nanoseconds: several of its steps.
const WATCHED_NS: u64 = 5_000_000;

#[derive(Deserialize, JsonSchema)]
struct Attempts {
    /// Requests, each a method and an address; all of them at once.
    requests: Vec<(String, String)>,
    /// Files to read.
    read: Vec<String>,
    /// Files to make.
    write: Vec<String>,
    /// What the operator's rules read.
    #[expect(dead_code, reason = "for the operator's rules alone")]
    level: i64,
}

#[derive(Serialize, JsonSchema)]
struct Reached {
    /// What came of each request.
    requests: Vec<http::Probe>,
    /// What stands in each file that was read.
    read: Vec<Option<String>>,
    /// Whether each file was made.
    write: Vec<bool>,
    /// Whether time goes on.
    clock: bool,
    /// Whether the host takes a report of progress.
    progress: bool,
}

/// Tries what it is told to and says what it reached.
#[tool]
fn reach_each(attempts: Attempts) -> Json<Reached> {
    let read = attempts.read.iter();
    let write = attempts.write.iter();
    Json(Reached {
        read: read
            .map(|path| std::fs::read_to_string(path).ok())
            .collect(),
        write: write
            .map(|path| std::fs::write(path, "written").is_ok())
            .collect(),
        requests: http::send_all(&attempts.requests),
        clock: clock(),
        progress: bailiwick_guests::progress(),
    })
}

/// Whether either clock moves while the guest waits. Waiting needs no grant.
fn clock() -> bool {
    let (mono, wall) = (monotonic_clock::now(), wall_clock::now());
    monotonic_clock::subscribe_duration(WATCHED_NS).block();
    let now = wall_clock::now();
    monotonic_clock::now() != mono
        || (now.seconds, now.nanoseconds) != (wall.seconds, wall.nanoseconds)
}
