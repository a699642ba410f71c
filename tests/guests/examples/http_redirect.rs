//! Follows a redirect by hand, wherever it leads.
//!
//! The second request passes the same checks as the first: to a host that is not granted or not public it is denied.
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

/// Follows one redirect.
#[tool]
fn http_redirect(address: Address) -> Json<http::Report> {
    let first = http::send("GET", &address.url, &[], b"");
    // The harness says in the body where to go next.
    let targets = first.body.clone().unwrap_or_default();
    let mut probes = vec![first];
    probes.extend(
        targets
            .lines()
            .map(|next| http::send("GET", next, &[], b"")),
    );
    Json(http::Report { probes })
}
