//! The one file that turns answers and refusals into the wire: it owns every status, challenge and JSON-RPC code.
//!
//! Every match is in full, so that a new answer stops the build until someone decides how it looks outside. No text of a request
//! goes into a header.

mod challenge;
mod throttled;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, ErrorCode, ErrorData, Implementation,
    JsonRpcError, MetaObject, RequestId,
};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::content;
use super::elicit::{form, input_required, link};
use super::line::{Answer, EdgeRefusal, Era, NotScoped};
use super::message::VERSIONS;
use crate::config::Dpop;
use crate::identity::PROOF_ALGORITHMS;
use challenge::scope_list;
pub(super) use throttled::{overloaded, throttled};

/// The key under which the consent page is asked for; the retry answers under the same key.
pub(super) const CONSENT_KEY: &str = "consent";
/// The key of a form of the tool.
pub(super) const FORM_KEY: &str = "form";

/// Result metadata: who serves (P5).
const SERVER_INFO_META: &str = "io.modelcontextprotocol/serverInfo";

/// Seconds after which a caller may try again when something of ours is out of reach.
const RETRY_UNAVAILABLE_SECS: HeaderValue = HeaderValue::from_static("5");
/// Seconds after which a place may be free again.
const RETRY_BUSY_SECS: HeaderValue = HeaderValue::from_static("1");

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How an answer leaves.
pub(super) enum Shown {
    /// As the result of the JSON-RPC request.
    Result(CallToolResponse),
    /// As its error.
    Error(ErrorData),
    /// With a status of its own, as long as nothing was streamed.
    Http(EdgeRefusal),
}

/// What every answer of this server shares.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    resource_metadata: String,
    scopes: Vec<String>,
    server_info: serde_json::Value,
    dpop: Dpop,
}

impl Wire {
    /// `scopes` are the least that any use needs; they stand in the challenge of a request without a token.
    pub fn new(resource_metadata: &Url, scopes: Vec<String>, server: &Implementation) -> Self {
        Self {
            resource_metadata: quoted(resource_metadata.as_str()),
            scopes,
            server_info: json!(server),
            dpop: Dpop::Off,
        }
    }

    /// Where tokens that are bound to keys are taken, challenges say so.
    pub fn taking(self, dpop: Dpop) -> Self {
        Self { dpop, ..self }
    }

    /// Metadata for a result of the modern era.
    pub fn meta(&self, era: Era) -> Option<MetaObject> {
        match era {
            Era::Modern => {
                let mut meta = MetaObject::new();
                meta.insert(SERVER_INFO_META.to_owned(), self.server_info.clone());
                Some(meta)
            }
            Era::Legacy => None,
        }
    }

    /// A call's answer.
    pub fn answer(&self, answer: Answer, era: Era, can_open_urls: bool) -> Shown {
        let result = match answer {
            Answer::Reply(reply) => content::result(reply, era),
            Answer::ToolError(text) => tool_error(&text),
            Answer::UnknownTool => return Shown::Error(unknown_tool()),
            Answer::Denied => tool_error("this call is not allowed"),
            Answer::ConsentNeeded {
                url,
                message,
                state,
                ticket: _,
            } => match (era, can_open_urls) {
                (Era::Modern, true) => {
                    let mut asked = input_required(CONSENT_KEY, link(&url, &message), state);
                    asked.meta = self.meta(era);
                    return Shown::Result(asked.into());
                }
                // A legacy client that can be asked was asked in its session, and nobody decided. Without sessions nobody
                // remembers what it can do, so -32042 would be sent blindly (D6).
                (Era::Modern, false) | (Era::Legacy, _) => tool_error(&format!(
                    "{message}\n\nOpen this link, decide there, and then call the tool again:\n{url}"
                )),
            },
            Answer::FormNeeded {
                message,
                schema,
                state,
            } => match (era, form(&message, &schema)) {
                (Era::Modern, Some(question)) => {
                    let mut asked = input_required(FORM_KEY, question, state);
                    asked.meta = self.meta(era);
                    return Shown::Result(asked.into());
                }
                // A legacy client was asked in its session, and nobody answered.
                (Era::Modern, None) | (Era::Legacy, _) => tool_error(
                    "the tool asked its user something, and there was no answer, so it was stopped",
                ),
            },
            Answer::BadState => return Shown::Error(bad_state()),
            Answer::NotScoped(missing) => return Shown::Http(EdgeRefusal::NotScoped(missing)),
            Answer::WeakSignIn(weak) => return Shown::Http(EdgeRefusal::WeakSignIn(weak)),
            Answer::Throttled(throttled) => throttled::result(&throttled),
            Answer::Busy => return Shown::Http(EdgeRefusal::Busy),
            Answer::Unavailable { id } => return Shown::Http(EdgeRefusal::Unavailable { id }),
            Answer::Fault { id } => return Shown::Http(EdgeRefusal::Fault { id }),
            Answer::Cancelled => return Shown::Error(internal("the call was cancelled", None)),
        };
        Shown::Result(with_meta(result, self.meta(era)).into())
    }

