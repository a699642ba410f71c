//! Sends a byte now and then, for ever.
//!
//! The deadline of the request ends it, and that of the call ends the guest.
#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// A server of the harness.
    url: String,
}

/// Sends slowly.
#[tool]
fn slow_body(address: Address) -> String {
    let mut last = String::new();
    loop {
        match http::upload(&address.url) {
            Ok((body, _answer)) => {
                let Ok(stream) = body.write() else { continue };
                while stream.blocking_write_and_flush(b"x").is_ok() {
                    wasip2::clocks::monotonic_clock::subscribe_duration(50_000_000).block();
                }
            }
            Err(error) if error == last => return error,
            Err(error) => last = error,
        }
    }
}
