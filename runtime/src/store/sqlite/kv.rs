//! What guests keep, in an SQLite file of its own beside the state: whatever guests do with it, no audit record and no consent
//! waits for its write lock.
//!
//! One connection writes, in transactions that take the write lock when they begin. Every write begins with the row of its space,
//! which on a shared database is the lock of that space.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::query::{Query, QueryScalar};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use sqlx::{Row, Sqlite};

use super::super::StoreError;
use super::super::kv::{KeyValues, KvError, Space, Swapped, Version, Writing};
use super::rows::{count, parsed};
use super::{READERS, migrations, options, pool, private_file};
use crate::clock::Timestamp;
use crate::ids::{Issuer, StoreName, Subject, Tenant, User};

const FORMATS: &migrations::Formats = &[(1, include_str!("kv_0001.sql"))];

/// Keys and values in an SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteKeyValues {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteKeyValues {
    /// The file beside this state file.
    pub fn beside(state: &Path) -> PathBuf {
        let mut name = state.as_os_str().to_owned();
        name.push(".kv");
        name.into()
    }

    /// Opens the file, makes it when it is missing, and brings it to the newest format.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        private_file(path).map_err(|source| StoreError::File {
            path: path.display().to_string(),
            source,
        })?;
        let options = options()
            .filename(path)
            .thread_name(|id| format!("kv-{id}"))
            .journal_mode(SqliteJournalMode::Wal)
            // What a guest was told is written is there after a loss of power as well.
            .synchronous(SqliteSynchronous::Full)
            // What a user has deleted is overwritten.
            .pragma("secure_delete", "ON");
        let writer = pool(1).connect_with(options.clone()).await?;
        migrations::run_of(&writer, FORMATS).await?;
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self { writer, readers })
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The writing connection, for tests that block it.
    #[cfg(test)]
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }
}

/// A statement whose first four parameters are a space.
fn of<'q>(sql: &'static str, space: &Space) -> Query<'q, Sqlite, SqliteArguments> {
    let (issuer, subject) = names(space);
    sqlx::query(sql)
        .bind(space.tenant.as_str().to_owned())
        .bind(issuer.to_owned())
        .bind(subject.to_owned())
        .bind(space.store.as_str().to_owned())
}

fn scalar<'q, T>(sql: &'static str, space: &Space) -> QueryScalar<'q, Sqlite, T, SqliteArguments>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>,
{
    let (issuer, subject) = names(space);
    sqlx::query_scalar(sql)
        .bind(space.tenant.as_str().to_owned())
        .bind(issuer.to_owned())
        .bind(subject.to_owned())
        .bind(space.store.as_str().to_owned())
}

/// Issuer and subject; empty where there is no user, which no user's are.
fn names(space: &Space) -> (&str, &str) {
    let user = space.user.as_ref();
    user.map_or(("", ""), |user| {
        (user.issuer.as_str(), user.subject.as_str())
    })
}

/// What a space holds, while a transaction changes it.
struct Held {
    keys: i64,
    bytes: i64,
    version: i64,
    /// Before anything was written.
    before: (i64, i64),
}

impl Held {
    /// Takes the row of the space, under a new version, and forgets what has ended, so that it fills no quota.
    async fn take(
        connection: &mut SqliteConnection,
        space: &Space,
        now: Timestamp,
    ) -> Result<Self, KvError> {
        let row = of(
            "INSERT INTO kv_space (tenant, iss, sub, store, keys, bytes, version) VALUES (?, ?, ?, ?, 0, 0, 1) \
             ON CONFLICT DO UPDATE SET version = version + 1 RETURNING keys, bytes, version",
            space,
        )
        // All rows, so that the statement is run to its end.
        .fetch_all(&mut *connection)
        .await?;
        let row = row.first().ok_or(StoreError::Corrupt {
            table: "kv_space",
            column: "store",
        })?;
        let mut held = Self {
            keys: row.try_get("keys")?,
            bytes: row.try_get("bytes")?,
            version: row.try_get("version")?,
            before: (0, 0),
        };
        let ended = scalar::<i64>(
            "DELETE FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND expires_at <= ? \
             RETURNING length(CAST(key AS BLOB)) + length(value)",
            space,
        )
        .bind(now.0)
        .fetch_all(connection)
        .await?;
        for bytes in ended {
            held.keys -= 1;
            held.bytes -= bytes;
        }
        held.before = (held.keys, held.bytes);
        Ok(held)
    }

