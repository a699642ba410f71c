//! Keys that never leave a vault: its transit engine encrypts and decrypts the keys of tenants, over our own way out.
//!
//! The engine's `rewrap` takes no associated data, so a key is encrypted anew by decrypting and encrypting it here.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::cipher::{Bound, Key};
use super::provider::{KeyProvider, ProviderError};
use crate::config::{TransitSource, VaultToken};
use crate::egress::Egress;
use crate::limits::{SECRET_BYTES_MAX, VAULT_ANSWER_BYTES_MAX, VAULT_READ_MAX};
use crate::private_file;
use crate::protect::SecretValue;
use crate::store::seals::WrappedKey;

/// What the names of its keys begin with: `vault:VERSION`.
const KIND: &str = "vault";
/// The field that carries the token.
const TOKEN: &str = "x-vault-token";
/// What may surround a token in its file: one line end.
const LINE_END_BYTES_MAX: usize = 2;

/// A key of the transit engine of a vault.
pub(super) struct Transit {
    egress: Arc<Egress>,
    source: TransitSource,
    /// Read once: a process's environment does not change.
    env: Option<SecretValue>,
}

impl Transit {
    pub(super) fn new(source: &TransitSource, egress: Arc<Egress>) -> Self {
        let env = match &source.token {
            VaultToken::File(_) => None,
            VaultToken::Env(name) => {
                let value = std::env::var(name).ok().map(Zeroizing::new);
                value.and_then(|text| SecretValue::of(text.as_bytes()).ok())
            }
        };
        Self {
            egress,
            source: source.clone(),
            env,
        }
    }

    /// `{address}/v1/{mount}/{verb}/{key}`, each segment escaped.
    fn url(&self, verb: &str) -> Result<Url, ProviderError> {
        let mut url = self.source.address.clone();
        let mut path = url
            .path_segments_mut()
            .map_err(|()| ProviderError::VaultAnswer)?;
        path.clear().push("v1").extend(&self.source.mount);
        path.push(verb).push(&self.source.key);
        drop(path);
        Ok(url)
    }

    async fn token(&self) -> Result<HeaderValue, ProviderError> {
        let read;
        let token = match &self.source.token {
            // Read for every request: whatever renews it writes it there.
            VaultToken::File(path) => {
                read = token_in(path.clone()).await?;
                &read
            }
            VaultToken::Env(name) => self
                .env
                .as_ref()
                .ok_or_else(|| ProviderError::TokenVariable(name.clone()))?,
        };
        // A value is visible ASCII, which every field can hold.
        let token = HeaderValue::from_str(token.expose());
        let mut token = token.map_err(|_| ProviderError::VaultAnswer)?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Asks for one thing. `Ok(None)`: the vault refuses what it was given.
    async fn ask<T: DeserializeOwned>(
        &self,
        verb: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Option<T>, ProviderError> {
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN, self.token().await?);
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let url = self.url(verb)?;
        let sent = self.egress.send_own(
            Method::POST,
            &url,
            headers,
            // Wiped when the last of it was sent.
            Bytes::from_owner(body),
            VAULT_ANSWER_BYTES_MAX,
            VAULT_READ_MAX,
        );
        let answer = sent.await.map_err(ProviderError::Vault)?;
        match answer.status() {
            // No error of the parser goes on: it could quote what it read.
            StatusCode::OK => serde_json::from_slice::<Envelope<T>>(answer.body())
                .map(|answer| Some(answer.data))
                .map_err(|_| ProviderError::VaultAnswer),
            StatusCode::BAD_REQUEST => Ok(None),
            other => Err(ProviderError::VaultStatus {
                status: other.as_u16(),
            }),
        }
    }
}

async fn token_in(path: String) -> Result<SecretValue, ProviderError> {
    let most = SECRET_BYTES_MAX + LINE_END_BYTES_MAX;
    let read = move || private_file::read(path.as_ref(), most);
    let bytes = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| ProviderError::GivenUp)?
        .map_err(ProviderError::TokenFile)?;
    SecretValue::of(&bytes).map_err(ProviderError::Token)
}

#[async_trait]
impl KeyProvider for Transit {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn newest(&self) -> Result<String, ProviderError> {
        // Whoever may encrypt need not be allowed to read what the vault says of its key.
        let probe = self.wrap(&Key::random()?, &Bound::to("probe")).await?;
        Ok(probe.provider_key)
    }

    async fn known(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    async fn wrap(&self, key: &Key, bound: &Bound) -> Result<WrappedKey, ProviderError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let bound = STANDARD.encode(bound.as_bytes());
        let body = json_of(&[("plaintext", &plain), ("associated_data", &bound)]);
        let answer: Option<Encrypted> = self.ask("encrypt", body).await?;
        let text = answer.ok_or(ProviderError::VaultEncrypts)?.ciphertext;
        Ok(WrappedKey {
            provider_key: name_of(&text).ok_or(ProviderError::VaultAnswer)?,
            bytes: text.into_bytes(),
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, bound: &Bound) -> Result<Key, ProviderError> {
        let refused = || ProviderError::DoesNotOpen {
            wanted: wrapped.provider_key.clone(),
        };
        let text = std::str::from_utf8(&wrapped.bytes).map_err(|_| refused())?;
        if name_of(text).as_ref() != Some(&wrapped.provider_key) {
            return Err(refused());
        }
        let bound = STANDARD.encode(bound.as_bytes());
        let body = json_of(&[("ciphertext", text), ("associated_data", &bound)]);
        let answer: Option<Decrypted> = self.ask("decrypt", body).await?;
        let letters = Zeroizing::new(answer.ok_or_else(refused)?.plaintext);
        let bytes = STANDARD.decode(letters.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| ProviderError::VaultAnswer)?;
        Key::of(&bytes).ok_or(ProviderError::VaultAnswer)
    }
}

/// `vault:v3:BASE64` is under version 3 of the key.
fn name_of(ciphertext: &str) -> Option<String> {
    let (version, letters) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    let version: u32 = version.parse().ok()?;
    // What was kept may have been changed: nothing of it may end a text in JSON.
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if letters.is_empty() || !letters.chars().all(is_base64) {
        return None;
    }
    Some(format!("{KIND}:{version}"))
}

fn json_of(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // Texts in base64 and those of a vault need no escape, and what is to be wiped must not be copied by a growing buffer.
    let size: usize = fields
        .iter()
        .map(|(name, text)| name.len() + text.len() + 8)
        .sum();
    let mut body = Zeroizing::new(Vec::with_capacity(size + 2));
    for (at, (name, text)) in fields.iter().enumerate() {
        let before: &[u8] = if at == 0 { b"{\"" } else { b",\"" };
        body.extend_from_slice(before);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"\":\"");
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
    }
    body.push(b'}');
    body
}

/// `{"data": {…}}`; the rest is about the request.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}
