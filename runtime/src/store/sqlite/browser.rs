//! Sign-ins, sessions, nonces and secrets.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;
use sqlx::types::Json;

use super::super::{Session, StoreError};
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
    writer: &SqlitePool,
    state_hash: Digest,
    data: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO sign_in_flow (state_hash, data, expires_at) VALUES (?, ?, ?)")
        .bind(state_hash.to_string())
        .bind(data)
        .bind(expires_at.0)
        .execute(writer)
        .await?;
    Ok(())
}

pub(super) async fn take_flow(
    writer: &SqlitePool,
    state_hash: Digest,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let taken =
        sqlx::query("DELETE FROM sign_in_flow WHERE state_hash = ? RETURNING data, expires_at")
            .bind(state_hash.to_string())
            // All rows, so that the statement is run to its end.
            .fetch_all(writer)
            .await?;
    let Some(row) = taken.first() else {
        return Ok(None);
    };
    let alive = rows::time(row, "expires_at")? > now;
    Ok(alive.then(|| row.try_get("data")).transpose()?)
}

pub(super) async fn insert_session(
    writer: &SqlitePool,
    session: &Session,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO browser_session (id_hash, sign_in, tenant, iss, sub, auth_time, acr, amr, created_at, seen_at, \
         expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(session.id_hash.to_string())
    .bind(session.sign_in.to_string())
    .bind(session.who.tenant.as_str())
    .bind(session.who.user.issuer.as_str())
    .bind(session.who.user.subject.as_str())
    .bind(session.auth_time.map(|at| at.0))
    .bind(session.acr.as_deref())
    .bind(Json(&session.amr))
    .bind(session.created_at.0)
    .bind(session.seen_at.0)
    .bind(session.expires_at.0)
    .execute(writer)
    .await?;
    Ok(())
}

pub(super) async fn session(
    readers: &SqlitePool,
    id_hash: Digest,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    sqlx::query("SELECT * FROM browser_session WHERE id_hash = ? AND expires_at > ?")
        .bind(id_hash.to_string())
        .bind(now.0)
        .fetch_optional(readers)
        .await?
        .map(|row| {
            Ok(Session {
                id_hash,
                sign_in: rows::parsed(&row, "browser_session", "sign_in")?,
                who: TenantUser {
                    tenant: rows::parsed(&row, "browser_session", "tenant")?,
                    user: rows::user(&row, "browser_session")?,
                },
                auth_time: rows::time_if_any(&row, "auth_time")?,
                acr: row.try_get("acr")?,
                amr: row.try_get::<Json<_>, _>("amr")?.0,
                created_at: rows::time(&row, "created_at")?,
                seen_at: rows::time(&row, "seen_at")?,
                expires_at: rows::time(&row, "expires_at")?,
            })
        })
        .transpose()
}

pub(super) async fn see_session(
    writer: &SqlitePool,
    id_hash: Digest,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE browser_session SET seen_at = ? WHERE id_hash = ?")
        .bind(now.0)
        .bind(id_hash.to_string())
        .execute(writer)
        .await?;
    Ok(())
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
    writer: &SqlitePool,
    tenant: Option<&Tenant>,
    name: &str,
    candidate: [u8; 32],
) -> Result<[u8; 32], StoreError> {
    let tenant = tenant.map_or("", Tenant::as_str);
    sqlx::query("INSERT INTO secret (tenant, name, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(tenant)
        .bind(name)
        .bind(candidate.as_slice())
        .execute(writer)
        .await?;
    // What was kept first never changes, so reading it apart from the insertion is safe.
    let kept: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM secret WHERE tenant = ? AND name = ?")
            .bind(tenant)
            .bind(name)
            .fetch_one(writer)
            .await?;
    kept.try_into().map_err(|_| StoreError::Corrupt {
        table: "secret",
        column: "value",
    })
}

pub(super) async fn prune(writer: &SqlitePool, now: Timestamp) -> Result<u64, StoreError> {
    let statements = [
        ("DELETE FROM used_nonce WHERE expires_at <= ?", now.0),
        ("DELETE FROM sign_in_flow WHERE expires_at <= ?", now.0),
        ("DELETE FROM browser_session WHERE expires_at <= ?", now.0),
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
