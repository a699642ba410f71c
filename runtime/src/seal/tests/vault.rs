//! Against a double of a vault's transit engine that the test starts, and, where `tests/vault/run` says where one is, against a
//! server that is not ours.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Json;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::rotation::{all_open, many};
use super::*;
use crate::config::{TransitSource, VaultToken};
use crate::egress::{Egress, NoNames};

/// A transit engine as its documentation describes it: 403 without the token, 404 for another mount, 400 for what does not
/// decrypt, 503 while it is sealed; a key has versions, and associated data is authenticated.
#[derive(Default)]
struct Engine {
    token: String,
    sealed: bool,
    keys: BTreeMap<u32, Key>,
    min_decryption: u32,
    answer: Option<String>,
}

type Shared = Arc<Mutex<Engine>>;

struct Double {
    address: SocketAddr,
    engine: Shared,
}

impl Double {
    async fn start(token: &str) -> Self {
        let engine = Shared::default();
        {
            let mut engine = engine.lock().unwrap();
            engine.token = token.to_owned();
            engine.keys.insert(1, Key::random().unwrap());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/v1/crypt/transit/{verb}/bailiwick", post(answer))
            .with_state(Arc::clone(&engine));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, engine }
    }

    fn source(&self, token: VaultToken) -> TransitSource {
        source(&format!("http://{}/", self.address), "crypt/transit", token)
    }

    fn change(&self, change: impl FnOnce(&mut Engine)) {
        change(&mut self.engine.lock().unwrap());
    }
}

