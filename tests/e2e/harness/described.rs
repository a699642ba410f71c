//! A host on loopback, over TLS, at which clients describe themselves; and a clock that a test can move on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::clock::{Clock, SystemClock, Timestamp};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Largest head that is read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The clock of this machine, and what a test adds to it.
#[derive(Debug, Clone, Default)]
pub struct Ahead(Arc<AtomicI64>);

impl Ahead {
    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        let added = u64::try_from(self.0.load(Ordering::SeqCst)).unwrap();
        SystemClock.steady() + Duration::from_millis(added)
    }
}

type Answers = Arc<Mutex<HashMap<String, (Duration, Vec<u8>)>>>;

/// The host, by the name that its certificate proves.
pub struct Described {
    pub port: u16,
    name: String,
    root: String,
    answers: Answers,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Described {
    pub async fn start(name: &str) -> Self {
        let (tls, root) = proves(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answers, seen) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let (put, kept) = (Arc::clone(&answers), Arc::clone(&seen));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, put, kept) = (tls.clone(), Arc::clone(&put), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(stream).await else {
                        return;
                    };
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while !head.windows(4).any(|end| end == b"\r\n\r\n")
                        && head.len() < HEAD_BYTES_MAX
                    {
                        match stream.read(&mut chunk).await {
                            Ok(0) | Err(_) => return,
                            Ok(n) => head.extend_from_slice(&chunk[..n]),
                        }
                    }
                    let text = String::from_utf8_lossy(&head).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    kept.lock().unwrap().push(text);
                    let answer = put.lock().unwrap().get(&path).cloned();
                    let (thinks, bytes) =
                        answer.unwrap_or((Duration::ZERO, http("404 Not Found", "", "{}")));
                    tokio::time::sleep(thinks).await;
                    // Whoever asked may be gone.
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self {
            port,
            name: name.to_owned(),
            root,
            answers,
            seen,
            serving,
        }
    }

    /// The id of the client that is described at this path.
    pub fn id(&self, path: &str) -> String {
        format!("https://{}{path}", self.name)
    }

    /// The certificate of its authority, in PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Answers at this path with exactly these bytes, after a while.
    pub fn put(&self, path: &str, thinks: Duration, bytes: Vec<u8>) {
        let mut answers = self.answers.lock().unwrap();
        answers.insert(path.to_owned(), (thinks, bytes));
    }

    /// Describes a client at this path, to be kept for the five minutes that are the least.
    pub fn describe(&self, path: &str, name: &str, redirects: &[&str]) {
        let document = self.document(path, name, redirects).to_string();
        let bytes = http("200 OK", "cache-control: max-age=1\r\n", &document);
        self.put(path, Duration::ZERO, bytes);
    }

    /// What describes a client.
    pub fn document(&self, path: &str, name: &str, redirects: &[&str]) -> Value {
        json!({"client_id": self.id(path), "client_name": name, "redirect_uris": redirects})
    }

    /// The heads of the requests up to now.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An answer in JSON.
pub fn http(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A certificate as text (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// A server that proves this name, and the authority that vouches for it.
fn proves(name: &str) -> (TlsAcceptor, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let key = rcgen::KeyPair::generate().unwrap();
    let root = pem(params.self_signed(&key).unwrap().der());
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), root)
}
