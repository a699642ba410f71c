//! Grows its memory a page at a time until the host refuses, then says how many it got.
//!
//! The host either refuses the growth (the reply names at most the limit) or ends the call.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Grows its memory until the host refuses.
#[tool]
fn memory_grow() -> String {
    let mut pages = core::arch::wasm32::memory_size(0);
    while core::arch::wasm32::memory_grow::<0>(1) != usize::MAX {
        pages += 1;
    }
    format!("{pages} pages of 64 KiB")
}
