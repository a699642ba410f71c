use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};

use super::testing::{ISSUER, Mint, NOW, claims, jwks, mint};
use super::*;
use crate::limits::TOKEN_BYTES_MAX;

/// Key sets in files, so that a test can change them.
struct Setup {
    folder: tempfile::TempDir,
    identity: Identity,
}

impl Setup {
    fn new(issuers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configs = issuers.iter().enumerate().map(|(n, issuer)| IssuerConfig {
            issuer: issuer.parse().unwrap(),
            keys: KeySource::File(folder.path().join(n.to_string())),
            ..testing::issuer()
        });
        let identity = Identity::new(configs.collect(), Arc::new(Nowhere)).unwrap();
        Self { folder, identity }
    }

    fn one(mints: &[&Mint]) -> Self {
        let setup = Self::new(&[ISSUER]);
        setup.keys(0, mints);
        setup
    }

    fn keys(&self, issuer: usize, mints: &[&Mint]) {
        let beside = self.folder.path().join("new");
        std::fs::write(&beside, jwks(mints)).unwrap();
        std::fs::rename(beside, self.folder.path().join(issuer.to_string())).unwrap();
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Caller>, IdentityError> {
        let token = BearerToken::new(token.to_owned());
        self.identity.verify(Credentials::bearer(token), now).await
    }
}

/// A network that reaches nothing.
struct Nowhere;

impl FetchKeys for Nowhere {
    fn get<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async { Err(FetchError::new("nowhere")) })
    }
}

#[tokio::test]
async fn a_token_is_judged_by_the_keys_of_its_own_issuer() {
    let other = "https://other.test";
    let (a, b) = (Mint::es256("k"), Mint::es256("k"));
    let setup = Setup::new(&[ISSUER, other]);
    setup.keys(0, &[&a]);
    setup.keys(1, &[&b]);
    let of = |mint: &Mint, issuer: &str| mint.sign(&claims(json!({ "iss": issuer })));
    assert!(setup.verify(&of(&a, ISSUER), NOW).await.is_ok());
    assert!(setup.verify(&of(&b, other), NOW).await.is_ok());
    for crossed in [of(&a, other), of(&b, ISSUER)] {
        assert!(matches!(
            setup.verify(&crossed, NOW).await,
            Err(IdentityError::Signature)
        ));
    }
}

#[tokio::test]
async fn an_issuer_is_found_byte_by_byte() {
    let setup = Setup::one(&[mint()]);
    assert!(setup.verify(&testing::token(json!({})), NOW).await.is_ok());
    for near in [
        "https://as.test/",
        "https://AS.test",
        "https://as.test:443",
        "http://as.test",
    ] {
        let token = testing::token(json!({ "iss": near }));
        assert!(
            matches!(
                setup.verify(&token, NOW).await,
                Err(IdentityError::UnknownIssuer { .. })
            ),
            "{near}"
        );
    }
    assert!(
        setup
            .verify(&testing::token(json!({"iss": null})), NOW)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn verification_may_run_on_any_thread() {
    let setup = Arc::new(Setup::one(&[mint()]));
    let calls = (0..8).map(|n| {
        let setup = Arc::clone(&setup);
        let token = testing::token(json!({"sub": format!("user-{n}")}));
        tokio::spawn(async move {
            setup
                .verify(&token, NOW)
                .await
                .map(|caller| caller.user().clone())
        })
    });
    for (n, call) in join_all(calls).await.into_iter().enumerate() {
        let user = call.unwrap().unwrap();
        assert_eq!(user.subject.as_str(), format!("user-{n}"));
    }
}

#[tokio::test]
async fn no_issuer_means_no_caller() {
    let setup = Setup::new(&[]);
    assert!(setup.verify(&testing::token(json!({})), NOW).await.is_err());
}

#[tokio::test]
async fn t21_a_token_is_verified_once_and_remembered() {
    let setup = Setup::one(&[mint()]);
    let token = testing::token(json!({}));
    let first = setup.verify(&token, NOW).await.unwrap();
    let again = setup.verify(&token, NOW).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let other = testing::token(json!({"jti": "token-2"}));
    let other = setup.verify(&other, NOW).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
}

#[tokio::test]
async fn t21_a_remembered_token_never_outlives_its_end() {
    let setup = Setup::one(&[mint()]);
    let token = testing::token(json!({}));
    let first = setup.verify(&token, NOW).await.unwrap();
    let end = NOW.plus(Duration::from_secs(600));
    // Within the leeway it is verified in full again, and then no more.
    let late = setup.verify(&token, end).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &late));
    for over in [30, 31, 10_000] {
        let now = end.plus(Duration::from_secs(over));
        assert!(matches!(
            setup.verify(&token, now).await,
            Err(IdentityError::Expired { .. })
        ));
    }
}

