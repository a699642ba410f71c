//! Copies half of the largest memory onto the other half, in a loop: each copy is one instruction.
//!
//! The deadline ends it, late by one copy at most.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Copies memory without end.
#[tool]
fn bulk_copy() -> String {
    let mut memory = bailiwick_guests::largest_buffer();
    let half = memory.len() / 2;
    loop {
        memory.copy_within(..half, half);
        std::hint::black_box(&mut memory);
    }
}
