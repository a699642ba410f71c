//! Opens, makes, moves and links through a folder that the harness swaps for a link that leads outside, as fast as it can.
//!
//! What it reads is its own, always: the reply holds a list `escaped`, which is empty. Whether it made something outside is seen
//! there.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Serialize;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

/// How often it tries.
const ROUNDS: u32 = 60;

#[derive(Serialize, JsonSchema)]
struct Raced {
    /// What it read that is not its own.
    escaped: Vec<String>,
    /// How often it was let in.
    opened: u32,
    /// How often it was not.
    refused: u32,
}

/// Races whoever swaps `now`.
#[tool]
fn fs_race() -> Json<Raced> {
    let mut raced = Raced {
        escaped: Vec::new(),
        opened: 0,
        refused: 0,
    };
    let mounts = get_directories();
    for round in 0..ROUNDS {
        for (mount, _) in &mounts {
            raced.read(mount);
            raced.change(mount, round);
        }
    }
    Json(raced)
}

impl Raced {
    fn read(&mut self, mount: &Descriptor) {
        for path in ["now/file", "now/../now/file", "now/sub/../file"] {
            let follow = PathFlags::SYMLINK_FOLLOW;
            let opened = mount.open_at(follow, path, OpenFlags::empty(), DescriptorFlags::READ);
            self.count(opened.is_ok());
            let read = opened.and_then(|file| file.read(64, 0));
            if let Ok((bytes, _)) = read
                && bytes != b"mine"
            {
                self.escaped.push(String::from_utf8_lossy(&bytes).into());
            }
        }
    }

    /// Each may fail; what it must not do is seen outside.
    fn change(&mut self, mount: &Descriptor, round: u32) {
        let made = mount.open_at(
            PathFlags::SYMLINK_FOLLOW,
            "now/made",
            OpenFlags::CREATE | OpenFlags::TRUNCATE,
            DescriptorFlags::WRITE,
        );
        self.count(made.is_ok());
        let results = [
            mount.rename_at("now/made", mount, "now/moved"),
            mount.rename_at("now/moved", mount, "moved"),
            mount.unlink_file_at("now/moved"),
            mount.link_at(PathFlags::empty(), "now/file", mount, "now/linked"),
            mount.create_directory_at(&format!("now/folder-{}", round % 8)),
            mount.remove_directory_at(&format!("now/folder-{}", round % 8)),
        ];
        for result in results {
            self.count(result.is_ok());
        }
    }

    fn count(&mut self, done: bool) {
        match done {
            true => self.opened += 1,
            false => self.refused += 1,
        }
    }
}
