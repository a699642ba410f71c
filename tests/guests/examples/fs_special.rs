//! Opens, moves and links a pipe and a socket that the harness has put into the mount, directly and through links.
//!
//! Nothing waits for their other end: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Tries to use what is no file.
#[tool]
fn fs_special() -> Json<Report> {
    let mut report = Report::new();
    for (dir, mount) in &get_directories() {
        // Whether it was made shows when it is followed.
        let _linked = dir.symlink_at("pipe", "to-pipe");
        for name in ["pipe", "socket", "to-pipe"] {
            for flags in [
                DescriptorFlags::READ,
                DescriptorFlags::WRITE,
                DescriptorFlags::READ | DescriptorFlags::WRITE,
            ] {
                for open in [OpenFlags::empty(), OpenFlags::TRUNCATE] {
                    let follow = PathFlags::SYMLINK_FOLLOW;
                    let opened = dir.open_at(follow, name, open, flags).map(drop);
                    report.note(format!("{mount}: open {name:?}"), opened);
                }
            }
            let linked = dir.link_at(PathFlags::empty(), name, dir, "second");
            report.note(format!("{mount}: link {name:?}"), linked);
        }
        for name in ["pipe", "socket"] {
            let moved = dir.rename_at(name, dir, "moved");
            report.note(format!("{mount}: rename {name:?}"), moved);
        }
    }
    Json(report)
}