    /// A refusal as an HTTP answer.
    pub fn refuse(&self, refusal: &EdgeRefusal, id: Option<RequestId>, request: Uuid) -> Response {
        let (status, error) = match refusal {
            EdgeRefusal::Host | EdgeRefusal::Origin => (StatusCode::FORBIDDEN, None),
            EdgeRefusal::Method => (StatusCode::METHOD_NOT_ALLOWED, None),
            EdgeRefusal::NoToken
            | EdgeRefusal::InvalidToken
            | EdgeRefusal::BadProof
            | EdgeRefusal::NoNonce
            | EdgeRefusal::WeakSignIn(_) => (StatusCode::UNAUTHORIZED, None),
            EdgeRefusal::MalformedAuthorization => (StatusCode::BAD_REQUEST, None),
            EdgeRefusal::NotScoped(_) => (StatusCode::FORBIDDEN, None),
            EdgeRefusal::IdentityBusy | EdgeRefusal::IdentityUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, None)
            }
            EdgeRefusal::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            EdgeRefusal::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            EdgeRefusal::BodyLost => (StatusCode::REQUEST_TIMEOUT, None),
            EdgeRefusal::NotJson
            | EdgeRefusal::NotARequest
            | EdgeRefusal::VersionHeader(_)
            | EdgeRefusal::Version { .. } => (StatusCode::BAD_REQUEST, in_band(refusal)),
            EdgeRefusal::RemovedMethod | EdgeRefusal::Session => {
                (StatusCode::NOT_FOUND, in_band(refusal))
            }
            EdgeRefusal::ToolName => (StatusCode::OK, in_band(refusal)),
            EdgeRefusal::Busy | EdgeRefusal::Unavailable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, in_band(refusal))
            }
            EdgeRefusal::Fault { .. } => (StatusCode::INTERNAL_SERVER_ERROR, in_band(refusal)),
        };
        let body = error.map(|error| serde_json::to_vec(&JsonRpcError::new(id, error)));
        let mut response = match body {
            Some(Ok(body)) => {
                let mut response = Response::new(Body::from(body));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Some(Err(_)) | None => Response::new(Body::empty()),
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for challenge in self.challenges(refusal) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        match refusal {
            EdgeRefusal::Busy | EdgeRefusal::IdentityBusy => {
                headers.insert(RETRY_AFTER, RETRY_BUSY_SECS)
            }
            EdgeRefusal::IdentityUnavailable | EdgeRefusal::Unavailable { .. } => {
                headers.insert(RETRY_AFTER, RETRY_UNAVAILABLE_SECS)
            }
            EdgeRefusal::Method => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            // What is left of the body is not read, so nothing more can come on this connection (RFC 9110 §15.5.14, §15.5.9).
            EdgeRefusal::BodyTooLarge | EdgeRefusal::BodyLost => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"))
            }
            EdgeRefusal::Host
            | EdgeRefusal::Origin
            | EdgeRefusal::Session
            | EdgeRefusal::NoToken
            | EdgeRefusal::MalformedAuthorization
            | EdgeRefusal::InvalidToken
            | EdgeRefusal::BadProof
            | EdgeRefusal::NoNonce
            | EdgeRefusal::NotScoped(_)
            | EdgeRefusal::WeakSignIn(_)
            | EdgeRefusal::ContentType
            | EdgeRefusal::NotJson
            | EdgeRefusal::NotARequest
            | EdgeRefusal::VersionHeader(_)
            | EdgeRefusal::Version { .. }
            | EdgeRefusal::RemovedMethod
            | EdgeRefusal::ToolName
            | EdgeRefusal::Fault { .. } => None,
        };
        mark(&mut response, request);
        response
    }

    /// A refusal that no other scope and no other token of this caller would mend (RFC 6750 §3 wants the header all the same).
    pub fn forbid(&self, request: Uuid) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FORBIDDEN;
        let scheme = match self.dpop {
            Dpop::Off | Dpop::Allowed => "Bearer",
            Dpop::Required => "DPoP",
        };
        let challenge = format!("{scheme} resource_metadata={}", self.resource_metadata);
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        mark(&mut response, request);
        response
    }
}

