//! How a limit looks outside: as HTTP before anybody read the request, and as the result of a call after the rules.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use rmcp::model::{CallToolResult, MetaObject};
use serde_json::json;
use uuid::Uuid;

use super::{RETRY_BUSY_SECS, mark, tool_error, with_meta};
use crate::rate::{Over, Throttled};

/// Result metadata of a call that a limit refused: which, and when to try again.
const THROTTLED_META: &str = "bailiwick/throttled";
/// What is used up, and how often one may (draft-ietf-httpapi-ratelimit-headers-10).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// See [`RATE_LIMIT`].
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The answer to a request that came too soon, before anybody read it.
pub(in crate::mcp) fn throttled(throttled: &Throttled, request: Uuid) -> Response {
    let mut response = Response::new(Body::from(advice(throttled).to_string()));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, throttled.again_in_secs().into());
    if let Over::Rate { limit, pace } = &throttled.over {
        // The name of a limit is of letters, digits, `-` and `_`, so no text breaks out of its quotes.
        let policy = format!("\"{limit}\";q={};w={}", pace.calls, pace.period.as_secs());
        let now = format!("\"{limit}\";r=0;t={}", throttled.again_in_secs());
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, now)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
    mark(&mut response, request);
    response
}

/// The answer to a request for which there is no place.
pub(in crate::mcp) fn overloaded(request: Uuid) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, RETRY_BUSY_SECS);
    mark(&mut response, request);
    response
}

/// The refusal of a call by a limit: text for a model, and the same for a program.
pub(super) fn result(throttled: &Throttled) -> CallToolResult {
    let mut meta = MetaObject::new();
    meta.insert(THROTTLED_META.to_owned(), advice(throttled));
    with_meta(tool_error(&throttled.to_string()), Some(meta))
}

/// Which limit, never whose.
fn advice(throttled: &Throttled) -> serde_json::Value {
    let again_in = u64::try_from(throttled.again_in.as_millis()).unwrap_or(u64::MAX);
    json!({
        "limit": throttled.limit,
        "reason": throttled.reason(),
        "retryAfterMs": again_in.max(1),
    })
}
