//! Sign-ins, sessions, nonces and secrets.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::types::Json;
use zeroize::Zeroizing;

use super::super::{Applied, NOT_SEEN, OverSession, SecretBytes, Session, StoreError};
use super::bodies::{FLOW, SECRET, SESSION, from_text, signed_in};
use super::rest::{Body, Rest};
use super::rows;
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant, TenantUser};

/// How long an expired question is remembered, in milliseconds: whoever opens a stale link is told that it is stale.
const TICKET_KEPT_MS: i64 = 24 * 3600 * 1000;
/// How long it is kept that somebody else opened a question: a user who looks once a month still sees it.
const FOREIGN_VISIT_KEPT_MS: i64 = 90 * 24 * 3600 * 1000;
/// How long it is kept since when a client is unread, in milliseconds: no consent that it concerns lives longer.
const CLIENT_UNREAD_KEPT_MS: i64 = 90 * 24 * 3600 * 1000;

pub(super) async fn insert_flow(
    rest: &Rest,
    state_hash: Digest,
    data: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    rest.ready(None).await?;
    let mut tx = rest.writer().begin_with("BEGIN IMMEDIATE").await?;
    let inserted =
        sqlx::query("INSERT INTO sign_in_flow (state_hash, data, expires_at) VALUES (?, ?, ?)")
            .bind(state_hash.to_string())
            .bind(if rest.is_sealed() { "" } else { data })
            .bind(expires_at.0)
            .execute(&mut *tx)
            .await?;
    if rest.is_sealed() {
        let row_id = inserted.last_insert_rowid();
        rest.put(&mut tx, &FLOW, row_id, data.as_bytes()).await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn take_flow(
    rest: &Rest,
    state_hash: Digest,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query(
        "SELECT *, '' AS owner FROM sign_in_flow LEFT JOIN rest_key ON key_tenant = '' AND key_version = body_key \
         WHERE state_hash = ?",
    )
    .bind(state_hash.to_string())
    .fetch_optional(rest.readers())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let body = rest.body(&FLOW, &row).await?;
    // Whoever removes it has it: what was read before counts for nobody else.
    let taken = sqlx::query("DELETE FROM sign_in_flow WHERE state_hash = ?")
        .bind(state_hash.to_string())
        .execute(rest.writer())
        .await?
        .rows_affected();
    if taken != 1 || rows::time(&row, "expires_at")? <= now {
        return Ok(None);
    }
    match body {
        Body::Clear => Ok(Some(row.try_get("data")?)),
        Body::Open(plain) => from_text(&plain, "sign_in_flow").map(Some),
        Body::Erased => Ok(None),
    }
}

pub(super) async fn insert_session(rest: &Rest, session: &Session) -> Result<(), StoreError> {
    rest.ready(Some(&session.who.tenant)).await?;
    let clear = Some(session).filter(|_| !rest.is_sealed());
    let amr = clear
        .map(|session| session.amr.as_slice())
        .unwrap_or_default();
    let mut tx = rest.writer().begin_with("BEGIN IMMEDIATE").await?;
    let inserted = sqlx::query(
        "INSERT INTO browser_session (id_hash, sign_in, tenant, iss, sub, auth_time, acr, amr, created_at, seen_at, \
         expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(session.id_hash.to_string())
    .bind(session.sign_in.to_string())
    .bind(session.who.tenant.as_str())
    .bind(session.who.user.issuer.as_str())
    .bind(session.who.user.subject.as_str())
    .bind(clear.and_then(|session| session.auth_time).map(|at| at.0))
    .bind(clear.and_then(|session| session.acr.as_deref()))
    .bind(Json(amr))
    .bind(session.created_at.0)
    .bind(session.seen_at.0)
    .bind(session.expires_at.0)
    .execute(&mut *tx)
    .await?;
    if rest.is_sealed() {
        let row_id = inserted.last_insert_rowid();
        rest.put(&mut tx, &SESSION, row_id, &signed_in(session)?)
            .await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn session(
    rest: &Rest,
    id_hash: Digest,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    const TABLE: &str = "browser_session";
    let row = sqlx::query(
        "SELECT *, tenant AS owner FROM browser_session LEFT JOIN rest_key ON key_tenant = tenant AND key_version = body_key \
         WHERE id_hash = ? AND expires_at > ?",
    )
    .bind(id_hash.to_string())
    .bind(now.0)
    .fetch_optional(rest.readers())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let session = Session {
        id_hash,
        sign_in: rows::parsed(&row, TABLE, "sign_in")?,
        who: TenantUser {
            tenant: rows::parsed(&row, TABLE, "tenant")?,
            user: rows::user(&row, TABLE)?,
        },
        // What its body holds.
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        created_at: rows::time(&row, "created_at")?,
        seen_at: rows::time(&row, "seen_at")?,
        expires_at: rows::time(&row, "expires_at")?,
    };
    rest.session(&row, session).await
}

pub(super) async fn see_session(
    writer: &SqlitePool,
    id_hash: Digest,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE browser_session SET seen_at = ? WHERE id_hash = ? AND seen_at <> ?")
        .bind(now.0)
        .bind(id_hash.to_string())
        .bind(NOT_SEEN.0)
        .execute(writer)
        .await?;
    Ok(())
}

/// Ends a session that was not used for too long.
pub(super) async fn expire(
    connection: &mut SqliteConnection,
    id: Digest,
) -> Result<Applied, StoreError> {
    let ended =
        sqlx::query("UPDATE browser_session SET seen_at = ?1 WHERE id_hash = ?2 AND seen_at <> ?1")
            .bind(NOT_SEEN.0)
            .bind(id.to_string())
            .execute(connection)
            .await?
            .rows_affected();
    Ok(match ended {
        1 => Applied::Done,
        _ => Applied::Refused,
    })
}

pub(super) async fn delete_session(
    writer: &SqlitePool,
    id_hash: Digest,
) -> Result<bool, StoreError> {
    let gone = sqlx::query("DELETE FROM browser_session WHERE id_hash = ?")
        .bind(id_hash.to_string())
        .execute(writer)
        .await?
        .rows_affected();
    Ok(gone == 1)
}

/// At most `max` sessions that are over for their age.
pub(super) async fn over_sessions(
    readers: &SqlitePool,
    now: Timestamp,
    max: u32,
) -> Result<Vec<OverSession>, StoreError> {
    const TABLE: &str = "browser_session";
    let rows = sqlx::query(
        "SELECT id_hash, tenant, iss, sub, seen_at FROM browser_session WHERE expires_at <= ? LIMIT ?",
    )
    .bind(now.0)
    .bind(max)
    .fetch_all(readers)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(OverSession {
            id_hash: rows::parsed(row, TABLE, "id_hash")?,
            who: TenantUser {
                tenant: rows::parsed(row, TABLE, "tenant")?,
                user: rows::user(row, TABLE)?,
            },
            seen_at: rows::time(row, "seen_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Forgets sessions that are over for their age: all of these, or none.
pub(super) async fn forget_over(
    connection: &mut SqliteConnection,
    ids: &[(Digest, Timestamp)],
    at: Timestamp,
) -> Result<Applied, StoreError> {
    for (id, seen_at) in ids {
        let text =
            "DELETE FROM browser_session WHERE id_hash = ? AND seen_at = ? AND expires_at <= ?";
        let gone = sqlx::query(text)
            .bind(id.to_string())
            .bind(seen_at.0)
            .bind(at.0)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        if gone != 1 {
            return Ok(Applied::Refused);
        }
    }
    Ok(Applied::Done)
}

pub(super) async fn consume_nonce(
    writer: &SqlitePool,
    tenant: &Tenant,
    nonce: Digest,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let first = sqlx::query(
        "INSERT INTO used_nonce (tenant, nonce, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(nonce.to_string())
    .bind(expires_at.0)
    .execute(writer)
    .await?
    .rows_affected();
    Ok(first == 1)
}

pub(super) async fn secret(
    rest: &Rest,
    tenant: Option<&Tenant>,
    name: &str,
    candidate: SecretBytes,
) -> Result<SecretBytes, StoreError> {
    // What was kept first never changes, so reading it apart from the insertion is safe.
    if let Some(kept) = kept_secret(rest, tenant, name).await? {
        return Ok(kept);
    }
    rest.ready(tenant).await?;
    let clear = if rest.is_sealed() {
        &[]
    } else {
        candidate.as_slice()
    };
    let mut tx = rest.writer().begin_with("BEGIN IMMEDIATE").await?;
    let inserted = sqlx::query(
        "INSERT INTO secret (tenant, name, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.map_or("", Tenant::as_str))
    .bind(name)
    .bind(clear)
    .execute(&mut *tx)
    .await?;
    if rest.is_sealed() && inserted.rows_affected() == 1 {
        let row_id = inserted.last_insert_rowid();
        rest.put(&mut tx, &SECRET, row_id, candidate.as_slice())
            .await?;
    }
    tx.commit().await?;
    let kept = kept_secret(rest, tenant, name).await?;
    // Its tenant's keys were destroyed in this moment.
    kept.ok_or(StoreError::Changing)
}

pub(super) async fn kept_secret(
    rest: &Rest,
    tenant: Option<&Tenant>,
    name: &str,
) -> Result<Option<SecretBytes>, StoreError> {
    let row = sqlx::query(
        "SELECT *, tenant AS owner FROM secret LEFT JOIN rest_key ON key_tenant = tenant AND key_version = body_key \
         WHERE tenant = ? AND name = ?",
    )
    .bind(tenant.map_or("", Tenant::as_str))
    .bind(name)
    .fetch_optional(rest.readers())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let kept = match rest.body(&SECRET, &row).await? {
        Body::Clear => Zeroizing::new(row.try_get("value")?),
        Body::Open(plain) => plain,
        Body::Erased => return Ok(None),
    };
    let mut secret = SecretBytes::default();
    if kept.len() != secret.len() {
        return Err(StoreError::Corrupt {
            table: "secret",
            column: "value",
        });
    }
    secret.copy_from_slice(&kept);
    Ok(Some(secret))
}

pub(super) async fn prune(writer: &SqlitePool, now: Timestamp) -> Result<u64, StoreError> {
    let statements = [
        ("DELETE FROM used_nonce WHERE expires_at <= ?", now.0),
        ("DELETE FROM sign_in_flow WHERE expires_at <= ?", now.0),
        (
            "DELETE FROM ticket WHERE expires_at <= ?",
            now.0.saturating_sub(TICKET_KEPT_MS),
        ),
        (
            "DELETE FROM foreign_visit WHERE last_at <= ?",
            now.0.saturating_sub(FOREIGN_VISIT_KEPT_MS),
        ),
        (
            "DELETE FROM client_unread WHERE since <= ?",
            now.0.saturating_sub(CLIENT_UNREAD_KEPT_MS),
        ),
    ];
    let mut gone = 0;
    for (statement, until) in statements {
        gone += sqlx::query(statement)
            .bind(until)
            .execute(writer)
            .await?
            .rows_affected();
    }
    Ok(gone)
}
