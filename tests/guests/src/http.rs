//! Requests below the client of the SDK, which would refuse some of them itself.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};

/// Bytes of a response that are kept for the harness to look at.
const BODY_BYTES_MAX: u64 = 2048;

/// What came of one request.
#[derive(Serialize, JsonSchema)]
pub struct Probe {
    /// The address.
    pub url: String,
    /// The status, if there was a response.
    pub status: Option<u16>,
    /// Why there was none: an error code of `wasi:http`, or what could not be set.
    pub error: Option<String>,
    /// The beginning of the body.
    pub body: Option<String>,
}

impl Probe {
    fn of(url: &str, ended: Result<(u16, String), String>) -> Self {
        let (status, error, body) = match ended {
            Ok((status, body)) => (Some(status), None, Some(body)),
            Err(error) => (None, Some(error), None),
        };
        Self {
            url: url.to_owned(),
            status,
            error,
            body,
        }
    }
}

/// What came of several.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    /// One for each address.
    pub probes: Vec<Probe>,
}

/// Asks for every address.
pub fn report(urls: &[&str]) -> Report {
    let probes = urls.iter().map(|url| send("GET", url, &[], b""));
    Report {
        probes: probes.collect(),
    }
}

/// Sends one request and says what came of it.
pub fn send(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Probe {
    Probe::of(url, start(method, url, headers, body).and_then(finish))
}

/// The distinct outcomes of these: whoever tells places apart by them sees more than one.
pub fn outcomes(report: &Report) -> BTreeSet<String> {
    let outcome = |probe: &Probe| match (&probe.status, &probe.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.clone().unwrap_or_default(),
    };
    report.probes.iter().map(outcome).collect()
}

/// Sends a `GET` whose path is written as it is, and says what came of it.
pub fn send_path(authority: &str, path: &str) -> Probe {
    let sent = || {
        let (request, sink) = prepared("GET", "http", authority, path, &[])?;
        let future = outgoing_handler::handle(request, None).map_err(code)?;
        write(sink, b"")?;
        finish(future)
    };
    Probe::of(path, sent())
}

/// Sends a `GET` with these waits, in nanoseconds.
pub fn send_waiting(url: &str, connect: u64, first: u64, between: u64) -> Probe {
    let sent = || {
        let (scheme, authority, path) = parts(url)?;
        let (request, sink) = prepared("GET", scheme, authority, path, &[])?;
        let options = RequestOptions::new();
        options
            .set_connect_timeout(Some(connect))
            .map_err(|()| "connect")?;
        options
            .set_first_byte_timeout(Some(first))
            .map_err(|()| "first byte")?;
        options
            .set_between_bytes_timeout(Some(between))
            .map_err(|()| "between bytes")?;
        let future = outgoing_handler::handle(request, Some(options)).map_err(code)?;
        write(sink, b"")?;
        finish(future)
    };
    Probe::of(url, sent())
}

/// Sends a body with trailers.
pub fn send_trailers(url: &str, trailers: &[(String, Vec<u8>)]) -> Probe {
    let sent = || {
        let (scheme, authority, path) = parts(url)?;
        let (request, sink) = prepared("POST", scheme, authority, path, &[])?;
        let trailers =
            Fields::from_list(trailers).map_err(|error| format!("trailer: {error:?}"))?;
        let future = outgoing_handler::handle(request, None).map_err(code)?;
        let stream = sink.write().map_err(|()| "body")?;
        let written = stream.blocking_write_and_flush(b"body");
        drop(stream);
        written.map_err(|error| format!("{error:?}"))?;
        OutgoingBody::finish(sink, Some(trailers)).map_err(code)?;
        finish(future)
    };
    Probe::of(url, sent())
}

/// Asks for an address and gives the answer, its body not read.
pub fn open(url: &str) -> Result<IncomingResponse, String> {
    head(start("GET", url, &[], b"")?)
}

/// A request that is sent while its body is still open.
pub fn upload(url: &str) -> Result<(OutgoingBody, FutureIncomingResponse), String> {
    let (scheme, authority, path) = parts(url)?;
    let (request, sink) = prepared("POST", scheme, authority, path, &[])?;
    Ok((sink, outgoing_handler::handle(request, None).map_err(code)?))
}

/// Reads a body to its end and says how long it was, and why it ended.
pub fn drain(response: &IncomingResponse) -> (u64, String) {
    let Ok(body) = response.consume() else {
        return (0, "taken".to_owned());
    };
    let Ok(stream) = body.stream() else {
        return (0, "taken".to_owned());
    };
    let mut read = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => read += bytes.len() as u64,
            Err(wasip2::io::streams::StreamError::Closed) => return (read, "closed".to_owned()),
            Err(wasip2::io::streams::StreamError::LastOperationFailed(error)) => {
                let known = wasip2::http::types::http_error_code(&error).map(code);
                return (read, known.unwrap_or_else(|| "failed".to_owned()));
            }
        }
    }
}

/// Sends all of these at once, each a method and an address, and says what came of each.
pub fn send_all(requests: &[(String, String)]) -> Vec<Probe> {
    let started: Vec<_> = requests
        .iter()
        .map(|(method, url)| (url, start(method, url, &[], b"")))
        .collect();
    let ended = started
        .into_iter()
        .map(|(url, started)| Probe::of(url, started.and_then(finish)));
    ended.collect()
}

fn start(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<FutureIncomingResponse, String> {
    let (scheme, authority, path) = parts(url)?;
    let (request, sink) = prepared(method, scheme, authority, path, headers)?;
    let future = outgoing_handler::handle(request, None).map_err(code)?;
    write(sink, body)?;
    Ok(future)
}

/// Scheme, authority and path of an address, cut where the text says so.
fn parts(url: &str) -> Result<(&str, &str, &str), String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    Ok((scheme, authority, path))
}

fn prepared(
    method: &str,
    scheme: &str,
    authority: &str,
    path: &str,
    headers: &[(String, String)],
) -> Result<(OutgoingRequest, OutgoingBody), String> {
    let list: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let fields = Fields::from_list(&list).map_err(|error| format!("header: {error:?}"))?;
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request
        .set_authority(Some(authority))
        .map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(path))
        .map_err(|()| "path")?;
    let sink = request.body().map_err(|()| "body")?;
    Ok((request, sink))
}

fn finish(future: FutureIncomingResponse) -> Result<(u16, String), String> {
    let response = head(future)?;
    Ok((response.status(), beginning(&response)))
}

fn head(future: FutureIncomingResponse) -> Result<IncomingResponse, String> {
    loop {
        match future.get() {
            Some(answer) => break Ok(answer.map_err(|()| "taken")?.map_err(code)?),
            None => future.subscribe().block(),
        }
    }
}

fn write(sink: OutgoingBody, body: &[u8]) -> Result<(), String> {
    if !body.is_empty() {
        let stream = sink.write().map_err(|()| "body")?;
        for chunk in body.chunks(4096) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    OutgoingBody::finish(sink, None).map_err(code)
}

fn beginning(response: &IncomingResponse) -> String {
    let Ok(body) = response.consume() else {
        return String::new();
    };
    let Ok(stream) = body.stream() else {
        return String::new();
    };
    let bytes = stream.blocking_read(BODY_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of the code, such as `http-request-denied`, as the WIT has it.
fn code(code: ErrorCode) -> String {
    let debug = format!("{code:?}");
    let name = debug.strip_prefix("ErrorCode::").unwrap_or(&debug);
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase()
            && at > 0
            && !out.ends_with('-')
            && out.ends_with(|l: char| l.is_ascii_lowercase())
        {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
