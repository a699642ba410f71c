//! One request of a connection: what is refused before anything looks into it, and what it is told along.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tower::ServiceExt;

use super::answer::Answer;
use super::forwarded::Trusted;
use super::host::{HostError, host};
use super::watch::Watch;
use crate::config::ConnectionBounds;
use crate::identity::PeerCertificate;
use crate::limits::HSTS_MAX_AGE;

/// Among the extensions of a request whose client has not taken so much of earlier answers that nothing more shall be made for
/// it. Who serves the request knows whether that is meant for it.
#[derive(Debug, Clone, Copy)]
pub struct Behind;

/// What all requests of one connection have in common.
#[derive(Clone)]
pub(super) struct Asked {
    pub router: Router,
    pub peer: SocketAddr,
    pub tls: bool,
    pub certificate: Option<PeerCertificate>,
    pub trusted: Arc<Trusted>,
    pub bounds: ConnectionBounds,
    pub watch: Arc<Watch>,
}

impl Asked {
    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let mut flight = self.watch.asked(Instant::now());
        let (mut parts, body) = request.into_parts();
        let secure;
        let framed = parts.headers.contains_key(TRANSFER_ENCODING);
        let modern = parts.version >= Version::HTTP_2;
        let refused = unreadable(&parts.uri, &parts.headers, &self.bounds);
        let refused = refused.or_else(|| elsewhere(&parts));
        let is_last = framed || refused.is_some();
        let mut response = match refused {
            Some((status, text)) => {
                secure = self.tls;
                (status, text).into_response()
            }
            None => {
                let origin = self.trusted.origin(self.peer.ip(), &mut parts.headers);
                secure = self.tls || origin.https;
                // A proxy may have said another host, which stands in the header: nothing behind us finds two of them.
                if parts.uri.authority().is_some() && parts.headers.contains_key(HOST) {
                    parts.uri = path_alone(&parts.uri);
                }
                let address = origin.address.ip();
                flight.counts_for(self.is_somebody(address).then_some(address));
                if flight.is_behind(&self.bounds) {
                    parts.extensions.insert(Behind);
                }
                parts.extensions.insert(origin.address);
                if let Some(certificate) = &self.certificate {
                    parts.extensions.insert(*certificate);
                }
                let body = axum::body::Body::new(Timely::new(body, &self.bounds));
                let request = Request::from_parts(parts, body);
                let Ok(response) = self.router.oneshot(request).await;
                response
            }
        };
        let headers = response.headers_mut();
        if secure && let Ok(value) = HeaderValue::try_from(hsts()) {
            headers.insert(STRICT_TRANSPORT_SECURITY, value);
        }
        // Who frames a body by chunks may have framed it otherwise for a proxy (RFC 9112 §6.1), and what is refused here may have
        // been another request for one: what comes behind it is no request of anybody.
        if is_last && !modern {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Answer::new(body, flight)))
    }

    /// Whether an address is that of one client. Behind this machine, and behind a proxy that does not say, there may be many.
    fn is_somebody(&self, address: IpAddr) -> bool {
        !address.is_loopback() && !self.trusted.is_proxy(address)
    }
}

/// What no request may look like, and hyper lets through.
fn unreadable(
    uri: &Uri,
    headers: &HeaderMap,
    bounds: &ConnectionBounds,
) -> Option<(StatusCode, &'static str)> {
    // Each field has four bytes around it. A head that comes at once may be larger than what hyper buffers.
    let fields = headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let bytes = fields.fold(path, usize::saturating_add);
    if headers.len() > bounds.headers || bytes > bounds.header_bytes {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some((status, "the head of the request is too large\n"));
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    (lengths > 1 || lengths > 0 && chunked).then_some((
        StatusCode::BAD_REQUEST,
        "the request says twice how long its body is\n",
    ))
}

/// What is not for us, or does not say plainly for which host it is, before a proxy is asked for another one.
fn elsewhere(parts: &Parts) -> Option<(StatusCode, &'static str)> {
    if parts.method == Method::CONNECT {
        let text = "this server makes no tunnels\n";
        return Some((StatusCode::NOT_IMPLEMENTED, text));
    }
    let text = match host(&parts.headers, &parts.uri) {
        Err(HostError::Two) => "the request names two hosts\n",
        Err(HostError::Unreadable) => "the host of the request cannot be read\n",
        // RFC 9112 §3.2: with this version came the duty to name one.
        Ok(None) if parts.version == Version::HTTP_11 => "the request names no host\n",
        Ok(_) => return None,
    };
    Some((StatusCode::BAD_REQUEST, text))
}

/// The target as it would be written to the host itself. One whose path is empty is that of the root (RFC 9112 §3.2.1).
fn path_alone(uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let root = if path.starts_with('?') { "/" } else { "" };
    Uri::try_from([root, path].concat()).unwrap_or_default()
}

fn hsts() -> String {
    format!("max-age={}", HSTS_MAX_AGE.as_secs())
}

/// The body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
struct Late;

/// A body that comes in time or not at all.
struct Timely {
    body: Incoming,
    until: tokio::time::Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Timely {
    fn new(body: Incoming, bounds: &ConnectionBounds) -> Self {
        Self {
            body,
            until: tokio::time::Instant::now() + bounds.body_wait,
            alarm: None,
        }
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let until = self.until;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        alarm.as_mut().poll(cx).map(|()| Some(Err(Late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_its_host_is_its_path() {
        for (target, path) in [
            ("http://a.test/b?c=d", "/b?c=d"),
            ("http://a.test", "/"),
            ("http://a.test?c", "/?c"),
        ] {
            let uri = path_alone(&target.parse().unwrap());
            assert_eq!(uri.to_string(), path, "{target}");
            assert_eq!(uri.authority(), None, "{target}");
        }
    }

    #[test]
    fn a_body_is_framed_once() {
        let judge = |all: &[(&'static str, &'static str)], most| {
            let mut headers = HeaderMap::new();
            for (name, value) in all {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let bounds = ConnectionBounds {
                headers: most,
                header_bytes: 100,
                ..ConnectionBounds::default()
            };
            let uri = Uri::from_static("/path");
            unreadable(&uri, &headers, &bounds).map(|(status, _)| status.as_u16())
        };
        assert_eq!(judge(&[("content-length", "1")], 9), None);
        assert_eq!(judge(&[("transfer-encoding", "chunked")], 9), None);
        let both = [("content-length", "1"), ("transfer-encoding", "chunked")];
        assert_eq!(judge(&both, 9), Some(400));
        let two = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(judge(&two, 9), Some(400));
        assert_eq!(judge(&[("a", "1"), ("a", "2")], 2), None);
        assert_eq!(judge(&[("a", "1"), ("a", "2")], 1), Some(431));
        const LONG: &str = "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 1234567890";
        assert_eq!(judge(&[("a", LONG)], 9), None, "100 bytes");
        assert_eq!(judge(&[("ab", LONG)], 9), Some(431));
    }
}
