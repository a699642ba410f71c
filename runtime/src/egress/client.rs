//! Speaks HTTP/1.1 over a connection to a judged address.
//!
//! No proxy, no redirect, no upgrade: what is sent is one request line and one set of fields made from judged parts, and what
//! comes back is one answer, streamed under its bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::body::{BoxError, Budget, Fault, FaultCell, Lent, RequestBody, ResponseBody};
use super::connect::{Stream, sooner};
use super::error::EgressError;
use super::headers;
use super::pool::Home;
use crate::limits::HTTP_FIELDS_BYTES_MAX;
use crate::revocation::Live;

/// Most header fields of an answer. Large sites send 40.
const HEADERS_MAX: usize = 128;
/// Bytes read ahead of whoever reads the body, per connection.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a connection lives at most, whoever holds it: longer than it is reused and than any request on it may take.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(120);

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
#[derive(Clone)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) origin_form: String,
    pub(super) host: String,
    pub(super) headers: HeaderMap,
}

/// Who uses a connection now, and until when.
#[derive(Clone)]
struct User {
    live: Live,
    deadline: Instant,
}

/// An open connection. Dropping it closes it.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    user: Arc<Mutex<Option<User>>>,
    opened: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        bounds: &Bounds,
    ) -> Result<Self, EgressError> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HTTP_FIELDS_BYTES_MAX)
            .max_buf_size(READ_AHEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(EgressError::Broken)?;
        let user = Arc::new(Mutex::new(None));
        let driven = Driven {
            connection,
            user: Arc::clone(&user),
        };
        let driver = tokio::spawn(async move {
            // How it ends is seen by whoever waits for the answer or reads it.
            let _ = timeout(CONNECTION_AGE_MAX, driven).await;
        });
        let opened = Self {
            sender,
            user,
            opened: Instant::now(),
            _driver: AbortOnDropHandle::new(driver),
        };
        opened.serve(bounds);
        Ok(opened)
    }

    /// From now on it is driven under these bounds.
    pub(super) fn serve(&self, bounds: &Bounds) {
        self.used_by(Some(User {
            live: bounds.live.clone(),
            deadline: bounds.deadline,
        }));
    }

    /// From now on nobody uses it.
    pub(super) fn rest(&self) {
        self.used_by(None);
    }

    fn used_by(&self, user: Option<User>) {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = user;
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it can take a request; waits for the end of the last one.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

/// Reads and writes for whoever uses the connection, as long as they may.
struct Driven {
    connection: http1::Connection<TokioIo<Box<dyn Stream>>, RequestBody>,
    user: Arc<Mutex<Option<User>>>,
}

impl Future for Driven {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let user = {
            let user = self.user.lock();
            user.unwrap_or_else(PoisonError::into_inner).clone()
        };
        let connection = Pin::new(&mut self.connection);
        let polled = match user {
            None => Ok(connection.poll(context)),
            Some(user) if Instant::now() >= user.deadline => return Poll::Ready(()),
            // Without the consent nothing more is written or read, also in the midst of a body.
            Some(user) => user.live.pass(|| connection.poll(context)),
        };
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) | Err(_) => Poll::Ready(()),
        }
    }
}

/// Sends one request over a connection and waits for the head of the answer. With a home the connection goes there when the answer
/// is read.
pub(super) async fn exchange(
    mut connection: Connection,
    head: Head,
    body: UnsyncBoxBody<Bytes, BoxError>,
    bounds: Bounds,
    home: Option<Home>,
) -> Result<Response<ResponseBody>, EgressError> {
    let fault = FaultCell::default();
    let request = request(head, body, &bounds, fault.clone())?;
    connection.serve(&bounds);
    let deadline = bounds.deadline;
    let limit = match bounds.first_byte {
        Some(first_byte) => sooner(deadline, first_byte),
        None => deadline,
    };
    let response = match timeout_at(limit, connection.sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failure(error, &fault, deadline)),
        Err(_) => return Err(EgressError::OutOfTime),
    };
    judge_answer(response, bounds, Lent::new(connection, home))
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
    lent: Lent,
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
    let mut response = response.map(|body| ResponseBody::new(body, bounds, lent));
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
