//! Tokens that are bound to their sender, through the running server: each counts with its proof, once, and no other way.

use std::cell::RefCell;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bailiwick::config::{Dpop, ProofConfig};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Caller, Era, Server, Setup, http, run};

/// A client with a key of its own.
struct Holder {
    pair: EcdsaKeyPair,
    /// What the server asks proofs to carry, in the first minute and a half after its start.
    nonce: RefCell<Option<String>>,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Holder {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let nonce = RefCell::new(None);
        Self { pair, nonce }
    }

    /// One that took a nonce from this server, as from any answer of it.
    async fn of(server: &Server) -> Self {
        let holder = Self::new();
        holder.meet(server).await;
        holder
    }

    async fn meet(&self, server: &Server) {
        let answer = Answer::read(http().get(format!("{}/mcp", server.url))).await;
        let nonce = answer.header("dpop-nonce").unwrap().to_owned();
        self.nonce.replace(Some(nonce));
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    /// RFC 7638.
    fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let text = format!(
            r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#,
            jwk["x"], jwk["y"]
        );
        encode(digest(&SHA256, text.as_bytes()))
    }

    /// A token that is bound to the key.
    fn token(&self, server: &Server, user: &str) -> String {
        server.token(user, self.bound(json!({})))
    }

    fn bound(&self, mut claims: Value) -> Value {
        claims["cnf"] = json!({"jkt": self.thumbprint()});
        claims
    }

    fn proof(&self, token: &str, method: &str, url: &str, more: Value) -> String {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "jti": uuid::Uuid::now_v7(),
            "htm": method,
            "htu": url,
            "iat": now,
            "ath": encode(digest(&SHA256, token.as_bytes())),
        });
        if let Some(nonce) = &*self.nonce.borrow() {
            claims["nonce"] = json!(nonce);
        }
        let more = more.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(more);
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", encode(signature.unwrap()))
    }
}

/// The same request by another scheme and with these proofs.
fn shown(request: RequestBuilder, scheme: &str, token: &str, proofs: &[&str]) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    let headers = request.headers_mut();
    headers.remove("authorization");
    headers.insert(
        "authorization",
        format!("{scheme} {token}").parse().unwrap(),
    );
    for proof in proofs {
        headers.append("dpop", proof.parse().unwrap());
    }
    RequestBuilder::from_parts(client, request)
}

fn call(caller: &Caller) -> RequestBuilder {
    let params = json!({"name": "hello", "arguments": {"name": "Ada"}});
    caller.request("tools/call", params)
}

async fn send(caller: &Caller, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    Answer::read(shown(call(caller), scheme, token, proofs)).await
}

/// Asserts a 401 and answers its challenges.
fn challenge(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    let all = answer.headers.get_all("www-authenticate").iter();
    let all: Vec<_> = all.map(|one| one.to_str().unwrap()).collect();
    all.join(", ")
}

async fn serve(dpop: Dpop, nonce: bool) -> Server {
    let setup = Setup::new().issuer(move |issuer| issuer.proof = ProofConfig { dpop, nonce });
    let setup = setup.server("sessions = true\n").tools(&["hello"]).await;
    setup.start().await
}

#[test]
fn a_bound_token_calls_with_its_proof_and_no_other_way() {
    run(async {
        let server = serve(Dpop::Allowed, false).await;
        let (holder, thief) = (Holder::of(&server).await, Holder::new());
        let alice = server.caller("alice");
        let token = holder.token(&server, "alice");
        let url = alice.endpoint();
        let proof = |key: &Holder, more: Value| key.proof(&token, "POST", &url, more);

        let good = proof(&holder, json!({}));
        let answer = send(&alice, "DPoP", &token, &[&good]).await;
        assert!(answer.is_reply(), "{answer:?}");
        // Whoever saw it cannot show it again.
        let again = challenge(&send(&alice, "DPoP", &token, &[&good]).await);
        assert!(
            again.starts_with("DPoP error=\"invalid_dpop_proof\""),
            "{again}"
        );
        // The token alone is worth nothing, by either scheme, nor with a proof by another key or for elsewhere.
        let bearer = challenge(&send(&alice, "Bearer", &token, &[]).await);
        assert!(
            bearer.contains("Bearer error=\"invalid_token\""),
            "{bearer}"
        );
        assert!(bearer.contains("DPoP error=\"invalid_token\""), "{bearer}");
        let other = format!("{}/admin/status", server.url);
        for bad in [
            vec![],
            vec![proof(&thief, json!({}))],
            vec![proof(&holder, json!({"htm": "GET"}))],
            vec![proof(&holder, json!({"htu": other}))],
            vec![proof(&holder, json!({"htu": "https://mcp.example/mcp"}))],
            vec![proof(&holder, json!({"iat": 1_500_000_000}))],
            vec![proof(&holder, json!({"ath": "AAAA"}))],
            vec![proof(&holder, json!({})), proof(&holder, json!({}))],
        ] {
            let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
            let answer = challenge(&send(&alice, "DPoP", &token, &bad).await);
            assert!(
                answer.starts_with("DPoP error=\"invalid_dpop_proof\""),
                "{answer}"
            );
        }
        // A proof for a name that the request was sent to, but not ours.
        let named = proof(
            &holder,
            json!({"htu": url.replace("127.0.0.1", "localhost")}),
        );
        let request = shown(call(&alice), "DPoP", &token, &[&named]);
        let host = url.replace("http://", "").replace("/mcp", "");
        let request = request.header("host", host.replace("127.0.0.1", "localhost"));
        challenge(&Answer::read(request).await);
        // Plain tokens go on beside it, and are none of those.
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        let free = alice.token.clone();
        let proof = holder.proof(&free, "POST", &url, json!({}));
        let answer = challenge(&send(&alice, "DPoP", &free, &[&proof]).await);
        assert!(answer.contains("invalid_token"), "{answer}");
        assert_eq!(server.outcomes("hello").await.len(), 2);
        server.stop().await;
    });
}

