//! Opens one file and writes to it without end, through the handle, through one stream and through new ones.
//!
//! Ends when its time does, or when its consent is revoked: then nothing is written any more, whatever it still holds.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Writes without end.
#[tool]
fn revoked_write() -> String {
    let Some((folder, _)) = get_directories().into_iter().next() else {
        return "no mount".to_owned();
    };
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let opened = folder.open_at(PathFlags::empty(), "grows", OpenFlags::CREATE, flags);
    let Ok(file) = opened else {
        return "no file".to_owned();
    };
    let Ok(stream) = file.append_via_stream() else {
        return "no stream".to_owned();
    };
    // Errors are not looked at: whoever is refused tries again.
    loop {
        let _ = stream.blocking_write_and_flush(b"s");
        if let Ok(stat) = file.stat() {
            let _ = file.write(b"h", stat.size);
        }
        if let Ok(other) = file.append_via_stream() {
            let _ = other.blocking_write_and_flush(b"n");
        }
    }
}
