//! Ends its program in the middle of a call, with a status that means success.
//!
//! The call has no reply, so it has failed.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Exits.
#[tool]
fn exit() -> String {
    std::process::exit(0)
}