#[test]
fn where_proofs_are_required_nothing_comes_in_without_one() {
    run(async {
        let server = serve(Dpop::Required, false).await;
        let holder = Holder::of(&server).await;
        let alice = server.caller("alice").in_era(Era::Legacy);
        let plain = challenge(&Answer::read(call(&alice)).await);
        assert!(plain.starts_with("DPoP error=\"invalid_token\""), "{plain}");
        assert!(!plain.contains("Bearer"), "{plain}");
        let document = http().get(format!(
            "{}/.well-known/oauth-protected-resource/mcp",
            server.url
        ));
        let document = Answer::read(document).await.json();
        assert_eq!(document["dpop_bound_access_tokens_required"], true);
        assert_eq!(document["bearer_methods_supported"], json!([]));

        // In a session as well, each request has its own proof.
        let token = holder.token(&server, "alice");
        let url = alice.endpoint();
        let with = |request: RequestBuilder, method: &str| {
            let proof = holder.proof(&token, method, &url, json!({}));
            shown(request, "DPoP", &token, &[&proof])
        };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "e2e", "version": "1"},
        });
        let begun = Answer::read(with(alice.request("initialize", hello), "POST")).await;
        let session = begun.header("mcp-session-id").unwrap().to_owned();
        let bare = |method: Method| {
            let request = http().request(method, &url);
            let request = request.header("accept", "application/json, text/event-stream");
            let request = request.header("mcp-protocol-version", "2025-11-25");
            request.header("mcp-session-id", &session)
        };
        let listed = alice
            .request("tools/list", json!({}))
            .header("mcp-session-id", &session);
        assert_eq!(Answer::read(with(listed, "POST")).await.status, 200);
        let proofless = shown(bare(Method::DELETE), "DPoP", &token, &[]);
        challenge(&Answer::read(proofless).await);
        challenge(&Answer::read(with(bare(Method::DELETE), "POST")).await);
        challenge(&Answer::read(bare(Method::DELETE).bearer_auth(&token)).await);
        let ended = Answer::read(with(bare(Method::DELETE), "DELETE")).await;
        assert_eq!(ended.status, StatusCode::NO_CONTENT, "{ended:?}");
        server.stop().await;
    });
}

#[test]
fn a_nonce_is_asked_for_where_it_is_needed_and_dies_with_the_server() {
    run(async {
        let server = serve(Dpop::Allowed, true).await;
        let holder = Holder::new();
        let alice = server.caller("alice");
        let token = holder.token(&server, "alice");
        let url = alice.endpoint();
        let with = |nonce: Option<&str>| {
            let more = nonce.map_or(json!({}), |nonce| json!({ "nonce": nonce }));
            holder.proof(&token, "POST", &url, more)
        };
        let asked = send(&alice, "DPoP", &token, &[&with(None)]).await;
        assert!(challenge(&asked).starts_with("DPoP error=\"use_dpop_nonce\""));
        let nonce = asked.header("dpop-nonce").unwrap().to_owned();
        let proof = with(Some(&nonce));
        let answer = send(&alice, "DPoP", &token, &[&proof]).await;
        assert!(answer.is_reply(), "{answer:?}");
        assert!(answer.header("dpop-nonce").is_some());
        let used = challenge(&send(&alice, "DPoP", &token, &[&proof]).await);
        assert!(
            used.starts_with("DPoP error=\"invalid_dpop_proof\""),
            "{used}"
        );
        // What was used before a start is not known after it, so no proof of that time counts.
        let unused = with(Some(&nonce));
        let server = server.restart("").await;
        for old in [&proof, &unused] {
            let answer = send(&alice, "DPoP", &token, &[old]).await;
            assert!(challenge(&answer).starts_with("DPoP error=\"use_dpop_nonce\""));
        }
        server.stop().await;
    });
}

