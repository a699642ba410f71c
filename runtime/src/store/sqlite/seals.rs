//! Values under encryption, in an SQLite file of its own beside the state: it has its own backups, and what is destroyed in it is
//! overwritten.
//!
//! One connection writes, in transactions that take the write lock when they begin.

mod keys;
mod values;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::super::StoreError;
use super::super::seals::{
    Erased, Hanging, Kept, Most, Purpose, SealedRow, SealedValues, TenantKey, WrappedKey,
};
use super::migrations;
use super::side::{self, Side};
use crate::clock::Timestamp;
use crate::ids::Tenant;

/// What the file is called behind the name of the state file.
const NAME: &str = "sealed";
const FORMATS: &migrations::Formats = &[
    (1, include_str!("seals_0001.sql")),
    (2, include_str!("seals_0002.sql")),
];

/// Values under encryption in an SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteSealedValues(Side);

impl SqliteSealedValues {
    /// The file beside this state file.
    pub fn beside(state: &Path) -> PathBuf {
        side::beside(state, NAME)
    }

    /// Opens the file, makes it when it is missing, and brings it to the newest format.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Side::open(path, NAME, FORMATS).await.map(Self)
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// The writing connection, for tests that damage or block the file.
    #[cfg(test)]
    pub(crate) fn writer(&self) -> &sqlx::SqlitePool {
        &self.0.writer
    }
}

/// The number of a tenant; none when nothing was ever kept for it.
async fn tenant_id(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
) -> Result<Option<i64>, StoreError> {
    let id = sqlx::query_scalar("SELECT id FROM seal_tenant WHERE tenant = ?");
    Ok(id.bind(tenant.as_str()).fetch_optional(connection).await?)
}

fn version(row: &sqlx::sqlite::SqliteRow, column: &'static str) -> Result<u32, StoreError> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| StoreError::Corrupt {
        table: "seal_key",
        column,
    })
}

#[async_trait]
impl SealedValues for SqliteSealedValues {
    async fn active_keys(&self, tenant: &Tenant) -> Result<Vec<TenantKey>, StoreError> {
        keys::active(&self.0.readers, tenant).await
    }

    async fn keys_of(&self, tenant: &Tenant) -> Result<Vec<TenantKey>, StoreError> {
        keys::of(&self.0.readers, tenant).await
    }

    async fn next_version(&self, tenant: &Tenant, purpose: Purpose) -> Result<u32, StoreError> {
        let mut reader = self.0.readers.acquire().await?;
        keys::next_version(&mut reader, tenant, purpose).await
    }

    async fn add_key(&self, key: &TenantKey, instead_of: Option<u32>) -> Result<bool, StoreError> {
        keys::add(&self.0.writer, key, instead_of).await
    }

    async fn keys_behind(&self, place: i64, max: u32) -> Result<Vec<(i64, TenantKey)>, StoreError> {
        keys::behind(&self.0.readers, place, max).await
    }

    async fn key_of_each_provider(&self, max: u32) -> Result<Vec<TenantKey>, StoreError> {
        keys::of_each_provider(&self.0.readers, max).await
    }

    async fn rewrap_key(&self, read: &TenantKey, wrapped: &WrappedKey) -> Result<bool, StoreError> {
        keys::rewrap(&self.0.writer, read, wrapped).await
    }

    async fn drop_key(
        &self,
        tenant: &Tenant,
        version: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        keys::drop_unused(&self.0.writer, tenant, version, now).await
    }

    async fn erase(&self, tenant: &Tenant, now: Timestamp) -> Result<Erased, StoreError> {
        keys::erase(&self.0.writer, tenant, now).await
    }

    async fn keep(
        &self,
        tenant: &Tenant,
        versions: (u32, u32),
        rows: &[SealedRow],
        most: Most,
    ) -> Result<Kept, StoreError> {
        values::keep(&self.0.writer, tenant, versions, rows, most).await
    }

    async fn find(&self, id: &[u8; 16]) -> Result<Option<(SealedRow, TenantKey)>, StoreError> {
        values::find(&self.0.readers, id).await
    }

    async fn hanging(&self, tenant: &Tenant, key_version: u32) -> Result<u64, StoreError> {
        values::hanging(&self.0.readers, tenant, key_version).await
    }

    async fn hanging_behind(
        &self,
        tenant: &Tenant,
        key_version: u32,
        place: i64,
        max: u32,
    ) -> Result<Vec<Hanging>, StoreError> {
        values::hanging_behind(&self.0.readers, tenant, key_version, place, max).await
    }

    async fn rehang(
        &self,
        tenant: &Tenant,
        from: u32,
        to: u32,
        moved: &[Hanging],
    ) -> Result<Option<u64>, StoreError> {
        values::rehang(&self.0.writer, tenant, from, to, moved).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        values::prune(&self.0.writer, now).await
    }

    async fn rewrite(&self) -> Result<(), StoreError> {
        side::write_anew(&self.0.writer, "seal_key").await
    }

    async fn settle(&self) -> Result<bool, StoreError> {
        side::settled(&self.0.writer).await
    }
}
