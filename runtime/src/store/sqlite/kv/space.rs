//! One space inside a transaction, and its values as they are.

use sqlx::query::{Query, QueryScalar};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Row, Sqlite};

use super::super::super::StoreError;
use super::super::super::kv::{KvError, Space, Writing};
use super::super::rest::{Body, Rest};
use super::ENTRY;
use crate::clock::Timestamp;

/// How many bytes a value has, whether it is encrypted or not: so quotas do not depend on that. A body is longer than what it holds by
/// 28 bytes, its nonce and its tag.
macro_rules! size_of_value {
    () => {
        "(length(value) + MAX(COALESCE(length(body), 0) - 28, 0))"
    };
}
pub(super) use size_of_value;

/// A statement whose first four parameters are a space.
pub(super) fn of<'q>(sql: &'static str, space: &Space) -> Query<'q, Sqlite, SqliteArguments> {
    let (issuer, subject) = names(space);
    sqlx::query(sql)
        .bind(space.tenant.as_str().to_owned())
        .bind(issuer.to_owned())
        .bind(subject.to_owned())
        .bind(space.store.as_str().to_owned())
}

pub(super) fn scalar<'q, T>(
    sql: &'static str,
    space: &Space,
) -> QueryScalar<'q, Sqlite, T, SqliteArguments>
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
pub(super) struct Held {
    pub(super) keys: i64,
    pub(super) bytes: i64,
    version: i64,
    /// Before anything was written.
    before: (i64, i64),
}

impl Held {
    /// Takes the row of the space, under a new version, and forgets what has ended by `sure`, so that it fills no quota.
    pub(super) async fn take(
        connection: &mut SqliteConnection,
        space: &Space,
        sure: Timestamp,
    ) -> Result<Self, KvError> {
        // An erasure removes the row, which names a user. What begins anew behind it counts from further on than anything counted
        // before it: no version comes twice. An erased key stays in its table, without its bytes.
        let row = of(
            "INSERT INTO kv_space (tenant, iss, sub, store, keys, bytes, version) VALUES (?1, ?2, ?3, ?4, 0, 0, \
             1 + ((SELECT MIN(COALESCE(MAX(key_version), 0), 4194303) FROM rest_key WHERE key_tenant = ?1 AND key_state = 'erased') \
             << 40)) ON CONFLICT DO UPDATE SET version = version + 1 RETURNING keys, bytes, version",
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
            concat!(
                "DELETE FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND expires_at <= ? \
                 RETURNING length(CAST(key AS BLOB)) + ",
                size_of_value!()
            ),
            space,
        )
        .bind(sure.0)
        .fetch_all(connection)
        .await?;
        for bytes in ended {
            held.keys -= 1;
            held.bytes -= bytes;
        }
        held.before = (held.keys, held.bytes);
        Ok(held)
    }

    pub(super) async fn put(
        &mut self,
        (rest, connection): (&Rest, &mut SqliteConnection),
        space: &Space,
        key: &str,
        value: &[u8],
        expires_at: Option<Timestamp>,
    ) -> Result<(), KvError> {
        let replaced = scalar::<i64>(
            concat!(
                "SELECT ",
                size_of_value!(),
                " FROM kv_entry WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ?"
            ),
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
        let row = of(
            "INSERT INTO kv_entry (tenant, iss, sub, store, key, version, expires_at, value) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, iss, sub, store, key) DO UPDATE \
             SET version = excluded.version, expires_at = excluded.expires_at, value = excluded.value RETURNING rowid AS place",
            space,
        )
        .bind(key)
        .bind(self.version)
        .bind(expires_at.map(|at| at.0))
        .bind(if rest.is_sealed() { &[] } else { value })
        // All rows, so that the statement is run to its end.
        .fetch_all(&mut *connection)
        .await?;
        if let Some(row) = row.first()
            && rest.is_sealed()
        {
            rest.put(connection, &ENTRY, row.try_get("place")?, value)
                .await?;
        }
        Ok(())
    }

    /// Notes what the space holds now, unless that is more than it may and more than before.
    pub(super) async fn settle(
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
pub(super) fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The value under a key that has not ended at `now`, within a transaction.
pub(super) async fn held_value(
    (rest, connection): (&Rest, &mut SqliteConnection),
    space: &Space,
    key: &str,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, KvError> {
    let row = of(
        "SELECT *, tenant AS owner FROM kv_entry LEFT JOIN rest_key ON key_tenant = tenant AND key_version = body_key \
         WHERE tenant = ? AND iss = ? AND sub = ? AND store = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)",
        space,
    );
    match row.bind(key).bind(now.0).fetch_optional(connection).await? {
        Some(row) => Ok(value_of(rest, &row).await?),
        None => Ok(None),
    }
}

/// The value of an entry that was read with its key; none when that was destroyed.
pub(super) async fn value_of(rest: &Rest, row: &SqliteRow) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(match rest.body(&ENTRY, row).await? {
        Body::Clear => Some(row.try_get("value")?),
        Body::Open(plain) => Some(plain.to_vec()),
        Body::Erased => None,
    })
}
