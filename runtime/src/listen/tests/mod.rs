//! Real connections to a router that knows nothing, with bounds of tenths of a second: what is done to them, and that somebody
//! else is answered meanwhile.

mod http1;
mod http2;
mod tls;
mod windows;

use std::convert::Infallible;
use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::config::{ClientCertificates, TlsConfig};

const TENTH: Duration = Duration::from_millis(100);
/// Longest wait for what is going to happen.
const SOON: Duration = Duration::from_secs(10);
/// Bytes of what `/whole` answers, which are as many as a reply has at most.
const WHOLE: usize = crate::limits::REPLY_BYTES_MAX;

/// A server on loopback.
pub(super) struct Rig {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    /// Lets requests of `/waits` be answered.
    pub go: Arc<Semaphore>,
    /// What of its answers waits to be taken.
    pub untaken: Arc<Untaken>,
    pub serving: tokio::task::JoinHandle<usize>,
}

/// Short bounds of time, and the usual ones of size.
pub(super) fn short() -> Front {
    Front {
        bounds: ConnectionBounds {
            handshake_wait: 5 * TENTH,
            header_wait: 5 * TENTH,
            body_wait: 5 * TENTH,
            answer_wait: 5 * TENTH,
            idle: 8 * TENTH,
            drain: 5 * TENTH,
            ..ConnectionBounds::default()
        },
        ..Front::default()
    }
}

impl Rig {
    pub async fn new(front: Front) -> Self {
        let tls = front.tls.clone().map(|config| Tls::open(config).unwrap());
        Self::with(front, tls).await
    }

    pub async fn with(front: Front, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let go = Arc::new(Semaphore::new(0));
        let shutdown = CancellationToken::new();
        let inlet = Inlet::new(&front, tls);
        let untaken = Arc::clone(&inlet.untaken);
        let serving = serve(listener, router(Arc::clone(&go)), inlet, shutdown.clone());
        Self {
            address,
            shutdown,
            go,
            untaken,
            serving: tokio::spawn(serving),
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the server ends the connection.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // Who is refused may be before everything is sent.
        let _ = stream.write_all(bytes.as_ref()).await;
        rest(&mut stream).await
    }

    /// Somebody else is answered.
    pub async fn neighbour(&self) {
        let asked = self.exchange(ask("/who", "connection: close\r\n"));
        let answer = timeout(SOON, asked).await.expect("a neighbour waits");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Everything until the end of the connection, however it ends.
pub(super) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    // A connection that is reset has ended as well.
    let _ = timeout(SOON, read).await.expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// A request without a body.
pub(super) fn ask(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: mcp.test\r\n{headers}\r\n")
}

fn router(go: Arc<Semaphore>) -> Router {
    let waits = move || {
        let go = Arc::clone(&go);
        async move {
            go.acquire().await.unwrap().forget();
            "waited"
        }
    };
    Router::new()
        .route("/who", get(who))
        .route("/length", post(length))
        .route("/waits", get(waits))
        .route("/sink", post(|| async { "sunk" }))
        .route("/whole", get(|| async { vec![b'x'; WHOLE] }))
        .route("/behind", get(behind))
        .route("/large", get(|| async { Body::from_stream(large()) }))
}

/// Who asks, as the request says.
async fn who(request: Request) -> String {
    let extensions = request.extensions();
    let address = extensions.get::<ClientAddress>().unwrap().ip();
    let certificate = extensions.get::<PeerCertificate>();
    let thumbprint = certificate.map(|one| hex::encode(one.thumbprint()));
    let host = request.headers().get("host");
    let host = host.map(|host| host.to_str().unwrap().to_owned());
    let told = request.headers().contains_key("x-forwarded-for");
    format!(
        "{address} {} {} {told}",
        thumbprint.unwrap_or_default(),
        host.unwrap_or_default()
    )
}

async fn length(request: Request) -> String {
    match request.into_body().collect().await {
        Ok(body) => format!("length {}", body.to_bytes().len()),
        Err(error) => format!("lost: {}", crate::problem::caused(&error)),
    }
}

/// Whether its client has not taken what it has asked for.
async fn behind(request: Request) -> String {
    let behind = request.extensions().get::<Behind>();
    behind.is_some().to_string()
}

/// More than any buffer holds.
fn large() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    let piece = || Ok(Bytes::from(vec![b'x'; 64 * 1024]));
    futures_util::stream::iter((0..1024).map(move |_| piece()))
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let mut front = short();
    front.bounds.per_address = 2;
    front.bounds.idle = SOON;
    front.bounds.header_wait = SOON;
    let rig = Rig::new(front).await;
    let held = [rig.connect().await, rig.connect().await];
    assert_eq!(rig.exchange(ask("/who", "")).await, "", "there is no place");
    drop(held);
    tokio::time::sleep(TENTH).await;
    rig.neighbour().await;
}

#[tokio::test]
async fn all_connections_are_bounded_and_slow_ones_make_room() {
    let mut front = short();
    front.bounds.connections = 3;
    let rig = Rig::new(front).await;
    let held: Vec<_> = [
        rig.connect().await,
        rig.connect().await,
        rig.connect().await,
    ]
    .into();
    assert_eq!(rig.exchange(ask("/who", "")).await, "");
    // They say nothing, and go when the time for a head is over.
    tokio::time::sleep(8 * TENTH).await;
    rig.neighbour().await;
    drop(held);
}

#[tokio::test]
async fn forged_words_of_proxies_change_nothing() {
    let mut front = short();
    let headers = "x-forwarded-for: 192.0.2.7\r\nx-forwarded-host: evil.test\r\nx-forwarded-proto: https\r\nconnection: close\r\n";
    let rig = Rig::new(front.clone()).await;
    let answer = rig.exchange(ask("/who", headers)).await;
    assert!(answer.ends_with("127.0.0.1  mcp.test false"), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    front.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let rig = Rig::new(front).await;
    let answer = rig.exchange(ask("/who", headers)).await;
    assert!(answer.ends_with("192.0.2.7  evil.test false"), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age=63072000"),
        "{answer}"
    );
}

#[test]
fn plain_http_is_for_this_machine_and_declared_proxies() {
    let serves = |front: &Front, peer: &str| Inlet::new(front, None).serves(peer.parse().unwrap());
    let mut front = Front::default();
    for (peer, served) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(serves(&front, peer), served, "{peer}");
    }
    front.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(serves(&front, "10.0.0.1"));
    assert!(!serves(&front, "192.0.2.1"));
}

#[tokio::test]
async fn who_is_turned_away_is_told_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let place = Places::new(1, 1).take(peer.ip(), true).unwrap();
    turn_away(stream, place).await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{answer}"
    );
}

