//! What the edge reads of a body: is it one JSON-RPC request or notification, of which method, tool and revision.
//!
//! The SDK parses the body again; this reading exists so that scopes and revisions are judged before it, and so that a bad body
//! gets a JSON-RPC error. Never acts on anything it reads.

use std::collections::BTreeMap;

use http::HeaderMap;
use rmcp::model::RequestId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;
use serde_json::error::Category;

use super::line::{EdgeRefusal, Operation};
use crate::limits::ARGUMENTS_DEPTH_MAX;

/// The revisions that are served, newest first.
pub(super) const VERSIONS: [&str; 3] = [MODERN, "2025-11-25", "2025-06-18"];
/// The first revision without sessions.
pub(super) const MODERN: &str = "2026-07-28";

/// Longest text of a request that is given back inside a JSON-RPC error, in characters.
const ECHO_CHARS_MAX: usize = 32;

/// Arguments stand three levels inside a message: message, `params`, `arguments`.
const DEPTH_MAX: usize = ARGUMENTS_DEPTH_MAX + 3;

const VERSION_HEADER: &str = "mcp-protocol-version";
const VERSION_META: &str = "io.modelcontextprotocol/protocolVersion";

/// One request or notification, as far as the edge reads it.
#[derive(Debug)]
pub(super) struct Message {
    /// None for a notification.
    pub id: Option<RequestId>,
    /// What is asked for, and of which tool.
    pub operation: Operation,
    /// The request that this notification cancels; only older revisions have it.
    pub cancels: Option<RequestId>,
    /// The revision that the body names in `_meta`.
    version: Option<String>,
}

/// Top level of a message. A key that stands here twice is refused: two readers of one body must see one request.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    jsonrpc: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default)]
    method: Option<Value>,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    /// Nobody looks at these, and they are read all the same: what is skipped may be no JSON to a reader that does not skip it.
    #[serde(flatten)]
    _others: BTreeMap<String, IgnoredAny>,
}

/// `"id": null` is not the same as no id: the first is an invalid request, the second a notification.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Message {
    /// Reads a body, or says which JSON-RPC error it deserves.
    pub fn read(body: &[u8]) -> Result<Self, (EdgeRefusal, Option<RequestId>)> {
        // RFC 8259 §8.1: JSON is UTF-8, also where a reader does not look.
        let text = std::str::from_utf8(body).map_err(|_| (EdgeRefusal::NotJson, None))?;
        // A batch has to be told from a message first.
        if first_byte(body) != Some(b'{') || is_too_deep(body) {
            return match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Err((EdgeRefusal::NotARequest, None)),
                Err(_) => Err((EdgeRefusal::NotJson, None)),
            };
        }
        let envelope: Envelope = serde_json::from_str(text).map_err(|error| {
            let refusal = match error.classify() {
                Category::Syntax | Category::Eof | Category::Io => EdgeRefusal::NotJson,
                Category::Data => EdgeRefusal::NotARequest,
            };
            (refusal, None)
        })?;
        let id = match envelope.id {
            None => None,
            Some(id @ (Value::String(_) | Value::Number(_))) => Some(
                serde_json::from_value::<RequestId>(id)
                    .map_err(|_| (EdgeRefusal::NotARequest, None))?,
            ),
            Some(_) => return Err((EdgeRefusal::NotARequest, None)),
        };
        let invalid = |id: Option<RequestId>| Err((EdgeRefusal::NotARequest, id));
        if envelope.jsonrpc.as_ref().and_then(Value::as_str) != Some("2.0")
            || envelope.result.is_some()
            || envelope.error.is_some()
        {
            return invalid(id);
        }
        let Some(Value::String(method)) = envelope.method else {
            return invalid(id);
        };
        let params = match envelope.params {
            None | Some(Value::Object(_)) => envelope.params,
            Some(_) => return invalid(id),
        };
        let text = |key: &str| params.as_ref()?.get(key)?.as_str();
        let tool = (method == "tools/call")
            .then(|| text("name"))
            .flatten()
            .and_then(|name| name.parse().ok());
        let cancels = (method == "notifications/cancelled" && id.is_none())
            .then(|| params.as_ref()?.get("requestId").cloned())
            .flatten()
            .and_then(|request| serde_json::from_value(request).ok());
        let version = params
            .as_ref()
            .and_then(|params| params.get("_meta")?.get(VERSION_META)?.as_str())
            .map(str::to_owned);
        Ok(Self {
            id,
            operation: Operation { method, tool },
            cancels,
            version,
        })
    }

    /// Whether the header names a revision that is served, and the one that the body names.
    ///
    /// The SDK checks revisions on `initialize` only and would run a tool for any other request (trap R2).
    pub fn check_version(&self, headers: &HeaderMap) -> Result<(), EdgeRefusal> {
        if self.operation.method == "initialize" {
            // In the modern revision there is no such method. Else it negotiates: the answer names a revision that is
            // served, whatever was asked for.
            let modern = headers
                .get(VERSION_HEADER)
                .is_some_and(|version| version == MODERN);
            return if modern && self.version.is_some() {
                Err(EdgeRefusal::RemovedMethod)
            } else {
                Ok(())
            };
        }
        let header = version_header(headers)?;
        if self.version.as_deref().is_some_and(|body| body != header) {
            return Err(EdgeRefusal::VersionHeader(
                "the header `MCP-Protocol-Version` differs from the revision in `_meta`",
            ));
        }
        served(header).map(|_| ())
    }
}

