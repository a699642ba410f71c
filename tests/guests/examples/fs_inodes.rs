//! Makes files, folders and links that hold nothing, until it is refused or ten times as many as may be there.
//!
//! Names are counted: the reply says how many were made, and how the last one was refused.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Serialize;

use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

const NAMES: u32 = 100_000;

/// What came of it.
#[derive(Serialize, JsonSchema)]
struct Made {
    names: u32,
    refused: Option<String>,
}

/// Tries to use up the names of a disk.
#[tool]
fn fs_inodes() -> Json<Made> {
    let mut made = Made {
        names: 0,
        refused: None,
    };
    let Some((dir, _)) = get_directories().into_iter().next() else {
        return Json(made);
    };
    for number in 0..NAMES {
        let name = number.to_string();
        let done = match number % 3 {
            0 => dir.create_directory_at(&name),
            1 => dir.symlink_at("x", &name),
            _ => dir
                .open_at(
                    PathFlags::empty(),
                    &name,
                    OpenFlags::CREATE,
                    DescriptorFlags::WRITE,
                )
                .map(drop),
        };
        if let Err(code) = done {
            made.refused = Some(code.name().to_owned());
            break;
        }
        made.names = number + 1;
    }
    Json(made)
}
