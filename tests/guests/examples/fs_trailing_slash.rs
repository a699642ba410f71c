//! Opens a link that leads outside with slashes and dots behind it, which resolvers have judged differently.
//!
//! Nothing outside is reached: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files;
use bailiwick_sdk::Json;

/// Tries to leave the mount by slashes at the end.
#[tool]
fn fs_trailing_slash() -> Json<files::Report> {
    Json(files::open_all(&[
        "outside/",
        "outside//",
        "outside/.",
        "outside/./",
        "outside/..",
        "outside/../..",
        "file/",
        "file/.",
        "file/../outside/",
    ]))
}
