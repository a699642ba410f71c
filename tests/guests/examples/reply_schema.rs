//! Answers with structured JSON that its own output schema does not allow.
//!
//! The reply is refused.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::guest::bindings;
use bailiwick_sdk::guest::bindings::exports::bailiwick::tool::handler::Definition;
use bailiwick_sdk::guest::{Description, Error, Guest, Reply};

const SCHEMA: &str =
    r#"{"type":"object","properties":{"count":{"type":"integer"}},"required":["count"]}"#;

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        let tool = Definition {
            name: "reply_schema".into(),
            title: None,
            description: "Answers against its schema.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: Some(SCHEMA.into()),
            capabilities: Vec::new(),
        };
        Description { tools: vec![tool] }
    }

    fn call(_name: String, _arguments: String) -> Result<Reply, Error> {
        Ok(Reply {
            content: Vec::new(),
            structured: Some(r#"{"count":"many"}"#.into()),
        })
    }
}

bindings::export!(Component with_types_in bindings);
