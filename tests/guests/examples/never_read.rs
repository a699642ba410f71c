//! Asks for many answers and reads none of them.
//!
//! So many are open at once and no more; what nobody reads is not fetched.
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

/// Reads nothing.
#[tool]
fn never_read(address: Address) -> String {
    let mut open = Vec::new();
    let end = loop {
        match http::open(&address.url) {
            Ok(response) => open.push(response),
            Err(error) => break error,
        }
    };
    format!("{} {end}", open.len())
}
