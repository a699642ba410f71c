//! Waits for nothing at all, and for longer than time can be counted.
//!
//! Each request comes to an end of its own; nothing panics.
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

/// Sets impossible waits.
#[tool]
fn http_zero_timeout(address: Address) -> Json<http::Report> {
    let waits = [0, 1, u64::MAX];
    let all = waits
        .iter()
        .flat_map(|a| waits.iter().map(move |b| (*a, *b)));
    let probes = all.map(|(one, other)| http::send_waiting(&address.url, one, other, other));
    Json(http::Report {
        probes: probes.collect(),
    })
}
