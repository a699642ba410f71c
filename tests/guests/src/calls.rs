//! Calls of other tools, one after the other.

use bailiwick_sdk::{Call, CallError, Content, Reply};
use schemars::JsonSchema;
use serde::Deserialize;

/// One call.
#[derive(Deserialize, JsonSchema)]
pub struct Step {
    /// The tool.
    pub tool: String,
    /// The text of its arguments.
    pub arguments: String,
}

/// Makes the calls, and says what came of each: the text of the reply, or the error.
pub fn each(call: &Call, steps: &[Step]) -> Vec<String> {
    let one = |step: &Step| match call.tool_with(&step.tool, &step.arguments) {
        Ok(reply) => text(&reply),
        Err(error) => word(&error),
    };
    steps.iter().map(one).collect()
}

/// Makes one call, whatever the tool asked for, and says what came of it.
pub fn made(tool: &str, arguments: &str) -> String {
    match bailiwick_sdk::guest::call_tool(tool, arguments) {
        Ok(reply) => text(&reply),
        Err(error) => word(&error),
    }
}

fn text(reply: &Reply) -> String {
    let texts = reply.content().iter().filter_map(|block| match block {
        Content::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn word(error: &CallError) -> String {
    match error {
        CallError::Denied => "denied".to_owned(),
        CallError::Unavailable => "unavailable".to_owned(),
        CallError::InvalidArguments(what) => format!("invalid-arguments: {what}"),
        CallError::TooDeep => "too-deep".to_owned(),
        CallError::TooMany => "too-many".to_owned(),
        CallError::Cycle => "cycle".to_owned(),
        CallError::NeedsConsent => "needs-consent".to_owned(),
        CallError::Failed(what) => format!("failed: {what}"),
        other => format!("other: {other}"),
    }
}
