//! The formats of the state, oldest first. A published one never changes; a new one is added behind it.

use sqlx::sqlite::SqlitePool;

use super::super::StoreError;

/// Each format and the statements that lead to it from the one before.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("0001_state.sql")),
    (2, include_str!("0002_uses.sql")),
    (3, include_str!("0003_sessions.sql")),
];

/// Brings the state to the newest format, in one transaction.
pub(super) async fn run(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS state_format (version INTEGER PRIMARY KEY) STRICT")
        .execute(&mut *tx)
        .await?;
    let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM state_format")
        .fetch_one(&mut *tx)
        .await?;
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, statements) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        sqlx::raw_sql(*statements).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO state_format (version) VALUES (?)")
            .bind(version)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
