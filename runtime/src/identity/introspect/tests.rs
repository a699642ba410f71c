mod kept;
mod places;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use url::Url;

use super::*;
use crate::config::{ClientKey, ClientSecret, Dpop, IssuerConfig, KeySource, ProofConfig};
use crate::identity::testing::{self, AUDIENCE, ISSUER, NOW, jwks, mint};
use crate::identity::{Credentials, Identity, PublicError};

/// The endpoint: answers from memory, counts, and remembers what it was sent.
struct Endpoint {
    answer: Mutex<Option<Response<Bytes>>>,
    sent: Mutex<Vec<(HeaderMap, String)>>,
    asked: AtomicUsize,
    held: tokio::sync::watch::Sender<bool>,
    takes: Mutex<Duration>,
    /// Whether what it answers is of no use.
    useless: AtomicBool,
}

impl FetchKeys for Endpoint {
    fn get<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async { Err(FetchError::new("nowhere")) })
    }

    fn post<'a>(
        &'a self,
        url: &'a Url,
        headers: HeaderMap,
        form: Bytes,
    ) -> BoxFuture<'a, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            assert_eq!(url.as_str(), "https://as.test/introspect");
            self.asked.fetch_add(1, Ordering::SeqCst);
            let form = String::from_utf8(form.to_vec()).unwrap();
            self.sent.lock().unwrap().push((headers, form));
            tokio::task::yield_now().await;
            let takes = *self.takes.lock().unwrap();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let mut held = self.held.subscribe();
            held.wait_for(|held| !held).await.unwrap();
            if self.useless.load(Ordering::SeqCst) {
                return Err(FetchError::of_answer("too large"));
            }
            let answer = self.answer.lock().unwrap().clone();
            answer.ok_or_else(|| FetchError::new("out of reach"))
        })
    }
}

struct World {
    folder: tempfile::TempDir,
    identity: Identity,
    endpoint: Arc<Endpoint>,
}

fn answered(status: u16, kind: &str, body: &str) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", kind);
    answer.body(Bytes::from(body.to_owned())).unwrap()
}

/// What an issuer says of a good token, changed: `null` takes a member away.
fn active(changes: Value) -> Value {
    let mut claims = json!({
        "active": true,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "client-1",
        "exp": NOW.secs() + 600,
        "scope": "tools:call",
        "roles": ["user"],
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove(name)),
            false => claims[name] = value.clone(),
        }
    }
    claims
}

impl World {
    fn new(change: impl FnOnce(&mut IntrospectionConfig)) -> Self {
        Self::with(change, ProofConfig::default())
    }

    fn with(change: impl FnOnce(&mut IntrospectionConfig), proof: ProofConfig) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("keys"), jwks(&[mint()])).unwrap();
        std::fs::write(at("secret"), "s3cret\n").unwrap();
        std::fs::set_permissions(at("secret"), PermissionsExt::from_mode(0o600)).unwrap();
        let mut introspection = IntrospectionConfig {
            url: "https://as.test/introspect".parse().unwrap(),
            client_id: "us".to_owned(),
            proof: ClientProof::Secret(ClientSecret::File(at("secret").display().to_string())),
            about: About::Opaque,
            ttl: Duration::from_secs(30),
        };
        change(&mut introspection);
        let config = IssuerConfig {
            keys: KeySource::File(at("keys")),
            introspection: Some(introspection),
            proof,
            ..testing::issuer()
        };
        let endpoint = Arc::new(Endpoint {
            answer: Mutex::new(None),
            sent: Mutex::default(),
            asked: AtomicUsize::new(0),
            held: tokio::sync::watch::Sender::new(false),
            takes: Mutex::new(Duration::ZERO),
            useless: AtomicBool::new(false),
        });
        let fetch: Arc<dyn FetchKeys> = endpoint.clone();
        let world = Self {
            identity: Identity::new(vec![config], fetch).unwrap(),
            folder,
            endpoint,
        };
        world.says(&active(json!({})));
        world
    }

    fn says(&self, answer: &Value) {
        self.answers(answered(200, "application/json", &answer.to_string()));
    }

    fn answers(&self, answer: Response<Bytes>) {
        *self.endpoint.answer.lock().unwrap() = Some(answer);
    }

    fn fails(&self) {
        *self.endpoint.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.endpoint.asked.load(Ordering::SeqCst)
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Caller>, IdentityError> {
        let token = BearerToken::new(token.to_owned());
        self.identity.verify(Credentials::bearer(token), now).await
    }

    async fn refused(&self, token: &str, now: Timestamp) -> PublicError {
        let shown = self.verify(token, now).await;
        shown.map(drop).unwrap_err().public()
    }
}

fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

#[tokio::test]
async fn x2_an_opaque_token_makes_the_caller_that_its_issuer_says() {
    let world = World::new(|_| {});
    let caller = world.verify("opaque-token_1", NOW).await.unwrap();
    assert_eq!(caller.user().issuer.as_str(), ISSUER);
    assert_eq!(caller.user().subject.as_str(), "alice");
    assert_eq!(caller.client().as_str(), "client-1");
    assert!(caller.roles().contains("user") && caller.has_user());
    assert_eq!(caller.token().algorithm, "introspection");
    let (headers, form) = world.endpoint.sent.lock().unwrap()[0].clone();
    assert_eq!(form, "token=opaque-token_1&token_type_hint=access_token");
    let basic = format!("Basic {}", STANDARD.encode("us:s3cret"));
    assert_eq!(headers[AUTHORIZATION], basic);
    assert!(headers[AUTHORIZATION].is_sensitive());
    // Without an issuer that is asked, it is no token.
    let keys = world.folder.path().join("keys");
    let config = IssuerConfig {
        keys: KeySource::File(keys),
        ..testing::issuer()
    };
    let plain = Identity::new(vec![config], world.endpoint.clone()).unwrap();
    let token = BearerToken::new("opaque-token_1".to_owned());
    let shown = plain.verify(Credentials::bearer(token), NOW).await;
    assert!(matches!(shown, Err(IdentityError::Shape(_))));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn x2_an_issuer_is_asked_by_a_signature_where_we_have_a_key_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let body = STANDARD.encode(pair.to_pkcs8().unwrap());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&file, pem).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let world = World::new(|config| {
        config.proof = ClientProof::Key(ClientKey {
            file: file.clone(),
            algorithm: jsonwebtoken::Algorithm::EdDSA,
            id: None,
            audience: None,
        });
    });
    assert!(world.verify("opaque-token_1", NOW).await.is_ok());
    let (headers, form) = world.endpoint.sent.lock().unwrap()[0].clone();
    assert!(!headers.contains_key(AUTHORIZATION));
    let form: std::collections::BTreeMap<_, _> = form_urlencoded::parse(form.as_bytes()).collect();
    assert_eq!(
        (&*form["token"], &*form["client_id"]),
        ("opaque-token_1", "us")
    );
    assert_eq!(form["client_assertion_type"], ASSERTION_TYPE);
    let claims = form["client_assertion"].split('.').nth(1).unwrap();
    let claims = strict::object(&strict::base64url(claims).unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("us"), &json!(ISSUER))
    );
    // A key in which others have a hand is not used, and nothing is asked.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(world.refused("u", NOW).await, PublicError::Unavailable);
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn x2_what_an_issuer_says_passes_the_checks_of_every_token() {
    for good in [
        json!({"iss": ISSUER, "iat": NOW.secs(), "jti": "a", "nbf": NOW.secs()}),
        json!({"token_type": "Bearer"}),
        json!({"token_type": "bearer", "username": "Alice"}),
        json!({"scope": null}),
        json!({"aud": [AUDIENCE]}),
    ] {
        let world = World::new(|_| {});
        world.says(&active(good.clone()));
        assert!(world.verify("t", NOW).await.is_ok(), "{good}");
    }
    for bad in [
        json!({"active": false}),
        json!({"iss": "https://evil.test"}),
        json!({"iss": 1}),
        json!({"aud": null}),
        json!({"aud": "https://other.test/mcp"}),
        json!({"aud": [AUDIENCE, "https://other.test/mcp"]}),
        json!({"exp": null}),
        json!({"exp": NOW.secs() - 60}),
        json!({"exp": "1900000000"}),
        json!({"nbf": NOW.secs() + 120}),
        json!({"iat": NOW.secs() + 120}),
        json!({"sub": null}),
        json!({"sub": ["alice"]}),
        json!({"client_id": null}),
        json!({"scope": ["tools:call"]}),
        json!({"token_type": "mac"}),
        json!({"token_type": "DPoP"}),
        json!({"token_type": 1}),
        json!({"cnf": {"jkt": "A".repeat(43)}}),
        json!({"cnf": {"x5t#S256": "A".repeat(43)}}),
        json!({"cnf": {"other": "A"}}),
        json!({"roles": 1}),
    ] {
        let world = World::new(|_| {});
        world.says(&active(bad.clone()));
        assert_eq!(
            world.refused("t", NOW).await,
            PublicError::InvalidToken,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn x2_what_is_no_answer_is_our_trouble_and_not_the_tokens() {
    let good = active(json!({})).to_string();
    let twice = good.replacen('{', r#"{"active":false,"#, 1);
    for answer in [
        answered(401, "application/json", &good),
        answered(302, "application/json", &good),
        answered(500, "application/json", "{}"),
        answered(200, "text/html", &good),
        answered(200, "application/token-introspection+jwt", &good),
        answered(200, "application/json", "{}"),
        answered(200, "application/json", r#"{"active":"true"}"#),
        answered(200, "application/json", r#"{"active":1}"#),
        answered(200, "application/json", "[true]"),
        answered(200, "application/json", "not json"),
        answered(200, "application/json", &twice),
    ] {
        let world = World::new(|_| {});
        let told = format!("{answer:?}");
        world.answers(answer);
        assert_eq!(
            world.refused("t", NOW).await,
            PublicError::Unavailable,
            "{told}"
        );
        // Nothing is kept of it, but for a moment that it was refused to us.
        world.says(&active(json!({})));
        let now = if told.contains("401") { later(5) } else { NOW };
        assert!(world.verify("t", now).await.is_ok(), "{told}");
    }
    let world = World::new(|_| {});
    std::fs::remove_file(world.folder.path().join("secret")).unwrap();
    assert_eq!(world.refused("t", NOW).await, PublicError::Unavailable);
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn x2_an_endpoint_out_of_reach_refuses_and_is_not_stormed() {
    let world = World::new(|_| {});
    assert!(world.verify("known", NOW).await.is_ok());
    world.fails();
    for n in 0..50 {
        let refused = world.refused(&format!("t{n}"), later(1)).await;
        assert_eq!(refused, PublicError::Unavailable);
    }
    assert_eq!(world.asked(), 2);
    // What was said before serves on for its time.
    assert!(world.verify("known", later(29)).await.is_ok());
    assert_eq!(
        world.refused("known", later(31)).await,
        PublicError::Unavailable
    );
    world.says(&active(json!({})));
    assert!(world.verify("known", later(32)).await.is_ok());
}

#[tokio::test]
async fn x2_an_answer_of_no_use_refuses_its_own_token_alone() {
    let world = World::new(|_| {});
    world.endpoint.useless.store(true, Ordering::SeqCst);
    for n in 1..=3 {
        let refused = world.refused("made-up", NOW).await;
        assert_eq!(refused, PublicError::Unavailable);
        assert_eq!(world.asked(), n);
    }
    world.endpoint.useless.store(false, Ordering::SeqCst);
    assert!(world.verify("good", NOW).await.is_ok());
}

#[tokio::test]
async fn x2_a_jwt_is_never_asked_about_where_its_own_checks_fail() {
    for about in [About::Opaque, About::All] {
        let world = World::new(|config| config.about = about);
        let good = testing::token(json!({}));
        let (head, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        for bad in [
            forged,
            testing::token(json!({"exp": 1})),
            testing::token(json!({"iss": "https://evil.test"})),
            testing::token(json!({"aud": "https://other.test"})),
            mint().sign_with(
                &json!({"alg": "none", "typ": "at+jwt", "kid": "a"}),
                &json!({}),
            ),
        ] {
            assert_eq!(world.refused(&bad, NOW).await, PublicError::InvalidToken);
        }
        assert_eq!(world.asked(), 0);
        assert!(world.verify(&good, NOW).await.is_ok());
        let asked = match about {
            About::Opaque => 0,
            About::All => 1,
        };
        assert_eq!(world.asked(), asked);
    }
}

#[tokio::test]
async fn x2_a_jwt_that_was_taken_back_is_refused_where_all_are_asked_about() {
    let token = testing::token(json!({}));
    for good in [
        json!({"active": true}),
        active(json!({"iss": ISSUER, "cnf": null})),
    ] {
        let world = World::new(|config| config.about = About::All);
        world.says(&good);
        assert!(world.verify(&token, NOW).await.is_ok(), "{good}");
    }
    for bad in [
        json!({"active": false}),
        active(json!({"sub": "bob"})),
        active(json!({"client_id": "client-2"})),
        active(json!({"iss": "https://evil.test"})),
        active(json!({"cnf": {"jkt": "A".repeat(43)}})),
        active(json!({"exp": NOW.secs()})),
    ] {
        let world = World::new(|config| config.about = About::All);
        world.says(&bad);
        assert_eq!(
            world.refused(&token, NOW).await,
            PublicError::InvalidToken,
            "{bad}"
        );
    }
    let world = World::new(|config| config.about = About::All);
    world.fails();
    assert_eq!(
        world.refused(&token, later(60)).await,
        PublicError::Unavailable
    );
}

#[tokio::test]
async fn x2_an_opaque_token_that_is_bound_needs_its_proof_as_any_other() {
    let proof = ProofConfig {
        dpop: Dpop::Required,
        nonce: false,
    };
    let world = World::with(|_| {}, proof);
    let shown = world.verify("t", NOW).await;
    assert!(matches!(shown, Err(IdentityError::Unbound)));
    let bound = active(json!({"cnf": {"jkt": "A".repeat(43)}, "token_type": "DPoP"}));
    world.says(&bound);
    let shown = world.verify("u", NOW).await;
    assert!(matches!(shown, Err(IdentityError::SenderConstrained)));
}

#[test]
fn two_issuers_are_not_both_asked() {
    let world = World::new(|_| {});
    let one = world.identity.issuers().next().unwrap().clone();
    let two = IssuerConfig {
        issuer: "https://b.test".parse().unwrap(),
        ..one.clone()
    };
    let both = Identity::new(vec![one, two], world.endpoint.clone());
    assert!(matches!(
        both,
        Err(crate::identity::IssuerError::TwoAsked(_))
    ));
}

#[tokio::test]
async fn x2_a_jwt_of_an_issuer_that_is_not_asked_needs_no_answer() {
    let world = World::new(|config| config.about = About::All);
    let asked = world.identity.issuers().next().unwrap().clone();
    let silent = IssuerConfig {
        issuer: "https://b.test".parse().unwrap(),
        introspection: None,
        ..asked.clone()
    };
    let both = Identity::new(vec![asked, silent], world.endpoint.clone()).unwrap();
    let shown = |issuer: &str| {
        let token = BearerToken::new(testing::token(json!({ "iss": issuer })));
        both.verify(Credentials::bearer(token), NOW)
    };
    let caller = shown("https://b.test").await.unwrap();
    assert_eq!(caller.user().issuer.as_str(), "https://b.test");
    assert_eq!(world.asked(), 0);
    assert!(shown(ISSUER).await.is_ok());
    assert_eq!(world.asked(), 1);
}
