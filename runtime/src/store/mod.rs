//! State behind one trait: audit records, consents, questions, sign-ins, single-use marks and the server's own keys.
//!
//! Every operation is one transaction and is correct when several processes share the database: single use rests on
//! unique constraints and on row counts, never on a value that was read before. Time and chance come from the
//! caller. It keeps what it is given: it decides nothing, and it never sees a token or the value of an argument.

pub mod block;
pub mod budgets;
mod client;
pub mod kv;
mod log;
mod records;
pub mod rest;
pub mod seals;
mod sqlite;
pub mod tree;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Tenant, TenantUser, ToolName};

pub use client::{ClientFacts, ClientKind, ClientText, SeenClient};
pub use log::{Applied, AuditRow, Chained, Draft, Head, Linked};
pub use records::{
    Change, Channel, ConsentFilter, ConsentKey, ConsentRow, ConsentState, Decision, Ender,
    Evidence, ForeignVisit, Holding, NOT_SEEN, OverSession, Pinned, Scope, Seen, Session,
    TicketRow, TicketState,
};
pub use sqlite::{SqliteBudgets, SqliteKeyValues, SqliteSealedValues, SqliteStore};
pub use words::UnknownWord;

/// A store that every stage can share.
pub type SharedStore = Arc<dyn Store>;

/// A secret of the server's own, wiped where it is dropped.
pub type SecretBytes = Zeroizing<[u8; 32]>;

