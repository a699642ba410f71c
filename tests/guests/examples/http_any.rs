//! Sends one request as it is told to and says what came of it.
//!
//! The probe of the harness: the reply has the status, or the error code of `wasi:http`.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// Where to.
    url: String,
    /// The method; `GET` if left out.
    #[serde(default)]
    method: Option<String>,
    /// Headers, each a name and a value.
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// How many bytes of body to send.
    #[serde(default)]
    body_bytes: usize,
}

/// Sends a request and says what came of it.
#[tool]
fn http_any(address: Address) -> Json<http::Probe> {
    let method = address.method.as_deref().unwrap_or("GET");
    let body = vec![b'x'; address.body_bytes];
    Json(http::send(method, &address.url, &address.headers, &body))
}
