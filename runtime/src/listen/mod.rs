//! Takes connections: TLS or plain, HTTP/1.1 or HTTP/2, each within bounds of size and time.
//!
//! What comes out of here is a request with the address of its client, and the client's certificate if it has shown one. Knows
//! nothing of what is asked.

mod address;
mod answer;
mod certificate;
mod forwarded;
mod host;
mod places;
mod service;
mod tls;
mod untaken;
mod watch;
mod watched;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConnectionBounds, Front};
use crate::identity::PeerCertificate;
use crate::limits::{
    CONNECTION_BUFFER_BYTES, CONNECTION_WINDOW_BYTES, PING_EVERY, PING_WAIT_MAX,
    REFUSED_CONNECTIONS_SAID_EVERY, STREAM_WINDOW_BYTES, STREAMS_AT_FAULT_MAX, STREAMS_RESET_MAX,
};
use forwarded::Trusted;
use places::{Full, Place, Places};
use service::Asked;
use untaken::Untaken;
use watch::{Over, Watch};
use watched::Watched;

pub use address::ClientAddress;
pub use certificate::{CertificateError, Pair, Standing};
pub use host::{HostError, host};
pub use service::Behind;
pub use tls::{Tls, TlsError};

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The protocol name of HTTP/2 over TLS.
const H2: &[u8] = b"h2";
/// How often it is looked whether something has gone on for too long, unless a bound is so short that more is needed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to wait when no connection can be accepted, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What a plain connection gets that comes from where none may.
const PLAIN_REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 49\r\nconnection: close\r\n\r\nplain HTTP is served to the declared proxies only";

/// How connections come in at one address.
pub struct Inlet {
    tls: Option<Tls>,
    trusted: Arc<Trusted>,
    bounds: ConnectionBounds,
    places: Arc<Places>,
    untaken: Arc<Untaken>,
}

impl Inlet {
    /// As the configuration says, with the certificate that was read.
    pub fn new(front: &Front, tls: Option<Tls>) -> Self {
        let bounds = front.bounds;
        let most = bounds.connections.min(descriptors());
        let trusted = Trusted::new(front.trusted_proxies.clone(), front.proxy_headers);
        Self {
            tls,
            trusted: Arc::new(trusted),
            bounds,
            places: Places::new(most, bounds.per_address.min(most)),
            untaken: Untaken::new(bounds.answers_bytes, bounds.answers_bytes_per_address),
        }
    }

    /// Plain, for loopback alone.
    pub fn plain() -> Self {
        Self::new(&Front::default(), None)
    }

    /// Whether a connection from there is served. Without TLS that is one of this machine, or of a declared proxy.
    fn serves(&self, peer: IpAddr) -> bool {
        self.tls.is_some() || peer.to_canonical().is_loopback() || self.trusted.is_proxy(peer)
    }
}

/// Half of what this process may open: the rest is for calls.
fn descriptors() -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1_024, 1_024));
    usize::try_from(soft / 2).unwrap_or(usize::MAX)
}

/// Serves a router until `shutdown`. Then no connection is taken, and those that are there finish what they do, for as long as the
/// bounds allow; how many were ended after that is returned.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    inlet: Inlet,
    shutdown: CancellationToken,
) -> usize {
    let inlet = Arc::new(inlet);
    let cut = CancellationToken::new();
    let connections = TaskTracker::new();
    let mut refused = Refused::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refused.say("no connection can be accepted", &error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let proxy = inlet.trusted.is_proxy(peer.ip());
        let place = match inlet.places.take(peer.ip(), !proxy) {
            Ok(place) => place,
            Err(full @ (Full::All | Full::Address)) => {
                refused.say("connections are refused", &full);
                continue;
            }
        };
        if !inlet.serves(peer.ip()) {
            refused.say("connections are refused", &NotDeclared(peer.ip()));
            connections.spawn(turn_away(stream, place));
            continue;
        }
        let one = Connection {
            inlet: Arc::clone(&inlet),
            peer,
            shutdown: shutdown.clone(),
            cut: cut.clone(),
        };
        connections.spawn(one.serve(stream, router.clone(), place));
    }
    drop(listener);
    connections.close();
    if timeout(inlet.bounds.drain, connections.wait())
        .await
        .is_ok()
    {
        return 0;
    }
    let left = inlet.places.taken_now();
    tracing::warn!(connections = left, "what is not finished yet is ended");
    cut.cancel();
    connections.wait().await;
    left
}

