//! Asks for addresses instead of names: public ones, special ones, and forms that only some parsers take for addresses.
//!
//! No capability names an address: no probe of the reply has a status, whether somebody listens there or not.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};

const URLS: [&str; 23] = [
    "https://1.1.1.1/",
    "https://8.8.8.8/",
    "https://93.184.216.34/",
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/",
    "https://192.168.0.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[2606:4700:4700::1111]/",
    "https://[::1]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[ff02::1]/",
    "https://16843009/",
    "https://0x01010101/",
    "https://1.1/",
    "https://0100.0.0.1/",
    "https://１.１.１.１/",
    "https://[1.1.1.1]/",
    "https://[v1.x]/",
];

/// Asks for addresses.
#[tool]
fn http_ip_literal() -> Json<http::Report> {
    Json(http::report(&URLS))
}
