//! The client over `wasi:http/outgoing-handler`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

use super::{HttpError, Request, Response, Url};

/// Bytes taken up at a time: as much as a fresh sandbox holds without growing.
const CHUNK_BYTES: usize = 16 * 1024;

/// Bytes that `blocking-write-and-flush` takes at most (WASI 0.2, `wasi:io/streams`).
const WRITE_BYTES: usize = 4096;

pub fn send(request: &Request, url: &Url, body: &[u8]) -> Result<Response, HttpError> {
    let headers = Fields::from_list(&request.headers)
        .map_err(|error| HttpError::InvalidRequest(format!("a header: {error}")))?;
    let outgoing = OutgoingRequest::new(headers);
    let parts_fit = outgoing.set_method(&method(&request.method)).is_ok()
        && outgoing.set_scheme(Some(&scheme(url))).is_ok()
        && outgoing.set_authority(Some(url.authority())).is_ok()
        && outgoing
            .set_path_with_query(Some(&url.path_and_query()))
            .is_ok();
    let sink = outgoing.body().ok().filter(|_| parts_fit).ok_or_else(|| {
        HttpError::InvalidRequest("the method or the address cannot be used".into())
    })?;
    let future = outgoing_handler::handle(outgoing, options(request)).map_err(from_code)?;
    // A body that is refused half-way has its reason in the response, so that is asked in any case.
    let written = write(sink, body);
    let incoming = wait(&future)?;
    written?;
    read(request, &incoming)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(url: &Url) -> Scheme {
    match url.scheme() {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    }
}

fn options(request: &Request) -> Option<RequestOptions> {
    let time = request.timeout?;
    let nanos = Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    // A host may know some of these times and not others; its own limits hold in any case.
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);
    Some(options)
}

fn write(sink: OutgoingBody, body: &[u8]) -> Result<(), HttpError> {
    if !body.is_empty() {
        let stream = sink.write().map_err(|()| broken())?;
        for chunk in body.chunks(WRITE_BYTES) {
            stream
                .blocking_write_and_flush(chunk)
                .map_err(from_stream)?;
        }
        // The stream is a child of the body and must be gone before it is finished.
        drop(stream);
    }
    OutgoingBody::finish(sink, None).map_err(from_code)
}

fn wait(future: &FutureIncomingResponse) -> Result<IncomingResponse, HttpError> {
    loop {
        match future.get() {
            Some(Ok(answer)) => return answer.map_err(from_code),
            Some(Err(())) => return Err(broken()),
            None => future.subscribe().block(),
        }
    }
}

fn read(request: &Request, incoming: &IncomingResponse) -> Result<Response, HttpError> {
    let mut response = Response {
        status: incoming.status(),
        headers: incoming.headers().entries(),
        body: Vec::new(),
        cut: false,
    };
    let source = incoming.consume().map_err(|()| broken())?;
    response.cut = take(&source, request.limit, &mut response.body)?;
    if response.cut && !request.cut {
        return Err(HttpError::TooLarge {
            limit: request.limit,
        });
    }
    Ok(response)
}

/// Takes up to `limit` bytes and says whether there were more.
fn take(source: &IncomingBody, limit: usize, body: &mut Vec<u8>) -> Result<bool, HttpError> {
    let stream = source.stream().map_err(|()| broken())?;
    loop {
        // One byte more than allowed tells "just fits" from "too large".
        let room = limit.saturating_add(1) - body.len();
        match stream.blocking_read(room.min(CHUNK_BYTES) as u64) {
            Ok(chunk) => body.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(false),
            Err(error) => return Err(from_stream(error)),
        }
        if body.len() > limit {
            body.truncate(limit);
            return Ok(true);
        }
    }
}

fn from_stream(error: StreamError) -> HttpError {
    match error {
        StreamError::Closed => broken(),
        StreamError::LastOperationFailed(error) => match http_error_code(&error) {
            Some(code) => from_code(code),
            None => HttpError::Failed(error.to_debug_string()),
        },
    }
}

fn from_code(code: ErrorCode) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => HttpError::Denied,
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => HttpError::TimedOut,
        ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong => {
            HttpError::InvalidRequest("the method or the address cannot be used".into())
        }
        code => HttpError::Failed(words(&code)),
    }
}

/// What happened, in words that a model and a person can use.
fn words(code: &ErrorCode) -> String {
    let words = match code {
        ErrorCode::DnsError(_) => "the name of the host could not be resolved",
        ErrorCode::DestinationNotFound => "there is no such host",
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            "the host cannot be reached"
        }
        ErrorCode::ConnectionRefused => "the host refused the connection",
        ErrorCode::ConnectionTerminated => "the connection broke off",
        ErrorCode::ConnectionLimitReached => "this call has made all the requests that it may",
        ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => "no secure connection could be made",
        ErrorCode::HttpRequestBodySize(_) => "the body of the request is too large",
        ErrorCode::HttpResponseBodySize(_) => "the body of the response is too large",
        // What the host says by itself, or a case too rare to have words of its own.
        ErrorCode::InternalError(Some(text)) => text,
        other => return format!("{other:?}").replace("ErrorCode::", ""),
    };
    words.to_owned()
}

fn broken() -> HttpError {
    HttpError::Failed("the connection broke off".into())
}
