//! Answers with what it was given, in the place that the call names, and tells the operator's log as well.
//!
//! Without a grant of the class it is not even given it; what it says by itself of that kind is masked.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Json, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to leak, and where.
#[derive(Deserialize, JsonSchema)]
struct Leak {
    /// What to say; pieces are joined, so that a caller can hand in what is not recognized.
    say: Vec<String>,
    /// `reply`, `number`, `error` or `log`.
    place: String,
}

/// What was said.
#[derive(Serialize, JsonSchema)]
struct Said {
    said: String,
    number: u64,
}

/// Says it.
#[tool]
fn data_leak(leak: Leak) -> Result<Json<Said>, ToolError> {
    let said = leak.say.concat();
    let silent = |number| {
        Ok(Json(Said {
            said: String::new(),
            number,
        }))
    };
    match leak.place.as_str() {
        "reply" => Ok(Json(Said { said, number: 0 })),
        "number" => silent(said.parse().map_err(ToolError::failed)?),
        "error" => Err(ToolError::failed(said)),
        _ => {
            bailiwick_sdk::log::warn!("{said}");
            println!("{said}");
            eprintln!("{said}");
            silent(0)
        }
    }
}
