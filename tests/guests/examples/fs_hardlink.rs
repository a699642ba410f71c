//! Gives a file of the mount a second name: beside it, in a folder, over another, and outside.
//!
//! No file has two names: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Tries to give a file two names.
#[tool]
fn fs_hardlink() -> Json<Report> {
    let mut report = Report::new();
    for (dir, mount) in &get_directories() {
        // Whether they are there shows when they are linked.
        let _folder = dir.create_directory_at("folder");
        let _own = dir.open_at(
            PathFlags::empty(),
            "own",
            OpenFlags::CREATE,
            DescriptorFlags::WRITE,
        );
        for from in ["own", "file", "folder", "../outside/passwd"] {
            for to in ["second", "folder/second", "file", "../outside/second"] {
                for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
                    let linked = dir.link_at(follow, from, dir, to);
                    report.note(format!("{mount}: link {from:?} {to:?}"), linked);
                }
            }
        }
    }
    Json(report)
}
