//! Makes files, folders and links with names that would mislead a terminal, a log or the system.
//!
//! None is made: the reply holds a list `escaped`, which is empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use bailiwick_guests::files::Report;
use bailiwick_sdk::Json;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Tries to make what has a name that is none.
#[tool]
fn fs_names() -> Json<Report> {
    let mut report = Report::new();
    let long = ["n".repeat(256), "n/".repeat(4_096), "n".repeat(100_000)];
    let odd = [
        "",
        ".",
        "..",
        "/",
        "a\0b",
        "a\nb",
        "a\rb",
        "\u{1b}[2Ja",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{9b}31m",
    ];
    let odd = odd.map(str::to_owned);
    for (dir, mount) in &get_directories() {
        for name in odd.iter().chain(&long) {
            let shown: String = name.escape_default().take(16).collect();
            let made = dir.open_at(
                PathFlags::empty(),
                name,
                OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
                DescriptorFlags::WRITE,
            );
            report.note(format!("{mount}: create {shown}"), made.map(drop));
            let made = dir.create_directory_at(name);
            report.note(format!("{mount}: make a folder {shown}"), made);
            let made = dir.symlink_at("file", name);
            report.note(format!("{mount}: link {shown}"), made);
        }
    }
    Json(report)
}