async fn answer(
    State(engine): State<Shared>,
    UrlPath(verb): UrlPath<String>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> (StatusCode, String) {
    let engine = engine.lock().unwrap();
    let errors = |status, said: &str| (status, json!({"errors": [said]}).to_string());
    if engine.sealed {
        return errors(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed");
    }
    if headers.get("x-vault-token").map(|token| token.as_bytes()) != Some(engine.token.as_bytes()) {
        return errors(StatusCode::FORBIDDEN, "permission denied");
    }
    if let Some(answer) = &engine.answer {
        return (StatusCode::OK, answer.clone());
    }
    let bytes = |field: &str| STANDARD.decode(asked[field].as_str().unwrap()).unwrap();
    let bound = Bound::to("double").and(&bytes("associated_data"));
    let data = match verb.as_str() {
        "encrypt" => {
            let (version, key) = engine.keys.last_key_value().unwrap();
            let sealed = STANDARD.encode(key.seal(&bytes("plaintext"), &bound).unwrap());
            json!({"ciphertext": format!("vault:v{version}:{sealed}"), "key_version": version})
        }
        "decrypt" => {
            let text = asked["ciphertext"].as_str().unwrap();
            let (version, letters) = text["vault:v".len()..].split_once(':').unwrap();
            let version = version.parse().unwrap();
            let key = engine.keys.get(&version);
            let key = key.filter(|_| version >= engine.min_decryption);
            let opened = key.and_then(|key| key.open(&STANDARD.decode(letters).ok()?, &bound).ok());
            match opened {
                Some(plain) => json!({"plaintext": STANDARD.encode(plain.as_slice())}),
                None => {
                    return errors(
                        StatusCode::BAD_REQUEST,
                        "cipher: message authentication failed",
                    );
                }
            }
        }
        other => panic!("{other}"),
    };
    let envelope = json!({"request_id": "r", "lease_id": "", "data": data, "warnings": null});
    (StatusCode::OK, envelope.to_string())
}

fn source(address: &str, mount: &str, token: VaultToken) -> TransitSource {
    TransitSource {
        address: address.parse().unwrap(),
        mount: mount.split('/').map(str::to_owned).collect(),
        key: "bailiwick".to_owned(),
        token,
        ca_file: None,
        local: true,
    }
}

impl Place {
    fn token(&self, text: &str) -> VaultToken {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        VaultToken::File(path.to_str().unwrap().to_owned())
    }

    async fn seals_in(&self, source: &TransitSource, with_file: bool) -> Seals {
        let config = SealConfig {
            key_file: with_file.then(|| self.keys()),
            vault: Some(source.clone()),
            keep: SEALED_KEEP_DEFAULT,
            values_max: SEALED_VALUES_MAX,
            package_values_max: SEALED_VALUES_MAX,
        };
        let keeping = Keeping {
            span: config.keep,
            most: Most {
                tenant: config.values_max,
                package: config.package_values_max,
            },
        };
        let origins = vec![source.address.origin()];
        let egress = Egress::new(Vec::new(), origins, Arc::new(NoNames)).unwrap();
        let provider = Provider::new(&config, Some(Arc::new(egress))).unwrap();
        let values = Arc::new(self.values().await);
        Seals::new(values, provider, self.audit.clone(), keeping)
    }
}

/// What holds of every transit engine; `rotate` gives its key another version.
async fn holds_keys(place: &Place, source: &TransitSource, rotate: impl AsyncFn()) {
    let (acme, rival) = (owner("acme"), owner("rival"));
    let seals = place.seals_in(source, false).await;
    seals.try_keys().await.unwrap();
    let all = many(&seals, &acme, 3).await;
    let others = many(&seals, &rival, 1).await;
    all_open(&place.seals_in(source, false).await, &acme, &all).await;
    assert_eq!(seals.newest().await.unwrap(), "vault:1");
    rotate().await;
    assert_eq!(seals.newest().await.unwrap(), "vault:2");
    let seals = place.seals_in(source, false).await;
    let done = seals.rewrap().await.unwrap();
    assert_eq!((done.rewrapped, done.unopened.len()), (2, 0));
    assert_eq!(done.in_use, ["vault:2"]);
    seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    let seals = place.seals_in(source, false).await;
    all_open(&seals, &acme, &all).await;
    all_open(&seals, &rival, &others).await;
    // What was moved to another tenant, or changed, is refused by the vault.
    let values = place.values().await;
    let moved = "UPDATE seal_key SET (provider_key, wrapped) = (SELECT provider_key, wrapped FROM seal_key WHERE tenant = 2) \
                 WHERE tenant = 1 AND state = 'active'";
    for change in [
        moved,
        "UPDATE seal_key SET wrapped = CAST(CAST(wrapped AS TEXT) || '\",\"a\":\"' AS BLOB) WHERE state = 'active'",
        "UPDATE seal_key SET wrapped = CAST('vault:v1:AAAA' AS BLOB) WHERE state = 'active'",
        "UPDATE seal_key SET wrapped = CAST('vault:v2:AAAA' AS BLOB) WHERE state = 'active'",
    ] {
        sqlx::query(change).execute(values.writer()).await.unwrap();
        let error = opened(&seals_anew(place, source).await, &acme, &all[0].0).await;
        assert!(
            matches!(
                error,
                Err(SealError::Provider(ProviderError::DoesNotOpen { .. }))
            ),
            "{change}: {error:?}"
        );
    }
}

async fn seals_anew(place: &Place, source: &TransitSource) -> Seals {
    place.seals_in(source, false).await
}

#[tokio::test]
async fn a_vault_holds_keys_that_never_leave_it() {
    let place = Place::new().await;
    let double = Double::start("vault-token-1").await;
    let source = double.source(place.token("vault-token-1\n"));
    holds_keys(&place, &source, async || {
        double.change(|engine| {
            engine.keys.insert(2, Key::random().unwrap());
        });
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a server that is not ours; `tests/vault/run` starts one"]
async fn a_vault_that_is_not_ours_holds_keys_that_never_leave_it() {
    let of = |name: &str| std::env::var(name).unwrap();
    let (address, admin) = (of("VAULT_ADDRESS"), of("VAULT_ADMIN_TOKEN"));
    // Another test may have done it.
    let _ = crate::crypto::install();
    let place = Place::new().await;
    let source = source(&address, "transit", place.token(&of("VAULT_TOKEN")));
    holds_keys(&place, &source, async || {
        let rotated = reqwest::Client::new()
            .post(format!("{address}/v1/transit/keys/bailiwick/rotate"))
            .header("x-vault-token", &admin)
            .send();
        assert!(rotated.await.unwrap().status().is_success());
    })
    .await;
    // Another token, and another mount.
    let other = source_with(&source, place.token("another-token"));
    let error = seals_anew(&place, &other)
        .await
        .try_keys()
        .await
        .unwrap_err();
    assert!(
        error.is_passing() && told(&error).contains("status 403"),
        "{error:?}"
    );
}

fn source_with(source: &TransitSource, token: VaultToken) -> TransitSource {
    TransitSource {
        token,
        ..source.clone()
    }
}

fn told(error: &SealError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_waited_for_and_one_that_refuses_is_an_error() {
    let place = Place::new().await;
    let acme = owner("acme");
    let double = Double::start("vault-token-1").await;
    let good = double.source(place.token("vault-token-1"));
    let handle = one(&seals_anew(&place, &good).await, &acme, "a").await;
    let refused = async |source: &TransitSource| {
        let seals = seals_anew(&place, source).await;
        assert!(opened(&seals, &acme, &handle).await.is_err());
        assert!(seals.prepare(&acme, vec![plain("b")], NOW).await.is_err());
        let error = seals.try_keys().await.unwrap_err();
        (told(&error), error.is_passing())
    };
    double.change(|engine| engine.sealed = true);
    let (said, passing) = refused(&good).await;
    assert!(said.contains("503: it is sealed") && passing, "{said}");
    double.change(|engine| engine.sealed = false);
    // Renewed in the same file: read for every request.
    place.token("vault-token-2");
    let (said, passing) = refused(&good).await;
    assert!(said.contains("403: its token") && passing, "{said}");
    place.token("vault-token-1");
    let mount = TransitSource {
        mount: vec!["other".to_owned()],
        ..good.clone()
    };
    let (said, passing) = refused(&mount).await;
    assert!(
        said.contains("404: there is no such mount") && !passing,
        "{said}"
    );
    let gone = source("http://127.0.0.1:1/", "crypt/transit", good.token.clone());
    let (said, passing) = refused(&gone).await;
    assert!(said.contains("cannot be asked") && passing, "{said}");
    let variable = source_with(&good, VaultToken::Env("BAILIWICK_NO_SUCH_TOKEN".to_owned()));
    let (said, passing) = refused(&variable).await;
    assert!(
        said.contains("BAILIWICK_NO_SUCH_TOKEN") && !passing,
        "{said}"
    );
    // Its key was made anew, or the version is not decrypted any more.
    double.change(|engine| engine.min_decryption = 2);
    let seals = seals_anew(&place, &good).await;
    let error = seals.try_keys().await.unwrap_err();
    assert!(told(&error).contains("`vault:1` does not open") && !error.is_passing());
    double.change(|engine| engine.min_decryption = 0);
    for answer in [
        "{}",
        "[]",
        r#"{"data":{"ciphertext":"vault:v1:A\"","plaintext":"AAAA"}}"#,
        r#"{"data":{"ciphertext":"vault:v1:","plaintext":"canary"}}"#,
        r#"{"data":{"ciphertext":"other:v1:AAAA","plaintext":1}}"#,
    ] {
        double.change(|engine| engine.answer = Some(answer.to_owned()));
        let (said, passing) = refused(&good).await;
        assert!(
            said.contains("none of its transit engine") && !passing,
            "{said}"
        );
    }
    double.change(|engine| engine.answer = None);
    // Nothing was destroyed by any of it.
    assert_eq!(
        opened(&seals_anew(&place, &good).await, &acme, &handle)
            .await
            .unwrap(),
        "a"
    );
}

#[tokio::test]
async fn a_vault_takes_over_from_a_key_file() {
    let place = Place::new().await;
    let acme = owner("acme");
    let all = many(&place.seals().await, &acme, 3).await;
    let double = Double::start("vault-token-1").await;
    let source = double.source(place.token("vault-token-1"));
    let alone = seals_anew(&place, &source).await;
    let error = alone.try_keys().await.unwrap_err();
    assert!(told(&error).contains("names nothing that holds that key"));
    let both = place.seals_in(&source, true).await;
    both.try_keys().await.unwrap();
    all_open(&both, &acme, &all).await;
    let done = both.rewrap().await.unwrap();
    assert_eq!(
        (done.rewrapped, done.in_use),
        (1, vec!["vault:1".to_owned()])
    );
    assert_eq!(done.removable.len(), 1);
    std::fs::remove_file(place.keys()).unwrap();
    all_open(&seals_anew(&place, &source).await, &acme, &all).await;
}
