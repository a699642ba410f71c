//! Answers with a hundred thousand empty blocks: few bytes on the wire, many values in the host.
//!
//! The reply is refused for its size.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_sdk::Content;

/// Answers with a hundred thousand blocks.
#[tool]
fn reply_blocks() -> Vec<Content> {
    vec![Content::text(""); 100_000]
}
