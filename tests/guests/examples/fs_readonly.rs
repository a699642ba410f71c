//! Changes a mount that was granted for reading: writes, truncates, makes, renames, links, removes, sets times.
//!
//! Nothing changes: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files;
use bailiwick_sdk::Json;

/// Tries to change a mount that is for reading.
#[tool]
fn fs_readonly() -> Json<files::Report> {
    Json(files::change_all("file"))
}
