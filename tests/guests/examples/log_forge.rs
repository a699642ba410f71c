//! Logs what would be other records, colours and commands of a terminal if it were written as it is.
//!
//! Every message is one line of the log, marked as the guest's, with control characters escaped.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// Logs forged records.
#[tool]
fn log_forge() -> String {
    for message in [
        "one\r\n2026-01-01T00:00:00Z ERROR bailiwick: forged record",
        "\u{1b}[2J\u{1b}[31mred\u{1b}]0;title\u{7}",
        "nul\0nul",
        "line\u{2028}separator\u{2029}paragraph\u{85}next",
        "\u{202e}desrever",
        "{\"level\":\"error\",\"message\":\"forged\"}",
        "\u{9b}31mc1\u{90}dcs",
    ] {
        bailiwick_sdk::log::warn!("{message}");
        println!("{message}");
        eprintln!("{message}");
    }
    "forged".into()
}
