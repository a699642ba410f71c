//! Moves a file from one granted folder into another, and back, and by paths that lead from one to the other.
//!
//! Each grant keeps what is its own: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Tries to move files between two folders.
#[tool]
fn fs_rename_across() -> Json<Report> {
    let mut report = Report::new();
    let mounts = get_directories();
    for (dir, _) in &mounts {
        // Whether it is there shows when it is moved.
        let _made = dir.open_at(
            PathFlags::empty(),
            "own",
            OpenFlags::CREATE,
            DescriptorFlags::WRITE,
        );
    }
    for (from, (one, mount)) in mounts.iter().enumerate() {
        for (to, (other, into)) in mounts.iter().enumerate() {
            if from == to {
                continue;
            }
            let moved = one.rename_at("own", other, "moved");
            report.note(format!("{mount} to {into}: rename"), moved);
            let linked = one.link_at(PathFlags::empty(), "own", other, "linked");
            report.note(format!("{mount} to {into}: link"), linked);
            for path in ["../one/moved", "../two/moved", "../moved"] {
                let moved = one.rename_at("own", one, path);
                report.note(format!("{mount}: rename to {path:?}"), moved);
            }
        }
    }
    Json(report)
}
