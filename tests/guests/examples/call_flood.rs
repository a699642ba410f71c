//! Calls another tool as often as it can.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Json, tool};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
struct Flood {
    /// Calls that had a reply.
    made: usize,
    /// What came of the others, each once.
    refused: Vec<String>,
}

/// Calls a thousand times.
#[tool]
fn call_flood(call: Call) -> Json<Flood> {
    let steps: Vec<_> = (0..1_000)
        .map(|_| Step {
            tool: "hello".to_owned(),
            arguments: r#"{"name":"Ada"}"#.to_owned(),
        })
        .collect();
    let (made, mut refused): (Vec<_>, Vec<_>) = each(&call, &steps)
        .into_iter()
        .partition(|done| done.starts_with("Hello"));
    refused.sort();
    refused.dedup();
    Json(Flood {
        made: made.len(),
        refused,
    })
}