/// A refusal as a JSON-RPC error: for the body of its HTTP answer, or inside a stream that has begun.
pub(super) fn in_band(refusal: &EdgeRefusal) -> Option<ErrorData> {
    Some(match refusal {
        EdgeRefusal::NotJson => ErrorData::parse_error("the body is not JSON", None),
        EdgeRefusal::NotARequest => ErrorData::invalid_request(
            "the body is not one JSON-RPC 2.0 request or notification",
            None,
        ),
        EdgeRefusal::VersionHeader(reason) => ErrorData::header_mismatch(*reason, None),
        EdgeRefusal::Version { requested } => ErrorData::new(
            ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
            "this protocol version is not supported",
            Some(json!({ "supported": VERSIONS, "requested": requested })),
        ),
        EdgeRefusal::RemovedMethod => unknown_method(),
        // What the SDKs of those revisions send and know.
        EdgeRefusal::Session => ErrorData::new(
            ErrorCode(-32001),
            "session not found; initialize again without `Mcp-Session-Id`",
            None,
        ),
        EdgeRefusal::ToolName => unknown_tool(),
        EdgeRefusal::NotScoped(NotScoped { needed }) => ErrorData::internal_error(
            "the token lacks a scope that this call needs",
            Some(json!({ "error": "insufficient_scope", "scope": scope_list(needed) })),
        ),
        EdgeRefusal::WeakSignIn(weak) => ErrorData::internal_error(
            "this call needs a stronger or fresher sign-in than that of the token",
            Some(json!({
                "error": "insufficient_user_authentication",
                "acr_values": scope_list(&weak.acr_values),
                "max_age": weak.max_age_secs,
                "scope": scope_list(&weak.needed),
            })),
        ),
        EdgeRefusal::Busy => internal("every place is taken; try again in a moment", None),
        EdgeRefusal::Unavailable { id } => internal("the call could not be made", Some(*id)),
        EdgeRefusal::Fault { id } => internal("the server failed", Some(*id)),
        EdgeRefusal::Host
        | EdgeRefusal::Origin
        | EdgeRefusal::Method
        | EdgeRefusal::NoToken
        | EdgeRefusal::MalformedAuthorization
        | EdgeRefusal::InvalidToken
        | EdgeRefusal::BadProof
        | EdgeRefusal::NoNonce
        | EdgeRefusal::IdentityBusy
        | EdgeRefusal::IdentityUnavailable
        | EdgeRefusal::ContentType
        | EdgeRefusal::BodyTooLarge
        | EdgeRefusal::BodyLost => return None,
    })
}

/// The answer of an unknown tool, and of one that the caller may not know of.
pub(super) fn unknown_tool() -> ErrorData {
    ErrorData::invalid_params("unknown tool", None)
}

/// A state that we did not give out (P22): whoever changed it is no model that could mend it.
fn bad_state() -> ErrorData {
    ErrorData::invalid_params(
        "the request state was changed or is not ours; call the tool again without it",
        None,
    )
}

/// A cursor that we did not give out.
pub(super) fn bad_cursor() -> ErrorData {
    ErrorData::invalid_params("unknown cursor", None)
}

