//! Speaks HTTP/1.1 over a connection that was opened for one request.
//!
//! No proxy, no redirect, no pool, no upgrade: what is sent is one request line and one set of fields made from judged parts,
//! and what comes back is one answer, streamed under its bounds.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::body::{BoxError, Budget, Fault, FaultCell, RequestBody, ResponseBody};
use super::connect::{Stream, sooner};
use super::error::EgressError;
use super::headers;
use crate::limits::HTTP_FIELDS_BYTES_MAX;
use crate::revocation::Live;

/// Most header fields of an answer. Large sites send 40.
const HEADERS_MAX: usize = 128;
/// Bytes read ahead of whoever reads the body, per connection.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;

/// The bounds of one request.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// When everything must be over, the last byte included.
    pub deadline: Instant,
    /// Longest wait for a connection, if it shall be shorter.
    pub connect: Option<Duration>,
    /// Longest wait for the head of the answer.
    pub first_byte: Option<Duration>,
    /// Longest silence inside the body of the answer.
    pub between_bytes: Option<Duration>,
    /// Bytes that may still be sent.
    pub sent: Budget,
    /// Bytes that may still be received.
    pub received: Budget,
    /// The consent under which it is made: everything ends with it.
    pub live: Live,
}

/// What goes on the wire beside the body, made from judged parts.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) origin_form: String,
    pub(super) host: String,
    pub(super) headers: HeaderMap,
}

/// Sends one request over `stream` and waits for the head of the answer.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    head: Head,
    body: UnsyncBoxBody<Bytes, BoxError>,
    bounds: Bounds,
) -> Result<Response<ResponseBody>, EgressError> {
    let fault = FaultCell::default();
    let request = request(head, body, &bounds, fault.clone())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_header_size(HTTP_FIELDS_BYTES_MAX)
        .max_buf_size(READ_AHEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(EgressError::Broken)?;
    let deadline = bounds.deadline;
    let live = bounds.live.clone();
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // How it ends is seen by whoever waits for the answer or reads it. Without the consent nothing more is written or
        // read, also in the midst of a body.
        let _ = timeout_at(deadline, live.guard(connection)).await;
    }));
    let limit = match bounds.first_byte {
        Some(first_byte) => sooner(deadline, first_byte),
        None => deadline,
    };
    let response = match timeout_at(limit, sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failure(error, &fault, deadline)),
        Err(_) => return Err(EgressError::OutOfTime),
    };
    judge_answer(response, bounds, connection)
}

fn request(
    mut head: Head,
    body: UnsyncBoxBody<Bytes, BoxError>,
    bounds: &Bounds,
    fault: FaultCell,
) -> Result<Request<RequestBody>, EgressError> {
    let declared =
        headers::declared_length(&head.headers).map_err(EgressError::RequestMalformed)?;
    headers::strip(&mut head.headers);
    // RFC 9110 §8.6: a method that expects content says so when there is none; some servers answer 411 otherwise.
    let expects = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
    if expects && declared.is_none() && body.is_end_stream() {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let line = head
        .method
        .as_str()
        .len()
        .saturating_add(head.origin_form.len())
        .saturating_add(head.host.len());
    let size = headers::size(&head.headers).saturating_add(u64::try_from(line).unwrap_or(u64::MAX));
    if !bounds.sent.take(size) || declared.is_some_and(|length| length > bounds.sent.left()) {
        return Err(EgressError::RequestTooLarge);
    }
    let target: Uri = head
        .origin_form
        .parse()
        .map_err(|_| EgressError::RequestMalformed("the path cannot be sent"))?;
    let host = HeaderValue::from_str(&head.host)
        .map_err(|_| EgressError::RequestMalformed("the host cannot be sent"))?;
    let mut request = Request::new(RequestBody::new(body, bounds.sent.clone(), declared, fault));
    *request.method_mut() = head.method;
    *request.uri_mut() = target;
    *request.headers_mut() = head.headers;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

fn judge_answer(
    response: Response<Incoming>,
    bounds: Bounds,
    connection: AbortOnDropHandle<()>,
) -> Result<Response<ResponseBody>, EgressError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(EgressError::ResponseMalformed("it changes the protocol"));
    }
    headers::declared_length(response.headers()).map_err(EgressError::ResponseMalformed)?;
    let size = headers::size(response.headers());
    if usize::try_from(size).map_or(true, |size| size > HTTP_FIELDS_BYTES_MAX) {
        return Err(EgressError::HeadersTooLarge);
    }
    let announced = response.body().size_hint().lower();
    if !bounds.received.take(size) || announced > bounds.received.left() {
        return Err(EgressError::ResponseTooLarge);
    }
    let mut response = response.map(|body| {
        ResponseBody::new(
            body,
            bounds.received,
            bounds.deadline,
            bounds.between_bytes,
            bounds.live,
            connection,
        )
    });
    headers::strip(response.headers_mut());
    // Whatever the connection left for an upgrade or in private, it ends here.
    response.extensions_mut().clear();
    Ok(response)
}

/// Why no answer came: our own body's fault first, since it breaks the connection.
fn failure(error: hyper::Error, fault: &FaultCell, deadline: Instant) -> EgressError {
    match fault.get() {
        Some(Fault::TooLarge) => EgressError::RequestTooLarge,
        Some(Fault::Length) => {
            EgressError::RequestMalformed("the body has another length than declared")
        }
        Some(Fault::GivenUp) => EgressError::RequestMalformed("the body was given up"),
        None if Instant::now() >= deadline => EgressError::OutOfTime,
        None if error.is_parse_too_large() => EgressError::HeadersTooLarge,
        None if error.is_parse() => EgressError::ResponseMalformed("it is not HTTP/1.1"),
        None => EgressError::Broken(error),
    }
}

/// A body for [`exchange`], whatever it was made of.
pub(super) fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}
