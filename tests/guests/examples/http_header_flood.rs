//! Sends 32 769 fields, one field of a megabyte, and names and values that are none.
//!
//! The bound of one set of fields answers with an error.
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

/// Sends too many fields.
#[tool]
fn http_header_flood(address: Address) -> Json<http::Report> {
    let many: Vec<_> = (0..32_769)
        .map(|place| (format!("x-{place}"), String::new()))
        .collect();
    let large = vec![("x-large".to_owned(), "a".repeat(1024 * 1024))];
    let same = vec![("x-same".to_owned(), "a".repeat(100)); 1_000];
    let named = vec![("a".repeat(70_000), String::new())];
    let probes = [many, large, same, named].map(|fields| {
        let mut probe = http::send("GET", &address.url, &fields, b"");
        probe.url = format!("{} fields", fields.len());
        probe
    });
    Json(http::Report {
        probes: probes.into(),
    })
}
