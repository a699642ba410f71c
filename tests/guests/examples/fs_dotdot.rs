//! Tries to leave the mount upwards and by absolute paths, below the library that would tidy them.
//!
//! Every path is refused: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files;
use bailiwick_sdk::Json;

const PATHS: [&str; 12] = [
    "..",
    "../",
    "../..",
    "./..",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "a/../../etc/passwd",
    "./../../../../etc/passwd",
    "../notes",
    "..\0/etc/passwd",
    "/proc/self/environ",
];

/// Tries to leave the mount.
#[tool]
fn fs_dotdot() -> Json<files::Report> {
    Json(files::open_all(&PATHS))
}
