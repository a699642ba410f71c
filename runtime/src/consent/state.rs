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
use crate::dialogue::Dialogue;
use crate::ids::{ClientId, Digest, Tenant, ToolName, User};
use crate::limits::{ASK_CALL_MAX, REQUEST_STATE_TTL};
use crate::store::{SharedStore, StoreError, random, random_secret};

/// Name of the server's key that seals.
const KEY: &str = "consent.request-state";
/// Authenticated beside the content, so that nothing else sealed under the key could be taken for it.
const CONTEXT: &[u8] = b"bailiwick requestState 1";
/// Longest sealed state, in bytes. One of a consent has about 250; one of a form carries the answers before it, which are
/// bounded by `ASK_QUESTIONS_MAX` and `ASK_ANSWER_BYTES_MAX`, escaped once more and in base64.
const TEXT_BYTES_MAX: usize = 64 * 1024;

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

/// What a call waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// A decision on our page.
    Consent(TicketId),
    /// A form of the tool.
    Form(Box<Dialogue>),
    /// A decision on our page about another tool, which this one called; what the call has asked and used up so far.
    Callee(TicketId, Box<Dialogue>),
}

/// A state that belongs to this call and is in time. It is good once: see [`RequestStates::take`].
#[derive(Debug)]
pub struct Carried {
    waits: Waits,
    nonce: Digest,
    expires_at: Timestamp,
}

impl Carried {
    /// What the call waits for.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    facts: Digest,
    waits: Inside,
    nonce: Digest,
    expires_at: Timestamp,
}

/// [`Waits`], as it is sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Inside {
    Consent(String),
    Form(Box<Dialogue>),
    Callee(String, Box<Dialogue>),
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
        let bytes = store.secret(None, KEY, random_secret()?).await?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_slice());
        let key = key.map_err(|_| StoreError::Corrupt {
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
        self.seal_waiting(facts, &Waits::Consent(ticket.clone()), now)
    }

    /// Seals a state for a call that waits for this.
    pub fn seal_waiting(
        &self,
        facts: &StateFacts,
        waits: &Waits,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let latest = now.plus(REQUEST_STATE_TTL);
        let (waits, expires_at) = match waits {
            Waits::Consent(ticket) => (Inside::Consent(ticket.as_str().to_owned()), latest),
            // However often its client comes back, a call ends.
            Waits::Form(dialogue) => (
                Inside::Form(dialogue.clone()),
                latest.min(dialogue.began.plus(ASK_CALL_MAX)),
            ),
            Waits::Callee(ticket, dialogue) => (
                Inside::Callee(ticket.as_str().to_owned(), dialogue.clone()),
                latest.min(dialogue.began.plus(ASK_CALL_MAX)),
            ),
        };
        let content = Content {
            facts: canonical_digest(facts),
            waits,
            nonce: Digest::of(&random::<32>()?),
            expires_at,
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

    /// Reads a state that came back with this call. That it is good once is not looked at yet.
    pub fn read(
        &self,
        text: &str,
        facts: &StateFacts,
        now: Timestamp,
    ) -> Result<Carried, StateError> {
        let content = self.unsealed(text)?;
        if content.facts != canonical_digest(facts) {
            return Err(StateError::Foreign);
        }
        if content.expires_at <= now {
            return Err(StateError::Expired);
        }
        let waits = match content.waits {
            Inside::Consent(ticket) => {
                Waits::Consent(ticket.parse().map_err(|_| StateError::Invalid)?)
            }
            Inside::Form(dialogue) => Waits::Form(dialogue),
            Inside::Callee(ticket, dialogue) => {
                Waits::Callee(ticket.parse().map_err(|_| StateError::Invalid)?, dialogue)
            }
        };
        Ok(Carried {
            waits,
            nonce: content.nonce,
            expires_at: content.expires_at,
        })
    }

    /// Takes a state, once, and tells what its call waits for.
    pub async fn take(&self, tenant: &Tenant, carried: Carried) -> Result<Waits, StateError> {
        let Carried {
            waits,
            nonce,
            expires_at,
        } = carried;
        match self.store.consume_nonce(tenant, nonce, expires_at).await? {
            true => Ok(waits),
            false => Err(StateError::Replayed),
        }
    }

    /// Opens a state that came back with this call, once, and tells what its call waits for.
    pub async fn open(
        &self,
        text: &str,
        facts: &StateFacts,
        now: Timestamp,
    ) -> Result<Waits, StateError> {
        let carried = self.read(text, facts, now)?;
        self.take(&facts.tenant, carried).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{Answer, Answered};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[tokio::test]
    async fn a_state_of_the_longest_length_comes_back_and_a_longer_one_does_not() {
        let store = crate::store::testing::store().await;
        let states = RequestStates::open_key(store).await.unwrap();
        let digest = Digest::of(b"");
        let facts = StateFacts {
            tenant: "acme".parse().unwrap(),
            user: User {
                issuer: "https://as.test".parse().unwrap(),
                subject: "alice".parse().unwrap(),
            },
            client: "client-1".parse().unwrap(),
            tool: "notes".parse().unwrap(),
            component: digest,
            arguments: digest,
        };
        let sealed = |bytes: usize| {
            let answered = Answered {
                question: digest,
                answer: Answer::Submitted("x".repeat(bytes)),
            };
            let dialogue = Dialogue {
                answered: vec![answered],
                waits: None,
                began: NOW,
                runs: 1,
                used: Vec::new(),
            };
            let waits = Waits::Form(Box::new(dialogue));
            states.seal_waiting(&facts, &waits, NOW).unwrap()
        };
        // Three bytes are four letters, and each letter of the answer is one byte.
        let around = sealed(0).len() * 3 / 4;
        let room = TEXT_BYTES_MAX * 3 / 4 - around;
        let longest = sealed(room);
        assert_eq!(longest.len(), TEXT_BYTES_MAX);
        assert!(states.read(&longest, &facts, NOW).is_ok());
        let longer = states.read(&sealed(room + 1), &facts, NOW);
        assert!(matches!(longer, Err(StateError::Invalid)), "{longer:?}");
    }
}
