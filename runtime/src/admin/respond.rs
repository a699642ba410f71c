//! Answers of the administrators' door: JSON, and problems as RFC 9457 says them. It owns every status that `mcp` does not.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::mcp::EdgeRefusal;

/// Characters of what is said to be wrong with a request. It may quote the request.
const DETAIL_CHARS_MAX: usize = 300;

/// A request of somebody who may come in, that comes to nothing.
pub(super) enum Trouble {
    /// There is no such path.
    Unknown,
    /// The path has another method.
    Method(&'static str),
    /// The body is no JSON by its own account.
    ContentType,
    /// It cannot be read, and why.
    Bad(String),
    /// Something of ours is out of reach; the log tells more under this id.
    Unavailable(Uuid),
    /// Our own fault.
    Fault(Uuid),
}

impl Trouble {
    /// Its name in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown-path",
            Self::Method(_) => "method",
            Self::ContentType => "content-type",
            Self::Bad(_) => "bad-request",
            Self::Unavailable(_) => "unavailable",
            Self::Fault(_) => "fault",
        }
    }

    pub(super) fn response(&self) -> Response {
        let (status, detail) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "there is no such path".to_owned()),
            Self::Method(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this path takes {allowed}"),
            ),
            Self::ContentType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send `application/json`".to_owned(),
            ),
            Self::Bad(detail) => (
                StatusCode::BAD_REQUEST,
                detail.chars().take(DETAIL_CHARS_MAX).collect(),
            ),
            Self::Unavailable(id) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the state or the log is out of reach; the log tells more under {id}"),
            ),
            Self::Fault(id) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the server failed; the log tells more under {id}"),
            ),
        };
        let mut response = problem(Response::default(), status, &detail);
        match self {
            Self::Method(allowed) => {
                let allowed = HeaderValue::from_static(allowed);
                response.headers_mut().insert(ALLOW, allowed);
            }
            Self::Unavailable(_) => {
                let secs = HeaderValue::from_static("5");
                response.headers_mut().insert(RETRY_AFTER, secs);
            }
            Self::Unknown | Self::ContentType | Self::Bad(_) | Self::Fault(_) => {}
        }
        response
    }
}

/// What the edge refused, with a body.
pub(super) fn refused(response: Response, refusal: &EdgeRefusal) -> Response {
    let status = response.status();
    let detail = match refusal {
        EdgeRefusal::NoToken => "this needs an access token",
        EdgeRefusal::InvalidToken => "the access token does not count here",
        EdgeRefusal::BadProof | EdgeRefusal::NoNonce => {
            "the proof of whoever sends the access token does not count"
        }
        EdgeRefusal::MalformedAuthorization => {
            "the access token does not stand in one `Authorization` header alone"
        }
        EdgeRefusal::NotScoped(_) => "the access token lacks a scope",
        EdgeRefusal::Host | EdgeRefusal::Origin => {
            "the request is for another host, or from another origin"
        }
        EdgeRefusal::IdentityBusy | EdgeRefusal::IdentityUnavailable => {
            "the access token cannot be judged now"
        }
        EdgeRefusal::BodyTooLarge => "the body is too large",
        EdgeRefusal::BodyLost => "the body did not arrive",
        EdgeRefusal::Method
        | EdgeRefusal::ContentType
        | EdgeRefusal::NotJson
        | EdgeRefusal::NotARequest
        | EdgeRefusal::VersionHeader(_)
        | EdgeRefusal::Version { .. }
        | EdgeRefusal::RemovedMethod
        | EdgeRefusal::ToolName
        | EdgeRefusal::WeakSignIn(_)
        | EdgeRefusal::Session
        | EdgeRefusal::Busy
        | EdgeRefusal::Unavailable { .. }
        | EdgeRefusal::Fault { .. } => "the request was refused",
    };
    problem(response, status, detail)
}

/// The answer to whoever the rules do not let do this, whether there is such a thing or not.
pub(super) fn forbidden(response: Response) -> Response {
    problem(response, StatusCode::FORBIDDEN, "no rule allows you this")
}

/// What was asked for.
pub(super) fn told(told: &Value) -> Response {
    with_body(Response::default(), told, "application/json")
}

fn problem(mut response: Response, status: StatusCode, detail: &str) -> Response {
    *response.status_mut() = status;
    // RFC 9457 §4.2.1: without a type of its own, the title is that of the status.
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    with_body(response, &body, "application/problem+json")
}

fn with_body(mut response: Response, body: &Value, kind: &'static str) -> Response {
    *response.body_mut() = Body::from(body.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
