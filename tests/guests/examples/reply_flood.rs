//! Answers with one text as large as its memory allows.
//!
//! The reply is refused for its size, before the host has copied it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Answers with a flood.
#[tool]
fn reply_flood() -> String {
    let mut text = bailiwick_guests::largest_buffer();
    text.fill(b'x');
    String::from_utf8(text).unwrap_or_default()
}
