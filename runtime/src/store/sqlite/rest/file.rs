//! What an operator does about the keys of a file, also while a server runs.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::Row;

use super::super::super::StoreError;
use super::super::super::rest::{RestFile, RestRotated, RestStanding};
use super::super::super::seals::KeyState;
use super::super::side;
use super::{Place, Rest, keys};
use crate::clock::Timestamp;
use crate::ids::Tenant;

/// Rows that are encrypted anew in one transaction: some milliseconds in which nobody else writes.
const BATCH: u32 = 500;
/// Shortest pause between two such transactions. Else they are as long as the transactions.
const PAUSE_MIN: Duration = Duration::from_millis(5);

impl Rest {
    /// Rows that hang on a version.
    async fn hanging(&self, tenant: &str, version: u32) -> Result<u64, StoreError> {
        let mut all = 0;
        for place in self.contents.places {
            let text = format!(
                "SELECT COUNT(*) FROM {} WHERE {} = ? AND body_key = ?",
                place.table, place.owner
            );
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                .bind(tenant)
                .bind(version)
                .fetch_one(&self.readers)
                .await?;
            all += u64::try_from(rows).unwrap_or_default();
        }
        Ok(all)
    }

    /// Keys of an owner in whose place others are, and which are still there.
    async fn retired(&self, tenant: Option<&Tenant>) -> Result<Vec<u32>, StoreError> {
        let all = keys::all(&self.readers, self.contents.name).await?;
        let retired = all.into_iter().filter(|key| {
            key.place.tenant.as_ref() == tenant
                && key.state == KeyState::Retired
                && key.wrapped.is_some()
        });
        Ok(retired.map(|key| key.place.version).collect())
    }

    /// Encrypts anew what hangs on a version: how many rows were, and how many do not open.
    async fn move_all(
        &self,
        place: &Place,
        tenant: &str,
        version: u32,
    ) -> Result<(u64, u64), StoreError> {
        let (mut moved, mut unopened, mut behind) = (0, 0, i64::MIN);
        let text = format!(
            "SELECT t.rowid AS place, *, {} AS owner FROM {} t JOIN rest_key ON key_tenant = {0} AND key_version = body_key \
             WHERE {0} = ? AND body_key = ? AND t.rowid > ? ORDER BY t.rowid LIMIT {BATCH}",
            place.owner, place.table
        );
        loop {
            let began = Instant::now();
            let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            let rows = sqlx::query(sqlx::AssertSqlSafe(text.clone()))
                .bind(tenant)
                .bind(version)
                .bind(behind)
                .fetch_all(&mut *tx)
                .await?;
            let Some(last) = rows.last() else {
                return Ok((moved, unopened));
            };
            behind = last.try_get("place")?;
            for row in &rows {
                match self.body(place, row).await {
                    Ok(super::Body::Open(plain)) => {
                        self.put_in(&mut tx, place, row.try_get("place")?, row, &plain)
                            .await?;
                        moved += 1;
                    }
                    Ok(super::Body::Clear | super::Body::Erased) | Err(StoreError::Damaged(_)) => {
                        unopened += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            tx.commit().await?;
            tokio::time::sleep(began.elapsed().max(PAUSE_MIN)).await;
        }
    }

    /// Destroys a retired key on which nothing hangs.
    async fn drop_unused(
        &self,
        tenant: &str,
        version: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut text = "UPDATE rest_key SET key_provider = NULL, key_wrapped = NULL, key_destroyed_at = ?3 \
             WHERE key_tenant = ?1 AND key_version = ?2 AND key_state = 'retired' AND key_wrapped IS NOT NULL"
            .to_owned();
        for place in self.contents.places {
            text.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} WHERE {} = ?1 AND body_key = ?2)",
                place.table, place.owner
            ));
        }
        // One statement is one transaction: nothing can come to hang on the key between the look and the act.
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(version)
            .bind(now.0)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

#[async_trait]
impl RestFile for Rest {
    fn name(&self) -> &'static str {
        self.contents.name
    }

    async fn standing(&self) -> Result<Vec<RestStanding>, StoreError> {
        let mut all = keys::all(&self.readers, self.contents.name).await?;
        for key in &mut all {
            let tenant = keys::name(key.place.tenant.as_ref());
            key.rows = self.hanging(tenant, key.place.version).await?;
        }
        Ok(all)
    }

