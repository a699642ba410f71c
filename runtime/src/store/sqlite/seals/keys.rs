//! The keys of tenants.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::super::super::StoreError;
use super::super::super::seals::{Erased, KeyState, Purpose, TenantKey, WrappedKey};
use super::super::rows::{count, parsed, time, time_if_any};
use super::{tenant_id, version};
use crate::clock::Timestamp;
use crate::ids::Tenant;

/// A statement that reads keys.
macro_rules! keys {
    ($where:literal) => {
        concat!(
            "SELECT k.id AS place, t.tenant, k.purpose, k.version, k.state, k.provider_key, k.wrapped, k.made_at, k.retired_at, \
             k.destroyed_at FROM seal_key k JOIN seal_tenant t ON t.id = k.tenant WHERE ",
            $where
        )
    };
}

pub(super) fn key(row: &SqliteRow) -> Result<TenantKey, StoreError> {
    let provider_key: Option<String> = row.try_get("provider_key")?;
    let bytes: Option<Vec<u8>> = row.try_get("wrapped")?;
    let wrapped = match (provider_key, bytes) {
        (Some(provider_key), Some(bytes)) => Some(WrappedKey {
            provider_key,
            bytes,
        }),
        (None, None) => None,
        _ => {
            return Err(StoreError::Corrupt {
                table: "seal_key",
                column: "wrapped",
            });
        }
    };
    Ok(TenantKey {
        tenant: parsed(row, "seal_tenant", "tenant")?,
        purpose: parsed(row, "seal_key", "purpose")?,
        version: version(row, "version")?,
        state: parsed(row, "seal_key", "state")?,
        wrapped,
        made_at: time(row, "made_at")?,
        retired_at: time_if_any(row, "retired_at")?,
        destroyed_at: time_if_any(row, "destroyed_at")?,
    })
}

