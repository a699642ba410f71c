//! Writes the loopback and the metadata address in every way that some parser takes: decimal, octal, hexadecimal,
//! short, IPv4 in IPv6, with dots at the end, with user information, and encoded.
//!
//! Every request is denied or not valid: no probe of the reply has a status. With an argument it probes that address.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

const URLS: [&str; 31] = [
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.1../",
    "http://0/",
    "http://0x0/",
    "http://00000177.00.00.01/",
    "http://256.0.0.1/",
    "http://4294967297/",
    "http://2852039166/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://169.254.43518/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::1%25lo]/",
    "http://example.com@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1\\@example.com/",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://localhost%00.example.com/",
];

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// The one address to probe, instead of all.
    #[serde(default)]
    url: Option<String>,
}

/// Asks for the loopback in disguise.
#[tool]
fn http_odd_encodings(address: Address) -> Json<http::Report> {
    match address.url {
        Some(url) => Json(http::report(&[&url])),
        None => Json(http::report(&URLS)),
    }
}
