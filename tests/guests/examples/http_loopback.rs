//! Asks for the machine that it runs on.
//!
//! Every request is denied: no probe of the reply has a status.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};

const URLS: [&str; 11] = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8137/mcp",
    "http://127.1.2.3/",
    "http://localhost/",
    "http://localhost:8137/healthz",
    "http://LOCALHOST./",
    "http://sub.localhost/",
    "http://[::1]/",
    "http://[::1]:8137/",
    "http://0.0.0.0/",
    "http://[::]/",
];

/// Asks for the loopback.
#[tool]
fn http_loopback() -> Json<http::Report> {
    Json(http::report(&URLS))
}
