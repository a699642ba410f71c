//! Rows that were kept in the clear are encrypted, in batches, each one transaction: what was broken off is gone on with.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::super::StoreError;
use super::super::side;
use super::{Place, Rest, keys, owner};

/// Rows that are encrypted in one transaction.
const BATCH: u32 = 500;

impl Rest {
    /// Tries the provider on one key for each key of its own.
    pub(super) async fn try_keys(&self) -> Result<(), StoreError> {
        let keys = self.keys()?;
        for (place, wrapped) in keys::of_each_provider(&self.readers, self.contents.name).await? {
            keys.open(&place, &wrapped).await?;
        }
        Ok(())
    }

    /// Encrypts every row that is in the clear, and overwrites what was there.
    pub(super) async fn seal_all(&self) -> Result<(), StoreError> {
        // The key of the server first: where no key can be made, nothing is changed.
        self.ready(None).await?;
        sqlx::query("INSERT INTO rest_state (id, whole) VALUES (1, 0) ON CONFLICT DO NOTHING")
            .execute(&self.writer)
            .await?;
        let mut sealed = 0;
        for place in self.contents.places {
            loop {
                match self.seal_some(place).await? {
                    0 => break,
                    some => sealed += some,
                }
            }
        }
        if sealed > 0 {
            tracing::info!(
                rows = sealed,
                file = self.contents.name,
                "rows that were in the clear are encrypted"
            );
        }
        // Pages that were freed before, and gaps in pages, still hold what was in the clear. This writes the file anew.
        sqlx::query("VACUUM").execute(&self.writer).await?;
        if !side::settled(&self.writer).await? {
            tracing::warn!(
                file = self.contents.name,
                "what was in the clear is not overwritten in the write-ahead log yet, for others read it; \
                 `bailiwick keys rewrap` overwrites it when they have ended"
            );
        }
        sqlx::query("UPDATE rest_state SET whole = 1")
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// How many rows of one batch were encrypted.
    pub(in crate::store::sqlite) async fn seal_some(
        &self,
        place: &Place,
    ) -> Result<usize, StoreError> {
        let text = format!(
            "SELECT rowid AS place, *, {} AS owner FROM {} WHERE body_key IS NULL ORDER BY rowid LIMIT {BATCH}",
            place.owner, place.table
        );
        // Keys are made before the transaction; it reads again, and what came meanwhile has its turn in the next.
        let ahead = sqlx::query(sqlx::AssertSqlSafe(text.clone()))
            .fetch_all(&self.readers)
            .await?;
        let mut owners = Vec::new();
        for row in &ahead {
            let owner = owner(row, place)?;
            if !owners.contains(&owner) {
                self.ready(owner.as_ref()).await?;
                owners.push(owner);
            }
        }
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .fetch_all(&mut *tx)
            .await?;
        let ready = |row: &&SqliteRow| owner(row, place).is_ok_and(|one| owners.contains(&one));
        for row in rows.iter().filter(ready) {
            let plain = (place.plain)(row)?;
            self.put_in(&mut tx, place, row.try_get("place")?, row, &plain)
                .await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}
