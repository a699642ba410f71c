//! Asks for as many random bytes as a number can say.
//!
//! The bound of the host ends it before any memory is taken.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Asks for very many random bytes.
#[tool]
fn random_flood() -> String {
    let bytes = wasip2::random::random::get_random_bytes(u64::MAX);
    format!("{} random bytes", bytes.len())
}
