//! Gives its tool a name that is a path, a line break and a command of a terminal.
//!
//! Refused when it is packed.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::guest::bindings;
use bailiwick_sdk::guest::bindings::bailiwick::tool::types::Content;
use bailiwick_sdk::guest::bindings::exports::bailiwick::tool::handler::Definition;
use bailiwick_sdk::guest::{Description, Error, Guest, Reply};

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        let tool = Definition {
            name: "../name_forged\r\n\u{1b}[31m".into(),
            title: None,
            description: "Has a forged name.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: None,
            capabilities: Vec::new(),
        };
        Description { tools: vec![tool] }
    }

    fn call(_name: String, _arguments: String) -> Result<Reply, Error> {
        Ok(Reply {
            content: vec![Content::Text("forged".into())],
            structured: None,
        })
    }
}

bindings::export!(Component with_types_in bindings);
