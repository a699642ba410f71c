//! Calls over TLS. Which versions are spoken, and what becomes of new and bad certificates, is tested beside the code, in
//! `runtime/src/listen/tests/tls.rs`.

use std::time::Duration;

use bailiwick::clock::{ManualClock, Timestamp};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::cli::bailiwick;
use crate::harness::{Answer, Setup, private_file, run};

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

    fn signs(&self, name: &str, end: i32) -> Made {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        let key = KeyPair::generate().unwrap();
        Made {
            chain: pem(
                "CERTIFICATE",
                params.signed_by(&key, &self.issuer).unwrap().der(),
            ),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// A client that believes this authority alone, and shows this certificate.
    fn client(&self, shows: Option<&Made>) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy();
        let builder = builder.tls_certs_only([root]);
        match shows {
            None => builder,
            Some(made) => {
                let pem = format!("{}{}", made.key, made.chain);
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            }
        }
        .build()
        .unwrap()
    }
}

#[test]
fn a_call_goes_over_tls_as_it_goes_without_and_browsers_are_told_to_stay() {
    run(async {
        let authority = Authority::new();
        let made = authority.signs("127.0.0.1", 2100);
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.tls(&made.chain, &made.key).start().await;
        let client = authority.client(None);
        let alice = server.caller("alice");
        let call = json!({"name": "hello", "arguments": {"name": "Alice"}});
        let answer = Answer::read(alice.request_by(&client, "tools/call", call.clone())).await;
        assert!(answer.is_reply(), "{answer:?}");
        let told = answer.header("strict-transport-security");
        assert_eq!(told, Some("max-age=63072000"));
        // Whoever does not know the authority sends nothing, and plain HTTP is no way in.
        let stranger = Authority::new().client(None);
        assert!(
            alice
                .request_by(&stranger, "tools/call", call.clone())
                .send()
                .await
                .is_err()
        );
        let plain = server.url.replace("https", "http");
        let plain = client.get(format!("{plain}/healthz")).send().await;
        assert!(plain.is_err(), "{plain:?}");
        server.stop().await;
    });
}

#[test]
fn without_the_certificate_that_is_required_nothing_is_asked() {
    run(async {
        let (authority, clients) = (Authority::new(), Authority::new());
        let made = authority.signs("127.0.0.1", 2100);
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup
            .tls(&made.chain, &made.key)
            .file("clients.pem", &clients.pem)
            .config("client_ca = \"clients.pem\"\nclient_auth = \"required\"\n")
            .start()
            .await;
        let good = clients.signs("client", 2100);
        let foreign = authority.signs("client", 2100);
        let health = |client: reqwest::Client| client.get(format!("{}/healthz", server.url)).send();
        assert_eq!(
            health(authority.client(Some(&good)))
                .await
                .unwrap()
                .status(),
            200
        );
        assert!(health(authority.client(Some(&foreign))).await.is_err());
        assert!(health(authority.client(None)).await.is_err());
        // A certificate is no token.
        let alice = server.caller("alice").bearing("none");
        let call = json!({"name": "hello", "arguments": {"name": "Alice"}});
        let client = authority.client(Some(&good));
        let answer = Answer::read(alice.request_by(&client, "tools/call", call)).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        server.stop().await;
    });
}

/// RFC 8705 §3.1: the certificate in DER, hashed.
fn thumbprint(made: &Made) -> String {
    let lines = made.chain.lines().filter(|line| !line.starts_with('-'));
    let der = BASE64_STANDARD.decode(lines.collect::<String>()).unwrap();
    BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der))
}

