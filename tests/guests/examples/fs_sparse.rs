//! Makes files that claim more than the mount may hold and take no room on the disk: by their size, and by writing far behind
//! their end.
//!
//! Claiming is taking: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

const MIB: u64 = 1024 * 1024;

/// Tries to claim more than there is.
#[tool]
fn fs_sparse() -> Json<Report> {
    let mut report = Report::new();
    for (dir, mount) in &get_directories() {
        let open = |name: &str| {
            dir.open_at(
                PathFlags::empty(),
                name,
                OpenFlags::CREATE,
                DescriptorFlags::WRITE,
            )
        };
        let claim = |name: &str, size: u64| open(name)?.set_size(size);
        for size in [257 * MIB, 1 << 40, 1 << 62, u64::MAX] {
            report.note(format!("{mount}: resize to {size}"), claim("one", size));
            let written = open("two").and_then(|file| file.write(b"far", size - 3));
            report.note(format!("{mount}: write before {size}"), written.map(drop));
            let written = open("three").and_then(|file| {
                let stream = file.write_via_stream(size - 3)?;
                let written = stream.blocking_write_and_flush(b"far");
                written.map_err(|_| ErrorCode::Quota)
            });
            report.note(format!("{mount}: stream before {size}"), written);
        }
        // Half of it is there, and not twice.
        let _half = claim("half", 129 * MIB);
        let other = claim("other", 129 * MIB);
        report.note(format!("{mount}: the second half"), other);
    }
    Json(report)
}
