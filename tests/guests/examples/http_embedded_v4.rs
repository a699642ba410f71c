//! Hides IPv4 addresses in IPv6 ones: mapped, compatible, translated, NAT64, 6to4, Teredo and ISATAP.
//!
//! Every request is denied or not valid: no probe of the reply has a status.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};

const URLS: [&str; 17] = [
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[::7f00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::ffff:0:7f00:1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:7f00:1::]/",
    "https://[2001::80ff:fffe]/",
    "https://[fe80::5efe:7f00:1]/",
    "https://[2001:db8::5efe:7f00:1]/",
    "https://[fec0::7f00:1]/",
];

/// Asks for IPv4 addresses within IPv6 ones.
#[tool]
fn http_embedded_v4() -> Json<http::Report> {
    Json(http::report(&URLS))
}
