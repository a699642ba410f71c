//! Bodies of rows under encryption, in the file that holds the rows.
//!
//! A row that is encrypted has a body, the version of the key under which that is, and nothing in the columns that the body holds. It
//! is bound to its file, table, owner and key version and to every other column that does not change, so that no row serves as
//! another. Writers read the key for new rows inside their transaction: no key is destroyed between the look and the act.

mod file;
mod keys;
mod migrate;

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Row, TypeInfo, ValueRef};
use zeroize::Zeroizing;

use super::super::StoreError;
use super::super::rest::{RestKey, RestPlace, SharedRestKeys};
use super::super::seals::{KeyState, WrappedKey};
use super::rows::parsed;
use crate::clock::{Clock, SystemClock};
use crate::ids::Tenant;

/// How often a key is looked for again because another process changed it meanwhile.
const TRIES: usize = 5;

/// A table whose rows have bodies.
#[derive(Debug)]
pub(super) struct Place {
    /// The table.
    pub(super) table: &'static str,
    /// What names the owner: the column, or the empty text for the server.
    pub(super) owner: &'static str,
    /// To what a body is bound, beside its owner: all that does not change and is not in it.
    pub(super) bound: &'static [&'static str],
    /// What empties the columns that the body holds.
    pub(super) empties: &'static str,
    /// The body of a row in the clear.
    pub(super) plain: fn(&SqliteRow) -> Result<Zeroizing<Vec<u8>>, StoreError>,
}

/// What of a file is encrypted.
#[derive(Debug)]
pub(super) struct Contents {
    /// What the file is called.
    pub(super) name: &'static str,
    /// The tables.
    pub(super) places: &'static [Place],
    /// The tables whose rows of a tenant go when its keys are destroyed.
    pub(super) erase: &'static [&'static str],
}

#[derive(Debug, Clone)]
enum Mode {
    /// The operator set no key: everything is in the clear.
    Clear,
    /// For what needs nothing that is encrypted.
    Locked,
    Sealed(SharedRestKeys),
    /// For reading a file that is not encrypted yet, or not all of it: rows in the clear are read as such.
    Between(SharedRestKeys),
}

/// How rows of a file are kept.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    contents: &'static Contents,
    mode: Mode,
    writer: SqlitePool,
    readers: SqlitePool,
}

/// The body of a row as it was read.
pub(super) enum Body {
    /// In the columns of the row.
    Clear,
    /// Out of its encryption.
    Open(Zeroizing<Vec<u8>>),
    /// Its key was destroyed.
    Erased,
}

impl Rest {
    /// With these keys every row is encrypted when this returns. Without, the file must not be encrypted.
    pub(super) async fn open(
        contents: &'static Contents,
        (writer, readers): (&SqlitePool, &SqlitePool),
        keys: Option<SharedRestKeys>,
    ) -> Result<Self, StoreError> {
        let whole: Option<bool> = sqlx::query_scalar("SELECT whole FROM rest_state")
            .fetch_optional(writer)
            .await?;
        let mode = match (keys, whole) {
            (Some(keys), _) => Mode::Sealed(keys),
            (None, None) => Mode::Clear,
            (None, Some(_)) => return Err(StoreError::Sealed(contents.name)),
        };
        let rest = Self::of(contents, mode, writer, readers);
        if let Mode::Sealed(_) = &rest.mode {
            rest.try_keys().await?;
            if whole != Some(true) {
                rest.seal_all().await?;
            }
        }
        Ok(rest)
    }

    /// For what needs nothing that is encrypted: reading such a row is an error.
    pub(super) fn locked(
        contents: &'static Contents,
        (writer, readers): (&SqlitePool, &SqlitePool),
    ) -> Self {
        Self::of(contents, Mode::Locked, writer, readers)
    }

