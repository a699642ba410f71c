//! Reads an answer of a few bytes that becomes many.
//!
//! It ends at the bytes that a call may receive, and what was read is no more than these.
#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// A server of the harness.
    url: String,
}

/// Reads a bomb.
#[tool]
fn http_inflate(address: Address) -> String {
    let (read, end) = match http::open(&address.url) {
        Ok(response) => http::drain(&response),
        Err(error) => (0, error),
    };
    format!("{read} {end}")
}
