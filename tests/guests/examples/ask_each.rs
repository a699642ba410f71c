//! Asks and acts as its arguments say, and tells what came of each step.
//!
//! The probe of what a question ends and what an answer brings.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Answer, Ask, Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Steps {
    /// What is done, in this order.
    steps: Vec<Step>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Step {
    /// Asks this, with a form of one text `a`.
    Ask(String),
    /// Asks this, with a form of one text as long as it may be.
    Long(String),
    /// Asks about what stands in a file of this name below `/notes`, which must be there.
    Quote(String),
    /// Writes a file of this name below `/notes`.
    Write(String),
    /// Reads a file of this name below `/notes`.
    Read(String),
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// What came of each step.
    done: Vec<String>,
}

const FORM: &str =
    r#"{"type":"object","properties":{"a":{"type":"string","maxLength":9}},"required":["a"]}"#;
const LONG: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;

/// Takes one step after the other.
#[tool]
fn ask_each(steps: Steps, ask: Ask) -> Json<Done> {
    let take = |step: Step| match step {
        Step::Ask(message) => form(&ask, &message, FORM),
        Step::Long(message) => form(&ask, &message, LONG),
        Step::Quote(name) => match std::fs::read_to_string(format!("/notes/{name}")) {
            Ok(text) => form(&ask, &format!("Do you mean {text}?"), LONG),
            Err(error) => error.kind().to_string(),
        },
        Step::Write(name) => match std::fs::write(format!("/notes/{name}"), "x") {
            Ok(()) => "written".to_owned(),
            Err(error) => error.kind().to_string(),
        },
        Step::Read(name) => match std::fs::read_to_string(format!("/notes/{name}")) {
            Ok(text) => text,
            Err(error) => error.kind().to_string(),
        },
    };
    Json(Done {
        done: steps.steps.into_iter().map(take).collect(),
    })
}

fn form(ask: &Ask, message: &str, schema: &str) -> String {
    match ask.form_with(message, schema) {
        Ok(Answer::Submitted(text)) => text,
        Ok(Answer::Declined) => "declined".to_owned(),
        Ok(Answer::Cancelled) => "cancelled".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
