mod certificates;
mod example;
mod nonces;
mod paths;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};

use super::*;
use crate::config::{IssuerConfig, KeySource};
use crate::identity::testing::{self, Mint, NOW, jwks, mint};
use crate::identity::{Caller, FetchError, FetchKeys, Identity, PublicError};
use crate::limits::{DPOP_AGE_MAX, DPOP_AHEAD_MAX, DPOP_NONCE_TTL, DPOP_PROOF_BYTES_MAX};

const PUBLIC: &str = "https://mcp.test";
const OFF: ProofConfig = ProofConfig {
    dpop: Dpop::Off,
    nonce: false,
};
const ALLOWED: ProofConfig = ProofConfig {
    dpop: Dpop::Allowed,
    nonce: false,
};
const REQUIRED: ProofConfig = ProofConfig {
    dpop: Dpop::Required,
    nonce: false,
};
const WITH_NONCE: ProofConfig = ProofConfig {
    dpop: Dpop::Allowed,
    nonce: true,
};

struct Nowhere;

impl FetchKeys for Nowhere {
    fn get<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async { Err(FetchError::new("nowhere")) })
    }
}

struct World {
    _folder: tempfile::TempDir,
    identity: Identity,
}

impl World {
    fn new(proof: ProofConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, jwks(&[mint()])).unwrap();
        let config = IssuerConfig {
            keys: KeySource::File(file),
            proof,
            ..testing::issuer()
        };
        let identity = Identity::new(vec![config], Arc::new(Nowhere)).unwrap();
        Self {
            _folder: folder,
            identity,
        }
    }

    async fn show(&self, request: &Try, now: Timestamp) -> Result<Arc<Caller>, IdentityError> {
        let dpop = self.identity.dpop() != Dpop::Off;
        let shown = Credentials::from_request(&request.parts(), &PUBLIC.parse().unwrap(), dpop)?;
        self.identity.verify(shown, now).await
    }
}

/// A request with a token, to be changed before it is shown.
#[derive(Clone)]
struct Try {
    scheme: &'static str,
    token: String,
    method: Method,
    path: &'static str,
    proofs: Vec<String>,
    certificate: Option<PeerCertificate>,
}

impl Try {
    fn of(scheme: &'static str, token: String, proofs: &[&str]) -> Self {
        Self {
            scheme,
            token,
            method: Method::POST,
            path: "/mcp?x=1",
            proofs: proofs.iter().map(|&one| one.to_owned()).collect(),
            certificate: None,
        }
    }

    fn parts(&self) -> Parts {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.path)
            // Whatever a client or a proxy says here, it is not asked.
            .header("host", "elsewhere.test")
            .header("authorization", format!("{} {}", self.scheme, self.token))
            .body(())
            .unwrap();
        for proof in &self.proofs {
            let proof = HeaderValue::from_str(proof).unwrap();
            request.headers_mut().append("dpop", proof);
        }
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        request.into_parts().0
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// By RFC 7638 again, written otherwise than the code that is tested.
fn thumbprint(key: &Mint) -> String {
    let jwk = key.jwk();
    let members: std::collections::BTreeMap<_, _> = ["crv", "e", "kty", "n", "x", "y"]
        .into_iter()
        .filter_map(|name| Some((name, jwk.get(name)?.clone())))
        .collect();
    encode(Digest::of(&serde_json::to_vec(&members).unwrap()).as_bytes())
}

fn bound(key: &Mint) -> String {
    testing::token(json!({"cnf": {"jkt": thumbprint(key)}}))
}

fn header(key: &Mint) -> Value {
    let jwk = key.jwk();
    json!({"typ": "dpop+jwt", "alg": jwk["alg"], "jwk": jwk})
}

/// The claims of a good proof for this token, changed: `null` takes one away.
fn proof_claims(token: &str, changes: Value) -> Value {
    let mut claims = json!({
        "jti": format!("{}", uuid::Uuid::now_v7()),
        "htm": "POST",
        "htu": "https://mcp.test/mcp",
        "iat": NOW.secs(),
        "ath": encode(Digest::of(token.as_bytes()).as_bytes()),
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove(name)),
            false => claims[name] = value.clone(),
        }
    }
    claims
}

