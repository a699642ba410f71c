//! Looks for tools that its caller may not see: under names that it was granted and others, with good arguments and bad ones.
//!
//! What is hidden, what does not exist and what was not granted must be one and the same to it.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Clock, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Names {
    /// What to look for.
    names: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    /// What came of each name, with three sets of arguments.
    answers: Vec<Vec<String>>,
    /// How long each took, in milliseconds.
    took_ms: Vec<u64>,
}

/// Looks for hidden tools.
#[tool]
fn call_hidden(names: Names, call: Call, clock: Clock) -> Json<Found> {
    let mut found = Found {
        answers: Vec::new(),
        took_ms: Vec::new(),
    };
    for name in &names.names {
        let steps = ["{}", r#"{"user":"alice"}"#, r#"{"wrong":[1]}"#].map(|arguments| Step {
            tool: name.clone(),
            arguments: arguments.to_owned(),
        });
        let began = clock.unix_millis();
        found.answers.push(each(&call, &steps));
        let took = clock.unix_millis().saturating_sub(began);
        found.took_ms.push(took);
    }
    Json(found)
}