#[tokio::test]
async fn t21_a_remembered_token_does_not_hold_before_its_beginning() {
    let setup = Setup::one(&[mint()]);
    let token = testing::token(json!({"nbf": NOW.secs(), "iat": NOW.secs() - 500}));
    assert!(setup.verify(&token, NOW).await.is_ok());
    let before = Timestamp(NOW.0 - 100_000);
    assert!(matches!(
        setup.verify(&token, before).await,
        Err(IdentityError::Ahead { claim: "nbf", .. })
    ));
}

#[tokio::test]
async fn t21_a_remembered_token_falls_with_its_key() {
    let (a, b) = (Mint::es256("a"), Mint::es256("b"));
    let setup = Setup::one(&[&a]);
    let token = a.sign(&claims(json!({})));
    assert!(setup.verify(&token, NOW).await.is_ok());
    assert_eq!(setup.identity.verified.iter().count(), 1);
    setup.keys(0, &[&b]);
    assert!(matches!(
        setup.verify(&token, NOW).await,
        Err(IdentityError::UnknownKey { .. })
    ));
    assert_eq!(setup.identity.verified.iter().count(), 0);
    // Another key under the old id does not revive it either.
    setup.keys(0, &[&Mint::es256("a")]);
    assert!(matches!(
        setup.verify(&token, NOW).await,
        Err(IdentityError::Signature)
    ));
    setup.keys(0, &[&a, &b]);
    assert!(setup.verify(&token, NOW).await.is_ok());
}

#[tokio::test]
async fn t21_refusals_are_not_remembered() {
    let (a, b) = (Mint::es256("a"), Mint::es256("b"));
    let setup = Setup::one(&[&a]);
    let token = b.sign(&claims(json!({})));
    assert!(setup.verify(&token, NOW).await.is_err());
    assert_eq!(setup.identity.verified.iter().count(), 0);
    setup.keys(0, &[&a, &b]);
    assert!(setup.verify(&token, NOW).await.is_ok());
}

#[tokio::test]
async fn t22_a_token_stands_in_no_error_and_no_caller() {
    let setup = Setup::one(&[mint()]);
    let good = testing::token(json!({"x": "canary-claim"}));
    let stranger = Mint::es256("test-key");
    let mut tokens = vec![
        good.clone(),
        stranger.sign(&claims(json!({}))),
        Mint::es256("canary-key").sign(&claims(json!({}))),
        mint().sign_with(
            &json!({"alg": "ES256", "typ": "JWT", "kid": "test-key"}),
            &claims(json!({})),
        ),
        format!("{good}="),
        format!("{good}.canary"),
        format!("canary{good}"),
        format!("{}.{{}}.x", good.split('.').next().unwrap()),
        "canary".repeat(TOKEN_BYTES_MAX),
        "canary.canary.canary".to_owned(),
    ];
    for changes in [
        json!({"exp": 1}),
        json!({"exp": "canary-claim"}),
        json!({"iat": NOW.secs() + 999}),
        json!({"aud": 5}),
        json!({"aud": "https://else.test"}),
        json!({"iss": "https://else.test"}),
        json!({"sub": null}),
        json!({"sub": "canary-claim\n"}),
        json!({"scope": ["canary-claim"]}),
        json!({"jti": ["canary-claim"]}),
        json!({"cnf": {"jkt": "canary-claim"}}),
        json!({"act": {"sub": ["canary-claim"]}}),
        json!({"roles": {"canary-claim": 1}}),
        // What tools may be told of the user is printed with nobody's name.
        json!({"name": "canary-claim", "email": "canary-claim@example.com"}),
    ] {
        tokens.push(testing::token(changes));
    }
    for token in &tokens {
        let text = match setup.verify(token, NOW).await {
            Ok(caller) => format!("{caller:?}"),
            Err(error) => everything(&error),
        };
        assert!(!text.contains("canary"), "{text}");
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!text.contains(part), "{text}");
        }
    }
    assert!(!format!("{:?}", setup.identity).contains(&good));
}