fn proof(key: &Mint, token: &str, changes: Value) -> String {
    key.sign_with(&header(key), &proof_claims(token, changes))
}

fn good(key: &Mint) -> Try {
    let token = bound(key);
    let proof = proof(key, &token, json!({}));
    Try::of("DPoP", token, &[&proof])
}

/// A request whose proof has these claims.
fn claiming(key: &Mint, changes: Value) -> Try {
    let token = bound(key);
    let proof = proof(key, &token, changes);
    Try::of("DPoP", token, &[&proof])
}

fn refused(shown: Result<Arc<Caller>, IdentityError>) -> PublicError {
    shown.map(drop).unwrap_err().public()
}

#[tokio::test]
async fn x1_a_bound_token_counts_with_the_proof_of_its_key_alone() {
    for config in [ALLOWED, REQUIRED] {
        let world = World::new(config);
        let keys = [Mint::es256("p"), Mint::es384("p"), Mint::eddsa("p")];
        for key in &keys {
            let caller = world.show(&good(key), NOW).await.unwrap();
            assert_eq!(caller.user().subject.as_str(), "alice");
            let other = Mint::es256("other");
            let token = bound(key);
            let by_other = proof(&other, &token, json!({}));
            let tried = Try::of("DPoP", token.clone(), &[&by_other]);
            assert_eq!(
                refused(world.show(&tried, NOW).await),
                PublicError::InvalidProof
            );
            // The header says one key, and another signed.
            let signed = other.sign_with(&header(key), &proof_claims(&token, json!({})));
            let tried = Try::of("DPoP", token, &[&signed]);
            let error = world.show(&tried, NOW).await.map(drop).unwrap_err();
            assert!(
                matches!(
                    error,
                    IdentityError::Proof(ProofError::Signature | ProofError::Algorithm)
                        | IdentityError::Proof(ProofError::Key(_))
                ),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn x1_rsa_keys_prove_as_well_and_ed25519_by_either_name() {
    let world = World::new(ALLOWED);
    for key in [Mint::ps256("p"), Mint::rs256("p")] {
        assert!(world.show(&good(&key), NOW).await.is_ok());
    }
    let key = Mint::eddsa("p");
    let token = bound(&key);
    let mut names = header(&key);
    names["alg"] = json!("Ed25519");
    names["jwk"].as_object_mut().unwrap().remove("alg");
    let proof = key.sign_with(&names, &proof_claims(&token, json!({})));
    let tried = Try::of("DPoP", token, &[&proof]);
    assert!(world.show(&tried, NOW).await.is_ok());
}

#[tokio::test]
async fn x1_the_scheme_and_the_token_go_together() {
    let key = Mint::es256("p");
    let (bound, free) = (bound(&key), testing::token(json!({})));
    for (config, shows_free) in [(OFF, true), (ALLOWED, true), (REQUIRED, false)] {
        let world = World::new(config);
        // A plain bearer token.
        let tried = Try::of("Bearer", free.clone(), &[]);
        assert_eq!(world.show(&tried, NOW).await.is_ok(), shows_free);
        // A bound one is none, with a proof or without.
        let proof_of_bound = proof(&key, &bound, json!({}));
        for proofs in [vec![], vec![proof_of_bound.as_str()]] {
            let tried = Try::of("Bearer", bound.clone(), &proofs);
            let error = world.show(&tried, NOW).await.map(drop).unwrap_err();
            assert!(matches!(error, IdentityError::SenderConstrained));
            assert_eq!(error.public(), PublicError::InvalidToken);
        }
        // The scheme of bound tokens with a free one.
        let proof_of_free = proof(&key, &free, json!({}));
        let tried = Try::of("DPoP", free.clone(), &[&proof_of_free]);
        let error = world.show(&tried, NOW).await.map(drop).unwrap_err();
        match config.dpop {
            Dpop::Off => assert!(matches!(error, IdentityError::OtherScheme)),
            Dpop::Allowed | Dpop::Required => assert!(matches!(error, IdentityError::Unbound)),
        }
    }
    // Where proofs are not taken, a bound token has no way in.
    assert_eq!(
        refused(World::new(OFF).show(&good(&key), NOW).await),
        PublicError::MissingToken
    );
}

#[tokio::test]
async fn x1_each_issuer_says_for_itself_whether_its_tokens_are_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, jwks(&[mint()])).unwrap();
    let of = |name: &str, proof| IssuerConfig {
        issuer: name.parse().unwrap(),
        keys: KeySource::File(file.clone()),
        proof,
        ..testing::issuer()
    };
    let configs = vec![of("https://a.test", OFF), of("https://b.test", REQUIRED)];
    let identity = Identity::new(configs, Arc::new(Nowhere)).unwrap();
    assert_eq!(identity.dpop(), Dpop::Allowed);
    assert_eq!(identity.nonce(NOW), None);
    let key = Mint::es256("p");
    let show = async |scheme, issuer: &str, binds: bool| {
        let cnf = json!({"jkt": thumbprint(&key)});
        let cnf = if binds { cnf } else { Value::Null };
        let token = testing::token(json!({"iss": issuer, "cnf": cnf}));
        let proof = proof(&key, &token, json!({}));
        let tried = Try::of(scheme, token, &[&proof]);
        let shown = Credentials::from_request(&tried.parts(), &PUBLIC.parse().unwrap(), true);
        identity.verify(shown.unwrap(), NOW).await
    };
    assert!(show("Bearer", "https://a.test", false).await.is_ok());
    assert!(show("DPoP", "https://a.test", true).await.is_err());
    assert!(show("DPoP", "https://b.test", true).await.is_ok());
    assert!(show("Bearer", "https://b.test", false).await.is_err());
}

#[tokio::test]
async fn x1_there_is_one_proof_in_one_header() {
    let world = World::new(ALLOWED);
    let key = Mint::es256("p");
    let token = bound(&key);
    let one = proof(&key, &token, json!({}));
    let two = proof(&key, &token, json!({}));
    let joined = format!("{one}, {two}");
    for proofs in [
        vec![],
        vec![one.as_str(), two.as_str()],
        vec![one.as_str(), one.as_str()],
        vec![joined.as_str()],
        vec![""],
        vec!["a.b.c"],
    ] {
        let tried = Try::of("DPoP", token.clone(), &proofs);
        assert_eq!(
            refused(world.show(&tried, NOW).await),
            PublicError::InvalidProof,
            "{proofs:?}"
        );
    }
    // None of these used the good one up.
    let tried = Try::of("DPoP", token, &[&one]);
    assert!(world.show(&tried, NOW).await.is_ok());
}

#[tokio::test]
async fn x1_a_proof_names_its_method_its_url_and_its_token() {
    let world = World::new(ALLOWED);
    let key = Mint::es256("p");
    for same in [
        "https://mcp.test/mcp",
        "HTTPS://MCP.test:443/mcp",
        "https://mcp.test/mcp?a=b#c",
        "https://mcp.test/./a/../mcp",
        "https://mcp.test/%6dcp",
    ] {
        let tried = claiming(&key, json!({ "htu": same }));
        assert!(world.show(&tried, NOW).await.is_ok(), "{same}");
    }
    for other in [
        "https://elsewhere.test/mcp",
        "http://mcp.test/mcp",
        "https://mcp.test:8443/mcp",
        "https://mcp.test/MCP",
        "https://mcp.test/mcp/",
        "https://mcp.test/%2fmcp",
        "https://mcp.test/",
        "https://user@mcp.test/mcp",
        "https:\\\\mcp.test\\mcp",
        " https://mcp.test/mcp",
        "/mcp",
        "",
    ] {
        let tried = claiming(&key, json!({ "htu": other }));
        let error = world.show(&tried, NOW).await.map(drop).unwrap_err();
        assert!(
            matches!(error, IdentityError::Proof(ProofError::Url)),
            "{other}"
        );
    }
    let mut get = claiming(&key, json!({"htm": "GET"}));
    assert_eq!(
        refused(world.show(&get, NOW).await),
        PublicError::InvalidProof
    );
    get.method = Method::GET;
    assert!(world.show(&get, NOW).await.is_ok());
    let lower = claiming(&key, json!({"htm": "post"}));
    assert!(world.show(&lower, NOW).await.is_err());
    let mut admin = claiming(&key, json!({"htu": "https://mcp.test/admin/tools"}));
    assert!(world.show(&admin, NOW).await.is_err());
    admin.path = "/admin/tools?y";
    assert!(world.show(&admin, NOW).await.is_ok());

    // Another token of the same key.
    let (token, other) = (
        bound(&key),
        testing::token(json!({"jti": "b", "cnf": {"jkt": thumbprint(&key)}})),
    );
    let proof = proof(&key, &other, json!({}));
    assert!(
        world
            .show(&Try::of("DPoP", other, &[&proof]), NOW)
            .await
            .is_ok()
    );
    let crossed = Try::of("DPoP", token, &[&proof]);
    let error = world.show(&crossed, NOW).await.map(drop).unwrap_err();
    assert!(matches!(
        error,
        IdentityError::Proof(ProofError::OtherToken)
    ));
}

#[tokio::test]
async fn x1_every_part_of_a_proof_has_its_one_form() {
    let world = World::new(ALLOWED);
    let key = Mint::es256("p");
    assert!(world.show(&good(&key), NOW).await.is_ok());
    for changes in [
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 1}),
        json!({"jti": "x".repeat(257)}),
        json!({"htm": null}),
        json!({"htm": ["POST"]}),
        json!({"htu": null}),
        json!({"iat": null}),
        json!({"iat": "1800000000"}),
        json!({"iat": -1}),
        json!({"ath": null}),
        json!({"ath": ""}),
        json!({"ath": encode(b"x")}),
        json!({"nonce": 1}),
    ] {
        let tried = claiming(&key, changes.clone());
        assert_eq!(
            refused(world.show(&tried, NOW).await),
            PublicError::InvalidProof,
            "{changes}"
        );
    }
    let token = bound(&key);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut names = header(&key);
        change(&mut names);
        let proof = key.sign_with(&names, &proof_claims(&token, json!({})));
        Try::of("DPoP", token.clone(), &[&proof])
    };
    let changes: [&dyn Fn(&mut Value); 16] = [
        &|names| names["typ"] = json!("JWT"),
        &|names| names["typ"] = json!("at+jwt"),
        &|names| drop(names.as_object_mut().unwrap().remove("typ")),
        &|names| names["alg"] = json!("none"),
        &|names| names["alg"] = json!("HS256"),
        &|names| names["alg"] = json!("es256"),
        &|names| names["alg"] = json!("ES384"),
        &|names| drop(names.as_object_mut().unwrap().remove("jwk")),
        &|names| names["jwk"] = json!("x"),
        &|names| names["jwk"]["d"] = json!("AAAA"),
        &|names| names["jwk"] = json!({"kty": "oct", "k": "A".repeat(43)}),
        &|names| names["jwk"]["use"] = json!("enc"),
        &|names| names["jwk"]["x"] = json!("A".repeat(43)),
        &|names| names["crit"] = json!(["x"]),
        &|names| names["b64"] = json!(false),
        &|names| names["zip"] = json!("DEF"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(
            refused(world.show(&with(change), NOW).await),
            PublicError::InvalidProof,
            "{n}"
        );
    }
    assert!(world.show(&with(&|_| {}), NOW).await.is_ok());
    assert!(
        world
            .show(&with(&|names| names["typ"] = json!("DPoP+JWT")), NOW)
            .await
            .is_ok()
    );

    let twice = format!(
        r#"{{"jti":"a","jti":"b",{}"#,
        &proof_claims(&token, json!({"jti": null})).to_string()[1..]
    );
    let proof = key.sign_raw(header(&key).to_string().as_bytes(), twice.as_bytes());
    assert!(
        world
            .show(&Try::of("DPoP", token.clone(), &[&proof]), NOW)
            .await
            .is_err()
    );
    let long = "x".repeat(DPOP_PROOF_BYTES_MAX + 1);
    let error = world
        .show(&Try::of("DPoP", token, &[&long]), NOW)
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(
        error,
        IdentityError::Proof(ProofError::TooLong { .. })
    ));
}

#[test]
fn credentials_are_never_printed() {
    let shown = Credentials::from_request(
        &good(&Mint::es256("p")).parts(),
        &PUBLIC.parse().unwrap(),
        true,
    );
    assert_eq!(format!("{:?}", shown.unwrap()), "Credentials(…)");
}
