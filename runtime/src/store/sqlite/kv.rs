//! What guests keep, in an SQLite file of its own beside the state: whatever guests do with it, no audit record and no consent
//! waits for its write lock.
//!
//! One connection writes, in transactions that take the write lock when they begin. Every write begins with the row of its space,
//! which on a shared database is the lock of that space.

mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use zeroize::Zeroizing;

use super::super::StoreError;
use super::super::kv::{KeyValues, KvError, Space, Swapped, Version, Writing};
use super::super::rest::{RestFile, SharedRestKeys};
use super::migrations;
use super::rest::{Contents, Place, Rest};
use super::rows::{count, parsed};
use super::side::{self, Side};
use crate::clock::Timestamp;
use crate::ids::{Issuer, StoreName, Subject, Tenant, User};
use space::{Held, held_value, of, scalar, size, size_of_value, value_of};

/// What the file is called behind the name of the state file.
const NAME: &str = "kv";
const FORMATS: &migrations::Formats = &[
    (1, include_str!("kv_0001.sql")),
    (2, include_str!("kv_0002.sql")),
];

/// What of the file is encrypted.
const CONTENTS: Contents = Contents {
    name: "kept values",
    places: &[ENTRY],
    erase: &["kv_entry", "kv_space"],
};

/// The values. Bound to the writing that they are from, so that none is put back in the place of a newer one.
const ENTRY: Place = Place {
    table: "kv_entry",
    owner: "tenant",
    bound: &["iss", "sub", "store", "key", "version", "expires_at"],
    empties: "value = x''",
    plain: |row| Ok(Zeroizing::new(row.try_get("value")?)),
};

/// Keys and values in an SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteKeyValues {
    side: Side,
    rest: Rest,
}

impl SqliteKeyValues {
    /// The file beside this state file.
    pub fn beside(state: &Path) -> PathBuf {
        side::beside(state, NAME)
    }

    /// Opens the file, makes it when it is missing, and brings it to the newest format.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, None).await
    }

    /// The same where values are encrypted: those that are in the clear are, when this returns.
    pub async fn open_sealed(path: &Path, keys: SharedRestKeys) -> Result<Self, StoreError> {
        Self::open_with(path, Some(keys)).await
    }

    async fn open_with(path: &Path, keys: Option<SharedRestKeys>) -> Result<Self, StoreError> {
        let side = Side::open(path, NAME, FORMATS).await?;
        let rest = Rest::open(&CONTENTS, (&side.writer, &side.readers), keys).await?;
        Ok(Self { side, rest })
    }

    /// The same for what needs no value: reading or writing one is an error.
    pub async fn open_locked(path: &Path) -> Result<Self, StoreError> {
        let side = Side::open(path, NAME, FORMATS).await?;
        let rest = Rest::locked(&CONTENTS, (&side.writer, &side.readers));
        Ok(Self { side, rest })
    }

    /// What an operator does about the keys of this file.
    pub fn rest_file(&self) -> Arc<dyn RestFile> {
        Arc::new(self.rest.clone())
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub async fn close(&self) {
        self.side.close().await;
    }

    /// The writing connection, for tests that block it.
    #[cfg(test)]
    pub(crate) fn writer(&self) -> &sqlx::SqlitePool {
        &self.side.writer
    }
}

