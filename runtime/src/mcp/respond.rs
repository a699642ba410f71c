//! The one file that turns answers and refusals into the wire: it owns every status, challenge and JSON-RPC code.
//!
//! Every match is in full, so that a new answer stops the build until someone decides how it looks outside. No text of a request
//! goes into a header.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams,
    ElicitationSchema, ErrorCode, ErrorData, Implementation, InputRequest, InputRequests,
    InputRequiredResult, JsonRpcError, MetaObject, RequestId,
};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::content;
use super::line::{Answer, EdgeRefusal, Era, NotScoped, WeakSignIn};
use super::message::VERSIONS;

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
}

impl Wire {
    /// `scopes` are the least that any use needs; they stand in the challenge of a request without a token.
    pub fn new(resource_metadata: &Url, scopes: Vec<String>, server: &Implementation) -> Self {
        Self {
            resource_metadata: quoted(resource_metadata.as_str()),
            scopes,
            server_info: json!(server),
        }
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
            EdgeRefusal::NoToken | EdgeRefusal::InvalidToken | EdgeRefusal::WeakSignIn(_) => {
                (StatusCode::UNAUTHORIZED, None)
            }
            EdgeRefusal::MalformedAuthorization => (StatusCode::BAD_REQUEST, None),
            EdgeRefusal::NotScoped(_) => (StatusCode::FORBIDDEN, None),
            EdgeRefusal::IdentityUnavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
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
        if let Some(challenge) = self.challenge(refusal) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        match refusal {
            EdgeRefusal::Busy => headers.insert(RETRY_AFTER, RETRY_BUSY_SECS),
            EdgeRefusal::IdentityUnavailable | EdgeRefusal::Unavailable { .. } => {
                headers.insert(RETRY_AFTER, RETRY_UNAVAILABLE_SECS)
            }
            EdgeRefusal::Method => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            EdgeRefusal::Host
            | EdgeRefusal::Origin
            | EdgeRefusal::Session
            | EdgeRefusal::NoToken
            | EdgeRefusal::MalformedAuthorization
            | EdgeRefusal::InvalidToken
            | EdgeRefusal::NotScoped(_)
            | EdgeRefusal::WeakSignIn(_)
            | EdgeRefusal::ContentType
            | EdgeRefusal::BodyTooLarge
            | EdgeRefusal::BodyLost
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
        let challenge = format!("Bearer resource_metadata={}", self.resource_metadata);
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        mark(&mut response, request);
        response
    }

    /// `WWW-Authenticate`, from our own words alone (A15–A22).
    fn challenge(&self, refusal: &EdgeRefusal) -> Option<HeaderValue> {
        let least = scope_list(&self.scopes);
        let (error, scope) = match refusal {
            // RFC 6750 §3.1: a request without a token gets no error code.
            EdgeRefusal::NoToken => (None, least),
            EdgeRefusal::InvalidToken => (Some("invalid_token"), least),
            EdgeRefusal::MalformedAuthorization => (Some("invalid_request"), String::new()),
            EdgeRefusal::NotScoped(NotScoped { needed }) => {
                (Some("insufficient_scope"), scope_list(needed))
            }
            EdgeRefusal::WeakSignIn(WeakSignIn { needed, .. }) => {
                (Some("insufficient_user_authentication"), scope_list(needed))
            }
            EdgeRefusal::Host
            | EdgeRefusal::Origin
            | EdgeRefusal::Method
            | EdgeRefusal::Session
            | EdgeRefusal::IdentityUnavailable
            | EdgeRefusal::ContentType
            | EdgeRefusal::BodyTooLarge
            | EdgeRefusal::BodyLost
            | EdgeRefusal::NotJson
            | EdgeRefusal::NotARequest
            | EdgeRefusal::VersionHeader(_)
            | EdgeRefusal::Version { .. }
            | EdgeRefusal::RemovedMethod
            | EdgeRefusal::ToolName
            | EdgeRefusal::Busy
            | EdgeRefusal::Unavailable { .. }
            | EdgeRefusal::Fault { .. } => return None,
        };
        let error = error.map(|error| format!("error=\"{error}\", "));
        let scope = (!scope.is_empty()).then(|| format!("scope=\"{scope}\", "));
        let text = format!(
            "Bearer {}{}{}resource_metadata={}",
            error.unwrap_or_default(),
            sign_in(refusal).unwrap_or_default(),
            scope.unwrap_or_default(),
            self.resource_metadata
        );
        HeaderValue::try_from(text).ok()
    }
}

/// RFC 9470 §3: which sign-in would do.
fn sign_in(refusal: &EdgeRefusal) -> Option<String> {
    let EdgeRefusal::WeakSignIn(weak) = refusal else {
        return None;
    };
    let values = scope_list(&weak.acr_values);
    let acr = (!values.is_empty()).then(|| format!("acr_values=\"{values}\", "));
    let age = weak.max_age_secs;
    let age = age.map(|secs| format!("max_age=\"{secs}\", "));
    Some(acr.unwrap_or_default() + &age.unwrap_or_default())
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
    CallToolResult::error(vec![ContentBlock::text(content::clean(text))])
}

fn with_meta(mut result: CallToolResult, meta: Option<MetaObject>) -> CallToolResult {
    if let Some(meta) = meta {
        result.meta.get_or_insert_default().extend(meta);
    }
    result
}

/// One question in URL mode (P26); what the user decides there is looked up by us when the client comes back.
fn link(url: &Url, message: &str) -> ElicitRequestParams {
    ElicitRequestParams::UrlElicitationParams {
        meta: None,
        message: content::clean(message).into_owned(),
        url: url.as_str().to_owned(),
        elicitation_id: String::new(),
    }
}

/// A form of a tool (P25). None where its schema is none that the SDK can send, which was seen before it came this far.
pub(super) fn form(message: &str, schema: &str) -> Option<ElicitRequestParams> {
    let requested_schema: ElicitationSchema = serde_json::from_str(schema)
        .inspect_err(|_| tracing::error!("a form that was taken cannot be written"))
        .ok()?;
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: content::clean(message).into_owned(),
        requested_schema,
    })
}

/// One question under its key; the call comes back with the answer and the state.
fn input_required(key: &str, params: ElicitRequestParams, state: String) -> InputRequiredResult {
    let question = InputRequest::Elicitation(ElicitRequest::new(params));
    let questions = InputRequests::from([(key.to_owned(), question)]);
    InputRequiredResult::new(Some(questions), Some(state))
}

/// RFC 6749 §3.3 `scope`, and likewise `acr_values`: anything outside the alphabet of a scope token is left out.
fn scope_list(scopes: &[String]) -> String {
    let is_token = |scope: &&String| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let mut scopes: Vec<&str> = scopes.iter().filter(is_token).map(String::as_str).collect();
    scopes.dedup();
    scopes.join(" ")
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
