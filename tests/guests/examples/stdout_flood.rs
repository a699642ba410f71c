//! Writes 1 GiB to standard output and standard error.
//!
//! The host keeps a bounded part, and the call goes on or runs out of time.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use std::io::Write;

/// Writes 1 GiB to standard output and standard error.
#[tool]
fn stdout_flood() -> String {
    let chunk = [b'x'; 4096];
    for _ in 0..128 * 1024 {
        // A host that takes no more answers with an error, and that is as good.
        let _ = std::io::stdout().write_all(&chunk);
        let _ = std::io::stderr().write_all(&chunk);
    }
    "wrote 1 GiB".into()
}
