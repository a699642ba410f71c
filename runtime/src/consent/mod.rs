//! What the user agreed to: ask, record, look up, revoke.
//!
//! Only the server's own page makes a record; an answer that a client relays never does. A record serves exactly one
//! tenant, user, client, tool and publisher. A question never names more than policy allows, and never less than the
//! manifest asks for. Every change is one transaction with its audit record.

mod answer;
mod arguments;
mod ask;
mod changed;
mod client;
mod confirm;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod held;
mod history;
mod operator;
mod plan;
mod publisher;
mod question;
mod receipt;
mod revoke;
mod shown;
mod sign_out;
mod state;
mod suspend;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::audit::{Audit, AuditError};
use crate::capability::{Capability, CapabilitySet};
use crate::clients::Clients;
use crate::clock::Timestamp;
use crate::ids::TenantUser;
use crate::limits::LAST_CALL_MAX;
use crate::policy::Permit;
use crate::revocation::{RunningCall, RunningCalls};
use crate::store::{ConsentRow, ConsentState, SharedStore, StoreError, random_secret};

pub use answer::{Answer, Choice, Decided, PageFacts, SignInFacts};
pub use arguments::{ARGUMENTS_SHOWN_CHARS_MAX, Arguments};
pub use changed::{Changed, Piece, PieceKind, Text, TextChange};
pub use client::{AskingClient, ClientChanged, ClientSaid};
pub use confirm::Offer;
pub use held::CONSENTS_PAGE;
pub use history::HISTORY_PAGE;
pub use operator::{PreConsent, PreConsentError};
pub use question::{Asked, Question};
pub use receipt::{RECEIPT_KEYS_PATH, RECEIPT_TYPE, ReceiptError, Receipts};
pub use revoke::SEEN_WITHIN;
pub use shown::{as_json, proven, standing};
pub use state::{Carried, RequestStates, StateError, StateFacts, Waits};
pub use ticket::TicketId;

/// How long a denial is not asked about again.
pub const DENIAL_TTL: Duration = Duration::from_secs(10 * 60);
/// How long a denial of something that the tool does not need is not asked about again. Each question costs a call, and
/// the user can take the denial back.
pub const OPTIONAL_DENIAL_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a question stays open that is about nothing the tool needs. Until then calls go on without, so that a user who
/// leaves it unanswered is interrupted once in that time.
pub const OFFER_TTL: Duration = Duration::from_secs(3600);
/// How long a tool is quiet whose user refused it twice within that time: nobody is worn down by being asked again and again.
/// Whoever takes a denial back on the page of consents is asked again.
pub const REFUSED_TWICE_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a consent of tier T1 that nobody uses goes on.
pub const IDLE_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is noted that a consent is used: a write for every call would cost more than the date is worth.
pub(crate) const TOUCH_EVERY: Duration = Duration::from_secs(3600);
/// Largest number of calls to which a consent can be bounded.
pub const CALLS_MAX: u32 = 1_000;
/// How long a consent to one call waits for its call.
pub const ONCE_TTL: Duration = Duration::from_secs(10 * 60);
/// How long a consent of tier T3 waits for its call, and how fresh the sign-in must be that gives it.
pub const T3_TTL: Duration = Duration::from_secs(5 * 60);
/// Questions that one user may have open in a tenant. A model that calls every tool there is opens one for each.
pub const OPEN_QUESTIONS_MAX: u32 = 100;

/// Name of the server's key from which tickets are derived.
const TICKET_KEY: &str = "consent.ticket";

/// A permit and what the user agreed to of it.
///
/// ```compile_fail,E0451
/// fn forge(permit: bailiwick::policy::Permit) -> bailiwick::consent::Consent {
///     let agreed = permit.allowed().clone();
///     let running = bailiwick::revocation::RunningCalls::default().enter();
///     bailiwick::consent::Consent { permit, agreed, records: Vec::new(), used_up: Vec::new(), running }
/// }
/// ```
pub struct Consent {
    permit: Permit,
    agreed: CapabilitySet,
    records: Vec<UsedRecord>,
    used_up: Vec<Uuid>,
    running: RunningCall,
}

