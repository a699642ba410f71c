//! Checkpoints, their copies and the leaves of pruned records.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::super::tree::{CheckpointRow, LogTree, Pruned};
use super::super::{Applied, StoreError};
use super::{SqliteStore, blocks, rows, side};
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant};

#[async_trait]
impl LogTree for SqliteStore {
    async fn insert_checkpoint(&self, row: &CheckpointRow) -> Result<bool, StoreError> {
        let peaks: Vec<u8> = row.peaks.iter().flat_map(|peak| *peak.as_bytes()).collect();
        let done = sqlx::query(
            "INSERT INTO audit_checkpoint (size, at, peaks, note) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(rows::number(row.size)?)
        .bind(row.at.0)
        .bind(peaks)
        .bind(&row.note)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn checkpoint_before(&self, size: u64) -> Result<Option<CheckpointRow>, StoreError> {
        sqlx::query(
            "SELECT size, at, peaks, note FROM audit_checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .fetch_optional(&self.readers)
        .await?
        .as_ref()
        .map(checkpoint)
        .transpose()
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        sqlx::query(
            "SELECT size, at, peaks, note FROM audit_checkpoint WHERE size > ? ORDER BY size LIMIT ?",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(max)
        .fetch_all(&self.readers)
        .await?
        .iter()
        .map(checkpoint)
        .collect()
    }

    async fn copied(&self, copy: &str) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT size FROM audit_copy WHERE name = ?")
            .bind(copy)
            .fetch_optional(&self.readers)
            .await?;
        row.map_or(Ok(0), |row| rows::count(&row, "audit_copy", "size"))
    }

    async fn note_copied(&self, copy: &str, size: u64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit_copy (name, size) VALUES (?, ?) \
             ON CONFLICT (name) DO UPDATE SET size = MAX(size, excluded.size)",
        )
        .bind(copy)
        .bind(rows::number(size)?)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn pruned(&self) -> Result<Option<Pruned>, StoreError> {
        sqlx::query("SELECT through, hash FROM audit_pruned WHERE id = 1")
            .fetch_optional(&self.readers)
            .await?
            .map(|row| {
                Ok(Pruned {
                    through: rows::count(&row, "audit_pruned", "through")?,
                    hash: rows::parsed(&row, "audit_pruned", "hash")?,
                })
            })
            .transpose()
    }

    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError> {
        sqlx::query("SELECT seq, leaf FROM audit_leaf WHERE seq >= ? ORDER BY seq LIMIT ?")
            .bind(rows::number(seq)?)
            .bind(max)
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| {
                let leaf = digest(row.try_get("leaf")?, "audit_leaf", "leaf")?;
                Ok((rows::count(row, "audit_leaf", "seq")?, leaf))
            })
            .collect()
    }

    async fn closed_before(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT before FROM audit_open WHERE id = 1")
            .fetch_optional(&self.readers)
            .await?;
        row.map_or(Ok(1), |row| rows::count(&row, "audit_open", "before"))
    }

    async fn forget_secret(&self, tenant: &Tenant, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM secret WHERE tenant = ? AND name = ?")
            .bind(tenant.as_str())
            .bind(name)
            .execute(&self.writer)
            .await?;
        side::write_anew(&self.writer, "secret").await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Puts leaves in the place of the records from the oldest on through this one.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    leaves: &[(u64, Digest)],
    last: &Pruned,
) -> Result<Applied, StoreError> {
    let before = sqlx::query("SELECT through FROM audit_pruned WHERE id = 1")
        .fetch_optional(&mut *connection)
        .await?;
    let before = before.map_or(Ok(0), |row| rows::count(&row, "audit_pruned", "through"))?;
    // Somebody else was faster, or a record is not there: nothing is done.
    let follows = |(at, (seq, _)): (u64, &(u64, Digest))| *seq == before.saturating_add(at);
    if leaves.last().map(|(seq, _)| *seq) != Some(last.through) || !(1..).zip(leaves).all(follows) {
        return Ok(Applied::Refused);
    }
    for (seq, leaf) in leaves {
        sqlx::query("INSERT INTO audit_leaf (seq, leaf) VALUES (?, ?)")
            .bind(rows::number(*seq)?)
            .bind(leaf.as_bytes().as_slice())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO audit_pruned (id, through, hash) VALUES (1, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET through = excluded.through, hash = excluded.hash",
    )
    .bind(rows::number(last.through)?)
    .bind(last.hash.to_string())
    .execute(&mut *connection)
    .await?;
    let gone = sqlx::query("DELETE FROM audit WHERE seq <= ?")
        .bind(rows::number(last.through)?)
        .execute(&mut *connection)
        .await?;
    blocks::forget(connection, last.through).await?;
    match usize::try_from(gone.rows_affected()) {
        Ok(gone) if gone == leaves.len() => Ok(Applied::Done),
        Ok(_) | Err(_) => Ok(Applied::Refused),
    }
}

/// Notes before which record every intent has its outcome. It never goes back.
pub(super) async fn note_closed(
    connection: &mut SqliteConnection,
    before: u64,
) -> Result<Applied, StoreError> {
    sqlx::query(
        "INSERT INTO audit_open (id, before) VALUES (1, ?) \
         ON CONFLICT (id) DO UPDATE SET before = MAX(before, excluded.before)",
    )
    .bind(rows::number(before)?)
    .execute(connection)
    .await?;
    Ok(Applied::Done)
}

fn checkpoint(row: &SqliteRow) -> Result<CheckpointRow, StoreError> {
    let peaks: &[u8] = row.try_get("peaks")?;
    let peaks = peaks
        .chunks(32)
        .map(|peak| digest(peak, "audit_checkpoint", "peaks"));
    Ok(CheckpointRow {
        size: rows::count(row, "audit_checkpoint", "size")?,
        at: Timestamp(row.try_get("at")?),
        peaks: peaks.collect::<Result<_, _>>()?,
        note: row.try_get("note")?,
    })
}

fn digest(bytes: &[u8], table: &'static str, column: &'static str) -> Result<Digest, StoreError> {
    let bytes: Result<[u8; 32], _> = bytes.try_into();
    bytes
        .map(Digest::from)
        .map_err(|_| StoreError::Corrupt { table, column })
}
