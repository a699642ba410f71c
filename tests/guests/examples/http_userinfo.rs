//! Puts a name and a password before the host, so that one parser sees one host and another parser the other.
//!
//! Every request is denied or not valid: no probe of the reply has a status.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};

const URLS: [&str; 12] = [
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://127.0.0.1@example.com/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://:@example.com/",
    "https://@example.com/",
    "https://example.com%40127.0.0.1/",
    "https://example.com%2f@127.0.0.1/",
    "https://a@b@example.com/",
    "https://example.com;@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
];

/// Asks for hosts behind user information.
#[tool]
fn http_userinfo() -> Json<http::Report> {
    Json(http::report(&URLS))
}
