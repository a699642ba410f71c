//! What several hostile guests use. Each guest is one file in `examples/`; `guests.toml` says what each asks for and
//! how its call ends.
//!
//! `table_grow`, `br_table_loop` and the other attacks that Rust has no words for are made by the harness, out of bare
//! instructions.

#![cfg(target_family = "wasm")]

pub mod calls;
pub mod files;
pub mod http;
pub mod kv;
pub mod sockets;
pub mod user;

/// The largest buffer that the host gives, to within 64 KiB.
pub fn largest_buffer() -> Vec<u8> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut step = 1 << 30;
    while step >= 1 << 16 {
        match buffer.try_reserve_exact(buffer.capacity() + step) {
            Ok(()) => {}
            Err(_) => step /= 2,
        }
    }
    buffer.resize(buffer.capacity(), 0);
    buffer
}

/// Whether the host takes a report of progress.
pub fn progress() -> bool {
    use bailiwick_sdk::guest::bindings::bailiwick::tool::progress::report;

    report(1.0, None, None).is_ok()
}
