//! Never says what it is.
//!
//! Refused when it is packed: `describe` has a deadline too.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::guest::bindings;
use bailiwick_sdk::guest::bindings::bailiwick::tool::types::Content;
use bailiwick_sdk::guest::{Description, Error, Guest, Reply};

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        loop {
            std::hint::spin_loop();
        }
    }

    fn call(_name: String, _arguments: String) -> Result<Reply, Error> {
        Ok(Reply {
            content: vec![Content::Text("spun".into())],
            structured: None,
        })
    }
}

bindings::export!(Component with_types_in bindings);
