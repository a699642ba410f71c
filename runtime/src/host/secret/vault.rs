//! Reads a secret from a vault: version 2 of its key-value store, one `GET` over our own way out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use url::Url;
use zeroize::Zeroizing;

use super::super::files::{Piece, expand, pieces};
use super::source::{FilePath, ReadError};
use super::value::{AccessKey, Parts, Shape, Value};
use crate::config::{VaultSource, VaultToken};
use crate::egress::Egress;
use crate::grant::Holder;
use crate::limits::{VAULT_ANSWER_BYTES_MAX, VAULT_READ_MAX};
use crate::protect::SecretValue;

/// The field that carries the token.
const TOKEN: &str = "x-vault-token";

/// One secret in a vault.
pub(super) struct Vault {
    egress: Option<Arc<Egress>>,
    address: Url,
    mount: Vec<String>,
    path: Vec<Vec<Piece>>,
    field: Option<String>,
    token: Token,
    fresh: Duration,
}

enum Token {
    /// Read for every request: whatever renews it writes it there.
    File(Arc<FilePath>),
    Env(String, Option<SecretToken>),
}

type SecretToken = Result<SecretValue, crate::protect::ValueError>;

impl Vault {
    pub(super) fn new(source: &VaultSource, egress: Option<&Arc<Egress>>) -> Self {
        let segment =
            |text: &String| pieces(text).unwrap_or_else(|| vec![Piece::Text(text.clone())]);
        let token = match &source.token {
            VaultToken::File(path) => Token::File(Arc::new(FilePath::of(path))),
            VaultToken::Env(name) => {
                let value = std::env::var(name).ok().map(Zeroizing::new);
                Token::Env(
                    name.clone(),
                    value.map(|text| SecretValue::of(text.as_bytes())),
                )
            }
        };
        Self {
            egress: egress.cloned(),
            address: source.address.clone(),
            mount: source.mount.clone(),
            path: source.path.iter().map(segment).collect(),
            field: source.field.clone(),
            token,
            fresh: source.ttl,
        }
    }

    pub(super) fn is_per_tenant(&self) -> bool {
        let mut pieces = self.path.iter().flatten();
        pieces.any(|piece| !matches!(piece, Piece::Text(_)))
    }

    pub(super) fn fresh(&self) -> Duration {
        self.fresh
    }

    pub(super) async fn read(
        &self,
        shape: Shape,
        holder: Option<&Holder>,
    ) -> Result<Value, ReadError> {
        let egress = self.egress.as_ref().ok_or(ReadError::NoVault)?;
        let url = self.url(holder)?;
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN, self.token().await?);
        let sent = egress.send_own(
            Method::GET,
            &url,
            headers,
            Bytes::new(),
            VAULT_ANSWER_BYTES_MAX,
            VAULT_READ_MAX,
        );
        let answer = sent.await.map_err(ReadError::Vault)?;
        if answer.status() != StatusCode::OK {
            return Err(ReadError::VaultStatus(answer.status().as_u16()));
        }
        // No error of the parser goes on: it could quote what it read.
        let answer: Envelope =
            serde_json::from_slice(answer.body()).map_err(|_| ReadError::VaultAnswer)?;
        let mut fields = answer.data.data;
        match (shape, &self.field) {
            (Shape::Text, field) => {
                let value = field.as_ref().and_then(|field| fields.take(field));
                let value = value.ok_or(ReadError::VaultAnswer)?;
                Value::of(shape, value.as_bytes())
            }
            (Shape::AccessKey, _) => {
                let key = AccessKey::from_parts(&Parts {
                    id: fields.take("AccessKeyId"),
                    secret: fields.take("SecretAccessKey"),
                    session: fields.take("SessionToken"),
                    until: fields.take("Expiration"),
                });
                Ok(Value::Key(key?))
            }
        }
    }

    /// `{address}/v1/{mount}/data/{path}`, each segment escaped.
    fn url(&self, holder: Option<&Holder>) -> Result<Url, ReadError> {
        let mut url = self.address.clone();
        let mut path = url.path_segments_mut().map_err(|()| ReadError::NoVault)?;
        path.clear().push("v1").extend(&self.mount).push("data");
        for segment in &self.path {
            match (segment.as_slice(), holder) {
                ([Piece::Text(text)], _) => path.push(text),
                (_, Some(holder)) => path.push(&expand(segment, holder)),
                (_, None) => return Err(ReadError::NoTenant),
            };
        }
        drop(path);
        Ok(url)
    }

    async fn token(&self) -> Result<HeaderValue, ReadError> {
        let failed = |error| ReadError::Token(Box::new(error));
        let read;
        let token = match &self.token {
            Token::File(path) => {
                read = path.read(None).await.map_err(failed)?;
                &read
            }
            Token::Env(_, Some(Ok(token))) => token,
            Token::Env(_, Some(Err(error))) => return Err(failed((*error).into())),
            Token::Env(name, None) => return Err(failed(ReadError::NoVariable(name.clone()))),
        };
        // A value is visible ASCII, which every field can hold.
        let mut token =
            HeaderValue::from_str(token.expose()).map_err(|_| ReadError::VaultAnswer)?;
        token.set_sensitive(true);
        Ok(token)
    }
}

/// `{"data": {"data": {FIELD: VALUE}}}`; the rest is about the store.
#[derive(serde::Deserialize)]
struct Envelope {
    data: Version,
}

#[derive(serde::Deserialize)]
struct Version {
    data: Fields,
}

struct Fields(HashMap<String, Text>);

impl Fields {
    /// The text in a field; none where there is no such field, or no text in it.
    fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name).and_then(|text| text.0)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the fields of a secret")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut all = HashMap::new();
                while let Some((name, text)) = map.next_entry()? {
                    all.insert(name, text);
                }
                Ok(Fields(all))
            }
        }

        from.deserialize_map(Read)
    }
}

/// A text that is wiped when it goes; none for anything else.
struct Text(Option<Zeroizing<String>>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Other(IgnoredAny),
        }
        Ok(match Any::deserialize(from)? {
            Any::Text(text) => Self(Some(Zeroizing::new(text))),
            Any::Other(IgnoredAny) => Self(None),
        })
    }
}
