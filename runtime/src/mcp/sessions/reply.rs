//! What a client answers to a question of ours: a JSON-RPC response, posted on its own.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::dialogue::Reply;
use crate::mcp::context;
use crate::mcp::line::Said;

/// A client's answer. A bare claim: it may end a call, it never makes a consent.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mcp) enum ClientReply {
    /// What it says that its user did, and what that would be to a form.
    Said(Said, Option<Reply>),
    /// It could not ask: an error, or nothing that can be read.
    Failed,
}

/// A response, and nothing else. A key that stands here twice is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    jsonrpc: String,
    id: Value,
    result: Option<Value>,
    error: Option<IgnoredAny>,
}

impl ClientReply {
    /// Reads a body that is no request: the question's id, and what is said to it. None if it is no response either.
    pub fn read(body: &[u8]) -> Option<(String, Self)> {
        // serde reads an array into a struct by position.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let response: Response = serde_json::from_slice(body).ok()?;
        if response.jsonrpc != "2.0" || response.result.is_some() == response.error.is_some() {
            return None;
        }
        let id = match response.id {
            Value::String(id) => id,
            // None of ours, which are all strings; an answer to nothing is an answer all the same.
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        let result = response.result.unwrap_or_default();
        let said = context::said(&result);
        let said = said.map(|said| Self::Said(said, context::replied(&result)));
        Some((id, said.unwrap_or(Self::Failed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<(String, ClientReply)> {
        ClientReply::read(body.as_bytes())
    }

    #[test]
    fn an_answer_is_read_from_responses_alone() {
        let said = |action: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"q","result":{{"action":"{action}"}}}}"#);
            read(&body).unwrap().1
        };
        // Without content it is the answer to a link, and to no form.
        assert_eq!(said("accept"), ClientReply::Said(Said::Accepted, None));
        let declined = ClientReply::Said(Said::Declined, Some(Reply::Declined));
        assert_eq!(said("decline"), declined);
        let cancelled = ClientReply::Said(Said::Cancelled, Some(Reply::Cancelled));
        assert_eq!(said("cancel"), cancelled);
        let filled = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"a":1}}}"#;
        let content = Reply::Submitted(serde_json::json!({"a": 1}));
        let filled = read(filled).unwrap().1;
        assert_eq!(filled, ClientReply::Said(Said::Accepted, Some(content)));
        assert_eq!(said("allow"), ClientReply::Failed);
        let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no"}}"#;
        assert_eq!(read(error), Some(("7".to_owned(), ClientReply::Failed)));
        for bad in [
            "",
            "[]",
            r#"["2.0","q",{"action":"accept"},null]"#,
            r#"{"jsonrpc":"2.0","id":"q"}"#,
            r#"{"jsonrpc":"1.0","id":"q","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"q","result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":"q","id":"r","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","result":{}}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
