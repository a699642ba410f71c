//! Polls a list with the same handle a million times over, which the host has to copy and to wait for.
//!
//! The bound of what one host call may copy ends it.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Polls a very long list.
#[tool]
fn poll_list() -> String {
    let pollable = wasip2::clocks::monotonic_clock::subscribe_duration(1);
    let list = vec![&pollable; 1_000_000];
    let ready = wasip2::io::poll::poll(&list);
    format!("{} of {} ready", ready.len(), list.len())
}
