//! `requestState`: what a client carries back to us when it repeats a call, sealed so that it can only be carried.
//!
//! MCP 2026-07-28 calls it attacker-controlled. It is encrypted and authenticated (AES-256-GCM-SIV), bound to the
//! caller, the tool and the arguments, short-lived, and good once. It holds no token and gives no right.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::TicketId;
use crate::catalog::manifest::canonical_digest;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant, ToolName, User};
use crate::limits::REQUEST_STATE_TTL;
use crate::store::{SharedStore, StoreError, random};

/// Name of the server's key that seals.
const KEY: &str = "consent.request-state";
/// Authenticated beside the content, so that nothing else sealed under the key could be taken for it.
const CONTEXT: &[u8] = b"bailiwick requestState 1";
/// Longest sealed state, in bytes: ours have about 250.
const TEXT_BYTES_MAX: usize = 1024;

/// What a state is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateFacts {
    /// The isolation key.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
    /// The client.
    pub client: ClientId,
    /// The tool.
    pub tool: ToolName,
    /// SHA-256 of the tool's file.
    pub component: Digest,
    /// Digest of the canonical arguments.
    pub arguments: Digest,
}

/// A state is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// We did not seal it, or not in this form.
    #[error("the request state was changed or is not ours")]
    Invalid,
    /// It belongs to another caller, tool or set of arguments.
    #[error("the request state belongs to another call")]
    Foreign,
    /// Too late.
    #[error("the request state has expired")]
    Expired,
    /// It was used before.
    #[error("the request state was used before")]
    Replayed,
    /// It cannot be marked as used, or there is no chance to be had.
    #[error("the request state cannot be checked")]
    Store(#[from] StoreError),
}

#[derive(Serialize, Deserialize)]
struct Content {
    facts: Digest,
    ticket: String,
    nonce: Digest,
    expires_at: Timestamp,
}

/// Seals and opens states.
#[derive(Clone)]
pub struct RequestStates {
    store: SharedStore,
    key: std::sync::Arc<LessSafeKey>,
}

impl RequestStates {
    /// With the server's key in this store.
    pub async fn open_key(store: SharedStore) -> Result<Self, StoreError> {
        let bytes = store.secret(None, KEY, random()?).await?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| StoreError::Corrupt {
            table: "secret",
            column: "value",
        })?;
        Ok(Self {
            store,
            key: std::sync::Arc::new(LessSafeKey::new(key)),
        })
    }

    /// Seals a state for this call and this question.
    pub fn seal(
        &self,
        facts: &StateFacts,
        ticket: &TicketId,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let content = Content {
            facts: canonical_digest(facts),
            ticket: ticket.as_str().to_owned(),
            nonce: Digest::of(&random::<32>()?),
            expires_at: now.plus(REQUEST_STATE_TTL),
        };
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = serde_json::to_vec(&content).map_err(|_| StateError::Invalid)?;
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(CONTEXT),
                &mut sealed,
            )
            .map_err(|_| StateError::Invalid)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens a state that came back with this call, once, and tells its question.
    pub async fn open(
        &self,
        text: &str,
        facts: &StateFacts,
        now: Timestamp,
    ) -> Result<TicketId, StateError> {
        let content = self.unsealed(text)?;
        if content.facts != canonical_digest(facts) {
            return Err(StateError::Foreign);
        }
        if content.expires_at <= now {
            return Err(StateError::Expired);
        }
        let ticket = content.ticket.parse().map_err(|_| StateError::Invalid)?;
        let first = self
            .store
            .consume_nonce(&facts.tenant, content.nonce, content.expires_at)
            .await?;
        if first {
            Ok(ticket)
        } else {
            Err(StateError::Replayed)
        }
    }

    fn unsealed(&self, text: &str) -> Result<Content, StateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(StateError::Invalid);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| StateError::Invalid)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(StateError::Invalid)?;
        let mut sealed = sealed.to_vec();
        let content = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(CONTEXT),
                &mut sealed,
            )
            .map_err(|_| StateError::Invalid)?;
        serde_json::from_slice(content).map_err(|_| StateError::Invalid)
    }
}