/// A plain connection from where none may come.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no declared proxy, and plain HTTP is for those; see `server.trusted_proxies`")]
struct NotDeclared(IpAddr);

/// Says what was refused, now and then.
#[derive(Default)]
struct Refused {
    unsaid: u64,
    said: Option<Instant>,
}

impl Refused {
    fn say(&mut self, what: &'static str, why: &dyn std::error::Error) {
        self.unsaid = self.unsaid.saturating_add(1);
        let now = Instant::now();
        let quiet = self.said.is_some_and(|said| {
            now.saturating_duration_since(said) < REFUSED_CONNECTIONS_SAID_EVERY
        });
        if !quiet {
            tracing::warn!(reason = %why, times = self.unsaid, "{what}");
            self.unsaid = 0;
            self.said = Some(now);
        }
    }
}

/// Says why, to somebody who configures a proxy.
async fn turn_away(mut stream: TcpStream, place: Place) {
    let told = async {
        stream.write_all(PLAIN_REFUSED).await?;
        stream.shutdown().await
    };
    // Who does not listen is not told.
    let _ = timeout(LOOK_EVERY, told).await;
    drop(place);
}

/// One connection.
struct Connection {
    inlet: Arc<Inlet>,
    peer: SocketAddr,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, router: Router, place: Place) {
        // Without it kept-alive calls wait for delayed acknowledgements: two orders of magnitude (trap R12).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "`TCP_NODELAY` could not be set on a connection");
        }
        let asked = Asked {
            router,
            peer: self.peer,
            tls: self.inlet.tls.is_some(),
            certificate: None,
            trusted: Arc::clone(&self.inlet.trusted),
            bounds: self.inlet.bounds,
            watch: self.watch(),
        };
        let opened = async {
            match &self.inlet.tls {
                Some(tls) => self.secure(tls, stream, asked).await,
                None => self.plain(stream, asked).await,
            }
        };
        tokio::select! {
            ended = opened => if let Err(error) = ended {
                tracing::debug!(peer = %self.peer, error = %crate::problem::caused(&*error), "a connection ended");
            },
            () = self.cut.cancelled() => {}
        }
        drop(place);
    }

    /// Watches the connection from now on.
    fn watch(&self) -> Arc<Watch> {
        let shared = self.inlet.trusted.is_proxy(self.peer.ip());
        Watch::new(Instant::now(), shared, Arc::clone(&self.inlet.untaken))
    }

    async fn secure(&self, tls: &Tls, stream: TcpStream, mut asked: Asked) -> Ended {
        let handshake = tokio::select! {
            handshake = timeout(asked.bounds.handshake_wait, tls.accept(stream)) => handshake,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let stream = handshake??;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        asked.certificate = shown.map(|certificate| PeerCertificate::of_der(certificate));
        asked.watch = self.watch();
        match session.alpn_protocol() == Some(H2) {
            true => self.http2(stream, Vec::new(), asked).await,
            false => self.http1(stream, Vec::new(), asked).await,
        }
    }

    async fn plain(&self, mut stream: TcpStream, asked: Asked) -> Ended {
        let first = tokio::select! {
            first = timeout(asked.bounds.header_wait, first_bytes(&mut stream)) => first??,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        match first {
            First::Nothing => Ok(()),
            First::Frames(bytes) => self.http2(stream, bytes, asked).await,
            First::Text(bytes) => self.http1(stream, bytes, asked).await,
        }
    }

    async fn http1<S>(&self, stream: S, before: Vec<u8>, asked: Asked) -> Ended
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (bounds, watch) = (asked.bounds, Arc::clone(&asked.watch));
        let io = TokioIo::new(Watched::new(stream, before, Arc::clone(&watch)));
        let mut http = http1::Builder::new();
        // The time for a head is counted by `watch`, which tells it from the time between two requests.
        http.timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(bounds.header_bytes)
            .max_buf_size(CONNECTION_BUFFER_BYTES);
        let service = service_fn(move |request| asked.clone().answer(request));
        let served = pin!(http.serve_connection(io, service));
        self.drive(served, |served| served.graceful_shutdown(), &watch)
            .await
    }

    async fn http2<S>(&self, stream: S, before: Vec<u8>, asked: Asked) -> Ended
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (bounds, watch) = (asked.bounds, Arc::clone(&asked.watch));
        watch.frames();
        let io = TokioIo::new(Watched::new(stream, before, Arc::clone(&watch)));
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(bounds.streams)
            .max_pending_accept_reset_streams(STREAMS_RESET_MAX)
            .max_local_error_reset_streams(STREAMS_AT_FAULT_MAX)
            .max_header_list_size(u32::try_from(bounds.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(CONNECTION_BUFFER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT_MAX);
        let service = service_fn(move |request| asked.clone().answer(request));
        let served = pin!(http.serve_connection(io, service));
        self.drive(served, |served| served.graceful_shutdown(), &watch)
            .await
    }

    /// Lets a connection go on until it ends by itself, has gone on for too long, or the server ends.
    async fn drive<C>(
        &self,
        mut served: Pin<&mut C>,
        leave: impl Fn(Pin<&mut C>),
        watch: &Watch,
    ) -> Ended
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let bounds = &self.inlet.bounds;
        let mut look = tokio::time::interval(look_every(bounds));
        let mut leaving: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                ended = served.as_mut() => return Ok(ended?),
                () = self.shutdown.cancelled(), if leaving.is_none() => {
                    if watch.is_quiet() {
                        return Ok(());
                    }
                    leave(served.as_mut());
                    leaving = Some(Instant::now());
                }
                _ = look.tick() => {
                    let now = Instant::now();
                    let left = leaving.map(|since| now.saturating_duration_since(since));
                    // Who was told that the server ends, and has nothing running, is not waited for.
                    if self.shutdown.is_cancelled() && watch.is_idle() && left > Some(LOOK_EVERY) {
                        return Ok(());
                    }
                    match watch.over(bounds, now) {
                        Some(over @ (Over::Head | Over::Answer)) => return Err(over.into()),
                        Some(Over::Idle | Over::Worn) if leaving.is_none() => {
                            leave(served.as_mut());
                            leaving = Some(now);
                        }
                        Some(over @ Over::Idle) if left >= Some(bounds.answer_wait) => {
                            return Err(over.into());
                        }
                        Some(Over::Idle | Over::Worn) | None => {}
                    }
                }
            }
        }
    }
}

