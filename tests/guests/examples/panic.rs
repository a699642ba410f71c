//! Panics with a message.
//!
//! The message is in the log of the host and not in what the caller is told.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Panics.
#[tool]
fn panic() -> String {
    panic!("the message of the panic")
}