    async fn rotate(
        &self,
        tenant: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<Option<RestRotated>, StoreError> {
        let provider = self.keys()?;
        let mut reader = self.readers.acquire().await?;
        let active = keys::active(&mut reader, self.contents.name, tenant).await?;
        drop(reader);
        let Some((active, wrapped)) = active else {
            return Ok(None);
        };
        // Nothing is begun that could not be gone on with.
        provider.open(&active, &wrapped).await?;
        let mut rotated = RestRotated {
            resumed: !self.retired(tenant).await?.is_empty(),
            ..RestRotated::default()
        };
        if !rotated.resumed {
            // Where another process was faster, its rotation is joined.
            self.make(provider, tenant, Some(active.version)).await?;
        }
        self.ready(tenant).await?;
        let name = keys::name(tenant);
        let mut retired = self.retired(tenant).await?;
        for round in 0..2 {
            for version in &retired {
                for place in self.contents.places {
                    let (moved, unopened) = self.move_all(place, name, *version).await?;
                    rotated.moved += moved;
                    rotated.unopened += unopened;
                }
            }
            if round == 1 || !rotated.resumed || rotated.moved > 0 || rotated.unopened == 0 {
                break;
            }
            // What is left does not open, and shall not keep the key from being replaced that others hang on.
            self.make(provider, tenant, Some(active.version)).await?;
            self.ready(tenant).await?;
            rotated.unopened = 0;
            retired = self.retired(tenant).await?;
        }
        for version in retired {
            match self.drop_unused(name, version, now).await? {
                true => rotated.destroyed.push(version),
                false if self.hanging(name, version).await? > 0 => rotated.left.push(version),
                // Another process destroyed it.
                false => {}
            }
        }
        let mut reader = self.readers.acquire().await?;
        let active = keys::active(&mut reader, self.contents.name, tenant).await?;
        rotated.to = active.map_or(0, |(place, _)| place.version);
        Ok(Some(rotated))
    }

    async fn rewrap(&self, key: &RestStanding) -> Result<bool, StoreError> {
        let Some(before) = &key.wrapped else {
            return Ok(false);
        };
        match self.keys()?.rewrap(&key.place, before).await? {
            // Not if it was destroyed or encrypted anew meanwhile.
            Some(after) => keys::rewrap(&self.writer, &key.place, (before, &after)).await,
            None => Ok(false),
        }
    }

    async fn erase(&self, tenant: &Tenant, now: Timestamp) -> Result<(u64, u64), StoreError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let there: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM rest_key WHERE key_tenant = ? AND key_wrapped IS NOT NULL",
        )
        .bind(tenant.as_str())
        .fetch_one(&mut *tx)
        .await?;
        let sealed: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM rest_state")
            .fetch_one(&mut *tx)
            .await?;
        // What is in the clear hangs on no key. Where rows are encrypted, some name a user and hold nothing that is.
        if sealed == 0 {
            return Ok((0, 0));
        }
        sqlx::query(
            "UPDATE rest_key SET key_state = 'erased', key_provider = NULL, key_wrapped = NULL, \
             key_destroyed_at = COALESCE(key_destroyed_at, ?) WHERE key_tenant = ?",
        )
        .bind(now.0)
        .bind(tenant.as_str())
        .execute(&mut *tx)
        .await?;
        let mut rows = 0;
        for table in self.contents.erase {
            let text = format!("DELETE FROM {table} WHERE tenant = ?");
            let done = sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(tenant.as_str())
                .execute(&mut *tx)
                .await?;
            rows += done.rows_affected();
        }
        tx.commit().await?;
        Ok((u64::try_from(there).unwrap_or_default(), rows))
    }

    async fn rewrite(&self) -> Result<(), StoreError> {
        // Keys grow in their rows when they are retired and wrapped anew, and so move as well.
        for table in self.contents.erase.iter().chain(&["rest_key"]) {
            side::write_anew(&self.writer, table).await?;
        }
        Ok(())
    }

    async fn settle(&self) -> Result<bool, StoreError> {
        side::settled(&self.writer).await
    }
}
