//! What is kept of the clients through which something was decided.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{Applied, ClientFacts, ClientText, ConsentRow, SeenClient, StoreError};
use super::consent_rows;
use super::rest::Rest;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant};

/// The digest of a client's metadata, as it is kept.
pub(super) fn digest(facts: Option<&ClientFacts>) -> Option<String> {
    Some(facts?.metadata?.to_string())
}

/// Keeps what a client says of itself, once per tenant.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    client: Option<&ClientText>,
) -> Result<(), StoreError> {
    let Some(client) = client else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO client_text (tenant, digest, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(client.digest.to_string())
    .bind(&client.text)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn see(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    ids: &[Uuid],
    seen: &SeenClient,
    client: Option<&ClientText>,
) -> Result<Applied, StoreError> {
    keep(connection, tenant, client).await?;
    for id in ids {
        let noted = sqlx::query(
            "UPDATE consent SET client_seen_at = ?, client_seen_kind = ?, client_seen_hosts = ?, client_seen_metadata = ? \
             WHERE id = ? AND tenant = ? AND state = 'active'",
        )
        .bind(seen.at.0)
        .bind(seen.facts.kind.as_str())
        .bind(Json(&seen.facts.redirect_hosts))
        .bind(digest(Some(&seen.facts)))
        .bind(id.to_string())
        .bind(tenant.as_str())
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if noted != 1 {
            return Ok(Applied::Refused);
        }
    }
    Ok(Applied::Done)
}

pub(super) async fn active(
    rest: &Rest,
    client: &ClientId,
    other_than: Option<&[String]>,
    max: u32,
) -> Result<Vec<ConsentRow>, StoreError> {
    let found = sqlx::query(consent_rows!(
        "WHERE client_id = ?1 AND state = 'active' \
         AND COALESCE(client_seen_kind, client_kind) = 'metadata-document' \
         AND (?2 IS NULL OR COALESCE(client_seen_hosts, client_hosts) <> ?2) ORDER BY id LIMIT ?3"
    ))
    .bind(client.as_str())
    .bind(other_than.map(Json))
    .bind(max)
    .fetch_all(rest.readers())
    .await?;
    rest.consents(&found).await
}

pub(super) async fn note_unread(
    writer: &SqlitePool,
    client: &ClientId,
    at: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    // A client by which nobody agreed to anything leaves no row, so that ids that strangers make up fill nothing.
    sqlx::query(
        "INSERT INTO client_unread (client_id, since) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM consent \
         WHERE client_id = ?1 AND state = 'active' AND COALESCE(client_seen_kind, client_kind) = 'metadata-document') \
         ON CONFLICT DO NOTHING",
    )
    .bind(client.as_str())
    .bind(at.0)
    .execute(&mut *tx)
    .await?;
    let since: Option<i64> =
        sqlx::query_scalar("SELECT since FROM client_unread WHERE client_id = ?")
            .bind(client.as_str())
            .fetch_optional(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(since.map(Timestamp))
}

pub(super) async fn note_read(writer: &SqlitePool, client: &ClientId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM client_unread WHERE client_id = ?")
        .bind(client.as_str())
        .execute(writer)
        .await?;
    Ok(())
}

pub(super) async fn text(
    readers: &SqlitePool,
    tenant: &Tenant,
    digest: Digest,
) -> Result<Option<String>, StoreError> {
    let text = sqlx::query_scalar("SELECT text FROM client_text WHERE tenant = ? AND digest = ?")
        .bind(tenant.as_str())
        .bind(digest.to_string())
        .fetch_optional(readers)
        .await?;
    Ok(text)
}
