//! Searches 8 MiB of memory for a mark that an earlier call left there, then leaves its own.
//!
//! No call finds a mark, however many ran before.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "looks at memory that was never given to it")]

use bailiwick_sdk::tool;

/// The mark, put together at run time so that the program itself does not contain it.
fn mark() -> [u8; 16] {
    std::array::from_fn(|at| 0xA5 ^ (at as u8).wrapping_mul(0x3B))
}

/// Searches memory for what an earlier call left.
#[tool]
fn residue_memory() -> String {
    // Well within every limit, so that the call ends with a reply and its memory goes back to the pool.
    core::arch::wasm32::memory_grow::<0>(128);
    let bytes = core::arch::wasm32::memory_size(0) * 65_536;
    // SAFETY: the memory is this long and nothing shrinks it; nothing else runs, and the slice is dropped before
    // anything allocates.
    let memory = unsafe { std::slice::from_raw_parts_mut(65_536 as *mut u8, bytes - 65_536) };
    let mark = mark();
    let found = memory.windows(16).filter(|window| *window == mark).count();
    // The upper half is beyond all that the program and its allocator use.
    let half = memory.len() / 2;
    for slot in memory[half..].chunks_exact_mut(4096) {
        slot[..16].copy_from_slice(&mark);
    }
    format!("found {found} marks in {bytes} bytes")
}