/// The store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("the state file `{path}` cannot be opened; check that its folder exists and is ours")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a later version.
    #[error("the state has format {found}, this version knows {known}; run the newer version")]
    Newer {
        /// What the file says.
        found: i64,
        /// The newest format that we know.
        known: i64,
    },
    /// The file was written by an earlier version, and is only read now.
    #[error(
        "the state has format {found}, and reading does not bring it to format {known}; start the server once, or read it with the \
         version that wrote it"
    )]
    Older {
        /// What the file says.
        found: i64,
        /// The newest format that we know.
        known: i64,
    },
    /// The database refused, or is out of reach.
    #[error("the database did not take the operation")]
    Database(#[from] sqlx::Error),
    /// A row does not hold what we wrote.
    #[error("a row of `{table}` holds no valid `{column}`; restore the state from a backup")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The file is encrypted, and nobody gave its keys.
    #[error(
        "the file with {0} is encrypted, and the configuration has no `[seal]`; write the one that it had. Nothing was changed"
    )]
    Sealed(&'static str),
    /// A key cannot be used.
    #[error("the state cannot be encrypted, and what is encrypted cannot be opened")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not open under its key.
    #[error(
        "a row of `{0}` does not open under its key: it was changed, moved or put back; restore the state from a backup"
    )]
    Damaged(&'static str),
    /// A row is in the clear where every row is encrypted.
    #[error(
        "a row of `{0}` is not encrypted, and was written by somebody else: a server without `[seal]`, which must be stopped, or \
         whoever can write the file; remove the row, or restore the state from a backup"
    )]
    NotSealed(&'static str),
    /// A key was replaced or destroyed again and again while it was to be used.
    #[error("the keys of the state are being changed; try again")]
    Changing,
    /// The machine gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
    /// A record cannot be written as canonical JSON.
    #[error("an audit record cannot be written as canonical JSON")]
    Record(#[source] serde_json::Error),
}

impl StoreError {
    /// Whether it is about what is kept of one tenant or user, and not about the store: others are not held up by it.
    pub fn is_of_one_owner(&self) -> bool {
        matches!(
            self,
            Self::Keys(_)
                | Self::Damaged(_)
                | Self::NotSealed(_)
                | Self::Corrupt { .. }
                | Self::Changing
        )
    }
}

/// What the runtime must remember.
#[async_trait]
pub trait Store: tree::LogTree + block::LogBlocks + Send + Sync + 'static {
    /// Applies the drafts in order and chains their records to the log, all in one transaction. A change that is
    /// refused leaves no trace and none of its records.
    async fn append(&self, drafts: &mut [Draft<'_>]) -> Result<Vec<Applied>, StoreError>;

    /// Sees to it that a change can be written encrypted, where it would be, before it is handed to [`append`](Self::append).
    async fn ready(&self, change: &Change) -> Result<(), StoreError>;

    /// The last record of the log, as kept apart from the records.
    async fn head(&self) -> Result<Head, StoreError>;

    /// The number of the first record from `seq` on, whether it can be read or not.
    async fn audit_next(&self, seq: u64) -> Result<Option<u64>, StoreError>;

    /// At most `max` records from `seq` on, in order.
    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Consents and denials under this key that hold at `now`.
    async fn live_consents(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// At most `max` consent records of a user that were made before this one, or lately; the newest first.
    async fn consents_before(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// At most `max` consent records of a user that could be taken back at `now` and were made before this one, or lately; the
    /// newest first.
    async fn held_before(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
        max: u32,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// The last `max` of a user that could not be taken back at `now`, the newest first.
    async fn ended_of(
        &self,
        who: &TenantUser,
        max: u32,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// How many consents of a user could be taken back at `now`, by tool and client.
    async fn holdings(&self, who: &TenantUser, now: Timestamp) -> Result<Vec<Holding>, StoreError>;

    /// What this user decided about one question.
    async fn decided(
        &self,
        who: &TenantUser,
        ticket: Digest,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// What of this user holds, or could again, for as long as this sign-in, or any, goes on.
    async fn consents_of_sign_in(
        &self,
        who: &TenantUser,
        sign_in: Option<Digest>,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// Notes for its user that somebody else opened a question.
    async fn note_foreign_visit(
        &self,
        ticket: Digest,
        key: &ConsentKey,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// At most `max` questions of a user that somebody else opened, the last first.
    async fn foreign_visits(
        &self,
        who: &TenantUser,
        max: u32,
    ) -> Result<Vec<ForeignVisit>, StoreError>;

    /// The consent records of all users that fit, the newest first, whatever became of them.
    async fn consents(&self, filter: &ConsentFilter) -> Result<Vec<ConsentRow>, StoreError>;

    /// This consent record of this user.
    async fn consent(&self, who: &TenantUser, id: Uuid) -> Result<Option<ConsentRow>, StoreError>;

    /// What this user last agreed to on our page of a tool of this name through this client, by whatever publisher.
    async fn last_agreed(&self, key: &ConsentKey) -> Result<Option<ConsentRow>, StoreError>;

    /// At most `max` agreements, of any tenant, to a tool of this name by another publisher than this.
    async fn active_of_others(
        &self,
        tool: &ToolName,
        publisher: &Publisher,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// At most `max` agreements, of any tenant, through this client by its metadata document: those under which its sign-ins lead
    /// back to other hosts than these, or all.
    async fn active_of_client(
        &self,
        client: &ClientId,
        other_than: Option<&[String]>,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError>;

    /// Notes that the document of a client cannot be read, and says since when; nothing where nobody agreed to anything by it.
    async fn note_client_unread(
        &self,
        client: &ClientId,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Notes that the document of a client can be read.
    async fn note_client_read(&self, client: &ClientId) -> Result<(), StoreError>;

    /// What a client said of itself with this digest, if somebody in this tenant decided about it.
    async fn client_text(
        &self,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Option<String>, StoreError>;

    /// The canonical definition with this digest, if somebody in this tenant decided about such a tool.
    async fn definition(
        &self,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Option<String>, StoreError>;

    /// Notes that these consents were used; those that lapse do not before `idle_until`.
    async fn touch_consents(
        &self,
        ids: &[Uuid],
        now: Timestamp,
        idle_until: Timestamp,
    ) -> Result<(), StoreError>;

    /// How many questions under this key were answered with a refusal after `since`, and after this user last took
    /// anything back that was decided under it.
    async fn refusals(&self, key: &ConsentKey, since: Timestamp) -> Result<u32, StoreError>;

    /// Those of these consents that do not hold at `now`, with what is not there at all. One for a single call that was used
    /// up holds: its call is the one that asks.
    async fn ended_consents(&self, ids: &[Uuid], now: Timestamp) -> Result<Vec<Uuid>, StoreError>;

    /// The question with this digest that is open at `now`, if there is one.
    async fn open_ticket(
        &self,
        tenant: &Tenant,
        question: Digest,
        now: Timestamp,
    ) -> Result<Option<TicketRow>, StoreError>;

    /// The question whose ticket has this hash.
    async fn ticket(&self, id_hash: Digest) -> Result<Option<TicketRow>, StoreError>;

    /// Keeps a sign-in that was begun; `state_hash` is unique.
    async fn insert_flow(
        &self,
        state_hash: Digest,
        data: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Takes a sign-in that was begun. It can be taken once; an expired one is gone.
    async fn take_flow(
        &self,
        state_hash: Digest,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError>;

    /// Keeps a browser's session.
    async fn insert_session(&self, session: &Session) -> Result<(), StoreError>;

    /// The session with this hash, if it is alive at `now`.
    async fn session(&self, id_hash: Digest, now: Timestamp)
    -> Result<Option<Session>, StoreError>;

    /// Notes that a session is used.
    async fn see_session(&self, id_hash: Digest, now: Timestamp) -> Result<(), StoreError>;

    /// Ends a session in whose place another stands. Whether there was one.
    async fn delete_session(&self, id_hash: Digest) -> Result<bool, StoreError>;

    /// At most `max` sessions that are over for their age and are still kept.
    async fn over_sessions(&self, now: Timestamp, max: u32)
    -> Result<Vec<OverSession>, StoreError>;

    /// Marks a nonce as used. `false` when it was used before.
    async fn consume_nonce(
        &self,
        tenant: &Tenant,
        nonce: Digest,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The secret of this name: `candidate`, unless one was kept before. No tenant means the server's own.
    async fn secret(
        &self,
        tenant: Option<&Tenant>,
        name: &str,
        candidate: SecretBytes,
    ) -> Result<SecretBytes, StoreError>;

    /// The secret of this name, if one is kept. Makes none.
    async fn kept_secret(
        &self,
        tenant: Option<&Tenant>,
        name: &str,
    ) -> Result<Option<SecretBytes>, StoreError>;

    /// Forgets nonces, sign-ins that were begun and questions that have expired, and since when clients are unread that nobody uses. How many rows went.
    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// An identifier of a row: UUIDv7, so that rows sort by the time of their making.
pub fn row_id(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.0).unwrap_or_default();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let nanos = u32::try_from(rest)
        .unwrap_or_default()
        .saturating_mul(1_000_000);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(bytes)
}

/// A new secret.
pub fn random_secret() -> Result<SecretBytes, StoreError> {
    let mut bytes = SecretBytes::default();
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| StoreError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    use super::SqliteStore;

    /// A store in memory, of its own.
    pub(crate) async fn store() -> Arc<SqliteStore> {
        Arc::new(SqliteStore::in_memory().await.unwrap())
    }
}
