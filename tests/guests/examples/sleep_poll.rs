//! Waits for an hour inside a call of the host, where no instruction of its own is counted.
//!
//! The deadline ends it all the same.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Waits for an hour.
#[tool]
fn sleep_poll() -> String {
    let hour = 3_600_000_000_000;
    wasip2::clocks::monotonic_clock::subscribe_duration(hour).block();
    "an hour later".into()
}
