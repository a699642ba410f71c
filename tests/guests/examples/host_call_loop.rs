//! Calls the host without end, so that most of its time passes in host code.
//!
//! The deadline ends it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Asks for the time without end.
#[tool]
fn host_call_loop() -> String {
    loop {
        std::hint::black_box(wasip2::clocks::monotonic_clock::now());
    }
}
