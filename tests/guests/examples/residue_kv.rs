//! Looks in the store `memory` for what another tool's call left there that was made within its own.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Json, Kv, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct First {
    /// What to call before it looks.
    steps: Vec<Step>,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    /// What came of the calls.
    done: Vec<String>,
    /// The keys that it sees.
    keys: Vec<String>,
    /// Whether the key of the other tool could be read.
    read: bool,
}

/// Looks for leftovers.
#[tool]
fn residue_kv(first: First, call: Call, kv: Kv) -> Result<Json<Found>, ToolError> {
    let done = each(&call, &first.steps);
    let store = kv.store("memory")?;
    let read = store.get_text("left").is_ok_and(|left| left.is_some());
    Ok(Json(Found {
        done,
        keys: store.keys().unwrap_or_default(),
        read,
    }))
}