pub(super) async fn active(
    readers: &SqlitePool,
    tenant: &Tenant,
) -> Result<Vec<TenantKey>, StoreError> {
    // One statement sees one moment.
    let rows = sqlx::query(keys!("t.tenant = ? AND k.state = 'active'"))
        .bind(tenant.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter().map(key).collect()
}

pub(super) async fn of(
    readers: &SqlitePool,
    tenant: &Tenant,
) -> Result<Vec<TenantKey>, StoreError> {
    let rows = sqlx::query(keys!("t.tenant = ? ORDER BY k.id"))
        .bind(tenant.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter().map(key).collect()
}

pub(super) async fn next_version(
    reader: &mut SqliteConnection,
    tenant: &Tenant,
    purpose: Purpose,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT COALESCE(MAX(k.version), 0) + 1 AS version FROM seal_key k JOIN seal_tenant t ON t.id = k.tenant \
         WHERE t.tenant = ? AND k.purpose = ?",
    )
    .bind(tenant.as_str())
    .bind(purpose.as_str())
    .fetch_one(reader)
    .await?;
    version(&row, "version")
}

pub(super) async fn add(
    writer: &SqlitePool,
    new: &TenantKey,
    instead_of: Option<u32>,
) -> Result<bool, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO seal_tenant (tenant) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(new.tenant.as_str())
        .execute(&mut *tx)
        .await?;
    let Some(tenant) = tenant_id(&mut tx, &new.tenant).await? else {
        return Ok(false);
    };
    let active: Option<u32> = sqlx::query_scalar(
        "SELECT version FROM seal_key WHERE tenant = ? AND purpose = ? AND state = 'active'",
    )
    .bind(tenant)
    .bind(new.purpose.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let next = next_version(&mut tx, &new.tenant, new.purpose).await?;
    if active != instead_of || next != new.version {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE seal_key SET state = 'retired', retired_at = ? WHERE tenant = ? AND purpose = ? AND state = 'active'",
    )
    .bind(new.made_at.0)
    .bind(tenant)
    .bind(new.purpose.as_str())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO seal_key (tenant, purpose, version, state, provider_key, wrapped, made_at, retired_at, destroyed_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(tenant)
    .bind(new.purpose.as_str())
    .bind(new.version)
    .bind(new.state.as_str())
    .bind(new.wrapped.as_ref().map(|one| one.provider_key.as_str()))
    .bind(new.wrapped.as_ref().map(|one| one.bytes.as_slice()))
    .bind(new.made_at.0)
    .bind(new.retired_at.map(|at| at.0))
    .bind(new.destroyed_at.map(|at| at.0))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn behind(
    readers: &SqlitePool,
    place: i64,
    max: u32,
) -> Result<Vec<(i64, TenantKey)>, StoreError> {
    let rows = sqlx::query(keys!("k.id > ? ORDER BY k.id LIMIT ?"))
        .bind(place)
        .bind(max)
        .fetch_all(readers)
        .await?;
    let one = |row: &SqliteRow| Ok((row.try_get("place")?, key(row)?));
    rows.iter().map(one).collect()
}

pub(super) async fn of_each_provider(
    readers: &SqlitePool,
    max: u32,
) -> Result<Vec<TenantKey>, StoreError> {
    let rows = sqlx::query(keys!(
        "k.id IN (SELECT MIN(id) FROM seal_key WHERE wrapped IS NOT NULL GROUP BY provider_key) ORDER BY k.id LIMIT ?"
    ))
    .bind(max)
    .fetch_all(readers)
    .await?;
    rows.iter().map(key).collect()
}

pub(super) async fn rewrap(
    writer: &SqlitePool,
    read: &TenantKey,
    wrapped: &WrappedKey,
) -> Result<bool, StoreError> {
    let before = read.wrapped.as_ref().map(|one| one.bytes.as_slice());
    let done = sqlx::query(
        "UPDATE seal_key SET provider_key = ?, wrapped = ? WHERE tenant = (SELECT id FROM seal_tenant WHERE tenant = ?) \
         AND purpose = ? AND version = ? AND wrapped = ?",
    )
    .bind(&wrapped.provider_key)
    .bind(&wrapped.bytes)
    .bind(read.tenant.as_str())
    .bind(read.purpose.as_str())
    .bind(read.version)
    .bind(before)
    .execute(writer)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn drop_unused(
    writer: &SqlitePool,
    tenant: &Tenant,
    version: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // One statement is one transaction: nothing can come to hang on the key between the look and the act.
    let done = sqlx::query(
        "UPDATE seal_key SET provider_key = NULL, wrapped = NULL, destroyed_at = ?3 \
         WHERE tenant = (SELECT id FROM seal_tenant WHERE tenant = ?1) AND purpose = 'value' AND version = ?2 \
         AND state = 'retired' AND wrapped IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM seal_value v WHERE v.tenant = seal_key.tenant AND v.key_version = ?2)",
    )
    .bind(tenant.as_str())
    .bind(version)
    .bind(now.0)
    .execute(writer)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn erase(
    writer: &SqlitePool,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<Erased, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let Some(id) = tenant_id(&mut tx, tenant).await? else {
        return Ok(Erased::default());
    };
    let row = sqlx::query("SELECT kept FROM seal_tenant WHERE id = ?")
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
    let values = count(&row, "seal_tenant", "kept")?;
    let there: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM seal_key WHERE tenant = ? AND wrapped IS NOT NULL",
    )
    .bind(id)
    .fetch_one(&mut *tx)
    .await?;
    // Also those that were destroyed before: what was encrypted under one and is not kept yet shall not be kept any more.
    sqlx::query(
        "UPDATE seal_key SET state = ?1, provider_key = NULL, wrapped = NULL, \
         destroyed_at = COALESCE(destroyed_at, ?2) WHERE tenant = ?3",
    )
    .bind(KeyState::Erased.as_str())
    .bind(now.0)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    // What nobody can open fills no quota.
    sqlx::query("UPDATE seal_tenant SET kept = 0 WHERE id = ?")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM seal_package WHERE tenant = ?")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Erased {
        keys: u64::try_from(there).unwrap_or_default(),
        values,
    })
}
