//! Calls itself, and itself by way of others, for ever.

#![cfg(target_family = "wasm")]

use bailiwick_guests::calls::{Step, each};
use bailiwick_sdk::{Call, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Round {
    /// Who is called, beside itself.
    #[serde(default)]
    by: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// What came of each.
    done: Vec<String>,
}

/// Goes round.
#[tool]
fn tool_call_loop(round: Round, call: Call) -> Json<Done> {
    let step = |tool: &str, arguments: String| Step {
        tool: tool.to_owned(),
        arguments,
    };
    let mut steps = vec![step("tool_call_loop", "{}".to_owned())];
    if let Some(by) = &round.by {
        // The other one calls this one again, which calls the other one again.
        let back = format!(r#"{{\"by\":\"{by}\"}}"#);
        let there = format!(r#"{{"steps":[{{"tool":"tool_call_loop","arguments":"{back}"}}]}}"#);
        steps.push(step(by, there));
    }
    Json(Done {
        done: each(&call, &steps),
    })
}
