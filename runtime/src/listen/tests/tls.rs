//! TLS: which versions, whose certificates, and what happens when the files change.

use std::os::unix::fs::PermissionsExt;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock, Timestamp};
use crate::ids::Digest;

/// Who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Made {
    chain: String,
    key: String,
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    fn signs(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Made {
            chain: pem(
                "CERTIFICATE",
                params.signed_by(&key, &self.issuer).unwrap().der(),
            ),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    fn good(&self) -> Made {
        self.signs("localhost", |_| {})
    }

    /// A client of TLS that believes this authority.
    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&Made>,
    ) -> ClientConfig {
        crate::crypto::install().unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        let builder = builder.with_root_certificates(roots);
        match shows {
            None => builder.with_no_client_auth(),
            Some(made) => {
                let chain = vec![CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

fn private(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn write(dir: &Path, made: &Made) {
    std::fs::write(dir.join("chain.pem"), &made.chain).unwrap();
    private(&dir.join("key.pem"), &made.key);
}

/// A server with TLS, its folder and its authority.
struct Secure {
    dir: TempDir,
    authority: Authority,
    rig: Rig,
    tls: Tls,
}

impl Secure {
    async fn new(clients: Option<(bool, &Authority)>) -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        write(dir.path(), &authority.good());
        if let Some((_, of)) = clients {
            std::fs::write(dir.path().join("clients.pem"), &of.pem).unwrap();
        }
        let config = files(dir.path(), clients.map(|(required, _)| required));
        let tls = Tls::open(config).unwrap();
        let rig = Rig::with(short(), Some(tls.clone())).await;
        Self {
            dir,
            authority,
            rig,
            tls,
        }
    }

    fn follow(&self) {
        let clock = Arc::new(SystemClock);
        tokio::spawn(self.tls.clone().follow(clock, self.rig.shutdown.clone()));
    }

    async fn opens(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.rig.connect().await;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn asks(&self, config: ClientConfig) -> std::io::Result<String> {
        let mut stream = self.opens(config).await?;
        let request = ask("/who", "connection: close\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // In TLS 1.3 a client hears only now that its certificate was refused.
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8(answer).unwrap())
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        let config = self.authority.client(&[&version::TLS13], None);
        let stream = self.opens(config).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn shows(&self, made: &Made) {
        let expected = der(made);
        let look = async {
            while self.shown().await != expected {
                tokio::time::sleep(TENTH / 5).await;
            }
        };
        timeout(SOON, look).await.expect("it is shown");
    }
}

fn der(made: &Made) -> Vec<u8> {
    let der: CertificateDer<'_> = CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap();
    der.to_vec()
}

#[tokio::test]
async fn tls_of_today_is_served_and_plain_http_is_not() {
    let secure = Secure::new(None).await;
    for versions in [[&version::TLS13], [&version::TLS12]] {
        let config = secure.authority.client(&versions, None);
        let answer = secure.asks(config).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains("strict-transport-security: max-age=63072000"),
            "{answer}"
        );
    }
    let answer = secure.rig.exchange(ask("/who", "")).await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    // A client that trusts another authority does not go on.
    let config = Authority::new().client(&[&version::TLS13], None);
    assert!(secure.asks(config).await.is_err());
    // A greeting of TLS 1.1 is answered with an alert (RFC 5246 §7.2) that is fatal.
    let hello = hello_of(0x0302);
    let mut stream = secure.rig.connect().await;
    stream.write_all(&hello).await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[5]), (21, 2), "{alert:?}");
    // And one that says nothing more is not waited for.
    let mut silent = secure.rig.connect().await;
    silent.write_all(&hello[..7]).await.unwrap();
    rest(&mut silent).await;
}

/// A `ClientHello` of an old version, by hand (RFC 4346 §7.4.1.2).
fn hello_of(version: u16) -> Vec<u8> {
    let version = version.to_be_bytes();
    let mut body = version.to_vec();
    body.extend([7; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, version[0], version[1], 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn http2_is_chosen_where_the_client_offers_it() {
    let secure = Secure::new(None).await;
    let mut config = secure.authority.client(&[&version::TLS13], None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = secure.opens(config).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/who")
        .body(Body::empty())
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("strict-transport-security"));
    // One that offers something else alone is told so (RFC 7301 §3.2).
    let mut config = secure.authority.client(&[&version::TLS13], None);
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    assert!(secure.asks(config).await.is_err());
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_as_configured() {
    let ours = Authority::new();
    let (good, foreign) = (
        ours.signs("client", |_| {}),
        Authority::new().signs("client", |_| {}),
    );
    for required in [true, false] {
        let secure = Secure::new(Some((required, &ours))).await;
        for versions in [[&version::TLS13], [&version::TLS12]] {
            let with = |shows| secure.authority.client(&versions, shows);
            let answer = secure.asks(with(Some(&good))).await.unwrap();
            let thumbprint = Digest::of(&der(&good)).to_string();
            assert!(answer.contains(&thumbprint), "{answer}");
            assert!(
                secure.asks(with(Some(&foreign))).await.is_err(),
                "of another authority"
            );
            let without = secure.asks(with(None)).await;
            match required {
                true => assert!(without.is_err(), "{without:?}"),
                false => assert!(without.unwrap().contains("127.0.0.1  mcp.test")),
            }
        }
    }
    // Where nobody is asked, what a client has tells nothing.
    let secure = Secure::new(None).await;
    let config = secure.authority.client(&[&version::TLS13], Some(&good));
    assert!(
        secure
            .asks(config)
            .await
            .unwrap()
            .contains("127.0.0.1  mcp.test")
    );
}

#[tokio::test]
async fn a_new_pair_is_served_to_new_connections_and_open_ones_go_on() {
    let secure = Secure::new(None).await;
    secure.follow();
    let config = secure.authority.client(&[&version::TLS13], None);
    let mut open = secure.opens(config).await.unwrap();
    open.write_all(ask("/waits", "connection: close\r\n").as_bytes())
        .await
        .unwrap();
    let second = secure.authority.good();
    write(secure.dir.path(), &second);
    secure.shows(&second).await;
    secure.rig.go.add_permits(1);
    let answer = rest(&mut open).await;
    assert!(answer.ends_with("waited"), "{answer}");
}

#[tokio::test]
async fn a_bad_new_pair_changes_nothing_and_a_good_one_after_it_is_served() {
    let secure = Secure::new(None).await;
    secure.follow();
    let (before, dir) = (secure.shown().await, secure.dir.path());
    let (one, two) = (secure.authority.good(), secure.authority.good());
    let past = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let coming =
        |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let bad = [
        Made {
            chain: one.chain.clone(),
            key: two.key.clone(),
        },
        Made {
            chain: String::new(),
            key: two.key.clone(),
        },
        Made {
            chain: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            key: two.key.clone(),
        },
        Made {
            chain: two.chain.clone(),
            key: "no key".to_owned(),
        },
        Made {
            chain: "x".repeat(600 * 1024),
            key: two.key.clone(),
        },
        secure.authority.signs("localhost", past),
        secure.authority.signs("localhost", coming),
    ];
    for made in &bad {
        write(dir, made);
        // Long enough to be read several times.
        tokio::time::sleep(TENTH).await;
        assert_eq!(secure.shown().await, before);
        assert!(
            Pair::read(&files(dir, None))
                .and_then(|pair| pair.in_force(&files(dir, None), SystemClock.now()))
                .is_err()
        );
    }
    std::fs::write(dir.join("chain.pem"), &two.chain).unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::write(dir.join("open.pem"), &two.key).unwrap();
    std::fs::set_permissions(dir.join("open.pem"), open).unwrap();
    std::fs::rename(dir.join("open.pem"), dir.join("key.pem")).unwrap();
    tokio::time::sleep(TENTH).await;
    assert_eq!(secure.shown().await, before, "others can read the key");
    std::fs::remove_file(dir.join("key.pem")).unwrap();
    tokio::time::sleep(TENTH).await;
    assert_eq!(secure.shown().await, before, "there is no key");
    write(dir, &two);
    secure.shows(&two).await;
}

#[test]
fn a_pair_is_read_whole_and_says_for_whom_and_until_when_it_is() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let config = files(dir.path(), None);
    let read = || Pair::read(&config);
    assert!(matches!(read(), Err(CertificateError::Key { .. })));
    let end = rcgen::date_time_ymd(2030, 1, 1);
    let made = authority.signs("mcp.example", |params| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = end;
    });
    write(dir.path(), &made);
    let pair = read().unwrap();
    assert_eq!(pair.ends(), Timestamp::from_secs(end.unix_timestamp()));
    assert!(pair.names("mcp.example") && pair.names("MCP.example"));
    assert!(!pair.names("evil.example") && !pair.names("127.0.0.1") && !pair.names(""));
    let day = Duration::from_secs(24 * 3600);
    let at = |days: u32, back: bool| {
        let offset = i64::from(days) * 24 * 3600;
        let secs = end.unix_timestamp() + if back { -offset } else { offset };
        pair.standing(Timestamp::from_secs(secs))
    };
    assert_eq!(at(60, true), Standing::Good);
    assert_eq!(at(13, true), Standing::EndsSoon);
    assert_eq!(at(0, false), Standing::Over);
    assert_eq!(at(2_000, true), Standing::NotYet);
    let tls = Tls::open(config.clone()).unwrap();
    let clock = ManualClock::new(Timestamp::from_secs(end.unix_timestamp()).plus(Duration::ZERO));
    assert!(!tls.ready(clock.now()));
    clock.advance(day);
    assert!(!tls.ready(clock.now()));
    assert!(tls.ready(Timestamp::from_secs(end.unix_timestamp() - 5)));
    // A link that a program for certificates laid leads to a file that is as private.
    let link = dir.path().join("link.pem");
    std::os::unix::fs::symlink(dir.path().join("key.pem"), &link).unwrap();
    let linked = TlsConfig {
        key_file: link,
        ..config.clone()
    };
    assert!(Pair::read(&linked).is_ok());
    std::fs::set_permissions(dir.path().join("key.pem"), PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(
        Pair::read(&linked),
        Err(CertificateError::Key { .. })
    ));
    // Authorities of clients are read as strictly.
    write(dir.path(), &made);
    let asks = files(dir.path(), Some(true));
    assert!(matches!(
        Pair::read(&asks),
        Err(CertificateError::Read { .. })
    ));
    std::fs::write(dir.path().join("clients.pem"), "").unwrap();
    assert!(matches!(Pair::read(&asks), Err(CertificateError::None(_))));
}