/// A method that is served, with parameters of another shape.
pub(super) fn bad_params() -> ErrorData {
    ErrorData::invalid_params("the parameters of this method have another shape", None)
}

/// A method that is not served.
pub(super) fn unknown_method() -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "unknown method", None)
}

/// Our own fault; the id leads to the log.
pub(super) fn internal(text: &'static str, id: Option<Uuid>) -> ErrorData {
    ErrorData::internal_error(text, id.map(|id| json!({ "id": id })))
}

/// What the edge makes of an answer of the SDK: its plain-text faults are none that a client can read.
pub(super) fn rewritten(status: StatusCode, request: Uuid) -> Option<EdgeRefusal> {
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // The media type was checked before; this is how the SDK says that a message has another shape (trap R3).
        return Some(EdgeRefusal::NotARequest);
    }
    status
        .is_server_error()
        .then_some(EdgeRefusal::Fault { id: request })
}

/// The answer for a request on which the edge itself broke.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request panicked");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// The algorithms of proofs, as clients are told them.
pub(super) fn proof_algorithms() -> impl Iterator<Item = &'static str> {
    PROOF_ALGORITHMS.into_iter().map(|(name, _)| name)
}

/// Gives a nonce for the next proof, where one is needed (RFC 9449 §8.2, §9).
pub(super) fn offer(response: &mut Response, nonce: Option<String>) {
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
}

/// Headers that every answer of the endpoint carries.
pub(super) fn mark(response: &mut Response, request: Uuid) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(request.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

fn tool_error(text: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(crate::protect::clean(text))])
}

fn with_meta(mut result: CallToolResult, meta: Option<MetaObject>) -> CallToolResult {
    if let Some(meta) = meta {
        result.meta.get_or_insert_default().extend(meta);
    }
    result
}

/// RFC 9110 §5.6.4 quoted string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(refusal: &EdgeRefusal) -> Option<String> {
        let metadata =
            Url::parse("https://mcp.example/.well-known/oauth-protected-resource/mcp").unwrap();
        let wire = Wire::new(
            &metadata,
            vec!["tools:call".to_owned()],
            &Implementation::new("t", "1"),
        );
        let response = wire.refuse(refusal, None, Uuid::nil());
        let value = response.headers().get(WWW_AUTHENTICATE)?;
        Some(format!(
            "{} {}",
            response.status().as_u16(),
            value.to_str().unwrap()
        ))
    }

    #[test]
    fn a15_to_a19_challenges_are_exact() {
        let metadata =
            r#"resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp""#;
        assert_eq!(
            challenge(&EdgeRefusal::NoToken).unwrap(),
            format!(r#"401 Bearer scope="tools:call", {metadata}"#)
        );
        assert_eq!(
            challenge(&EdgeRefusal::InvalidToken).unwrap(),
            format!(r#"401 Bearer error="invalid_token", scope="tools:call", {metadata}"#)
        );
        assert_eq!(
            challenge(&EdgeRefusal::MalformedAuthorization).unwrap(),
            format!(r#"400 Bearer error="invalid_request", {metadata}"#)
        );
        let needed = vec!["tools:call".to_owned(), "notes:write".to_owned()];
        assert_eq!(
            challenge(&EdgeRefusal::NotScoped(NotScoped { needed })).unwrap(),
            format!(
                r#"403 Bearer error="insufficient_scope", scope="tools:call notes:write", {metadata}"#
            )
        );
        for none in [
            EdgeRefusal::Host,
            EdgeRefusal::Origin,
            EdgeRefusal::IdentityBusy,
            EdgeRefusal::IdentityUnavailable,
            EdgeRefusal::Busy,
        ] {
            assert_eq!(challenge(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a22_a_scope_cannot_break_out_of_its_quotes() {
        let needed = vec![
            "ok".to_owned(),
            "a\", error=\"x".to_owned(),
            "b\\".to_owned(),
            "c d".to_owned(),
        ];
        let shown = challenge(&EdgeRefusal::NotScoped(NotScoped { needed })).unwrap();
        assert!(shown.contains(r#"scope="ok","#), "{shown}");
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
