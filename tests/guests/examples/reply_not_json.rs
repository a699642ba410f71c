//! Answers with structured text that is no JSON.
//!
//! The reply is refused.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::guest::bindings;
use bailiwick_sdk::guest::bindings::exports::bailiwick::tool::handler::Definition;
use bailiwick_sdk::guest::{Description, Error, Guest, Reply};

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        let tool = Definition {
            name: "reply_not_json".into(),
            title: None,
            description: "Answers with broken JSON.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: Some(r#"{"type":"object"}"#.into()),
            capabilities: Vec::new(),
        };
        Description { tools: vec![tool] }
    }

    fn call(_name: String, _arguments: String) -> Result<Reply, Error> {
        Ok(Reply {
            content: Vec::new(),
            structured: Some("{\"open\":".into()),
        })
    }
}

bindings::export!(Component with_types_in bindings);
