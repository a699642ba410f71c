//! Against a double of a vault that the test starts; no vault of a vendor is run here.

use super::sources::age;
use super::*;

/// A key-value store of the second version, as its documentation describes it: 403 without the token, 404 where nothing is,
/// an envelope of data and metadata round a secret.
pub(super) struct VaultDouble {
    address: SocketAddr,
    secrets: Arc<Mutex<BTreeMap<String, String>>>,
}

impl VaultDouble {
    pub(super) async fn start(token: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let secrets = Arc::<Mutex<BTreeMap<String, String>>>::default();
        let kept = Arc::clone(&secrets);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 8192];
                let read = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let known = kept.lock().unwrap().get(path).cloned();
                let (status, body) = match known {
                    _ if !head.contains(&format!("x-vault-token: {token}\r\n")) => (
                        "403 Forbidden",
                        r#"{"errors":["permission denied"]}"#.to_owned(),
                    ),
                    None => ("404 Not Found", r#"{"errors":[]}"#.to_owned()),
                    Some(data) => (
                        "200 OK",
                        format!(
                            r#"{{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{{"data":{data},"metadata":{{"created_time":"2026-11-29T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}}}},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}}"#
                        ),
                    ),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, secrets }
    }

    pub(super) fn put(&self, path: &str, data: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(path.to_owned(), data.to_owned());
    }

    fn bound(&self, token: VaultToken, path: &str) -> Secrets {
        let binding = binding("tracker", "", &["api.test"], "bearer");
        self.binding(token, path, Some("token"), binding)
    }

    pub(super) fn binding(
        &self,
        token: VaultToken,
        path: &str,
        field: Option<&str>,
        binding: SecretBinding,
    ) -> Secrets {
        let address: url::Url = format!("http://{}/", self.address).parse().unwrap();
        let split = |path: &str| path.split('/').map(str::to_owned).collect();
        let source = VaultSource {
            address: address.clone(),
            mount: split("kv/team"),
            path: split(path),
            field: field.map(str::to_owned),
            token,
            ttl: Duration::from_secs(60),
            ca_file: None,
            local: true,
        };
        let binding = SecretBinding {
            source: SecretSource::Vault(Box::new(source)),
            ..binding
        };
        let egress = Egress::new(Vec::new(), vec![address.origin()], Arc::new(NoNames)).unwrap();
        Secrets::new(&[binding], Some(&Arc::new(egress)), &clock())
    }
}

#[tokio::test]
async fn a_secret_in_a_vault_is_read_with_the_token_of_its_file_until_it_is_old() {
    let folder = Folder::new();
    let token = VaultToken::File(folder.put("token", "vault-token-1\n"));
    let vault = VaultDouble::start("vault-token-1").await;
    vault.put(
        "/v1/kv/team/data/bots/tracker",
        r#"{"token":"canary/value+71","n":1}"#,
    );
    let all = vault.bound(token, "bots/tracker");
    let upstream = Upstream::answering(OK).await;
    let grants = ["secret tracker api.test bearer"];
    let mut call = Call::new(upstream.address, &all, &grants);
    call.get("http://api.test/", &[]).await.unwrap();
    // It serves for its time without the vault being asked.
    vault.put(
        "/v1/kv/team/data/bots/tracker",
        r#"{"token":"another-value"}"#,
    );
    call.get("http://api.test/", &[]).await.unwrap();
    age(&all, grants[0]).await;
    call.get("http://api.test/", &[]).await.unwrap();
    let seen = upstream.seen();
    let bearer = |nth: usize, value: &str| seen[nth].contains(&format!("Bearer {value}\r\n"));
    assert!(bearer(0, VALUE) && bearer(1, VALUE) && bearer(2, "another-value"));
}

#[tokio::test]
async fn what_a_vault_does_not_give_is_told_without_what_it_said() {
    let folder = Folder::new();
    let vault = VaultDouble::start("vault-token-1").await;
    vault.put("/v1/kv/team/data/a", r#"{"token":12345678}"#);
    vault.put("/v1/kv/team/data/b", r#"{"other":"canary-value"}"#);
    vault.put("/v1/kv/team/data/c", r#"{"token":"canary value"}"#);
    vault.put("/v1/kv/team/data/d", "[1]");
    let token = |name: &str, text: &str| VaultToken::File(folder.put(name, text));
    for (token, path, why) in [
        (
            token("good", "vault-token-1"),
            "a",
            "the vault has no text in that field",
        ),
        (
            token("good", "vault-token-1"),
            "b",
            "the vault has no text in that field",
        ),
        (
            token("good", "vault-token-1"),
            "c",
            "it holds something else than visible ASCII",
        ),
        (
            token("good", "vault-token-1"),
            "d",
            "the vault has no text in that field",
        ),
        (
            token("good", "vault-token-1"),
            "e",
            "the vault answers with status 404",
        ),
        (
            token("bad", "vault-token-2"),
            "a",
            "the vault answers with status 403",
        ),
        (
            token("short", "x"),
            "a",
            "the token of the vault cannot be read",
        ),
        (
            VaultToken::Env("BAILIWICK_NO_SUCH_VARIABLE".into()),
            "a",
            "the token of the vault cannot be read",
        ),
    ] {
        let error = vault.bound(token, path).readable().await.remove(0).1;
        let told = format!("{:?} {0}", error.unwrap().unwrap_err());
        assert!(told.contains(why) && !told.contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn each_tenant_has_a_path_of_its_own_in_a_vault() {
    let folder = Folder::new();
    let token = VaultToken::File(folder.put("token", "vault-token-1"));
    let vault = VaultDouble::start("vault-token-1").await;
    vault.put("/v1/kv/team/data/acme/t", r#"{"token":"value-of-acme"}"#);
    vault.put(
        "/v1/kv/team/data/%252E%252E%252Facme/t",
        r#"{"token":"value-of-dots"}"#,
    );
    let all = vault.bound(token, "{tenant}/t");
    let bound = all
        .bound(&secret("secret tracker api.test bearer"))
        .unwrap();
    for (tenant, value) in [("acme", "value-of-acme"), ("../acme", "value-of-dots")] {
        let values = bound.values(&holder(tenant)).await.unwrap();
        assert_eq!(text_of(&values.now), value);
    }
    let other = bound.values(&holder("other")).await;
    assert!(matches!(other, Err(ReadError::VaultStatus(404))));
}
