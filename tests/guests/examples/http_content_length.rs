//! Declares lengths that are not those of the body, so that the rest of it would be a second request.
//!
//! The request is refused or its connection is cut; the server sees no request inside of another.
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

/// Lies about lengths.
#[tool]
fn http_content_length(address: Address) -> Json<http::Report> {
    let smuggled = b"GET /smuggled HTTP/1.1\r\nhost: example.com\r\n\r\n";
    let declared = [
        "0",
        "5",
        "1000",
        "-1",
        "+5",
        "5, 5",
        "0x5",
        " 5",
        "99999999999999999999",
    ];
    let once = declared.map(|length| vec![length]);
    let twice = [vec!["5", "5"], vec!["5", "6"], vec!["0", "49"]];
    let all = once.into_iter().chain(twice).collect::<Vec<_>>();
    let probes = all.iter().map(|lengths| {
        let headers: Vec<_> = lengths
            .iter()
            .map(|length| ("content-length".to_owned(), (*length).to_owned()))
            .collect();
        let mut probe = http::send("POST", &address.url, &headers, smuggled);
        probe.url = lengths.join(" and ");
        probe
    });
    Json(http::Report {
        probes: probes.collect(),
    })
}
