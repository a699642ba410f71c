//! Follows a symbolic link that the harness has put into the mount and that leads outside, and makes links of its
//! own.
//!
//! Nothing outside is reached: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files;
use bailiwick_sdk::Json;

/// Tries to leave the mount through links.
#[tool]
fn fs_symlink() -> Json<files::Report> {
    files::make_link("/etc", "own_absolute");
    files::make_link("../../../../../../etc", "own_relative");
    Json(files::open_all(&[
        "outside",
        "outside/",
        "outside/passwd",
        "own_absolute/passwd",
        "own_relative/passwd",
    ]))
}