/// A record that a call stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedRecord {
    /// Which.
    pub id: Uuid,
    /// What it agrees to.
    pub capability: Capability,
}

impl Consent {
    /// What policy allows.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the user agreed to. Capabilities of tier T0 need no question.
    pub fn agreed(&self) -> &CapabilitySet {
        &self.agreed
    }

    /// The consent records that were used.
    pub fn records(&self) -> &[UsedRecord] {
        &self.records
    }

    /// Those of them that are good for a number of calls: this call has used up one of each.
    pub fn used_up(&self) -> &[Uuid] {
        &self.used_up
    }

    /// The call, as revocations find it.
    pub fn running(&self) -> &RunningCall {
        &self.running
    }

    /// The same, to be kept for as long as the call runs.
    pub fn into_running(self) -> RunningCall {
        self.running
    }
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Consent")
            .field("agreed", &self.agreed)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// A call does not go on for want of consent.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The user must be asked.
    #[error("the user must be asked at `{}`", .0.path)]
    Needed(Box<Needed>),
    /// The user refused a short while ago.
    #[error("the user refused; it may be asked again from {} on", again_from.rfc3339())]
    Denied {
        /// From when on the user may be asked again.
        again_from: Timestamp,
    },
    /// The user would have to be asked, when nobody can be told of it any more.
    #[error("the user would have to be asked, and it is too late for that")]
    TooLate,
    /// Nobody stands behind the token who could agree.
    #[error("the token has no user who could consent to what the tool needs")]
    NoUser,
    /// A user cannot be shown the arguments whole, to which an answer would be bound.
    #[error(
        "the arguments are too long to be shown to the user, who is asked about each call of this; call with less than {ARGUMENTS_SHOWN_CHARS_MAX} characters"
    )]
    NotShowable,
    /// The user has as many open questions as may be.
    #[error(
        "the user has {OPEN_QUESTIONS_MAX} open questions; they must be answered or expire first"
    )]
    TooManyQuestions,
    /// Each time, what this call found was used up by others, or ended, before it could stand on it.
    #[error("the consents for this changed while the call was looking at them; call again")]
    Contended,
    /// The records cannot be read.
    #[error("consents cannot be looked up")]
    Store(#[from] StoreError),
    /// A change cannot be recorded, so it is not made.
    #[error("a consent cannot be recorded")]
    Audit(#[from] AuditError),
}

/// A question that must be answered first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The ticket, by which its user opens the question.
    pub ticket: TicketId,
    /// Where, below our public URL.
    pub path: String,
    /// What is asked, in sentences.
    pub sentences: Vec<String>,
    /// Whether the tool runs without any of it: then the next call does, unless the user has answered.
    pub optional: bool,
    /// From when on it cannot be answered.
    pub expires_at: Timestamp,
}

