//! Opening the file: who may read it, how durable a commit is, its connections, and the keys of what is encrypted in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::super::rest::{RestFile, SharedRestKeys};
use super::super::{StoreError, row_id};
use super::blocks::{self, End};
use super::bodies::STATE;
use super::rest::Rest;
use super::{SqliteStore, append, migrations};
use crate::clock::Timestamp;

/// Connections that read; they never wait for the writer under WAL.
pub(super) const READERS: u32 = 4;
/// How long a statement waits for another process that holds the write lock. A full batch takes a few milliseconds.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How long an operation waits for a connection of ours before it fails.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);

impl SqliteStore {
    /// Opens the file, makes it when it is missing, and brings it to the newest format. What is in it is in the clear: one that is
    /// encrypted is refused.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, Keys::None).await
    }

    /// The same where bodies of rows are encrypted: those that are in the clear are, when this returns.
    pub async fn open_sealed(path: &Path, keys: SharedRestKeys) -> Result<Self, StoreError> {
        Self::open_as(path, Keys::These(keys)).await
    }

    /// The same for what needs nothing that is encrypted, such as the audit log: reading or writing that is an error.
    pub async fn open_locked(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, Keys::Unneeded).await
    }

    /// Opens the file to read it and changes nothing: not its format, and not what is in the clear in it. It has to be there.
    pub async fn read(path: &Path, keys: Option<SharedRestKeys>) -> Result<Self, StoreError> {
        let readers = Self::connect_to_read(path).await?;
        let rest = Rest::read(&STATE, &readers, keys).await?;
        Ok(Self {
            writer: readers.clone(),
            readers,
            rest,
            end: End::default(),
        })
    }

    /// The same for what needs nothing that is encrypted.
    pub async fn read_locked(path: &Path) -> Result<Self, StoreError> {
        let readers = Self::connect_to_read(path).await?;
        Ok(Self {
            rest: Rest::locked(&STATE, (&readers, &readers)),
            writer: readers.clone(),
            readers,
            end: End::default(),
        })
    }

    async fn connect_to_read(path: &Path) -> Result<SqlitePool, StoreError> {
        // Not `read_only`, as for the readers of a server.
        let options = options()
            .filename(path)
            .pragma("temp_store", "MEMORY")
            .pragma("query_only", "ON");
        let readers = pool(READERS).connect_with(options).await?;
        migrations::check(&readers).await?;
        Ok(readers)
    }

    async fn open_as(path: &Path, keys: Keys) -> Result<Self, StoreError> {
        private_file(path).map_err(|source| StoreError::File {
            path: path.display().to_string(),
            source,
        })?;
        let options = options()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // What was deleted or destroyed is overwritten.
            .pragma("secure_delete", "ON")
            // Never beside the file, where rows of an encrypted state would lie in the clear, and where nothing may be written.
            .pragma("temp_store", "MEMORY");
        let writer = pool(1).connect_with(options.clone()).await?;
        migrations::run(&writer).await?;
        // Not `read_only`: a reader of a WAL database must be able to write its index.
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        let store = Self::with_log(writer, readers, keys).await?;
        blocks::fill(&store).await?;
        Ok(store)
    }

    /// State that ends with this value.
    pub async fn in_memory() -> Result<Self, StoreError> {
        // The database lives in its one connection, which therefore must not be replaced.
        let only = pool(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options().in_memory(true))
            .await?;
        migrations::run(&only).await?;
        Self::with_log(only.clone(), only, Keys::None).await
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The log gets its name when the state is made.
    async fn with_log(
        writer: SqlitePool,
        readers: SqlitePool,
        keys: Keys,
    ) -> Result<Self, StoreError> {
        sqlx::query(
            "INSERT INTO audit_head (id, log_id, seq, hash) VALUES (1, ?, 0, ?) ON CONFLICT DO NOTHING",
        )
        .bind(row_id(Timestamp(0)).to_string())
        .bind(append::empty_log().to_string())
        .execute(&writer)
        .await?;
        let pools = (&writer, &readers);
        let rest = match keys {
            Keys::None => Rest::open(&STATE, pools, None).await?,
            Keys::These(keys) => Rest::open(&STATE, pools, Some(keys)).await?,
            Keys::Unneeded => Rest::locked(&STATE, pools),
        };
        Ok(Self {
            writer,
            readers,
            rest,
            end: End::default(),
        })
    }

    /// What an operator does about the keys of this file.
    pub fn rest_file(&self) -> Arc<dyn RestFile> {
        Arc::new(self.rest.clone())
    }

    /// The writing connection, for tests that damage or block the state.
    #[cfg(test)]
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }
}

/// With what keys a file is opened.
enum Keys {
    None,
    These(SharedRestKeys),
    Unneeded,
}

pub(super) fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .busy_timeout(BUSY_MAX)
        .thread_name(|id| format!("state-{id}"))
}

pub(super) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_MAX)
        .test_before_acquire(false)
        // A disk that fails has SQLite end the transaction by itself, and the connection still counts one, in which nothing
        // begins any more. It makes room for another connection.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
}

/// Makes the file, or narrows its mode, so that only its owner reads it. SQLite gives its side files the same mode.
pub(super) fn private_file(path: &Path) -> std::io::Result<()> {
    let mut open = fs::OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = open.mode(0o600).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
    }
    #[cfg(not(unix))]
    open.open(path).map(drop)
}
