//! Has a tool with more authority do what it may not do itself.
//!
//! It may call `reach_each`, and do nothing else; its user has allowed `reach_each` a good deal.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct What {
    /// The arguments for the other tool.
    arguments: String,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// What came of it.
    done: Vec<String>,
}

/// Reaches for more.
#[tool]
fn call_widen(what: What, call: Call) -> Json<Done> {
    let step = Step {
        tool: "reach_each".to_owned(),
        arguments: what.arguments,
    };
    Json(Done {
        done: each(&call, &[step]),
    })
}
