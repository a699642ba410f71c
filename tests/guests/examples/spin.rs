//! Never returns.
//!
//! The deadline ends it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Never returns.
#[tool]
fn spin() -> String {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}
