//! Takes a million handles of the host and gives none back.
//!
//! The bound of the resource table ends it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Takes a million handles.
#[tool]
fn handle_loop() -> String {
    for _ in 0..1_000_000 {
        std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(1));
    }
    "a million handles".into()
}
