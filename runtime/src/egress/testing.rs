//! Names, addresses and servers for tests: nothing here leaves the machine.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_util::task::AbortOnDropHandle;

use super::{Dial, Dialled, Dialling, Egress, Resolve, ResolveError, Resolving};
use crate::capability::{Capability, HostName, Http};
use crate::config::EgressHost;

/// A scope from its canonical text.
pub(crate) fn scope(text: &str) -> Http {
    match text.parse().unwrap() {
        Capability::Http(http) => http,
        other => panic!("{other} is no http capability"),
    }
}

/// A binding of the operator.
pub(crate) fn bound(name: &str, address: SocketAddr, any: bool) -> EgressHost {
    EgressHost {
        name: name.parse().unwrap(),
        address,
        any,
    }
}

impl Egress {
    /// The same filter with another way to connect.
    pub(crate) fn with_dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.connector.dial = dial;
        self
    }

    /// The same filter on a machine with this address.
    pub(crate) fn with_own(mut self, own: IpAddr) -> Self {
        self.connector.own = Arc::new(move |address| address == own);
        self
    }
}

/// Answers each question with the next of its answers; the last one stays.
#[derive(Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>);

impl Names {
    pub(crate) fn with(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers = answers
            .iter()
            .map(|answer| answer.iter().map(|one| one.parse().unwrap()).collect());
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), answers.collect());
        self
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a HostName) -> Resolving<'a> {
        Box::pin(async move {
            let mut names = self.0.lock().unwrap();
            let answers = names
                .get_mut(name.as_str())
                .ok_or(ResolveError::Other("no such name"))?;
            match answers.len() {
                0 => Ok(Vec::new()),
                1 => Ok(answers[0].clone()),
                _ => Ok(answers.pop_front().unwrap()),
            }
        })
    }
}

/// Connects public addresses to listeners of the test, refuses every other, and remembers what was asked.
#[derive(Default)]
pub(crate) struct Switchboard {
    lines: BTreeMap<SocketAddr, SocketAddr>,
    peer: Option<SocketAddr>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Switchboard {
    pub(crate) fn with(mut self, address: &str, listener: SocketAddr) -> Self {
        self.lines.insert(address.parse().unwrap(), listener);
        self
    }

    /// Says that every connection ends at this address.
    pub(crate) fn ending_at(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().unwrap());
        self
    }

    pub(crate) fn dialled(&self) -> Vec<SocketAddr> {
        self.dialled.lock().unwrap().clone()
    }
}

impl Dial for Switchboard {
    fn dial(&self, address: SocketAddr) -> Dialling<'_> {
        self.dialled.lock().unwrap().push(address);
        Box::pin(async move {
            let listener = self
                .lines
                .get(&address)
                .ok_or(io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let stream = TcpStream::connect(listener).await?;
            let peer = self.peer.unwrap_or(address);
            Ok(Dialled { stream, peer })
        })
    }
}

/// What a server does after its answer.
#[derive(Clone)]
pub(crate) enum After {
    /// Closes the connection.
    Close,
    /// Keeps it open and says nothing more.
    Hold,
    /// Writes this again and again.
    Repeat(&'static [u8], Duration),
    /// Answers further requests of the same connection likewise.
    Keep,
}

/// A server on loopback that reads requests and writes what it was told to.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    seen: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Upstream {
    /// Answers and closes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), After::Close, None).await
    }

    /// Answers and goes on.
    pub(crate) async fn then(answer: impl Into<Vec<u8>>, after: After) -> Self {
        Self::start(answer.into(), after, None).await
    }

    /// Answers over TLS.
    pub(crate) async fn secure(answer: impl Into<Vec<u8>>, tls: TlsAcceptor) -> Self {
        Self::start(answer.into(), After::Close, Some(tls)).await
    }

    /// Answers one request after the other, each with the next of these and then with the last, over as few connections as it
    /// is asked to.
    pub(crate) async fn keeping(answers: &[&str]) -> Self {
        let (last, first) = answers.split_last().unwrap();
        let upstream = Self::start(last.as_bytes().to_vec(), After::Keep, None).await;
        let first = first.iter().map(|answer| answer.as_bytes().to_vec());
        upstream.answers.lock().unwrap().extend(first);
        upstream
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    async fn start(answer: Vec<u8>, after: After, tls: Option<TlsAcceptor>) -> Self {
        let answers = Arc::<Mutex<VecDeque<Vec<u8>>>>::default();
        let next = answers.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (all, requests) = (peers.clone(), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                all.lock().unwrap().push(peer);
                let (answer, after, tls) = (answer.clone(), after.clone(), tls.clone());
                let requests = requests.clone();
                let next = next.clone();
                tokio::spawn(async move {
                    let next = || next.lock().unwrap().pop_front();
                    let answer = || next().unwrap_or_else(|| answer.clone());
                    match tls {
                        None => serve(stream, answer, after, &requests).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                let name = stream.get_ref().1.server_name().unwrap_or_default();
                                let name = format!("SNI {name}");
                                requests.lock().unwrap().push(name);
                                serve(stream, answer, after, &requests).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            answers,
            peers,
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The requests so far, as they came.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Whether nobody has connected: connections are accepted in their order, so ours must be the first.
    pub(crate) async fn saw_nobody(&self) -> bool {
        let ours = TcpStream::connect(self.address).await.unwrap();
        let ours = ours.local_addr().unwrap();
        loop {
            if let Some(first) = self.peers.lock().unwrap().first() {
                return *first == ours;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn() -> Vec<u8>,
    after: After,
    requests: &Mutex<Vec<String>>,
) {
    loop {
        let mut request = Vec::new();
        while !is_whole(&request) {
            let mut buffer = [0; 16 * 1024];
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => request.extend_from_slice(&buffer[..length]),
            }
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        if text.is_empty() {
            return;
        }
        requests.lock().unwrap().push(text);
        let _ = stream.write_all(&answer()).await;
        let _ = stream.flush().await;
        if !matches!(after, After::Keep) {
            break;
        }
    }
    match after {
        After::Keep => {}
        After::Close => {
            let _ = stream.shutdown().await;
        }
        After::Hold => std::future::pending().await,
        After::Repeat(bytes, every) => {
            while stream.write_all(bytes).await.is_ok() {
                let _ = stream.flush().await;
                tokio::time::sleep(every).await;
            }
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("\r\n\r\n")
            && (body.starts_with("0\r\n") || body.contains("\r\n0\r\n"));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

/// A certificate authority of the test.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let key = rcgen::KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    /// A server that proves this name.
    pub(crate) fn server(&self, name: &str) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