#[test]
fn a_token_that_is_bound_to_a_certificate_counts_on_its_connections_alone() {
    run(async {
        let (authority, clients) = (Authority::new(), Authority::new());
        let made = authority.signs("127.0.0.1", 2100);
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup
            .tls(&made.chain, &made.key)
            .file("clients.pem", &clients.pem)
            .config("client_ca = \"clients.pem\"\nclient_auth = \"optional\"\n")
            .start()
            .await;
        let (own, other) = (clients.signs("own", 2100), clients.signs("other", 2100));
        let bound = json!({"cnf": {"x5t#S256": thumbprint(&own)}});
        let alice = server.caller("alice").with(&server, bound);
        let call = json!({"name": "hello", "arguments": {"name": "Alice"}});
        let answer = async |shows: Option<&Made>| {
            let client = authority.client(shows);
            Answer::read(alice.request_by(&client, "tools/call", call.clone())).await
        };
        assert!(answer(Some(&own)).await.is_reply());
        assert_eq!(answer(Some(&other)).await.status, 401);
        assert_eq!(answer(None).await.status, 401);
        let document = format!("{}/.well-known/oauth-protected-resource", server.url);
        let document = Answer::read(authority.client(None).get(document)).await;
        assert_eq!(
            document.json()["tls_client_certificate_bound_access_tokens"],
            true
        );
        server.stop().await;
    });
}

#[test]
fn with_a_certificate_that_has_ended_the_server_is_not_ready() {
    run(async {
        let authority = Authority::new();
        let made = authority.signs("127.0.0.1", 2100);
        let end = rcgen::date_time_ymd(2100, 1, 1).unix_timestamp();
        let clock = ManualClock::new(Timestamp::from_secs(end - 5));
        let setup = Setup::new()
            .tls(&made.chain, &made.key)
            .clock(clock.clone());
        let server = setup.start().await;
        let client = authority.client(None);
        let ready = async || {
            let asked = client.get(format!("{}/readyz", server.url));
            Answer::read(asked).await.status
        };
        assert_eq!(ready().await, 200);
        clock.advance(Duration::from_secs(10));
        assert_eq!(ready().await, 503);
        server.stop().await;
    });
}

#[test]
fn check_reads_the_certificate_and_its_key() {
    run(async {
        let authority = Authority::new();
        let good = authority.signs("mcp.example", 2100);
        let folder = crate::cli::folder(&[], "").await;
        let dir = folder.path();
        let config = "[server]\nlisten = \"0.0.0.0:8443\"\npublic_url = \"https://mcp.example\"\n\
            [server.tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\n\
            [tools]\ndir = \"tools.d\"\n[policy]\ndir = \"policy.d\"\n[state]\nurl = \"sqlite://state.db\"\n";
        std::fs::write(dir.join("bailiwick.toml"), config).unwrap();
        let check = |chain: &str, key: &str, status: i32| {
            std::fs::write(dir.join("chain.pem"), chain).unwrap();
            private_file(&dir.join("key.pem"), key);
            bailiwick(dir, &["check", "--config", "bailiwick.toml"]).ends(status)
        };
        let out = check(&good.chain, &good.key, 0);
        assert!(
            out.contains("certificate: it is good until 2100-01-01T00:00:00Z"),
            "{out}"
        );
        let other = authority.signs("mcp.example", 2100);
        let out = check(&good.chain, &other.key, 1);
        assert!(out.contains("does not belong to the certificate"), "{out}");
        let past = authority.signs("mcp.example", 2020);
        let out = check(&past.chain, &past.key, 1);
        assert!(out.contains("ended at 2020-01-01T00:00:00Z"), "{out}");
        let foreign = authority.signs("evil.example", 2100);
        let out = check(&foreign.chain, &foreign.key, 1);
        assert!(out.contains("not for `mcp.example`"), "{out}");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::write(dir.join("chain.pem"), &good.chain).unwrap();
        private_file(&dir.join("key.pem"), &good.key);
        std::fs::set_permissions(dir.join("key.pem"), open).unwrap();
        let out = bailiwick(dir, &["check", "--config", "bailiwick.toml"]).ends(1);
        assert!(
            out.contains("chmod 600") && !out.contains("PRIVATE"),
            "{out}"
        );
    });
}