/// Everything that an error says, to whomever.
fn everything(error: &IdentityError) -> String {
    let mut text = format!("{error} {error:?} {error:#?} {:?}", error.public());
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn w2_every_fault_of_a_token_is_one_and_the_same_to_the_caller() {
    let setup = Setup::one(&[mint()]);
    let stranger = Mint::es256("test-key");
    for token in [
        testing::token(json!({"exp": 1})),
        testing::token(json!({"aud": "https://else.test"})),
        testing::token(json!({"iss": "https://else.test"})),
        testing::token(json!({"scope": 1})),
        testing::token(json!({"cnf": {}})),
        mint().sign_with(
            &json!({"alg": "ES256", "typ": "JWT", "kid": "test-key"}),
            &claims(json!({})),
        ),
        Mint::es256("unknown").sign(&claims(json!({}))),
        stranger.sign(&claims(json!({}))),
        "x".to_owned(),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        let refused = setup.verify(&token, NOW).await.unwrap_err();
        assert_eq!(refused.public(), PublicError::InvalidToken, "{refused}");
    }
}

#[tokio::test]
async fn w4_a_missing_scope_names_all_that_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, jwks(&[mint()])).unwrap();
    let config = IssuerConfig {
        keys: KeySource::File(file),
        required_scopes: vec!["a".to_owned(), "b".to_owned()],
        ..testing::issuer()
    };
    let identity = Identity::new(vec![config], Arc::new(Nowhere)).unwrap();
    assert!(identity.required_scopes().into_iter().eq(["a", "b"]));
    let with = |scope: &str| {
        let token = testing::token(json!({ "scope": scope }));
        Credentials::bearer(BearerToken::new(token))
    };
    assert!(identity.verify(with("a b c"), NOW).await.is_ok());
    let refused = identity.verify(with("a"), NOW).await.unwrap_err();
    assert_eq!(
        refused.public(),
        PublicError::InsufficientScope {
            scopes: vec!["a".to_owned(), "b".to_owned()]
        }
    );
}

#[tokio::test]
async fn w6_missing_keys_are_our_fault_and_not_the_tokens() {
    let setup = Setup::new(&[ISSUER]);
    let token = testing::token(json!({}));
    assert_eq!(setup.identity.load(NOW).await.len(), 1);
    assert!(!setup.identity.ready());
    let refused = setup.verify(&token, NOW).await.unwrap_err();
    assert_eq!(refused.public(), PublicError::Unavailable);

    setup.keys(0, &[mint()]);
    assert!(setup.identity.load(NOW).await.is_empty());
    assert!(setup.identity.ready());
    assert!(setup.verify(&token, NOW).await.is_ok());
}

#[tokio::test]
async fn an_id_token_signs_in_at_a_configured_issuer_and_calls_nothing() {
    let setup = Setup::one(&[mint()]);
    let header = json!({"alg": "ES256", "kid": "test-key", "typ": "JWT"});
    let id_token = mint().sign_with(&header, &claims(json!({"aud": "us", "nonce": "n"})));
    let issuer: Issuer = ISSUER.parse().unwrap();
    let sign_in = |issuer: Issuer| {
        let token = BearerToken::new(id_token.clone());
        let identity = &setup.identity;
        async move {
            identity
                .verify_id_token(token, &issuer, "us", "n", NOW)
                .await
        }
    };
    assert!(sign_in(issuer).await.is_ok());
    assert!(
        sign_in("https://other.test".parse().unwrap())
            .await
            .is_err()
    );
    assert!(setup.verify(&id_token, NOW).await.is_err());
}

#[test]
fn an_issuer_without_audience_or_algorithm_is_no_configuration() {
    use jsonwebtoken::Algorithm::{ES256, HS256};
    let name = || testing::issuer().issuer;
    let with = |change: fn(&mut IssuerConfig)| {
        let mut config = testing::issuer();
        change(&mut config);
        Identity::new(vec![config], Arc::new(Nowhere)).map(|_| ())
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with(|c| c.algorithms = vec![HS256]), Ok(()));
    assert_eq!(
        with(|c| c.audience.clear()),
        Err(IssuerError::NoAudience(name()))
    );
    assert_eq!(
        with(|c| c.audience = vec![String::new()]),
        Err(IssuerError::NoAudience(name()))
    );
    assert_eq!(
        with(|c| c.algorithms.clear()),
        Err(IssuerError::NoAlgorithm(name()))
    );
    assert_eq!(
        with(|c| c.algorithms = vec![ES256, HS256]),
        Err(IssuerError::MixedAlgorithms(name()))
    );
    assert_eq!(
        with(|c| {
            c.algorithms = vec![HS256];
            c.keys = KeySource::Discovery;
        }),
        Err(IssuerError::SecretFromNetwork(name()))
    );
    assert_eq!(
        with(|c| c.client_claim = "sub".to_owned()),
        Err(IssuerError::ClientClaim(name()))
    );
    let twice = vec![testing::issuer(), testing::issuer()];
    assert_eq!(
        Identity::new(twice, Arc::new(Nowhere)).map(|_| ()),
        Err(IssuerError::Twice(name()))
    );
}

#[test]
fn a_test_caller_says_what_its_claims_say() {
    let caller = testing::caller(json!({"sub": "bob", "roles": ["admin"], "scope": Value::Null}));
    assert_eq!(caller.user().subject.as_str(), "bob");
    assert!(caller.roles().contains("admin"));
    assert!(caller.scopes().is_empty());
    assert!(!testing::caller(json!({"sub": "client-1"})).has_user());
}
