//! Changes the times of what was granted for reading: of the mount, of a file by its name and by its handle, and to times that do
//! not exist.
//!
//! No time changes: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};

/// Tries to change times.
#[tool]
fn fs_set_times() -> Json<Report> {
    let mut report = Report::new();
    let at = |seconds, nanoseconds| {
        NewTimestamp::Timestamp(Datetime {
            seconds,
            nanoseconds,
        })
    };
    let times = [
        NewTimestamp::Now,
        at(0, 0),
        at(u64::MAX, u32::MAX),
        at(1 << 62, 999_999_999),
    ];
    for (dir, mount) in &get_directories() {
        for time in times {
            let set = dir.set_times(time, time);
            report.note(format!("{mount}: the mount"), set);
            for path in ["file", "."] {
                for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
                    let set = dir.set_times_at(follow, path, time, time);
                    report.note(format!("{mount}: {path:?} by name"), set);
                }
                let set = dir
                    .open_at(
                        PathFlags::empty(),
                        path,
                        OpenFlags::empty(),
                        DescriptorFlags::READ,
                    )
                    .and_then(|file| file.set_times(time, time));
                report.note(format!("{mount}: {path:?} by handle"), set);
            }
        }
    }
    Json(report)
}
