//! Reading consents and questions.

use std::collections::HashSet;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

use super::super::{ConsentFilter, ConsentKey, ConsentRow, StoreError, TicketRow};
use super::rest::Rest;
use super::rows;
use super::{consent_rows, ticket_rows};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Subject, Tenant, TenantUser, ToolName};

pub(super) async fn live(
    rest: &Rest,
    key: &ConsentKey,
    now: Timestamp,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE tenant = ? AND iss = ? AND sub = ? AND client_id = ? AND tool = ? \
         AND publisher = ? AND state IN ('active', 'denied') AND expires_at > ? \
         AND (idle_expires_at IS NULL OR idle_expires_at > ?) ORDER BY id"
    ))
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(now.0)
    .bind(now.0)
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn fitting(
    rest: &Rest,
    filter: &ConsentFilter,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR sub = ?2) \
         AND (?3 IS NULL OR client_id = ?3) AND (?4 IS NULL OR tool = ?4) \
         AND (?5 IS NULL OR tenant = ?5) AND (?6 IS NULL OR id < ?6) \
         AND (key_state IS NULL OR key_state <> 'erased') ORDER BY id DESC LIMIT ?7"
    ))
    .bind(filter.id.map(|id| id.to_string()))
    .bind(filter.subject.as_ref().map(Subject::as_str))
    .bind(filter.client.as_ref().map(ClientId::as_str))
    .bind(filter.tool.as_ref().map(ToolName::as_str))
    .bind(filter.tenant.as_ref().map(Tenant::as_str))
    .bind(filter.before.map(|id| id.to_string()))
    // SQLite takes a negative limit for none.
    .bind(filter.limit.map_or(-1, i64::from))
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn one(
    rest: &Rest,
    who: &TenantUser,
    id: Uuid,
) -> Result<Option<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE id = ? AND tenant = ? AND iss = ? AND sub = ?"
    ))
    .bind(id.to_string())
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .fetch_optional(rest.readers())
    .await?;
    rest.consent(found).await
}

pub(super) async fn last_agreed(
    rest: &Rest,
    key: &ConsentKey,
) -> Result<Option<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE tenant = ? AND iss = ? AND sub = ? AND client_id = ? AND tool = ? \
         AND channel = 'page' AND state <> 'denied' ORDER BY decided_at DESC, id DESC LIMIT 1"
    ))
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .fetch_optional(rest.readers())
    .await?;
    rest.consent(found).await
}

pub(super) async fn active_of_others(
    rest: &Rest,
    tool: &ToolName,
    publisher: &Publisher,
    max: u32,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE tool = ? AND publisher <> ? AND state = 'active' ORDER BY id LIMIT ?"
    ))
    .bind(tool.as_str())
    .bind(publisher.as_str())
    .bind(max)
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn definition(
    readers: &SqlitePool,
    tenant: &Tenant,
    digest: Digest,
) -> Result<Option<String>, StoreError> {
    let text = sqlx::query_scalar("SELECT text FROM definition WHERE tenant = ? AND digest = ?")
        .bind(tenant.as_str())
        .bind(digest.to_string())
        .fetch_optional(readers)
        .await?;
    Ok(text)
}

pub(super) async fn touch(
    writer: &SqlitePool,
    ids: &[Uuid],
    now: Timestamp,
    idle_until: Timestamp,
) -> Result<(), StoreError> {
    for some in ids.chunks(IDS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new("UPDATE consent SET last_used_at = ");
        query.push_bind(now.0);
        query.push(", idle_expires_at = CASE WHEN idle_expires_at IS NULL THEN NULL ELSE ");
        query.push_bind(idle_until.0);
        query.push(" END WHERE state = 'active' AND id IN (");
        let mut places = query.separated(", ");
        for id in some {
            places.push_bind(id.to_string());
        }
        query.push(")");
        query.build().execute(writer).await?;
    }
    Ok(())
}

pub(super) async fn refusals(
    readers: &SqlitePool,
    key: &ConsentKey,
    since: Timestamp,
) -> Result<u32, StoreError> {
    const KEY: &str =
        "tenant = ?1 AND iss = ?2 AND sub = ?3 AND client_id = ?4 AND tool = ?5 AND publisher = ?6";
    let text = format!(
        "SELECT COUNT(*) FROM ticket WHERE {KEY} AND state = 'denied' AND decided_at > MAX(?7, \
         COALESCE((SELECT MAX(ended_at) FROM consent WHERE {KEY} AND state = 'revoked'), 0))"
    );
    let refusals: u32 = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
        .bind(key.tenant.as_str())
        .bind(key.user.issuer.as_str())
        .bind(key.user.subject.as_str())
        .bind(key.client.as_str())
        .bind(key.tool.as_str())
        .bind(key.publisher.as_str())
        .bind(since.0)
        .fetch_one(readers)
        .await?;
    Ok(refusals)
}

/// How many ids one statement looks for.
const IDS_MAX: usize = 500;

pub(super) async fn ended(
    readers: &SqlitePool,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let mut ended = Vec::new();
    for some in ids.chunks(IDS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id FROM consent WHERE (state = 'consumed' OR (state = 'active' AND expires_at > ",
        );
        query
            .push_bind(now.0)
            .push(" AND (idle_expires_at IS NULL OR idle_expires_at > ")
            .push_bind(now.0)
            .push("))) AND id IN (");
        let mut places = query.separated(", ");
        for id in some {
            places.push_bind(id.to_string());
        }
        query.push(")");
        let mut hold = HashSet::new();
        for row in query.build().fetch_all(readers).await? {
            hold.insert(rows::parsed::<Uuid>(&row, "consent", "id")?);
        }
        ended.extend(some.iter().filter(|id| !hold.contains(*id)));
    }
    Ok(ended)
}

pub(super) async fn open_ticket(
    rest: &Rest,
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    question: Digest,
    now: Timestamp,
) -> Result<Option<TicketRow>, StoreError> {
    let found = sqlx::query(ticket_rows!(
        "WHERE tenant = ? AND question = ? AND state = 'open' AND expires_at > ?"
    ))
    .bind(tenant.as_str())
    .bind(question.to_string())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    rest.ticket(found).await
}

pub(super) async fn ticket(rest: &Rest, id_hash: Digest) -> Result<Option<TicketRow>, StoreError> {
    let found = sqlx::query(ticket_rows!("WHERE id_hash = ?"))
        .bind(id_hash.to_string())
        .fetch_optional(rest.readers())
        .await?;
    rest.ticket(found).await
}
