//! Databases beside the state: what is written there waits for no audit record and no consent, and these wait for nothing there.

use std::path::{Path, PathBuf};

use sqlx::Row;
use sqlx::sqlite::{SqliteJournalMode, SqlitePool, SqliteSynchronous};

use super::super::StoreError;
use super::{READERS, migrations, options, pool, private_file};

/// The connections to one of them: one writes, in transactions that take the write lock when they begin.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

/// The file of this name beside the state file.
pub(super) fn beside(state: &Path, name: &str) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

/// How often the write-ahead log is tried to be emptied, each time for as long as a statement waits.
const SETTLE_TRIES: usize = 5;

/// Whether the write-ahead log could be emptied: what was destroyed is then in no file any more.
pub(super) async fn settled(writer: &SqlitePool) -> Result<bool, StoreError> {
    for _ in 0..SETTLE_TRIES {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(writer)
            .await?;
        if row.try_get::<i64, _>(0)? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a table into other pages. Those in which it was are overwritten whole when they are freed (`secure_delete`), unlike the
/// gaps of a page, where a row that once moved to a neighbour page leaves a copy.
pub(super) async fn write_anew(writer: &SqlitePool, table: &str) -> Result<(), StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let no_rowid: bool =
        sqlx::query_scalar("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?")
            .bind(table)
            .fetch_one(&mut *tx)
            .await?;
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
        .bind(table)
        .fetch_all(&mut *tx)
        .await?;
    let columns = columns.join(", ");
    // A rotation that runs goes by these numbers.
    let (rowid, place) = if no_rowid {
        ("", "")
    } else {
        ("rowid, ", "place, ")
    };
    let rowid_as = if no_rowid { "" } else { "rowid AS place, " };
    for text in [
        format!("CREATE TABLE anew AS SELECT {rowid_as}{columns} FROM {table}"),
        // Without a condition: every page of the table and of its indexes is freed.
        format!("DELETE FROM {table}"),
        format!("INSERT INTO {table} ({rowid}{columns}) SELECT {place}{columns} FROM anew"),
        "DROP TABLE anew".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

impl Side {
    /// Opens the file, makes it when it is missing, and brings it to the newest format.
    pub(super) async fn open(
        path: &Path,
        name: &'static str,
        formats: &migrations::Formats,
    ) -> Result<Self, StoreError> {
        private_file(path).map_err(|source| StoreError::File {
            path: path.display().to_string(),
            source,
        })?;
        let options = options()
            .filename(path)
            .thread_name(move |id| format!("{name}-{id}"))
            .journal_mode(SqliteJournalMode::Wal)
            // What somebody was told is written is there after a loss of power as well.
            .synchronous(SqliteSynchronous::Full)
            // What was deleted or destroyed is overwritten.
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY");
        let writer = pool(1).connect_with(options.clone()).await?;
        migrations::run_of(&writer, formats).await?;
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self { writer, readers })
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
