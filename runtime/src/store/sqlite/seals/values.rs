//! The values, and what of them hangs on which key.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::super::super::StoreError;
use super::super::super::seals::{Hanging, Kept, KeyState, Most, SealedRow, TenantKey};
use super::super::rows::{count, parsed, time};
use super::{keys, tenant_id, version};
use crate::clock::Timestamp;
use crate::ids::Tenant;

/// Values that have ended are forgotten so many at a time, so that nobody waits for all of them.
const PRUNE_BATCH: u32 = 1_000;

/// What became of the tenant's key of this version; none when there is none.
async fn state(
    connection: &mut SqliteConnection,
    tenant: i64,
    version: u32,
) -> Result<Option<KeyState>, StoreError> {
    let row = sqlx::query(
        "SELECT state FROM seal_key WHERE tenant = ? AND purpose = 'value' AND version = ?",
    )
    .bind(tenant)
    .bind(version)
    .fetch_optional(connection)
    .await?;
    let state = |row: &SqliteRow| parsed(row, "seal_key", "state");
    row.as_ref().map(state).transpose()
}

pub(super) async fn keep(
    writer: &SqlitePool,
    of: &Tenant,
    (first, key_version): (u32, u32),
    rows: &[SealedRow],
    most: Most,
) -> Result<Kept, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let Some(tenant) = tenant_id(&mut tx, of).await? else {
        return Ok(Kept::NoKey);
    };
    if state(&mut tx, tenant, first).await? == Some(KeyState::Erased) {
        return Ok(Kept::NotActive(KeyState::Erased));
    }
    match state(&mut tx, tenant, key_version).await? {
        Some(KeyState::Active) => {}
        Some(other) => return Ok(Kept::NotActive(other)),
        None => return Ok(Kept::NoKey),
    }
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let counted =
        sqlx::query("UPDATE seal_tenant SET kept = kept + ?1 WHERE id = ?2 AND kept <= ?3 - ?1")
            .bind(more)
            .bind(tenant)
            .bind(number(most.tenant))
            .execute(&mut *tx)
            .await?;
    if counted.rows_affected() == 0 {
        return Ok(Kept::Full);
    }
    let mut of_packages: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for row in rows {
        let package = (row.publisher.as_str(), row.package.as_str());
        *of_packages.entry(package).or_default() += 1;
    }
    for ((publisher, package), more) in of_packages {
        let counted = sqlx::query(
            "INSERT INTO seal_package (tenant, publisher, package, kept) SELECT ?1, ?2, ?3, ?4 WHERE ?4 <= ?5 \
             ON CONFLICT DO UPDATE SET kept = kept + ?4 WHERE kept <= ?5 - ?4",
        )
        .bind(tenant)
        .bind(publisher)
        .bind(package)
        .bind(more)
        .bind(number(most.package))
        .execute(&mut *tx)
        .await?;
        if counted.rows_affected() == 0 {
            return Ok(Kept::PackageFull);
        }
    }
    for row in rows {
        sqlx::query(
            "INSERT INTO seal_value (id, tenant, key_version, data_key, publisher, package, field, class, equal, made_at, \
             expires_at, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id.as_slice())
        .bind(tenant)
        .bind(key_version)
        .bind(&row.data_key)
        .bind(row.publisher.as_str())
        .bind(row.package.as_str())
        .bind(&row.field)
        .bind(row.class.as_str())
        .bind(row.equal)
        .bind(row.made_at.0)
        .bind(row.expires_at.0)
        .bind(&row.value)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Kept::Done)
}

/// A bound as SQLite counts.
fn number(bound: u64) -> i64 {
    i64::try_from(bound).unwrap_or(i64::MAX)
}

fn value(id: &[u8; 16], row: &SqliteRow) -> Result<SealedRow, StoreError> {
    Ok(SealedRow {
        id: *id,
        tenant: parsed(row, "seal_tenant", "tenant")?,
        publisher: parsed(row, "seal_value", "publisher")?,
        package: parsed(row, "seal_value", "package")?,
        field: row.try_get("field")?,
        class: parsed(row, "seal_value", "class")?,
        equal: row.try_get("equal")?,
        key_version: version(row, "key_version")?,
        data_key: row.try_get("data_key")?,
        value: row.try_get("value")?,
        made_at: time(row, "kept_at")?,
        expires_at: time(row, "expires_at")?,
    })
}

pub(super) async fn find(
    readers: &SqlitePool,
    id: &[u8; 16],
) -> Result<Option<(SealedRow, TenantKey)>, StoreError> {
    // One statement sees one moment: between two, a value could be moved to another key, and this one destroyed.
    let row = sqlx::query(
        "SELECT t.tenant, v.publisher, v.package, v.field, v.class, v.equal, v.key_version, v.data_key, v.value, \
         v.made_at AS kept_at, v.expires_at, k.purpose, k.version, k.state, k.provider_key, k.wrapped, k.made_at, k.retired_at, \
         k.destroyed_at FROM seal_value v JOIN seal_tenant t ON t.id = v.tenant \
         LEFT JOIN seal_key k ON k.tenant = v.tenant AND k.purpose = 'value' AND k.version = v.key_version WHERE v.id = ?",
    )
    .bind(id.as_slice())
    .fetch_optional(readers)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<Option<&str>, _>("purpose")?.is_none() {
        return Err(StoreError::Corrupt {
            table: "seal_value",
            column: "key_version",
        });
    }
    Ok(Some((value(id, &row)?, keys::key(&row)?)))
}