    /// For connections that cannot write: the file is read as it is.
    pub(super) async fn read(
        contents: &'static Contents,
        readers: &SqlitePool,
        keys: Option<SharedRestKeys>,
    ) -> Result<Self, StoreError> {
        let whole: Option<bool> = sqlx::query_scalar("SELECT whole FROM rest_state")
            .fetch_optional(readers)
            .await?;
        let mode = match (keys, whole) {
            (Some(keys), Some(true)) => Mode::Sealed(keys),
            (Some(keys), Some(false) | None) => Mode::Between(keys),
            (None, None) => Mode::Clear,
            (None, Some(_)) => return Err(StoreError::Sealed(contents.name)),
        };
        Ok(Self::of(contents, mode, readers, readers))
    }

    /// With keys that are not tried, on rows as they are.
    #[cfg(test)]
    pub(super) fn untried(
        contents: &'static Contents,
        (writer, readers): (&SqlitePool, &SqlitePool),
        keys: SharedRestKeys,
    ) -> Self {
        Self::of(contents, Mode::Sealed(keys), writer, readers)
    }

    fn of(
        contents: &'static Contents,
        mode: Mode,
        writer: &SqlitePool,
        readers: &SqlitePool,
    ) -> Self {
        Self {
            contents,
            mode,
            writer: writer.clone(),
            readers: readers.clone(),
        }
    }

