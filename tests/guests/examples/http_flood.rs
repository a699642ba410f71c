//! Sends requests without end to the address it is given.
//!
//! The bound of requests of one call answers with an error, and the deadline ends it.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// Where to.
    url: String,
}

/// Sends requests without end.
#[tool]
fn http_flood(address: Address) -> Json<http::Report> {
    // Few probes are kept: the host, and not the memory of the guest, has to end this.
    let mut probes = Vec::new();
    for round in 0.. {
        let probe = http::send("GET", &address.url, &[], b"");
        if probe.status.is_none() && round >= 1000 {
            break;
        }
        probes.truncate(99);
        probes.push(probe);
    }
    Json(http::Report { probes })
}