#[test]
fn refused_proofs_slow_their_address_down_as_refused_tokens_do() {
    run(async {
        let limits = "count_loopback = true\n[[limit]]\nname = \"failures\"\nper = \"failures\"\ncalls = 3\nseconds = 60\n";
        let setup = Setup::new().issuer(|issuer| {
            issuer.proof = ProofConfig {
                dpop: Dpop::Allowed,
                nonce: true,
            };
        });
        let setup = setup.tools(&["hello"]).await.limits(limits);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let holder = Holder::new();
        let token = holder.token(&server, "alice");
        let url = alice.endpoint();
        // Whoever is asked for a nonce has done nothing wrong.
        for _ in 0..6 {
            let proof = holder.proof(&token, "POST", &url, json!({}));
            let answer = send(&alice, "DPoP", &token, &[&proof]).await;
            assert!(challenge(&answer).contains("use_dpop_nonce"), "{answer:?}");
        }
        // Whoever has the token and not its key has.
        let thief = Holder::of(&server).await;
        for _ in 0..4 {
            let proof = thief.proof(&token, "POST", &url, json!({}));
            let answer = send(&alice, "DPoP", &token, &[&proof]).await;
            assert!(
                challenge(&answer).contains("invalid_dpop_proof"),
                "{answer:?}"
            );
        }
        let refused = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            refused.header("ratelimit-policy"),
            Some("\"failures\";q=3;w=60")
        );
        server.stop().await;
    });
}

#[test]
fn a_proof_that_was_dated_ahead_does_not_count_again_after_a_restart() {
    run(async {
        let server = serve(Dpop::Allowed, false).await;
        let holder = Holder::of(&server).await;
        let token = holder.token(&server, "alice");
        let url = server.caller("alice").endpoint();
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let ahead = |secs: u64| holder.proof(&token, "POST", &url, json!({"iat": now + secs}));
        let used = ahead(25);
        let sent = async |server: &Server, proof: &str| {
            send(&server.caller("alice"), "DPoP", &token, &[proof]).await
        };
        assert!(sent(&server, &used).await.is_reply());
        let server = server.restart("").await;
        // By its time alone it would be one of those that are yet to come.
        let asked = sent(&server, &used).await;
        assert!(challenge(&asked).starts_with("DPoP error=\"use_dpop_nonce\""));
        assert!(asked.header("dpop-nonce").is_some());
        // With the nonce that came with the answer its client goes on at once.
        holder.meet(&server).await;
        let fresh = ahead(25);
        assert!(sent(&server, &fresh).await.is_reply());
        challenge(&sent(&server, &fresh).await);
        assert_eq!(server.outcomes("hello").await.len(), 2);
        server.stop().await;
    });
}

#[test]
fn administrators_prove_each_request_for_its_own_path() {
    run(async {
        let rule = "@id(\"a\") permit (principal in Role::\"admin\", action in Action::\"admin\", resource);";
        let setup = Setup::new().more_rules(rule);
        let server = setup
            .issuer(|issuer| issuer.proof.dpop = Dpop::Allowed)
            .start()
            .await;
        let holder = Holder::of(&server).await;
        let claims = holder.bound(json!({"scope": "tools:call admin"}));
        let token = server.token("root", claims);
        let url = format!("{}/admin/status", server.url);
        let ask = |named: &str| {
            let proof = holder.proof(&token, "GET", named, json!({}));
            Answer::read(shown(http().get(&url), "DPoP", &token, &[&proof]))
        };
        assert_eq!(ask(&url).await.status, StatusCode::OK);
        challenge(&ask(&format!("{}/mcp", server.url)).await);
        challenge(&ask(&format!("{}/admin/tools", server.url)).await);
        challenge(&Answer::read(http().get(&url).bearer_auth(&token)).await);
        server.stop().await;
    });
}

#[test]
fn a_token_that_is_bound_to_a_certificate_or_to_who_knows_what_is_no_bearer_token() {
    run(async {
        let server = serve(Dpop::Allowed, false).await;
        let alice = server.caller("alice");
        let holder = Holder::of(&server).await;
        for cnf in [
            json!({"x5t#S256": holder.thumbprint()}),
            json!({"jkt": holder.thumbprint(), "x5t#S256": holder.thumbprint()}),
            json!({"kid": "a"}),
            json!({}),
        ] {
            let token = server.token("alice", json!({ "cnf": cnf }));
            let proof = holder.proof(&token, "POST", &alice.endpoint(), json!({}));
            for scheme in ["Bearer", "DPoP"] {
                let answer = challenge(&send(&alice, scheme, &token, &[&proof]).await);
                assert!(answer.contains("invalid_token"), "{cnf} {scheme}: {answer}");
            }
        }
        assert_eq!(server.outcomes("hello").await.len(), 0);
        server.stop().await;
    });
}
