//! Opens ten thousand streams into one file, writes into each, waits for none, and ends.
//!
//! There are sixteen at once: the reply says how many were open. What was written is in the record, and nothing after the end.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Writes into all streams at once.
#[tool]
fn fs_streams() -> String {
    let mut all = Vec::new();
    for (dir, _) in &get_directories() {
        let opened = dir.open_at(
            PathFlags::empty(),
            "own",
            OpenFlags::CREATE,
            DescriptorFlags::WRITE,
        );
        let Ok(file) = opened else { continue };
        for _ in 0..10_000 {
            let Ok(stream) = file.append_via_stream() else {
                break;
            };
            if stream.check_write().is_ok_and(|room| room >= 1_000) {
                // What came of it shows in the file.
                let _written = stream.write(&[7; 1_000]);
            }
            all.push(stream);
        }
    }
    let open = all.len();
    // Without dropping them, which would wait.
    std::mem::forget(all);
    format!("{open} streams")
}
