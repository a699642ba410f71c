//! The audit log: changes and records, chained and committed together.

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::super::{Applied, AuditRow, Draft, Head, Linked, StoreError};
use super::{change, rows};
use crate::ids::Digest;

/// How many records one statement inserts: few sizes, so that every statement is prepared once.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// What stands for the record before the first: 32 zero bytes.
pub(super) fn empty_log() -> Digest {
    #[expect(clippy::expect_used, reason = "64 zeros are 64 hexadecimal digits")]
    "0".repeat(64)
        .parse()
        .expect("64 zeros are a digest in text")
}

pub(super) async fn append(
    writer: &SqlitePool,
    drafts: &mut [Draft<'_>],
) -> Result<Vec<Applied>, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let mut head = locked_head(&mut tx).await?;
    let mut applied = Vec::with_capacity(drafts.len());
    let mut linked = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let result = match &draft.change {
            None => Applied::Done,
            Some(change) => change::apply(&mut tx, change).await?,
        };
        if matches!(result, Applied::Done) {
            for record in &mut draft.records {
                let next = record.behind(&head).map_err(StoreError::Record)?;
                head = next.head.clone();
                if let Some(change) = &draft.change {
                    change::place(&mut tx, change, record.consents(), head.seq).await?;
                }
                linked.push(next);
            }
        }
        applied.push(result);
    }
    insert(&mut tx, &linked, &head).await?;
    tx.commit().await?;
    Ok(applied)
}

/// Reads the head and holds it: a write locks its row, so that no other process chains to the same record.
async fn locked_head(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    sqlx::query("UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING log_id, seq, hash")
        // All rows, so that the statement is run to its end.
        .fetch_all(connection)
        .await?
        .first()
        .map(head_of)
        .transpose()?
        .ok_or(StoreError::Corrupt {
            table: "audit_head",
            column: "id",
        })
}

async fn insert(
    connection: &mut SqliteConnection,
    linked: &[Linked],
    head: &Head,
) -> Result<(), StoreError> {
    let mut rest = linked;
    while let Some((some, more)) = ROWS.iter().find_map(|rows| rest.split_at_checked(*rows)) {
        rest = more;
        let mut places = Vec::with_capacity(some.len());
        for record in some {
            places.push((rows::number(record.head.seq)?, record));
        }
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO audit (seq, hash, record) ");
        insert.push_values(places, |mut row, (seq, record)| {
            row.push_bind(seq)
                .push_bind(record.head.hash.to_string())
                .push_bind(&record.text);
        });
        insert.build().execute(&mut *connection).await?;
    }
    if !linked.is_empty() {
        sqlx::query("UPDATE audit_head SET seq = ?, hash = ? WHERE id = 1")
            .bind(rows::number(head.seq)?)
            .bind(head.hash.to_string())
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn head(readers: &SqlitePool) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT log_id, seq, hash FROM audit_head WHERE id = 1")
        .fetch_one(readers)
        .await?;
    head_of(&row)
}

pub(super) async fn from(
    readers: &SqlitePool,
    seq: u64,
    max: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    sqlx::query("SELECT seq, hash, record FROM audit WHERE seq >= ? ORDER BY seq LIMIT ?")
        .bind(rows::number(seq)?)
        .bind(max)
        .fetch_all(readers)
        .await?
        .iter()
        .map(|row| {
            Ok(AuditRow {
                seq: rows::count(row, "audit", "seq")?,
                hash: rows::parsed(row, "audit", "hash")?,
                text: row.try_get("record")?,
            })
        })
        .collect()
}

fn head_of(row: &SqliteRow) -> Result<Head, StoreError> {
    Ok(Head {
        log_id: rows::parsed(row, "audit_head", "log_id")?,
        seq: rows::count(row, "audit_head", "seq")?,
        hash: rows::parsed(row, "audit_head", "hash")?,
    })
}
