//! Asks for what the operator set: for the key that it is granted, for others, and for all at once.
//!
//! What it is not granted is as what was not set.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Config, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Keys {
    /// What to ask for.
    keys: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    /// The value of each key that was asked for.
    values: Vec<Option<String>>,
    /// Everything at once, as `key=value`.
    all: Vec<String>,
}

/// Says what the operator set.
#[tool]
fn config_probe(keys: Keys, config: Config) -> Json<Found> {
    let all = config.all().into_iter();
    Json(Found {
        values: keys.keys.iter().map(|key| config.get(key)).collect(),
        all: all.map(|(key, value)| format!("{key}={value}")).collect(),
    })
}
