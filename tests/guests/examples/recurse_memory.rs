//! Recurses with a large frame, so that the stack in linear memory runs out at its lower end.
//!
//! A clean trap: the stack lies first in memory, and there is nothing below it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Recurses with a large frame.
#[tool]
fn recurse_memory() -> String {
    down(0).to_string()
}

#[inline(never)]
fn down(depth: u64) -> u64 {
    // What the optimiser cannot see through it cannot make a loop of.
    let step: fn(u64) -> u64 = std::hint::black_box(down);
    let frame = std::hint::black_box([depth; 128]);
    step(depth + 1) + frame[1]
}
