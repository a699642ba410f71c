//! Goes through the files of the kernel that name open files and processes, directly and by links of its own.
//!
//! None is reached: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files;
use bailiwick_sdk::Json;

/// Tries to reach what the server has open.
#[tool]
fn fs_proc_fd() -> Json<files::Report> {
    for (target, name) in [
        ("/proc/self/fd", "absolute"),
        ("../../../../../../../../../proc/self/fd", "relative"),
        ("/proc/self/root", "root"),
        ("/proc/self/cwd", "cwd"),
        ("/dev/fd/3", "third"),
        ("/proc/self/environ", "environ"),
    ] {
        files::make_link(target, name);
    }
    Json(files::open_all(&[
        "/proc/self/fd/3",
        "/dev/fd/3",
        "../../../../../../../../../proc/self/fd/3",
        "absolute/3",
        "absolute/10",
        "relative/3",
        "root/etc/passwd",
        "cwd/.",
        "third/.",
        "environ/.",
        "/proc/self/environ",
        "/proc/self/mem",
    ]))
}
