//! The state in one SQLite file.
//!
//! One connection writes, in transactions that take the write lock when they begin; a few read. `synchronous=FULL`
//! makes every commit durable, which audit needs. The file is readable by its owner alone: it holds keys.

mod append;
mod blocks;
mod bodies;
mod browser;
mod budgets;
mod change;
mod client;
mod consents;
mod decide;
mod held;
mod history;
mod kv;
mod migrations;
mod open;
mod rest;
mod rows;
mod seals;
mod side;
mod sign_out;
mod tree;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

pub use budgets::SqliteBudgets;
pub use kv::SqliteKeyValues;
pub use seals::SqliteSealedValues;

use blocks::End;
use open::{READERS, options, pool, private_file};
use rest::Rest;

use super::{
    Applied, AuditRow, Change, ConsentFilter, ConsentKey, ConsentRow, Draft, ForeignVisit, Head,
    Holding, OverSession, SecretBytes, Session, Store, StoreError, TicketRow,
};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Tenant, TenantUser, ToolName};

/// State in an SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    rest: Rest,
    end: End,
}

/// A record of consent with the key on which its body hangs, for [`Rest::consents`].
macro_rules! consent_rows {
    ($rest:literal) => {
        concat!(
            "SELECT *, tenant AS owner FROM consent LEFT JOIN rest_key ON key_tenant = tenant AND key_version = body_key ",
            $rest
        )
    };
}
/// The same for a question.
macro_rules! ticket_rows {
    ($rest:literal) => {
        concat!(
            "SELECT *, tenant AS owner FROM ticket LEFT JOIN rest_key ON key_tenant = tenant AND key_version = body_key ",
            $rest
        )
    };
}
use {consent_rows, ticket_rows};

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, drafts: &mut [Draft<'_>]) -> Result<Vec<Applied>, StoreError> {
        append::append(&self.rest, &self.end, drafts).await
    }

    async fn ready(&self, change: &Change) -> Result<(), StoreError> {
        change::ready(&self.rest, change).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        append::head(&self.readers).await
    }

    async fn audit_next(&self, seq: u64) -> Result<Option<u64>, StoreError> {
        append::next(&self.readers, seq).await
    }

    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError> {
        append::from(&self.readers, seq, max).await
    }

    async fn live_consents(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        consents::live(&self.rest, key, now).await
    }

    async fn consents_before(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        history::before(&self.rest, who, before, max).await
    }

    async fn held_before(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
        max: u32,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        held::before(&self.rest, who, before, max, now).await
    }

    async fn ended_of(
        &self,
        who: &TenantUser,
        max: u32,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        held::ended(&self.rest, who, max, now).await
    }

    async fn holdings(&self, who: &TenantUser, now: Timestamp) -> Result<Vec<Holding>, StoreError> {
        held::counted(&self.readers, who, now).await
    }

    async fn decided(
        &self,
        who: &TenantUser,
        ticket: Digest,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        held::decided(&self.rest, who, ticket).await
    }

    async fn consents_of_sign_in(
        &self,
        who: &TenantUser,
        sign_in: Option<Digest>,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        held::of_sign_in(&self.rest, who, sign_in, now).await
    }

    async fn note_foreign_visit(
        &self,
        ticket: Digest,
        key: &ConsentKey,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        history::note_foreign(&self.writer, ticket, key, at).await
    }

    async fn foreign_visits(
        &self,
        who: &TenantUser,
        max: u32,
    ) -> Result<Vec<ForeignVisit>, StoreError> {
        history::foreign_visits(&self.readers, who, max).await
    }

    async fn consents(&self, filter: &ConsentFilter) -> Result<Vec<ConsentRow>, StoreError> {
        consents::fitting(&self.rest, filter).await
    }

    async fn consent(&self, who: &TenantUser, id: Uuid) -> Result<Option<ConsentRow>, StoreError> {
        consents::one(&self.rest, who, id).await
    }

    async fn last_agreed(&self, key: &ConsentKey) -> Result<Option<ConsentRow>, StoreError> {
        consents::last_agreed(&self.rest, key).await
    }

    async fn active_of_others(
        &self,
        tool: &ToolName,
        publisher: &Publisher,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        consents::active_of_others(&self.rest, tool, publisher, max).await
    }

    async fn active_of_client(
        &self,
        client: &ClientId,
        other_than: Option<&[String]>,
        max: u32,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        client::active(&self.rest, client, other_than, max).await
    }

    async fn note_client_unread(
        &self,
        client: &ClientId,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        client::note_unread(&self.writer, client, at).await
    }

    async fn note_client_read(&self, client: &ClientId) -> Result<(), StoreError> {
        client::note_read(&self.writer, client).await
    }

    async fn client_text(
        &self,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Option<String>, StoreError> {
        client::text(&self.readers, tenant, digest).await
    }

    async fn definition(
        &self,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Option<String>, StoreError> {
        consents::definition(&self.readers, tenant, digest).await
    }

    async fn touch_consents(
        &self,
        ids: &[Uuid],
        now: Timestamp,
        idle_until: Timestamp,
    ) -> Result<(), StoreError> {
        consents::touch(&self.writer, ids, now, idle_until).await
    }

    async fn refusals(&self, key: &ConsentKey, since: Timestamp) -> Result<u32, StoreError> {
        consents::refusals(&self.readers, key, since).await
    }

    async fn ended_consents(&self, ids: &[Uuid], now: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        consents::ended(&self.readers, ids, now).await
    }

    async fn open_ticket(
        &self,
        tenant: &Tenant,
        question: Digest,
        now: Timestamp,
    ) -> Result<Option<TicketRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        consents::open_ticket(&self.rest, &mut reader, tenant, question, now).await
    }

    async fn ticket(&self, id_hash: Digest) -> Result<Option<TicketRow>, StoreError> {
        consents::ticket(&self.rest, id_hash).await
    }

    async fn insert_flow(
        &self,
        state_hash: Digest,
        data: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        browser::insert_flow(&self.rest, state_hash, data, expires_at).await
    }

    async fn take_flow(
        &self,
        state_hash: Digest,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        browser::take_flow(&self.rest, state_hash, now).await
    }

    async fn insert_session(&self, session: &Session) -> Result<(), StoreError> {
        browser::insert_session(&self.rest, session).await
    }

    async fn session(
        &self,
        id_hash: Digest,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        browser::session(&self.rest, id_hash, now).await
    }

    async fn see_session(&self, id_hash: Digest, now: Timestamp) -> Result<(), StoreError> {
        browser::see_session(&self.writer, id_hash, now).await
    }

    async fn delete_session(&self, id_hash: Digest) -> Result<bool, StoreError> {
        browser::delete_session(&self.writer, id_hash).await
    }

    async fn over_sessions(
        &self,
        now: Timestamp,
        max: u32,
    ) -> Result<Vec<OverSession>, StoreError> {
        browser::over_sessions(&self.readers, now, max).await
    }

    async fn consume_nonce(
        &self,
        tenant: &Tenant,
        nonce: Digest,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        browser::consume_nonce(&self.writer, tenant, nonce, expires_at).await
    }

    async fn secret(
        &self,
        tenant: Option<&Tenant>,
        name: &str,
        candidate: SecretBytes,
    ) -> Result<SecretBytes, StoreError> {
        browser::secret(&self.rest, tenant, name, candidate).await
    }

    async fn kept_secret(
        &self,
        tenant: Option<&Tenant>,
        name: &str,
    ) -> Result<Option<SecretBytes>, StoreError> {
        browser::kept_secret(&self.rest, tenant, name).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        browser::prune(&self.writer, now).await
    }
}

#[cfg(test)]
mod tests;
