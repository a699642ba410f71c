//! Opens ten thousand bodies and sends none of them.
//!
//! The bound of the resource table ends it.
#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use wasip2::http::types::{Fields, OutgoingRequest};

/// Opens bodies without end.
#[tool]
fn stream_flood() -> String {
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let request = OutgoingRequest::new(Fields::new());
        let Ok(body) = request.body() else { break };
        let Ok(stream) = body.write() else { break };
        all.push((request, body, stream));
    }
    format!("{} streams", all.len())
}