#[tokio::test]
async fn at_the_end_what_runs_may_finish() {
    let mut front = short();
    front.bounds.drain = SOON;
    let rig = Rig::new(front).await;
    let mut idle = rig.connect().await;
    let mut runs = rig.connect().await;
    runs.write_all(ask("/waits", "").as_bytes()).await.unwrap();
    tokio::time::sleep(TENTH).await;
    rig.shutdown.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed");
    tokio::time::sleep(TENTH).await;
    assert!(
        TcpStream::connect(rig.address).await.is_err(),
        "nobody is accepted"
    );
    rig.go.add_permits(1);
    let answer = rest(&mut runs).await;
    assert!(answer.ends_with("waited"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(rig.serving.await.unwrap(), 0);
}

#[tokio::test]
async fn at_the_end_what_does_not_finish_is_ended() {
    let rig = Rig::new(short()).await;
    let mut runs = rig.connect().await;
    runs.write_all(ask("/waits", "").as_bytes()).await.unwrap();
    tokio::time::sleep(TENTH).await;
    let began = Instant::now();
    rig.shutdown.cancel();
    assert_eq!(rig.serving.await.unwrap(), 1);
    assert!(began.elapsed() >= 4 * TENTH && began.elapsed() < SOON);
    assert_eq!(rest(&mut runs).await, "");
}

/// Files of TLS in a folder.
pub(super) fn files(dir: &Path, clients: Option<bool>) -> TlsConfig {
    TlsConfig {
        certificate_file: dir.join("chain.pem"),
        key_file: dir.join("key.pem"),
        clients: clients.map(|required| ClientCertificates {
            ca_file: dir.join("clients.pem"),
            required,
        }),
        poll: Duration::from_millis(20),
    }
}