pub(super) async fn hanging(
    readers: &SqlitePool,
    tenant: &Tenant,
    key_version: u32,
) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS number FROM seal_value WHERE tenant = (SELECT id FROM seal_tenant WHERE tenant = ?) AND key_version = ?",
    )
    .bind(tenant.as_str())
    .bind(key_version)
    .fetch_one(readers)
    .await?;
    count(&row, "seal_value", "number")
}

pub(super) async fn hanging_behind(
    readers: &SqlitePool,
    tenant: &Tenant,
    key_version: u32,
    place: i64,
    max: u32,
) -> Result<Vec<Hanging>, StoreError> {
    let rows = sqlx::query(
        "SELECT place, id, data_key FROM seal_value WHERE tenant = (SELECT id FROM seal_tenant WHERE tenant = ?) \
         AND key_version = ? AND place > ? ORDER BY place LIMIT ?",
    )
    .bind(tenant.as_str())
    .bind(key_version)
    .bind(place)
    .bind(max)
    .fetch_all(readers)
    .await?;
    let hanging = |row: &SqliteRow| {
        let id: &[u8] = row.try_get("id")?;
        Ok(Hanging {
            place: row.try_get("place")?,
            id: id.try_into().map_err(|_| StoreError::Corrupt {
                table: "seal_value",
                column: "id",
            })?,
            data_key: row.try_get("data_key")?,
        })
    };
    rows.iter().map(hanging).collect()
}

pub(super) async fn rehang(
    writer: &SqlitePool,
    of: &Tenant,
    from: u32,
    to: u32,
    moved: &[Hanging],
) -> Result<Option<u64>, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let Some(tenant) = tenant_id(&mut tx, of).await? else {
        return Ok(None);
    };
    if state(&mut tx, tenant, to).await? != Some(KeyState::Active) {
        return Ok(None);
    }
    // What was erased meanwhile hangs on nothing any more, also where its key is still in somebody's memory.
    if state(&mut tx, tenant, from).await? == Some(KeyState::Erased) {
        return Ok(Some(0));
    }
    let mut done = 0;
    for one in moved {
        // A place is given again when its value has ended, a name is not.
        let updated = sqlx::query(
            "UPDATE seal_value SET data_key = ?, key_version = ? WHERE place = ? AND id = ? AND tenant = ? AND key_version = ?",
        )
        .bind(&one.data_key)
        .bind(to)
        .bind(one.place)
        .bind(one.id.as_slice())
        .bind(tenant)
        .bind(from)
        .execute(&mut *tx)
        .await?;
        done += updated.rows_affected();
    }
    tx.commit().await?;
    Ok(Some(done))
}

pub(super) async fn prune(writer: &SqlitePool, now: Timestamp) -> Result<u64, StoreError> {
    let mut gone = 0;
    loop {
        match prune_some(writer, now).await? {
            0 => return Ok(gone),
            some => gone += some,
        }
    }
}

async fn prune_some(writer: &SqlitePool, now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let rows = sqlx::query(
        "DELETE FROM seal_value WHERE place IN (SELECT place FROM seal_value WHERE expires_at <= ? LIMIT ?) \
         RETURNING tenant, key_version, publisher, package",
    )
    .bind(now.0)
    .bind(PRUNE_BATCH)
    .fetch_all(&mut *tx)
    .await?;
    let mut ended: BTreeMap<(i64, u32, &str, &str), i64> = BTreeMap::new();
    for row in &rows {
        let (publisher, package) = (row.try_get("publisher")?, row.try_get("package")?);
        let key = (
            row.try_get("tenant")?,
            version(row, "key_version")?,
            publisher,
            package,
        );
        *ended.entry(key).or_default() += 1;
    }
    for ((tenant, version, publisher, package), number) in ended {
        // What hung on a key that was erased is not counted any more.
        if state(&mut tx, tenant, version).await? == Some(KeyState::Erased) {
            continue;
        }
        sqlx::query("UPDATE seal_tenant SET kept = MAX(kept - ?, 0) WHERE id = ?")
            .bind(number)
            .bind(tenant)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE seal_package SET kept = MAX(kept - ?, 0) WHERE tenant = ? AND publisher = ? AND package = ?",
        )
        .bind(number)
        .bind(tenant)
        .bind(publisher)
        .bind(package)
        .execute(&mut *tx)
        .await?;
    }
    // A package that has none left leaves nothing.
    sqlx::query("DELETE FROM seal_package WHERE kept = 0")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}