/// The revision that the header names, if it is served.
pub(super) fn version_of(headers: &HeaderMap) -> Result<&'static str, EdgeRefusal> {
    version_header(headers).and_then(served)
}

fn version_header(headers: &HeaderMap) -> Result<&str, EdgeRefusal> {
    let mut values = headers.get_all(VERSION_HEADER).iter();
    let Some(value) = values.next() else {
        return Err(EdgeRefusal::VersionHeader(
            "the header `MCP-Protocol-Version` is missing",
        ));
    };
    let header = value.to_str().ok().filter(|_| values.next().is_none());
    header.ok_or(EdgeRefusal::VersionHeader(
        "the header `MCP-Protocol-Version` is not one plain value",
    ))
}

fn served(version: &str) -> Result<&'static str, EdgeRefusal> {
    let served = VERSIONS.into_iter().find(|served| *served == version);
    served.ok_or_else(|| EdgeRefusal::Version {
        requested: version.chars().take(ECHO_CHARS_MAX).collect(),
    })
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter()
        .copied()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Whether brackets nest deeper than any real request, found without recursion.
fn is_too_deep(body: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> EdgeRefusal {
        Message::read(body.as_bytes()).unwrap_err().0
    }

    #[test]
    fn r3_what_is_not_json_is_a_parse_error() {
        for body in ["", "  ", "{", "not json", "{\"a\":}", "[1,", "{}x", "[1]]"] {
            assert_eq!(refused(body), EdgeRefusal::NotJson, "{body}");
        }
    }

    #[test]
    fn r3_what_is_not_json_is_none_where_nobody_looks_either() {
        let beside = |value: &[u8]| {
            let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping","other":"#;
            Message::read(&[body.as_slice(), value, b"}"].concat())
        };
        assert!(beside(br#"{"a":["\ud83d\ude00",1e9]}"#).is_ok());
        for value in [
            &b"\"\xe4\""[..],
            br#""\ud800""#,
            b"1e999",
            br#"{"a":"\ud800"}"#,
        ] {
            let refusal = beside(value).unwrap_err().0;
            assert_eq!(refusal, EdgeRefusal::NotJson, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn r3_json_that_is_not_one_message_is_an_invalid_request() {
        for body in [
            "[]",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"["2.0",1,"ping",{}]"#,
            "1",
            "null",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        ] {
            assert_eq!(refused(body), EdgeRefusal::NotARequest, "{body}");
        }
    }

    #[test]
    fn p6_an_id_is_a_string_or_an_integer_never_null() {
        for id in ["null", "1.5", "true", "[]", "{}"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            assert_eq!(refused(&body), EdgeRefusal::NotARequest, "{id}");
        }
        for id in ["7", "\"a\"", "-1"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            assert!(Message::read(body.as_bytes()).unwrap().id.is_some());
        }
    }

    #[test]
    fn a_method_that_stands_twice_is_refused() {
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#),
            EdgeRefusal::NotARequest
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping","meth\u006fd":"tools/call"}"#),
            EdgeRefusal::NotARequest
        );
    }

    #[test]
    fn arguments_nest_as_deep_as_their_bound_and_no_deeper() {
        let nested = |depth: usize| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{"a":{}"[[[["{}}}}}}}"#,
                "[".repeat(depth),
                "]".repeat(depth),
            )
        };
        assert!(Message::read(nested(ARGUMENTS_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(
            refused(&nested(ARGUMENTS_DEPTH_MAX + 1)),
            EdgeRefusal::NotARequest
        );
        // Far deeper than the stack would carry.
        assert_eq!(refused(&nested(200_000)), EdgeRefusal::NotARequest);
    }

    #[test]
    fn the_tool_is_read_from_calls_alone() {
        let read = |body: &str| Message::read(body.as_bytes()).unwrap().operation;
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a.b"}}"#).tool,
            "a.b".parse().ok()
        );
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a"}}"#).tool,
            None
        );
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a b"}}"#).tool,
            None
        );
    }
}