    /// Whether rows are written encrypted. Without keys nothing is written in the clear either: the file may be one that is encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        match self.mode {
            Mode::Sealed(_) | Mode::Between(_) | Mode::Locked => true,
            Mode::Clear => false,
        }
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    fn keys(&self) -> Result<&SharedRestKeys, StoreError> {
        match &self.mode {
            Mode::Sealed(keys) | Mode::Between(keys) => Ok(keys),
            Mode::Clear | Mode::Locked => Err(StoreError::Sealed(self.contents.name)),
        }
    }

    /// Sees to it that an owner has a key for new rows and that it is open, before a transaction needs it: nobody shall wait for a
    /// vault while he holds the lock.
    pub(super) async fn ready(&self, tenant: Option<&Tenant>) -> Result<(), StoreError> {
        let Mode::Sealed(keys) = &self.mode else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let mut reader = self.readers.acquire().await?;
            let active = keys::active(&mut reader, self.contents.name, tenant).await?;
            drop(reader);
            if let Some((place, wrapped)) = active {
                keys.open(&place, &wrapped).await?;
                return Ok(());
            }
            self.make(keys, tenant, None).await?;
        }
        Err(StoreError::Changing)
    }

    /// Makes the next key of an owner. `false` when another process was faster; its key serves.
    async fn make(
        &self,
        keys: &SharedRestKeys,
        tenant: Option<&Tenant>,
        instead_of: Option<u32>,
    ) -> Result<bool, StoreError> {
        let place = RestPlace {
            file: self.contents.name,
            tenant: tenant.cloned(),
            version: keys::next_version(&self.readers, tenant).await?,
        };
        let wrapped = keys.make(&place).await?;
        let now = SystemClock.now();
        let kept = keys::add(&self.writer, &place, &wrapped, instead_of, now).await?;
        if kept {
            keys.made(&place, &wrapped);
        }
        Ok(kept)
    }

    /// Encrypts the body of a row of this transaction, under the key of its owner for new rows.
    pub(super) async fn put(
        &self,
        connection: &mut SqliteConnection,
        place: &Place,
        row_id: i64,
        plain: &[u8],
    ) -> Result<(), StoreError> {
        let text = format!(
            "SELECT *, {} AS owner FROM {} WHERE rowid = ?",
            place.owner, place.table
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(row_id)
            .fetch_one(&mut *connection)
            .await?;
        self.put_in(connection, place, row_id, &row, plain).await
    }

    /// The same for a row that was read in this transaction.
    async fn put_in(
        &self,
        connection: &mut SqliteConnection,
        place: &Place,
        row_id: i64,
        row: &SqliteRow,
        plain: &[u8],
    ) -> Result<(), StoreError> {
        let keys = self.keys()?;
        let tenant = owner(row, place)?;
        let active = keys::active(connection, self.contents.name, tenant.as_ref()).await?;
        let (key_place, wrapped) = active.ok_or(StoreError::Changing)?;
        let key = keys.open(&key_place, &wrapped).await?;
        let body = key.seal(plain, &self.bound(place, &key_place, row)?)?;
        let text = format!(
            "UPDATE {} SET {}, body = ?, body_key = ? WHERE rowid = ?",
            place.table, place.empties
        );
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(body)
            .bind(key_place.version)
            .bind(row_id)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// The body of a row that was read with its key.
    pub(super) async fn body(&self, place: &Place, row: &SqliteRow) -> Result<Body, StoreError> {
        let version: Option<u32> = row.try_get("body_key")?;
        let keys = match (&self.mode, version) {
            (Mode::Clear | Mode::Between(_), None) => return Ok(Body::Clear),
            (Mode::Sealed(_) | Mode::Locked, None) => {
                return Err(StoreError::NotSealed(place.table));
            }
            (Mode::Clear | Mode::Locked, Some(_)) => {
                return Err(StoreError::Sealed(self.contents.name));
            }
            (Mode::Sealed(keys) | Mode::Between(keys), Some(_)) => keys,
        };
        let Some((key_place, key)) = self.key_of(keys, place, row).await? else {
            return Ok(Body::Erased);
        };
        let sealed: &[u8] = row.try_get("body")?;
        let plain = key.open(sealed, &self.bound(place, &key_place, row)?);
        plain
            .map(Body::Open)
            .ok_or(StoreError::Damaged(place.table))
    }

    /// The key on which a row hangs; none when it was destroyed by an erasure.
    async fn key_of(
        &self,
        keys: &SharedRestKeys,
        place: &Place,
        row: &SqliteRow,
    ) -> Result<Option<(RestPlace, Arc<dyn RestKey>)>, StoreError> {
        let damaged = || StoreError::Damaged(place.table);
        let state: Option<&str> = row.try_get("key_state")?;
        let state: KeyState = state
            .and_then(|word| word.parse().ok())
            .ok_or_else(damaged)?;
        let wrapped = match (
            row.try_get("key_provider")?,
            row.try_get("key_wrapped")?,
            state,
        ) {
            (_, _, KeyState::Erased) => return Ok(None),
            (Some(provider_key), Some(bytes), _) => WrappedKey {
                provider_key,
                bytes,
            },
            // Retired and destroyed when nothing hung on it: an older state of the row was put back.
            (_, _, KeyState::Active | KeyState::Retired) => return Err(damaged()),
        };
        let key_place = RestPlace {
            file: self.contents.name,
            tenant: owner(row, place)?,
            version: row.try_get("body_key")?,
        };
        let key = keys.open(&key_place, &wrapped).await?;
        Ok(Some((key_place, key)))
    }

    fn bound(
        &self,
        place: &Place,
        key: &RestPlace,
        row: &SqliteRow,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let tenant = key.tenant.as_ref().map_or("", Tenant::as_str);
        let mut all = vec![
            self.contents.name.as_bytes().to_vec(),
            place.table.as_bytes().to_vec(),
            tenant.as_bytes().to_vec(),
            key.version.to_be_bytes().to_vec(),
        ];
        for column in place.bound {
            all.push(part(row, column)?);
        }
        Ok(all)
    }
}

/// A column as one part, so that no two values read alike.
fn part(row: &SqliteRow, column: &str) -> Result<Vec<u8>, StoreError> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(vec![0]);
    }
    let (kind, bytes) = match raw.type_info().name() {
        "INTEGER" => (1, row.try_get::<i64, _>(column)?.to_be_bytes().to_vec()),
        _ => (2, row.try_get::<&str, _>(column)?.as_bytes().to_vec()),
    };
    Ok([vec![kind], bytes].concat())
}

/// Whose a row is.
fn owner(row: &SqliteRow, place: &Place) -> Result<Option<Tenant>, StoreError> {
    match row.try_get::<&str, _>("owner")? {
        "" => Ok(None),
        _ => parsed(row, place.table, "owner").map(Some),
    }
}
