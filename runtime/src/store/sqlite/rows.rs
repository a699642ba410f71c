//! Rows to values and back. A row that does not hold what we wrote is an error, never a default.

use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{ConsentKey, ConsentRow, Pinned, StoreError, TicketRow};
use crate::clock::Timestamp;
use crate::ids::User;

/// A number as SQLite keeps it.
pub(super) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt {
        table: "audit",
        column: "seq",
    })
}

/// A number that is not negative.
pub(super) fn count(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt { table, column })
}

/// A text that means something.
pub(super) fn parsed<T: FromStr>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<T, StoreError> {
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|_| StoreError::Corrupt { table, column })
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp(row.try_get(column)?))
}

pub(super) fn time_if_any(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

pub(super) fn user(row: &SqliteRow, table: &'static str) -> Result<User, StoreError> {
    Ok(User {
        issuer: parsed(row, table, "iss")?,
        subject: parsed(row, table, "sub")?,
    })
}

fn key(row: &SqliteRow, table: &'static str) -> Result<ConsentKey, StoreError> {
    Ok(ConsentKey {
        tenant: parsed(row, table, "tenant")?,
        user: user(row, table)?,
        client: parsed(row, table, "client_id")?,
        tool: parsed(row, table, "tool")?,
        publisher: parsed(row, table, "publisher")?,
    })
}

fn pinned(row: &SqliteRow, table: &'static str) -> Result<Pinned, StoreError> {
    Ok(Pinned {
        component: parsed(row, table, "component")?,
        definition: parsed(row, table, "definition")?,
        manifest: parsed(row, table, "manifest")?,
    })
}

pub(super) fn consent(row: &SqliteRow) -> Result<ConsentRow, StoreError> {
    const TABLE: &str = "consent";
    let bound = match row.try_get::<&str, _>("arguments")? {
        "" => None,
        _ => Some(parsed(row, TABLE, "arguments")?),
    };
    Ok(ConsentRow {
        id: parsed(row, TABLE, "id")?,
        key: key(row, TABLE)?,
        pinned: pinned(row, TABLE)?,
        capability: parsed(row, TABLE, "capability")?,
        scope: parsed(row, TABLE, "scope")?,
        state: parsed(row, TABLE, "state")?,
        arguments: bound,
        ticket: parsed(row, TABLE, "ticket")?,
        ui: parsed(row, TABLE, "ui")?,
        acr: row.try_get("acr")?,
        auth_time: time_if_any(row, "auth_time")?,
        decided_at: time(row, "decided_at")?,
        expires_at: time(row, "expires_at")?,
        uses_max: row.try_get("uses_max")?,
        uses: row.try_get("uses")?,
        last_used_at: time_if_any(row, "last_used_at")?,
        idle_expires_at: time_if_any(row, "idle_expires_at")?,
        channel: parsed(row, TABLE, "channel")?,
        ended_at: time_if_any(row, "ended_at")?,
    })
}

pub(super) fn ticket(row: &SqliteRow) -> Result<TicketRow, StoreError> {
    const TABLE: &str = "ticket";
    let nonce = row
        .try_get::<&[u8], _>("nonce")?
        .try_into()
        .map_err(|_| StoreError::Corrupt {
            table: TABLE,
            column: "nonce",
        })?;
    Ok(TicketRow {
        id_hash: parsed(row, TABLE, "id_hash")?,
        nonce,
        key: key(row, TABLE)?,
        pinned: pinned(row, TABLE)?,
        question: parsed(row, TABLE, "question")?,
        arguments: parsed(row, TABLE, "arguments")?,
        shown: row.try_get("shown")?,
        state: parsed(row, TABLE, "state")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
