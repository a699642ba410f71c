//! Sends headers that decide where a request goes or where it ends, against the address that was checked.
//!
//! The header is refused or left out: the server at `url` sees one request with the host of `url`.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// A server of the harness that says which headers it saw.
    url: String,
}

/// Sends forged headers.
#[tool]
fn http_forge_host(address: Address) -> Json<http::Report> {
    let forged = [
        ("host", "metadata.google.internal"),
        ("Host", "127.0.0.1"),
        (":authority", "127.0.0.1"),
        ("x-forwarded-host", "127.0.0.1"),
        ("connection", "keep-alive, host"),
        ("transfer-encoding", "chunked"),
        ("content-length", "1000"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic Zm9vOmJhcg=="),
        ("x-split", "a\r\nhost: 127.0.0.1"),
    ];
    let probes = forged.map(|(name, value)| {
        let header = (name.to_owned(), value.to_owned());
        let mut probe = http::send("GET", &address.url, &[header], b"");
        probe.url = format!("{name}: {value}");
        probe
    });
    Json(http::Report {
        probes: probes.into(),
    })
}
