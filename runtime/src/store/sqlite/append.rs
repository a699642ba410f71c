//! The audit log: changes and records, chained and committed together.

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::super::{Applied, AuditRow, Draft, Head, Linked, StoreError};
use super::blocks::End;
use super::rest::Rest;
use super::{blocks, change, rows};
use crate::ids::Digest;

/// For how many records there are statements that insert them: few sizes, so that every statement is prepared once.
const ROWS: [usize; 4] = [1, 4, 16, ROWS_MAX];
/// Records of one statement at most.
const ROWS_MAX: usize = 64;

/// The log has no head.
const NO_HEAD: StoreError = StoreError::Corrupt {
    table: "audit_head",
    column: "id",
};

/// What stands for the record before the first: 32 zero bytes.
pub(super) fn empty_log() -> Digest {
    #[expect(clippy::expect_used, reason = "64 zeros are 64 hexadecimal digits")]
    "0".repeat(64)
        .parse()
        .expect("64 zeros are a digest in text")
}

pub(super) async fn append(
    rest: &Rest,
    end: &End,
    drafts: &mut [Draft<'_>],
) -> Result<Vec<Applied>, StoreError> {
    // As a rule nobody else has written, and the head needs no reading: each statement is a message to the thread of the database.
    let known = match drafts.iter().any(|draft| !draft.records.is_empty()) {
        true => end.head(),
        false => None,
    };
    if let Some(known) = known
        && let Some(applied) = append_behind(rest, end, drafts, Some(known)).await?
    {
        return Ok(applied);
    }
    let applied = append_behind(rest, end, drafts, None).await?;
    // The head was read under the lock, so this is a log without one.
    applied.ok_or(NO_HEAD)
}

/// The same behind this head, or behind the one that is read. None where the log has another head: then nothing is written.
async fn append_behind(
    rest: &Rest,
    end: &End,
    drafts: &mut [Draft<'_>],
    known: Option<Head>,
) -> Result<Option<Vec<Applied>>, StoreError> {
    let mut tx = rest.writer().begin_with("BEGIN IMMEDIATE").await?;
    let before = match known {
        Some(known) => known,
        None => locked_head(&mut tx).await?,
    };
    let mut head = before.clone();
    let mut applied = Vec::with_capacity(drafts.len());
    let mut linked = Vec::with_capacity(drafts.len());
    let has_records = drafts.iter().any(|draft| !draft.records.is_empty());
    let mut gathering = match has_records {
        true => Some(end.take(&mut tx, &head).await?),
        false => None,
    };
    let mut whole = Vec::new();
    for draft in drafts {
        let result = match &draft.change {
            None => Applied::Done,
            Some(change) => change::apply(rest, &mut tx, change).await?,
        };
        if matches!(result, Applied::Done) {
            for record in &mut draft.records {
                let next = record.behind(&head).map_err(StoreError::Record)?;
                head = next.head.clone();
                if let Some(change) = &draft.change {
                    change::place(&mut tx, change, record.consents(), head.seq).await?;
                }
                if let Some(gathering) = &mut gathering {
                    gathering.add(*record);
                    whole.extend(gathering.close_behind(head.seq));
                }
                linked.push(next);
            }
        }
        applied.push(result);
    }
    if !insert(&mut tx, &before, &linked, &head).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    blocks::note(&mut tx, &whole).await?;
    tx.commit().await?;
    if let Some(gathering) = gathering {
        end.put(head, gathering);
    }
    Ok(Some(applied))
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
        .ok_or(NO_HEAD)
}

/// Moves the head and inserts the records behind it. Whether it was this head; if not, nothing is changed.
async fn insert(
    connection: &mut SqliteConnection,
    before: &Head,
    linked: &[Linked],
    head: &Head,
) -> Result<bool, StoreError> {
    for (nth, some) in linked.chunks(ROWS_MAX).enumerate() {
        let mut places = Vec::with_capacity(ROWS_MAX);
        for record in some {
            places.push(Some((rows::number(record.head.seq)?, record)));
        }
        // Filled up with nothing, so that there are few statements.
        let size = ROWS.into_iter().find(|size| *size >= places.len());
        places.resize(size.unwrap_or(ROWS_MAX), None);
        let mut insert = QueryBuilder::<Sqlite>::new("");
        if nth == 0 {
            insert.push("UPDATE audit_head SET seq = ");
            insert.push_bind(rows::number(head.seq)?);
            insert.push(", hash = ").push_bind(head.hash.to_string());
            insert.push(" WHERE id = 1 AND seq = ");
            insert.push_bind(rows::number(before.seq)?);
            insert.push(" AND hash = ");
            insert.push_bind(before.hash.to_string()).push("; ");
        }
        insert
            .push("INSERT INTO audit (seq, hash, record) SELECT column1, column2, column3 FROM (");
        insert.push_values(places, |mut row, place| {
            row.push_bind(place.map(|(seq, _)| seq))
                .push_bind(place.map(|(_, record)| record.head.hash.to_string()))
                .push_bind(place.map(|(_, record)| &record.text));
        });
        insert.push(") WHERE column1 IS NOT NULL");
        if nth == 0 {
            // Of the statement before.
            insert.push(" AND changes() = 1");
        }
        let done = insert.build().execute(&mut *connection).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) async fn head(readers: &SqlitePool) -> Result<Head, StoreError> {
    head_in(&mut *readers.acquire().await?).await
}

pub(super) async fn head_in(reader: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT log_id, seq, hash FROM audit_head WHERE id = 1")
        .fetch_one(reader)
        .await?;
    head_of(&row)
}

pub(super) async fn next(readers: &SqlitePool, seq: u64) -> Result<Option<u64>, StoreError> {
    let next: Option<i64> = sqlx::query_scalar("SELECT MIN(seq) FROM audit WHERE seq >= ?")
        .bind(rows::number(seq)?)
        .fetch_one(readers)
        .await?;
    Ok(next.map(|seq| u64::try_from(seq).unwrap_or_default()))
}

pub(super) async fn from(
    readers: &SqlitePool,
    seq: u64,
    max: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    // All of them in one row: each row is a message from the thread of the database.
    let page: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT CAST(group_concat(seq || ' ' || octet_length(hash) || ' ' || octet_length(record) || ' ' || hash || record, '') \
         AS BLOB) FROM (SELECT seq, hash, record FROM audit WHERE seq >= ? ORDER BY seq LIMIT ?)",
    )
    .bind(rows::number(seq)?)
    .bind(max)
    .fetch_one(readers)
    .await?;
    let page = page.unwrap_or_default();
    let mut rest = page.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(next_of(&mut rest)?);
    }
    // So they come, but no aggregate promises it.
    records.sort_by_key(|record| record.seq);
    Ok(records)
}

/// Takes a record off a page: its number, the lengths of its digest and its text, and both of these.
fn next_of(page: &mut &[u8]) -> Result<AuditRow, StoreError> {
    let corrupt = |column| StoreError::Corrupt {
        table: "audit",
        column,
    };
    let seq = number_of(page).ok_or_else(|| corrupt("seq"))?;
    let hash_bytes = number_of(page).ok_or_else(|| corrupt("hash"))?;
    let bytes = number_of(page).ok_or_else(|| corrupt("record"))?;
    let hash = text_of(page, hash_bytes).and_then(|hash| hash.parse().ok());
    Ok(AuditRow {
        seq,
        hash: hash.ok_or_else(|| corrupt("hash"))?,
        text: text_of(page, bytes)
            .ok_or_else(|| corrupt("record"))?
            .to_owned(),
    })
}

fn number_of(page: &mut &[u8]) -> Option<u64> {
    let end = page.iter().position(|byte| *byte == b' ')?;
    let (digits, rest) = page.split_at_checked(end)?;
    *page = rest.get(1..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text_of<'a>(page: &mut &'a [u8], bytes: u64) -> Option<&'a str> {
    let (text, rest) = page.split_at_checked(usize::try_from(bytes).ok()?)?;
    *page = rest;
    std::str::from_utf8(text).ok()
}

fn head_of(row: &SqliteRow) -> Result<Head, StoreError> {
    Ok(Head {
        log_id: rows::parsed(row, "audit_head", "log_id")?,
        seq: rows::count(row, "audit_head", "seq")?,
        hash: rows::parsed(row, "audit_head", "hash")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::{SqliteStore, Store};
    use super::*;

    async fn put(store: &SqliteStore, seq: i64, hash: &str, record: &[u8]) {
        sqlx::query("INSERT INTO audit (seq, hash, record) VALUES (?, ?, CAST(? AS TEXT))")
            .bind(seq)
            .bind(hash)
            .bind(record)
            .execute(store.writer())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_page_holds_its_records_byte_by_byte_and_in_order() {
        let store = SqliteStore::in_memory().await.unwrap();
        let texts = ["{}", "", "a b\nc", "7 64 3 4", "é\u{0}ü", "\"\\"];
        let hash = |text: &str| Digest::of(text.as_bytes());
        for (before, text) in texts.iter().enumerate().rev() {
            let seq = i64::try_from(before + 1).unwrap();
            put(&store, seq, &hash(text).to_string(), text.as_bytes()).await;
        }
        for (from, max, expected) in [(1, 100, 1..7), (2, 3, 2..5), (6, 3, 6..7), (7, 3, 7..7)] {
            let page = store.audit_from(from, max).await.unwrap();
            let seqs: Vec<_> = page.iter().map(|row| row.seq).collect();
            assert_eq!(seqs, expected.collect::<Vec<u64>>());
            for row in page {
                let text = texts[usize::try_from(row.seq).unwrap() - 1];
                assert_eq!((row.text.as_str(), row.hash), (text, hash(text)));
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_record_is_told_by_its_column() {
        let hash = Digest::of(b"x").to_string();
        let damaged: [(&str, &[u8], &str); 3] = [
            ("no digest", b"{}", "hash"),
            ("", b"{}", "hash"),
            (&hash, b"\xff", "record"),
        ];
        for (hash, record, expected) in damaged {
            let store = SqliteStore::in_memory().await.unwrap();
            put(&store, 1, hash, record).await;
            match store.audit_from(1, 10).await {
                Err(StoreError::Corrupt { column, .. }) => assert_eq!(column, expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
