//! Looks how finely time can be told, with the clocks and by what they claim.
//!
//! Without `clock` no reading differs from another; with it, none differs by less than a millisecond.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_sdk::Json;
use schemars::JsonSchema;
use serde::Serialize;
use wasip2::clocks::{monotonic_clock, wall_clock};

#[derive(Serialize, JsonSchema)]
struct Clocks {
    /// Smallest difference of two readings of the monotonic clock, in nanoseconds; 0 if there is none.
    monotonic_step: u64,
    /// Smallest difference of two readings of the time of day, in nanoseconds; 0 if there is none.
    wall_step: u64,
    /// What the monotonic clock says its step is.
    monotonic_resolution: u64,
    /// What the clock of the day says its step is, in nanoseconds.
    wall_resolution: u64,
    /// The time of day in seconds.
    wall_seconds: u64,
}

/// Measures the clocks.
#[tool]
fn clock_probe() -> Json<Clocks> {
    let nanos = |t: wall_clock::Datetime| t.seconds * 1_000_000_000 + u64::from(t.nanoseconds);
    Json(Clocks {
        monotonic_step: smallest(monotonic_clock::now),
        wall_step: smallest(|| nanos(wall_clock::now())),
        monotonic_resolution: monotonic_clock::resolution(),
        wall_resolution: nanos(wall_clock::resolution()),
        wall_seconds: wall_clock::now().seconds,
    })
}

fn smallest(read: impl Fn() -> u64) -> u64 {
    let mut last = read();
    let mut step = u64::MAX;
    for _ in 0..100_000 {
        let next = read();
        if next != last {
            step = step.min(next.abs_diff(last));
            last = next;
        }
    }
    if step == u64::MAX { 0 } else { step }
}