#[async_trait]
impl KeyValues for SqliteKeyValues {
    async fn get(
        &self,
        space: &Space,
        keys: &[&str],
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        // One transaction sees one moment.
        let mut tx = self.side.readers.begin().await?;
        let mut left = bytes_max;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            // Not read when it is too large.
            let row = of(
                concat!(
                    "SELECT ",
                    size_of_value!(),
                    " AS size, CASE WHEN ",
                    size_of_value!(),
                    " <= ?7 THEN value END AS value, CASE WHEN ",
                    size_of_value!(),
                    " <= ?7 THEN body END AS body, body_key, tenant AS owner, iss, sub, store, key, version, expires_at, \
                     key_state, key_provider, key_wrapped FROM kv_entry LEFT JOIN rest_key ON key_tenant = tenant \
                     AND key_version = body_key WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND store = ?4 AND key = ?5 \
                     AND (expires_at IS NULL OR expires_at > ?6)"
                ),
                space,
            )
            .bind(*key)
            .bind(now.0)
            .bind(i64::try_from(left).unwrap_or(i64::MAX))
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else {
                values.push(None);
                continue;
            };
            let bytes = count(&row, "kv_entry", "size")?;
            left = left.checked_sub(bytes).ok_or(KvError::TooLarge)?;
            values.push(value_of(&self.rest, &row).await?);
        }
        tx.commit().await?;
        Ok(values)
    }

    async fn version(
        &self,
        space: &Space,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Version>, KvError> {
        let version = scalar(
            "SELECT version FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ? \
             AND (expires_at IS NULL OR expires_at > ?)",
            space,
        );
        let version = version.bind(key).bind(now.0);
        Ok(version
            .fetch_optional(&self.side.readers)
            .await?
            .map(Version))
    }

    async fn keys(
        &self,
        space: &Space,
        prefix: &str,
        after: &str,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<String>, KvError> {
        // One lower bound, so that a page costs as much as it has keys, wherever it begins.
        let keys = scalar(
            "SELECT key FROM kv_entry WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND store = ?4 \
             AND key >= ?5 AND key <> ?6 AND (?7 IS NULL OR key < ?7) AND (expires_at IS NULL OR expires_at > ?8) \
             ORDER BY key LIMIT ?9",
            space,
        );
        let keys = keys
            .bind(prefix.max(after))
            .bind(after)
            .bind(beyond(prefix))
            .bind(now.0)
            .bind(size(max));
        Ok(keys.fetch_all(&self.side.readers).await?)
    }

    async fn set(
        &self,
        space: &Space,
        pairs: &[(&str, &[u8])],
        writing: &Writing,
    ) -> Result<(), KvError> {
        self.rest.ready(Some(&space.tenant)).await?;
        let mut tx = self.side.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.sure).await?;
        for (key, value) in pairs {
            held.put((&self.rest, &mut tx), space, key, value, writing.expires_at)
                .await?;
        }
        held.settle(&mut tx, space, Some(writing)).await?;
        Ok(tx.commit().await?)
    }

    async fn delete(&self, space: &Space, keys: &[&str], sure: Timestamp) -> Result<(), KvError> {
        let mut tx = self.side.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, sure).await?;
        for key in keys {
            let gone = scalar::<i64>(
                concat!(
                    "DELETE FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ? RETURNING ",
                    size_of_value!()
                ),
                space,
            )
            .bind(*key)
            .fetch_all(&mut *tx)
            .await?;
            for bytes in gone {
                held.keys -= 1;
                held.bytes -= bytes + size(key.len());
            }
        }
        held.settle(&mut tx, space, None).await?;
        Ok(tx.commit().await?)
    }

    async fn swap(
        &self,
        space: &Space,
        key: &str,
        seen: Option<Version>,
        value: &[u8],
        writing: &Writing,
    ) -> Result<Swapped, KvError> {
        self.rest.ready(Some(&space.tenant)).await?;
        let mut tx = self.side.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.sure).await?;
        let found = scalar(
            "SELECT version FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ? \
             AND (expires_at IS NULL OR expires_at > ?)",
            space,
        );
        let found = found.bind(key).bind(writing.now.0);
        let found = found.fetch_optional(&mut *tx).await?.map(Version);
        if found != seen {
            return Ok(Swapped::Changed(found));
        }
        held.put((&self.rest, &mut tx), space, key, value, writing.expires_at)
            .await?;
        held.settle(&mut tx, space, Some(writing)).await?;
        tx.commit().await?;
        Ok(Swapped::Done)
    }

    async fn increment(
        &self,
        space: &Space,
        key: &str,
        delta: i64,
        writing: &Writing,
    ) -> Result<i64, KvError> {
        self.rest.ready(Some(&space.tenant)).await?;
        let mut tx = self.side.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.sure).await?;
        let number = match held_value((&self.rest, &mut tx), space, key, writing.now).await? {
            Some(value) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(KvError::Number)?,
            None => 0,
        };
        let sum = number.checked_add(delta).ok_or(KvError::Number)?;
        let value = sum.to_string();
        held.put(
            (&self.rest, &mut tx),
            space,
            key,
            value.as_bytes(),
            writing.expires_at,
        )
        .await?;
        held.settle(&mut tx, space, Some(writing)).await?;
        tx.commit().await?;
        Ok(sum)
    }

    async fn prune(&self, sure: Timestamp) -> Result<u64, KvError> {
        let mut gone = 0;
        // Space by space, so that no guest waits for all of it.
        loop {
            let row = sqlx::query(
                "SELECT tenant, iss, sub, store FROM kv_entry WHERE expires_at <= ? LIMIT 1",
            )
            .bind(sure.0)
            .fetch_optional(&self.side.readers)
            .await?;
            let Some(row) = row else { return Ok(gone) };
            let issuer = row.try_get::<&str, _>("iss")?;
            let space = Space {
                store: parsed::<StoreName>(&row, "kv_entry", "store")?,
                tenant: parsed::<Tenant>(&row, "kv_entry", "tenant")?,
                user: match issuer.is_empty() {
                    true => None,
                    false => Some(User {
                        issuer: parsed::<Issuer>(&row, "kv_entry", "iss")?,
                        subject: parsed::<Subject>(&row, "kv_entry", "sub")?,
                    }),
                },
            };
            match self.prune_space(&space, sure).await? {
                // Another process was faster.
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }
}

impl SqliteKeyValues {
    async fn prune_space(&self, space: &Space, sure: Timestamp) -> Result<u64, KvError> {
        let mut tx = self.side.writer.begin_with("BEGIN IMMEDIATE").await?;
        let counted = scalar::<i64>(
            "SELECT COUNT(*) FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND expires_at <= ?",
            space,
        );
        let gone = counted.bind(sure.0).fetch_one(&mut *tx).await?;
        let held = Held::take(&mut tx, space, sure).await?;
        held.settle(&mut tx, space, None).await?;
        tx.commit().await?;
        Ok(u64::try_from(gone).unwrap_or_default())
    }
}

/// The least text above every text that begins with `prefix`; none when there is no bound. Texts in UTF-8 are ordered as their
/// characters are.
fn beyond(prefix: &str) -> Option<String> {
    let mut bound = prefix.to_owned();
    while let Some(last) = bound.pop() {
        // Between them lie the surrogates, which are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last).saturating_add(1)),
        };
        if let Some(next) = next {
            bound.push(next);
            return Some(bound);
        }
    }
    None
}

#[cfg(test)]
mod tests;