/// A question cannot be shown or answered.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// There is no such question for this user. The question of another user is as unknown as none.
    #[error("there is no such question")]
    Unknown,
    /// Too late.
    #[error("the question has expired; call the tool again")]
    Expired,
    /// It was answered before.
    #[error("the question was answered before")]
    Answered {
        /// Whether all was allowed without which the tool does not run.
        allowed: bool,
    },
    /// An answer is about nothing that was asked, or two are about the same.
    #[error("an answer is about `{capability}`, which is not asked or is answered twice")]
    NotAsked {
        /// What it is about.
        capability: String,
    },
    /// A capability of tier T3 is allowed for one call, never longer.
    #[error("`{capability}` can be allowed for one call only")]
    OnceOnly {
        /// What it is about.
        capability: String,
    },
    /// The date has passed.
    #[error("a consent cannot end in the past")]
    Past,
    /// A capability of tier T3 needs a sign-in that is fresh and says how it was done.
    #[error(
        "this needs a sign-in within the last five minutes that states its `acr`; sign in again"
    )]
    FreshSignIn,
    /// The issuer does not say how the user signed in, which a capability of tier T3 needs.
    #[error("this needs a sign-in that states its `acr`, and that of the issuer does not")]
    NoAcr,
    /// The user signed out of the sign-in with which the consent would end.
    #[error("the user signed out meanwhile")]
    SignedOut,
    /// The record of the question is damaged or cannot be read.
    #[error("the question cannot be read")]
    Store(#[from] StoreError),
    /// The answer cannot be recorded, so it does not count.
    #[error("the answer cannot be recorded")]
    Audit(#[from] AuditError),
}

/// Consents: asked, recorded, looked up and revoked.
#[derive(Clone)]
pub struct Consents {
    store: SharedStore,
    audit: Audit,
    tickets: Arc<hmac::Key>,
    running: RunningCalls,
    arguments: arguments::Kept,
    clients: Arc<Clients>,
}

impl Consents {
    /// Consents in this store. Nothing is known of clients but their ids.
    pub async fn open(store: SharedStore, audit: Audit) -> Result<Self, StoreError> {
        let key = store.secret(None, TICKET_KEY, random_secret()?).await?;
        Ok(Self {
            store,
            audit,
            tickets: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())),
            running: RunningCalls::default(),
            arguments: arguments::Kept::default(),
            clients: Arc::new(Clients::none()),
        })
    }

    /// The same, with what is known of clients.
    #[must_use]
    pub fn with_clients(mut self, clients: Arc<Clients>) -> Self {
        self.clients = clients;
        self
    }

    /// What is different about the tool of a record that is used with another build than the one its user saw; nothing
    /// where only the build is.
    pub async fn changed(&self, row: &ConsentRow) -> Result<Option<Changed>, StoreError> {
        let Some(seen) = &row.seen else {
            return Ok(None);
        };
        let of = |digest| self.store.definition(&row.key.tenant, digest);
        let (before, after) = (
            of(row.pinned.definition).await?,
            of(seen.pinned.definition).await?,
        );
        let after = after.unwrap_or_default();
        let changed = Changed::since(row, &row.key, &seen.pinned, before.as_deref(), &after);
        Ok(changed.filter(|one| one.needs || one.texts.as_ref().is_none_or(|all| !all.is_empty())))
    }

    /// A decision of this user.
    pub async fn record(
        &self,
        who: &TenantUser,
        id: Uuid,
    ) -> Result<Option<ConsentRow>, StoreError> {
        self.store.consent(who, id).await
    }

    /// All that a user decided, the newest first.
    #[cfg(test)]
    pub(crate) async fn list(&self, who: &TenantUser) -> Result<Vec<ConsentRow>, StoreError> {
        self.store.consents_before(who, None, u32::MAX).await
    }
}

/// Whether the time has come from which on a record holds.
pub fn has_begun(row: &ConsentRow, now: Timestamp) -> bool {
    row.not_before.is_none_or(|from| from <= now)
}

/// Whether a record can be used, from its beginning on, or its denial holds, at `now`.
pub fn is_live(row: &ConsentRow, now: Timestamp) -> bool {
    match row.state {
        ConsentState::Active | ConsentState::Denied => {
            row.expires_at > now && row.idle_expires_at.is_none_or(|lapses| lapses > now)
        }
        ConsentState::Consumed
        | ConsentState::Revoked
        | ConsentState::Superseded
        | ConsentState::Suspended => false,
    }
}

/// Whether it can be taken back at `now`: it holds, or the one call for which it was used up may still run, or wait for its
/// user and run again.
pub fn is_revocable(row: &ConsentRow, now: Timestamp) -> bool {
    let may_run = |since: Timestamp| now.since(since) < LAST_CALL_MAX;
    match row.state {
        ConsentState::Consumed => row.ended_at.is_some_and(may_run),
        ConsentState::Active
        | ConsentState::Denied
        | ConsentState::Revoked
        | ConsentState::Superseded => is_live(row, now),
        // It could hold again.
        ConsentState::Suspended => row.expires_at > now,
    }
}

#[cfg(test)]
mod tests;
