//! Receipts: what a record says, signed, for its user to keep and for anybody to check without us.
//!
//! A receipt is a JWS (RFC 7515, flattened JSON) by an Ed25519 key that the state keeps and that signs nothing else. It names
//! the user by issuer and subject and holds nothing else of a person: no name, no address, no argument.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jws::{self, Jws};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use url::Url;

use super::{has_begun, is_live};
use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::store::{Channel, ConsentRow, ConsentState, SharedStore, StoreError, random_secret};

/// Name of the server's key that signs receipts: the seed of an Ed25519 key (RFC 8032 §5.1.5).
const KEY: &str = "consent.receipts";
/// Type of a receipt, by which nothing else that is signed can be taken for one (RFC 8725 §3.11).
pub const RECEIPT_TYPE: &str = "bailiwick-consent-receipt+jwt";
/// Where the public key stands, below our public URL.
pub const RECEIPT_KEYS_PATH: &str = "/receipts/jwks.json";

/// A receipt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The key cannot be read, or is none.
    #[error("the key that signs receipts cannot be used; restore the state from a backup")]
    Key,
    /// The state cannot be read.
    #[error("the state cannot be read for a receipt")]
    Store(#[from] StoreError),
    /// The library did not sign.
    #[error("the receipt could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Signs receipts.
pub struct Receipts {
    store: SharedStore,
    key: EncodingKey,
    kid: String,
    jwk: Value,
    issuer: String,
}

impl Receipts {
    /// With the server's key in this store, in the name of the server at this URL.
    pub async fn open(store: SharedStore, public_url: &Url) -> Result<Self, ReceiptError> {
        let seed = store.secret(None, KEY, random_secret()?).await?;
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| ReceiptError::Key)?;
        let private = pair.to_pkcs8().map_err(|_| ReceiptError::Key)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        // RFC 7638 §3: the members that are required of an OKP key, in their order, without white space.
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Digest::of(thumbprint.as_bytes()).as_bytes());
        Ok(Self {
            key: EncodingKey::from_ed_der(private.as_ref()),
            jwk: json!({
                "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig",
            }),
            kid,
            issuer: public_url.as_str().trim_end_matches('/').to_owned(),
            store,
        })
    }

    /// The public key as a JWK Set (RFC 7517 §5).
    pub fn key_set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// What this record says at `now`, signed.
    pub async fn of(&self, row: &ConsentRow, now: Timestamp) -> Result<Jws<Value>, ReceiptError> {
        let log = self.store.head().await?.log_id;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(RECEIPT_TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        header.jku = Some(format!("{}{RECEIPT_KEYS_PATH}", self.issuer));
        let claims = json!({
            "iss": self.issuer,
            "iat": now.secs(),
            "consent": content(row, log, now),
        });
        Ok(jws::encode(&header, Some(&claims), &self.key)?)
    }
}

/// What a receipt says of a record.
fn content(row: &ConsentRow, log: uuid::Uuid, now: Timestamp) -> Value {
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    let evidence = &row.evidence;
    let shown = match row.channel {
        Channel::Page => Some(row.ui),
        // Nobody was shown anything.
        Channel::Operator => None,
    };
    json!({
        "id": row.id,
        "decision": match row.state {
            ConsentState::Denied => "denied",
            ConsentState::Active
            | ConsentState::Consumed
            | ConsentState::Revoked
            | ConsentState::Superseded
            | ConsentState::Suspended => "given",
        },
        "state": row.state.as_str(),
        "holds": is_live(row, now) && has_begun(row, now) && row.state == ConsentState::Active,
        "tenant": row.key.tenant,
        "user": { "iss": row.key.user.issuer, "sub": row.key.user.subject },
        "client_id": row.key.client,
        "client": evidence.client.as_ref().map(|client| json!({
            "kind": client.kind,
            "redirect_hosts": client.redirect_hosts,
            "metadata_digest": client.metadata,
        })),
        "tool": {
            "name": row.key.tool,
            "publisher": row.key.publisher,
            "version": evidence.version,
            "component_digest": row.pinned.component,
            "definition_digest": row.pinned.definition,
            "manifest_digest": row.pinned.manifest,
        },
        "capability": {
            "text": row.capability.to_string(),
            "sentence": row.capability.sentence(),
            "tier": row.tier.as_str(),
        },
        "scope": row.scope.as_str(),
        "sign_in": row.sign_in,
        "bound_to_arguments": row.arguments.is_some(),
        "calls_max": row.uses_max,
        "calls": row.uses,
        "not_before": time(row.not_before),
        "expires_at": row.expires_at.rfc3339(),
        "lapses_at": time(row.idle_expires_at),
        "decided": {
            "at": row.decided_at.rfc3339(),
            "by": row.channel.decided_by(),
            "channel": row.channel.as_str(),
            "acr": row.acr,
            "amr": evidence.amr,
            "auth_time": time(row.auth_time),
            "locale": evidence.locale,
            "ui_digest": shown,
            "ticket_hash": shown.map(|_| row.ticket),
            "policy_digest": evidence.policy,
        },
        "supersedes": evidence.supersedes,
        "ended": row.ended_at.map(|at| json!({
            "at": at.rfc3339(),
            "by": evidence.ended_by.map(|by| by.as_str()),
            "reason": evidence.end_reason,
            "audit_seq": evidence.ended_seq,
        })),
        "audit": { "log_id": log, "seq": evidence.audit_seq },
    })
}
