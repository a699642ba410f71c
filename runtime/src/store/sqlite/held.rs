//! What a user can take back: in pages, counted, by question and by sign-in.

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use uuid::Uuid;

use super::super::{ConsentRow, Holding, StoreError};
use super::consent_rows;
use super::rest::Rest;
use super::rows;
use crate::clock::Timestamp;
use crate::ids::{Digest, TenantUser};
use crate::limits::CALL_WALL_MAX;

/// Whether a record of the user `?1`, `?2`, `?3` can be taken back at `?4`: as `consent::is_revocable` says. `?5` is since when
/// the one call may run for which a consent was used up.
const HELD: &str = "((state IN ('active', 'denied') AND expires_at > ?4 AND (idle_expires_at IS NULL OR idle_expires_at > ?4)) \
     OR (state = 'suspended' AND expires_at > ?4) OR (state = 'consumed' AND ended_at IS NOT NULL AND ended_at > ?5))";
/// Every record with its key.
const CONSENTS: &str = consent_rows!("");
/// Not one whose key was destroyed: a page is as long as what is on it.
const READABLE: &str = "(key_state IS NULL OR key_state <> 'erased')";
const OF_USER: &str = "tenant = ?1 AND iss = ?2 AND sub = ?3";

fn running_since(now: Timestamp) -> i64 {
    let wall = i64::try_from(CALL_WALL_MAX.as_millis()).unwrap_or(0);
    now.0.saturating_sub(wall)
}

pub(super) async fn before(
    rest: &Rest,
    who: &TenantUser,
    before: Option<Uuid>,
    max: u32,
    now: Timestamp,
) -> Result<Vec<ConsentRow>, StoreError> {
    let text = format!(
        "{CONSENTS} WHERE {OF_USER} AND {READABLE} AND id < ?6 AND {HELD} ORDER BY id DESC LIMIT ?7"
    );
    let found = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(who.tenant.as_str())
        .bind(who.user.issuer.as_str())
        .bind(who.user.subject.as_str())
        .bind(now.0)
        .bind(running_since(now))
        .bind(before.unwrap_or(Uuid::max()).to_string())
        .bind(max)
        .fetch_all(rest.readers())
        .await?;
    rest.consents(&found).await
}

pub(super) async fn ended(
    rest: &Rest,
    who: &TenantUser,
    max: u32,
    now: Timestamp,
) -> Result<Vec<ConsentRow>, StoreError> {
    let text = format!(
        "{CONSENTS} WHERE {OF_USER} AND {READABLE} AND NOT {HELD} ORDER BY id DESC LIMIT ?6"
    );
    let found = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(who.tenant.as_str())
        .bind(who.user.issuer.as_str())
        .bind(who.user.subject.as_str())
        .bind(now.0)
        .bind(running_since(now))
        .bind(max)
        .fetch_all(rest.readers())
        .await?;
    rest.consents(&found).await
}

pub(super) async fn counted(
    readers: &SqlitePool,
    who: &TenantUser,
    now: Timestamp,
) -> Result<Vec<Holding>, StoreError> {
    let text = format!(
        "SELECT client_id, tool, publisher, COUNT(*) AS given FROM consent \
         WHERE {OF_USER} AND {HELD} AND state <> 'denied' GROUP BY client_id, tool, publisher"
    );
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(who.tenant.as_str())
        .bind(who.user.issuer.as_str())
        .bind(who.user.subject.as_str())
        .bind(now.0)
        .bind(running_since(now))
        .fetch_all(readers)
        .await?
        .iter()
        .map(holding)
        .collect()
}

fn holding(row: &SqliteRow) -> Result<Holding, StoreError> {
    const TABLE: &str = "consent";
    Ok(Holding {
        client: rows::parsed(row, TABLE, "client_id")?,
        tool: rows::parsed(row, TABLE, "tool")?,
        publisher: rows::parsed(row, TABLE, "publisher")?,
        given: row.try_get("given")?,
    })
}

pub(super) async fn decided(
    rest: &Rest,
    who: &TenantUser,
    ticket: Digest,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE ticket = ?4 AND tenant = ?1 AND iss = ?2 AND sub = ?3 ORDER BY id"
    ))
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(ticket.to_string())
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn of_sign_in(
    rest: &Rest,
    who: &TenantUser,
    sign_in: Option<Digest>,
    now: Timestamp,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(
        consent_rows!("WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND scope = 'session' \
         AND (?4 IS NULL OR sign_in = ?4) AND state IN ('active', 'suspended') AND expires_at > ?5 ORDER BY id"),
    )
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(sign_in.map(|digest| digest.to_string()))
    .bind(now.0)
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}
