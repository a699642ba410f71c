//! What a user is told of the past: decisions by pages, and who else opened their questions.

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use uuid::Uuid;

use super::super::{ConsentKey, ConsentRow, ForeignVisit, StoreError};
use super::consent_rows;
use super::rest::Rest;
use super::rows;
use crate::clock::Timestamp;
use crate::ids::{Digest, TenantUser};

pub(super) async fn before(
    rest: &Rest,
    who: &TenantUser,
    before: Option<Uuid>,
    max: u32,
) -> Result<Vec<ConsentRow>, StoreError> {
    // Ids sort by the time of their making.
    let found = sqlx::query(consent_rows!(
        "WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND id < ?4 \
         AND (key_state IS NULL OR key_state <> 'erased') ORDER BY id DESC LIMIT ?5"
    ))
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(before.unwrap_or(Uuid::max()).to_string())
    .bind(max)
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn note_foreign(
    writer: &SqlitePool,
    ticket: Digest,
    key: &ConsentKey,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO foreign_visit (ticket, tenant, iss, sub, client_id, tool, visits, last_at) \
         VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (ticket) DO UPDATE SET \
         visits = MIN(visits + 1, 1000000), last_at = MAX(last_at, excluded.last_at)",
    )
    .bind(ticket.to_string())
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(at.0)
    .execute(writer)
    .await?;
    Ok(())
}

pub(super) async fn foreign_visits(
    readers: &SqlitePool,
    who: &TenantUser,
    max: u32,
) -> Result<Vec<ForeignVisit>, StoreError> {
    sqlx::query(
        "SELECT * FROM foreign_visit WHERE tenant = ? AND iss = ? AND sub = ? ORDER BY last_at DESC LIMIT ?",
    )
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(max)
    .fetch_all(readers)
    .await?
    .iter()
    .map(visit)
    .collect()
}

fn visit(row: &SqliteRow) -> Result<ForeignVisit, StoreError> {
    const TABLE: &str = "foreign_visit";
    Ok(ForeignVisit {
        client: rows::parsed(row, TABLE, "client_id")?,
        tool: rows::parsed(row, TABLE, "tool")?,
        visits: row.try_get("visits")?,
        last_at: rows::time(row, "last_at")?,
    })
}
