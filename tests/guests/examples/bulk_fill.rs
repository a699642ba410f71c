//! Fills the largest memory it can get, in a loop: each fill is one instruction, which no check of the deadline
//! interrupts.
//!
//! The deadline ends it, late by one fill at most.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Fills memory without end.
#[tool]
fn bulk_fill() -> String {
    let mut memory = bailiwick_guests::largest_buffer();
    let mut byte = 0_u8;
    loop {
        memory.fill(byte);
        byte = std::hint::black_box(&memory)[0].wrapping_add(1);
    }
}
