//! Tries ports of a host that is granted and of one that is not, to learn from errors which are open.
//!
//! Every port but the one that is bound gives the same error.
#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// The ports to try.
    ports: Vec<u16>,
}

/// Tries ports.
#[tool]
fn http_port_scan(address: Address) -> String {
    let urls: Vec<_> = address
        .ports
        .iter()
        .flat_map(|port| {
            ["example.com", "127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}/"))
        })
        .collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let all: Vec<_> = http::outcomes(&http::report(&urls)).into_iter().collect();
    all.join(" ")
}
