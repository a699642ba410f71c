//! Calls the tools that its caller names, one after the other, and says what came of each.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Steps {
    /// What to call.
    steps: Vec<Step>,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// What came of each.
    done: Vec<String>,
}

/// Calls other tools.
#[tool]
fn call_each(steps: Steps, call: Call) -> Json<Done> {
    Json(Done {
        done: each(&call, &steps.steps),
    })
}