/// How a connection ended.
type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What came first on a plain connection.
enum First {
    /// It was closed.
    Nothing,
    /// What begins HTTP/2.
    Frames(Vec<u8>),
    /// Anything else.
    Text(Vec<u8>),
}

/// Reads as much as tells whether this is HTTP/2 of somebody who knows that we speak it (RFC 9113 §3.3).
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<First> {
    let mut bytes = Vec::with_capacity(PREFACE.len());
    loop {
        let mut rest = (&mut *stream).take(missing(&bytes));
        if rest.read_buf(&mut bytes).await? == 0 {
            return Ok(First::Nothing);
        }
        if !PREFACE.starts_with(&bytes) {
            return Ok(First::Text(bytes));
        }
        if bytes.len() == PREFACE.len() {
            return Ok(First::Frames(bytes));
        }
    }
}

fn missing(bytes: &[u8]) -> u64 {
    let missing = PREFACE.len().saturating_sub(bytes.len());
    u64::try_from(missing).unwrap_or(0)
}

/// Often enough for the shortest bound.
fn look_every(bounds: &ConnectionBounds) -> Duration {
    let shortest = bounds.header_wait.min(bounds.answer_wait).min(bounds.idle);
    (shortest / 4).clamp(Duration::from_millis(10), LOOK_EVERY)
}

#[cfg(test)]
mod tests;
