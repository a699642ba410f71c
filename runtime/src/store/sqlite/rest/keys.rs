//! The keys of a file as they stand in it.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::super::super::StoreError;
use super::super::super::rest::{RestPlace, RestStanding};
use super::super::super::seals::WrappedKey;
use super::super::rows::{parsed, time, time_if_any};
use crate::clock::Timestamp;
use crate::ids::Tenant;

const TABLE: &str = "rest_key";

/// How an owner stands in the file.
pub(super) fn name(tenant: Option<&Tenant>) -> &str {
    tenant.map_or("", Tenant::as_str)
}

fn place(file: &'static str, row: &SqliteRow) -> Result<RestPlace, StoreError> {
    Ok(RestPlace {
        file,
        tenant: match row.try_get::<&str, _>("key_tenant")? {
            "" => None,
            _ => Some(parsed(row, TABLE, "key_tenant")?),
        },
        version: row.try_get("key_version")?,
    })
}

fn wrapped(row: &SqliteRow) -> Result<Option<WrappedKey>, StoreError> {
    let provider_key: Option<String> = row.try_get("key_provider")?;
    let bytes: Option<Vec<u8>> = row.try_get("key_wrapped")?;
    let both = provider_key.zip(bytes);
    Ok(both.map(|(provider_key, bytes)| WrappedKey {
        provider_key,
        bytes,
    }))
}

/// The key of an owner for new rows.
pub(super) async fn active(
    connection: &mut SqliteConnection,
    file: &'static str,
    tenant: Option<&Tenant>,
) -> Result<Option<(RestPlace, WrappedKey)>, StoreError> {
    let row = sqlx::query("SELECT * FROM rest_key WHERE key_tenant = ? AND key_state = 'active'")
        .bind(name(tenant))
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(wrapped) = wrapped(&row)? else {
        return Ok(None);
    };
    Ok(Some((place(file, &row)?, wrapped)))
}

/// One key that is there for each key of a provider.
pub(super) async fn of_each_provider(
    readers: &SqlitePool,
    file: &'static str,
) -> Result<Vec<(RestPlace, WrappedKey)>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM rest_key WHERE key_id IN (SELECT MIN(key_id) FROM rest_key WHERE key_wrapped IS NOT NULL \
         GROUP BY key_provider) ORDER BY key_id",
    )
    .fetch_all(readers)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(wrapped) = wrapped(row)? {
            all.push((place(file, row)?, wrapped));
        }
    }
    Ok(all)
}

pub(super) async fn next_version(
    readers: &SqlitePool,
    tenant: Option<&Tenant>,
) -> Result<u32, StoreError> {
    let next = sqlx::query_scalar(NEXT).bind(name(tenant));
    Ok(next.fetch_one(readers).await?)
}

const NEXT: &str = "SELECT COALESCE(MAX(key_version), 0) + 1 FROM rest_key WHERE key_tenant = ?";

/// Adds the key for new rows in the place of `instead_of`, which is retired, or where there is none.
pub(super) async fn add(
    writer: &SqlitePool,
    place: &RestPlace,
    wrapped: &WrappedKey,
    instead_of: Option<u32>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let tenant = name(place.tenant.as_ref());
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let next: u32 = sqlx::query_scalar(NEXT)
        .bind(tenant)
        .fetch_one(&mut *tx)
        .await?;
    let active: Option<u32> = sqlx::query_scalar(
        "SELECT key_version FROM rest_key WHERE key_tenant = ? AND key_state = 'active'",
    )
    .bind(tenant)
    .fetch_optional(&mut *tx)
    .await?;
    if active != instead_of || next != place.version {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE rest_key SET key_state = 'retired', key_retired_at = ? WHERE key_tenant = ? AND key_state = 'active'",
    )
    .bind(now.0)
    .bind(tenant)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO rest_key (key_tenant, key_version, key_state, key_provider, key_wrapped, key_made_at) \
         VALUES (?, ?, 'active', ?, ?, ?)",
    )
    .bind(tenant)
    .bind(place.version)
    .bind(&wrapped.provider_key)
    .bind(&wrapped.bytes)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Every key, without what hangs on it.
pub(super) async fn all(
    readers: &SqlitePool,
    file: &'static str,
) -> Result<Vec<RestStanding>, StoreError> {
    let rows = sqlx::query("SELECT * FROM rest_key ORDER BY key_id")
        .fetch_all(readers)
        .await?;
    let standing = |row: &SqliteRow| {
        Ok(RestStanding {
            place: place(file, row)?,
            state: parsed(row, TABLE, "key_state")?,
            wrapped: wrapped(row)?,
            made_at: time(row, "key_made_at")?,
            retired_at: time_if_any(row, "key_retired_at")?,
            destroyed_at: time_if_any(row, "key_destroyed_at")?,
            rows: 0,
        })
    };
    rows.iter().map(standing).collect()
}

/// Puts another encryption of the same key in the place of the one that was read; `false` when it is not that any more.
pub(super) async fn rewrap(
    writer: &SqlitePool,
    place: &RestPlace,
    (before, after): (&WrappedKey, &WrappedKey),
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE rest_key SET key_provider = ?, key_wrapped = ? WHERE key_tenant = ? AND key_version = ? AND key_wrapped = ?",
    )
    .bind(&after.provider_key)
    .bind(&after.bytes)
    .bind(name(place.tenant.as_ref()))
    .bind(place.version)
    .bind(&before.bytes)
    .execute(writer)
    .await?;
    Ok(done.rows_affected() == 1)
}
