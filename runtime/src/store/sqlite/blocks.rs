//! The index of the audit log: what is noted of blocks of records, in the transaction that makes a block whole.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::super::block::{BLOCK_RECORDS, Block, Gathering, LogBlocks, Places, Sought, Unfinished};
use super::super::{Head, StoreError};
use super::{SqliteStore, append, rows};
use crate::clock::Timestamp;

/// Blocks that are looked through for one answer: those of a million records, so that an answer is bounded.
const LOOKED_THROUGH: u32 = 16_384;
/// Blocks whose records are read at once where nothing is noted of them yet.
const READ_AT_ONCE: u64 = 8;
/// Blocks that are noted in one transaction, which takes some milliseconds.
const NOTED_AT_ONCE: usize = 256;

/// The block at the end of the log as this process left it. Another process may have written since.
#[derive(Debug, Clone, Default)]
pub(super) struct End(Arc<Mutex<Option<Unfinished>>>);

impl End {
    /// The head of the log as this process left it.
    pub(super) fn head(&self) -> Option<Head> {
        self.kept().as_ref().map(|known| known.head.clone())
    }

    /// What is noted of the block at the end; read anew where the log is not as this process left it.
    pub(super) async fn take(
        &self,
        connection: &mut SqliteConnection,
        head: &Head,
    ) -> Result<Gathering, StoreError> {
        let known = self.kept().take();
        if let Some(known) = known.filter(|known| known.head == *head) {
            return Ok(known.gathering);
        }
        let first = Block::first(Block::whole(head.seq));
        let texts: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT CAST(record AS BLOB) FROM audit WHERE seq >= ? ORDER BY seq",
        )
        .bind(rows::number(first)?)
        .fetch_all(connection)
        .await?;
        let mut gathering = Gathering::default();
        for text in &texts {
            match std::str::from_utf8(text) {
                Ok(text) => gathering.add_text(text),
                Err(_) => gathering.add_unknown(),
            }
        }
        Ok(gathering)
    }

    /// Keeps what was noted, once it is written.
    pub(super) fn put(&self, head: Head, gathering: Gathering) {
        *self.kept() = Some(Unfinished { head, gathering });
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Unfinished>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes what stands in blocks, but for those that were pruned, if only in part: nothing is kept of records that are gone.
pub(super) async fn note(
    connection: &mut SqliteConnection,
    blocks: &[Block],
) -> Result<(), StoreError> {
    for block in blocks {
        sqlx::query(
            "INSERT INTO audit_block (number, at_min, at_max, hints) SELECT ?1, ?2, ?3, ?4 \
             WHERE ?5 > COALESCE((SELECT through FROM audit_pruned WHERE id = 1), 0) \
             ON CONFLICT (number) DO UPDATE SET at_min = excluded.at_min, at_max = excluded.at_max, hints = excluded.hints",
        )
        .bind(rows::number(block.number)?)
        .bind(block.at_min.0)
        .bind(block.at_max.0)
        .bind(&block.hints)
        .bind(rows::number(Block::first(block.number))?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Forgets the blocks of records that are gone.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    through: u64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM audit_block WHERE number <= ?")
        .bind(rows::number(Block::of(through))?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what stands in the blocks of which nothing is noted: those of a log that an earlier version wrote. How many records they have.
pub(super) async fn fill(store: &SqliteStore) -> Result<u64, StoreError> {
    let head = append::head(&store.readers).await?;
    let through: Option<i64> = sqlx::query_scalar("SELECT through FROM audit_pruned WHERE id = 1")
        .fetch_optional(&store.readers)
        .await?;
    let through = through.map_or(0, |through| u64::try_from(through).unwrap_or_default());
    // Behind the last that was pruned, if only in part.
    let begin = through.div_ceil(BLOCK_RECORDS);
    let mut left: VecDeque<_> = match Block::whole(head.seq).checked_sub(1) {
        Some(last) if last >= begin => unnoted(&store.readers, begin, last).await?.into(),
        Some(_) | None => return Ok(0),
    };
    let missing: u64 = left
        .iter()
        .map(|(first, last)| last.saturating_sub(*first).saturating_add(1))
        .sum();
    if missing == 0 {
        return Ok(0);
    }
    let records = missing.saturating_mul(BLOCK_RECORDS);
    tracing::info!(records, "the audit log is being indexed for searches");
    let began = Instant::now();
    let mut noted = Vec::new();
    while let Some((first, last)) = left.pop_front() {
        let end = last.min(first.saturating_add(READ_AT_ONCE - 1));
        let next = read(&store.readers, first, end, &mut noted).await?;
        if let Some(next) = next.filter(|next| *next <= last) {
            left.push_front((next, last));
        }
        if noted.len() >= NOTED_AT_ONCE || left.is_empty() {
            let mut tx = store.writer.begin_with("BEGIN IMMEDIATE").await?;
            note(&mut tx, &noted).await?;
            tx.commit().await?;
            noted.clear();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(records, seconds, "the audit log is indexed for searches");
    Ok(records)
}

/// Adds what stands in blocks from one through another. From which block on there is more; none where the log ends.
async fn read(
    readers: &SqlitePool,
    first: u64,
    last: u64,
    noted: &mut Vec<Block>,
) -> Result<Option<u64>, StoreError> {
    let begin = Block::first(first);
    // Whatever number somebody gave the end of the log, or a record, no more is read than there is.
    match append::next(readers, begin).await?.map(Block::of) {
        None => return Ok(None),
        Some(number) if number > last => return Ok(Some(number)),
        Some(_) => {}
    }
    let most = Block::last(last).saturating_sub(begin).saturating_add(1);
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    match append::from(readers, begin, most).await {
        Ok(records) => {
            let mut records = records.iter().peekable();
            while let Some(row) = records.peek().filter(|row| Block::of(row.seq) <= last) {
                let number = Block::of(row.seq);
                let mut gathering = Gathering::default();
                while let Some(row) = records.next_if(|row| Block::of(row.seq) == number) {
                    gathering.add_text(&row.text);
                }
                noted.push(gathering.close(number));
            }
        }
        // One of them is damaged, and a search has to come upon it.
        Err(StoreError::Corrupt { .. }) => noted.extend((first..=last).map(Block::unknown)),
        Err(error) => return Err(error),
    }
    Ok(Some(last.saturating_add(1)))
}

/// The blocks from one through another of which nothing is noted, as the first and the last of each row of them.
async fn unnoted(
    readers: &SqlitePool,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut reader = readers.acquire().await?;
    unnoted_of(&mut reader, first, last).await
}

async fn unnoted_of(
    reader: &mut SqliteConnection,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, u64)>, StoreError> {
    let span = (rows::number(first)?, rows::number(last)?);
    let noted: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM audit_block WHERE number BETWEEN ? AND ?")
            .bind(span.0)
            .bind(span.1)
            .fetch_one(&mut *reader)
            .await?;
    if u64::try_from(noted).ok() == Some(last.saturating_sub(first).saturating_add(1)) {
        return Ok(Vec::new());
    }
    let gaps = sqlx::query(
        "SELECT before + 1 AS first, number - 1 AS last FROM ( \
             SELECT number, LAG(number, 1, ?1 - 1) OVER (ORDER BY number) AS before \
             FROM (SELECT number FROM audit_block WHERE number BETWEEN ?1 AND ?2 UNION ALL SELECT ?2 + 1) \
         ) WHERE number > before + 1 ORDER BY first",
    )
    .bind(span.0)
    .bind(span.1)
    .fetch_all(reader)
    .await?;
    gaps.iter().map(pair).collect()
}

fn pair(row: &SqliteRow) -> Result<(u64, u64), StoreError> {
    let first = rows::count(row, "audit_block", "first")?;
    Ok((first, rows::count(row, "audit_block", "last")?))
}

#[async_trait]
impl LogBlocks for SqliteStore {
    async fn blocks(&self, number: u64, max: u32) -> Result<Vec<Block>, StoreError> {
        sqlx::query(
            "SELECT number, at_min, at_max, hints FROM audit_block WHERE number >= ? ORDER BY number LIMIT ?",
        )
        .bind(rows::number(number)?)
        .bind(max)
        .fetch_all(&self.readers)
        .await?
        .iter()
        .map(|row| {
            Ok(Block {
                number: rows::count(row, "audit_block", "number")?,
                at_min: Timestamp(row.try_get("at_min")?),
                at_max: Timestamp(row.try_get("at_max")?),
                hints: row.try_get("hints")?,
            })
        })
        .collect()
    }

    async fn places(&self, from: u64, sought: &Sought) -> Result<Places, StoreError> {
        // All of it as it stands at one moment: a block that becomes whole meanwhile is not missed.
        let mut tx = self.readers.begin().await?;
        let first = Block::of(from);
        // What is noted behind the end of the log is nothing that a server wrote, and hides nothing that is written there.
        let whole = Block::whole(append::head_in(&mut tx).await?.seq);
        let span: (Option<i64>, bool) = sqlx::query_as(
            "SELECT MAX(number), COUNT(*) = ?3 FROM (SELECT number FROM audit_block WHERE number >= ?1 AND number < ?2 \
             ORDER BY number LIMIT ?3)",
        )
        .bind(rows::number(first)?)
        .bind(rows::number(whole)?)
        .bind(LOOKED_THROUGH)
        .fetch_one(&mut *tx)
        .await?;
        let (Some(last), is_cut) = span else {
            return Ok(Places {
                ranges: vec![from..=u64::MAX],
                next: None,
            });
        };
        let last = u64::try_from(last).unwrap_or_default();
        let mut found = unnoted_of(&mut tx, first, last).await?;
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT number AS first, number AS last FROM audit_block WHERE number BETWEEN ",
        );
        query.push_bind(rows::number(first)?);
        query.push(" AND ").push_bind(rows::number(last)?);
        if let Some(since) = sought.since {
            query.push(" AND at_max >= ").push_bind(since.0);
        }
        if let Some(until) = sought.until {
            query.push(" AND at_min < ").push_bind(until.0);
        }
        if !sought.hints.is_empty() {
            query.push(" AND (hints IS NULL OR (1");
            for hint in &sought.hints {
                // It may find two halves of others, which is more than there is and no less.
                query.push(" AND instr(hints, ");
                query.push_bind(hint.as_bytes().to_vec()).push(")");
            }
            query.push("))");
        }
        let mut fitting = query.build().fetch(&mut *tx);
        while let Some(row) = fitting.try_next().await? {
            found.push(pair(&row)?);
        }
        drop(fitting);
        tx.commit().await?;
        found.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for (first, last) in found {
            let (first, last) = (Block::first(first).max(from), Block::last(last));
            match ranges.last_mut() {
                Some(before) if before.end().saturating_add(1) >= first => {
                    *before = *before.start()..=last;
                }
                Some(_) | None => ranges.push(first..=last),
            }
        }
        let behind = Block::last(last).saturating_add(1);
        let next = is_cut.then_some(behind);
        if next.is_none() {
            ranges.push(behind.max(from)..=u64::MAX);
        }
        Ok(Places { ranges, next })
    }

    async fn index_anew(&self) -> Result<u64, StoreError> {
        sqlx::query("DELETE FROM audit_block")
            .execute(&self.writer)
            .await?;
        fill(self).await
    }
}
