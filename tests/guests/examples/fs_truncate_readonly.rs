//! Cuts a file that was granted for reading: by every set of flags that opens one, and by its handle.
//!
//! Nothing is cut: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

/// Tries to cut a file.
#[tool]
fn fs_truncate_readonly() -> Json<Report> {
    let mut report = Report::new();
    let (cut, create) = (OpenFlags::TRUNCATE, OpenFlags::CREATE);
    let (read, write) = (DescriptorFlags::READ, DescriptorFlags::WRITE);
    for (dir, mount) in &get_directories() {
        for open in [cut, cut | create, cut | create | OpenFlags::EXCLUSIVE] {
            for flags in [
                DescriptorFlags::empty(),
                read,
                write,
                read | write,
                read | DescriptorFlags::MUTATE_DIRECTORY,
            ] {
                let opened = dir.open_at(PathFlags::empty(), "file", open, flags);
                report.note(format!("{mount}: {open:?} {flags:?}"), opened.map(drop));
            }
        }
        let opened = || dir.open_at(PathFlags::empty(), "file", OpenFlags::empty(), read);
        for size in [0, 1, 1 << 20] {
            let cut = opened().and_then(|file| file.set_size(size));
            report.note(format!("{mount}: resize to {size}"), cut);
        }
        let written = opened().and_then(|file| file.write(b"", 0));
        report.note(format!("{mount}: write nothing"), written.map(drop));
        let stream = opened().and_then(|file| {
            let stream = file.append_via_stream()?;
            let written = stream.blocking_write_and_flush(b"x");
            written.map_err(|_| ErrorCode::NotPermitted)
        });
        report.note(format!("{mount}: append"), stream);
    }
    Json(report)
}
