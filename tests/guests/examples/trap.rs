//! Traps.
//!
//! The call fails, and the next one does not notice.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Traps.
#[tool]
fn trap() -> String {
    core::arch::wasm32::unreachable()
}
