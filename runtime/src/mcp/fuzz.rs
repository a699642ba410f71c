//! What the edge reads of a body, held against what the SDK reads of the same one: scopes are judged by the first, a tool is called by
//! the second.

use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};

use super::line::EdgeRefusal;
use super::message::Message;
use crate::fuzzing::json::{self, Json, Twice};
use crate::limits::{ARGUMENTS_DEPTH_MAX, REQUEST_BODY_BYTES_MAX};

/// A body.
pub(crate) fn frame(bytes: &[u8]) {
    let body = bytes.get(..REQUEST_BODY_BYTES_MAX).unwrap_or(bytes);
    let message = match Message::read(body) {
        Ok(message) => message,
        Err((refusal, _)) => {
            let is_known = matches!(refusal, EdgeRefusal::NotJson | EdgeRefusal::NotARequest);
            assert!(is_known, "a refusal of another kind: {refusal:?}");
            return;
        }
    };
    // Message, `params`, `arguments`, and what may stand in them.
    let second = json::read(body, ARGUMENTS_DEPTH_MAX + 3, Twice::Last);
    let second = second.filter(|second| matches!(second, Json::Object(_)));
    assert!(
        second.is_some(),
        "what is no object of bounded depth was read"
    );
    let named = |name: &str| second.as_ref().and_then(|second| second.get(name));
    let method = named("method").and_then(Json::text);
    assert_eq!(method, Some(message.operation.method.as_str()));
    assert_eq!(named("jsonrpc").and_then(Json::text), Some("2.0"));
    assert_eq!(named("id").is_some(), message.id.is_some());
    let tool = message.operation.tool.as_ref().map(|tool| tool.as_str());
    if let Some(tool) = tool {
        let params = named("params").and_then(|params| params.get("name"));
        assert_eq!(params.and_then(Json::text), Some(tool));
        assert_eq!(method, Some("tools/call"));
    }
    let Ok(sdk) = serde_json::from_slice::<ClientJsonRpcMessage>(body) else {
        return;
    };
    match sdk {
        JsonRpcMessage::Request(one) => {
            assert_eq!(
                message.id.as_ref(),
                Some(&one.id),
                "the SDK reads another id"
            );
            assert_eq!(one.request.method(), message.operation.method);
            if let ClientRequest::CallToolRequest(call) = one.request {
                // A name that is none finds no tool, whoever reads it.
                let named = call.params.name.parse::<crate::ids::ToolName>().ok();
                assert_eq!(named, message.operation.tool, "the SDK reads another tool");
            }
        }
        JsonRpcMessage::Notification(_) => {
            assert!(
                message.id.is_none(),
                "a request is a notification to the SDK"
            );
        }
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
            assert!(
                message.id.is_some(),
                "a notification is an answer to the SDK"
            );
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"notes","arguments":{"text":"x","deep":[[{"a":1}]]}}}"#,
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"enough"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#,
        r#"{"jsonrpc":"2.0","id":-1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"notes","requestState":"AAAA","inputResponses":{"form":{"action":"accept","content":{}}}}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) const WORDS: &[&str] = &[
    "\"jsonrpc\":\"2.0\"",
    "\"id\":",
    "\"method\":",
    "\"params\":",
    "\"name\":",
    "\"arguments\":",
    "\"result\":",
    "\"error\":",
    "tools/call",
    "tools/list",
    "\"_meta\":",
    "null",
    "\\u0061",
    "1e3",
    "9007199254740993",
    "\"requestId\":",
    "\"name\":\"other\",",
    "\"method\":\"ping\",",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bodies_among_the_seeds_are_read_and_no_others() {
        let read = seeds().into_iter().map(|body| Message::read(&body).ok());
        let methods = read.map(|message| message.map(|message| message.operation.method));
        let methods: Vec<_> = methods.collect();
        assert_eq!(
            methods.iter().map(Option::as_deref).collect::<Vec<_>>(),
            [
                Some("tools/call"),
                Some("tools/list"),
                Some("notifications/cancelled"),
                Some("initialize"),
                Some("ping"),
                Some("tools/call"),
                None,
                None,
            ]
        );
        let first = Message::read(&seeds()[0]).ok().unwrap();
        assert_eq!(first.operation.tool.unwrap().as_str(), "notes");
    }
}
