//! Answers with structured JSON that is nested 100 000 times, to overflow the stack of a parser.
//!
//! The reply is refused, and the host goes on.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::guest::bindings;
use bailiwick_sdk::guest::bindings::bailiwick::tool::types::Content;
use bailiwick_sdk::guest::bindings::exports::bailiwick::tool::handler::Definition;
use bailiwick_sdk::guest::{Description, Error, Guest, Reply};

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        let tool = Definition {
            name: "reply_deep".into(),
            title: None,
            description: "Answers with deep JSON.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: Some(r#"{"type":"object"}"#.into()),
            capabilities: Vec::new(),
        };
        Description { tools: vec![tool] }
    }

    fn call(_name: String, _arguments: String) -> Result<Reply, Error> {
        let depth = 100_000;
        let deep = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        Ok(Reply {
            content: vec![Content::Text("deep".into())],
            structured: Some(deep),
        })
    }
}

bindings::export!(Component with_types_in bindings);
