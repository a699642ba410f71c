//! Logs 1 GiB.
//!
//! The host keeps a bounded part, counts the rest, and the call goes on or runs out of time.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Logs 1 GiB.
#[tool]
fn log_flood() -> String {
    let message = "log ".repeat(16 * 1024);
    for _ in 0..16 * 1024 {
        bailiwick_sdk::log::error!("{message}");
    }
    "logged 1 GiB".into()
}