    async fn put(
        &mut self,
        connection: &mut SqliteConnection,
        space: &Space,
        key: &str,
        value: &[u8],
        expires_at: Option<Timestamp>,
    ) -> Result<(), KvError> {
        let replaced = scalar::<i64>(
            "SELECT length(value) FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ?",
            space,
        )
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
        match replaced {
            Some(bytes) => self.bytes += size(value.len()) - bytes,
            None => {
                self.keys += 1;
                self.bytes += size(key.len()) + size(value.len());
            }
        }
        of(
            "INSERT INTO kv_entry (tenant, iss, sub, store, key, version, expires_at, value) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, iss, sub, store, key) DO UPDATE \
             SET version = excluded.version, expires_at = excluded.expires_at, value = excluded.value",
            space,
        )
        .bind(key)
        .bind(self.version)
        .bind(expires_at.map(|at| at.0))
        .bind(value)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Notes what the space holds now, unless that is more than it may and more than before.
    async fn settle(
        self,
        connection: &mut SqliteConnection,
        space: &Space,
        most: Option<&Writing>,
    ) -> Result<(), KvError> {
        let over = |now: i64, before: i64, most: u64| {
            now > before && u64::try_from(now).is_ok_and(|now| now > most)
        };
        let (keys, bytes) = self.before;
        if let Some(most) = most
            && (over(self.keys, keys, most.keys_max) || over(self.bytes, bytes, most.bytes_max))
        {
            return Err(KvError::Full);
        }
        of(
            "UPDATE kv_space SET keys = ?5, bytes = ?6 WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND store = ?4",
            space,
        )
        .bind(self.keys)
        .bind(self.bytes)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// A length as SQLite counts. Lengths of memory always fit.
fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The value under a key, within a transaction that has forgotten what ended.
async fn held_value(
    connection: &mut SqliteConnection,
    space: &Space,
    key: &str,
) -> Result<Option<Vec<u8>>, KvError> {
    let value = scalar(
        "SELECT value FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ?",
        space,
    );
    Ok(value.bind(key).fetch_optional(connection).await?)
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
        let mut tx = self.readers.begin().await?;
        let mut left = bytes_max;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            // Not read when it is too large.
            let row = of(
                "SELECT length(value) AS size, CASE WHEN length(value) <= ?7 THEN value END AS value FROM kv_entry \
                 WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND store = ?4 AND key = ?5 \
                 AND (expires_at IS NULL OR expires_at > ?6)",
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
            values.push(row.try_get("value")?);
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
        Ok(version.fetch_optional(&self.readers).await?.map(Version))
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
        Ok(keys.fetch_all(&self.readers).await?)
    }

    async fn set(
        &self,
        space: &Space,
        pairs: &[(&str, &[u8])],
        writing: &Writing,
    ) -> Result<(), KvError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.now).await?;
        for (key, value) in pairs {
            held.put(&mut tx, space, key, value, writing.expires_at)
                .await?;
        }
        held.settle(&mut tx, space, Some(writing)).await?;
        Ok(tx.commit().await?)
    }

    async fn delete(&self, space: &Space, keys: &[&str], now: Timestamp) -> Result<(), KvError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, now).await?;
        for key in keys {
            let gone = scalar::<i64>(
                "DELETE FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ? \
                 RETURNING length(value)",
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
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.now).await?;
        let found = scalar(
            "SELECT version FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ?",
            space,
        );
        let found = found.bind(key).fetch_optional(&mut *tx).await?.map(Version);
        if found != seen {
            return Ok(Swapped::Changed(found));
        }
        held.put(&mut tx, space, key, value, writing.expires_at)
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
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut held = Held::take(&mut tx, space, writing.now).await?;
        let number = match held_value(&mut tx, space, key).await? {
            Some(value) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(KvError::Number)?,
            None => 0,
        };
        let sum = number.checked_add(delta).ok_or(KvError::Number)?;
        let value = sum.to_string();
        held.put(&mut tx, space, key, value.as_bytes(), writing.expires_at)
            .await?;
        held.settle(&mut tx, space, Some(writing)).await?;
        tx.commit().await?;
        Ok(sum)
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, KvError> {
        let mut gone = 0;
        // Space by space, so that no guest waits for all of it.
        loop {
            let row = sqlx::query(
                "SELECT tenant, iss, sub, store FROM kv_entry WHERE expires_at <= ? LIMIT 1",
            )
            .bind(now.0)
            .fetch_optional(&self.readers)
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
            match self.prune_space(&space, now).await? {
                // Another process was faster.
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }
}

impl SqliteKeyValues {
    async fn prune_space(&self, space: &Space, now: Timestamp) -> Result<u64, KvError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let counted = scalar::<i64>(
            "SELECT COUNT(*) FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND expires_at <= ?",
            space,
        );
        let gone = counted.bind(now.0).fetch_one(&mut *tx).await?;
        let held = Held::take(&mut tx, space, now).await?;
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
