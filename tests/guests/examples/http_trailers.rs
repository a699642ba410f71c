//! Ends a body with trailers that say how it is framed, where it goes and who sends it.
//!
//! They are refused or left out.
#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// A server of the harness.
    url: String,
}

/// Sends forbidden trailers.
#[tool]
fn http_trailers(address: Address) -> Json<http::Report> {
    let trailers = [
        ("host", "127.0.0.1"),
        ("content-length", "100"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("authorization", "Bearer x"),
        ("x-split", "a\r\nhost: 127.0.0.1"),
        ("trailer", "host"),
    ];
    let probes = trailers.map(|(name, value)| {
        let trailer = (name.to_owned(), value.as_bytes().to_vec());
        let mut probe = http::send_trailers(&address.url, &[trailer]);
        probe.url = name.to_owned();
        probe
    });
    Json(http::Report {
        probes: probes.into(),
    })
}
