//! The log as somebody left it who could change the file: a chain is altered and must be found out, and what reads checkpoints and
//! records must read them in one way.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::sync::LazyLock;

use async_trait::async_trait;
use futures_util::FutureExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chain::{Reads, verify_log};
use super::note::{Checkpoint, LogKey, Note, Signer, notes};
use super::record::{Phase, Record};
use super::tree::{self, Frontier};
use crate::clock::Timestamp;
use crate::fuzzing::choices::{Choices, altered};
use crate::ids::Digest;
use crate::store::block::Block;
use crate::store::tree::{CheckpointRow, Pruned};
use crate::store::{AuditRow, Chained, Head, StoreError};

/// Records of the log, and after which of them there is a checkpoint. The last covers all.
const RECORDS: u64 = 9;
const CHECKPOINTS: [u64; 3] = [3, 6, RECORDS];

/// A log as its reader finds it.
#[derive(Clone)]
struct Log {
    head: Head,
    rows: Vec<AuditRow>,
    checkpoints: Vec<CheckpointRow>,
    pruned: Option<Pruned>,
    leaves: Vec<(u64, Digest)>,
}

#[async_trait]
impl Reads for Log {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head.clone())
    }

    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError> {
        Ok(first(&self.rows, max, |row| row.seq >= seq, |row| row.seq))
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        Ok(first(
            &self.checkpoints,
            max,
            |row| row.size > size,
            |row| row.size,
        ))
    }

    async fn pruned(&self) -> Result<Option<Pruned>, StoreError> {
        Ok(self.pruned)
    }

    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError> {
        Ok(first(
            &self.leaves,
            max,
            |(at, _)| *at >= seq,
            |(at, _)| *at,
        ))
    }

    /// The index proves nothing, and a log without one is whole.
    async fn blocks(&self, _number: u64, _max: u32) -> Result<Vec<Block>, StoreError> {
        Ok(Vec::new())
    }
}

/// As a table answers that is sorted by its key.
fn first<T: Clone>(
    all: &[T],
    max: u32,
    wanted: impl Fn(&T) -> bool,
    by: impl Fn(&T) -> u64,
) -> Vec<T> {
    let mut found: Vec<T> = all.iter().filter(|one| wanted(one)).cloned().collect();
    found.sort_by_key(by);
    found.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    found
}

struct World {
    log: Log,
    signer: Signer,
    /// The last checkpoint, as it was kept outside.
    outside: Note,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let log_id = Uuid::from_u128(7);
    let signer = Signer::new(log_id, &[9; 32]).expect("a key");
    let mut log = Log {
        head: Head {
            log_id,
            seq: 0,
            hash: Digest::from([0; 32]),
        },
        rows: Vec::new(),
        checkpoints: Vec::new(),
        pruned: None,
        leaves: Vec::new(),
    };
    let mut frontier = Frontier::default();
    for seq in 1..=RECORDS {
        let phase = if seq % 2 == 0 {
            Phase::Outcome
        } else {
            Phase::Intent
        };
        let at = Timestamp::from_secs(1_800_000_000).plus(std::time::Duration::from_secs(seq));
        let mut record = Record::empty(Uuid::from_u128(u128::from(seq)), at, phase);
        record.kind = "tool.call".to_owned();
        record.tenant = "acme".parse().ok();
        record.facts.insert("number".to_owned(), json!(seq));
        let linked = record.behind(&log.head).expect("a record");
        frontier.push(tree::leaf(linked.text.as_bytes()));
        log.rows.push(AuditRow {
            seq,
            hash: linked.head.hash,
            text: linked.text,
        });
        log.head = linked.head;
        if CHECKPOINTS.contains(&seq) {
            let note = signer.sign(Checkpoint {
                log_id,
                size: seq,
                root: frontier.root(),
                at,
                head: log.head.hash,
            });
            log.checkpoints.push(CheckpointRow {
                size: seq,
                at,
                peaks: frontier.peaks().to_vec(),
                note: note.to_string(),
            });
        }
    }
    let outside = log.checkpoints.last().and_then(|row| row.note.parse().ok());
    World {
        outside: outside.expect("the last checkpoint"),
        log,
        signer,
    }
});

/// Verifies as `bailiwick audit verify` does; nothing here waits.
fn is_whole(log: &Log, key: &LogKey, notes: &[Note]) -> bool {
    let verified = verify_log(log, Some(key), notes).now_or_never();
    verified.expect("a log in memory").is_ok()
}

/// Alters the log as the bytes say, and verifies it.
pub(crate) fn log(bytes: &[u8]) {
    let world = &*WORLD;
    let mut choices = Choices::of(bytes);
    let (mut log, mut retold) = (world.log.clone(), false);
    for _ in 0..=choices.below(3) {
        retold |= alter(&mut log, &mut choices);
    }
    // Whoever can write the file can also make the digests fit again.
    if choices.byte() % 2 == 1 {
        rechain(&mut log);
    }
    let key = world.signer.key();
    let same = says_the_same(&log, &world.log);
    // With the one checkpoint from outside, nothing that was altered passes.
    let outside = is_whole(&log, key, std::slice::from_ref(&world.outside));
    assert!(!outside || same, "an altered log was taken for whole");
    // Without it, only what no checkpoint beside the log covers any more.
    let covered = log.checkpoints.iter().any(|row| row.size == RECORDS);
    let beside = is_whole(&log, key, &[]);
    assert!(
        !beside || same || !covered,
        "an altered log fits the checkpoint that covers it"
    );
    let said = |log: &Log| -> Vec<Option<Checkpoint>> {
        let read = |row: &CheckpointRow| {
            row.note
                .parse::<Note>()
                .ok()
                .map(|note| note.checkpoint().clone())
        };
        log.checkpoints.iter().map(read).collect()
    };
    let untouched = said(&log) == said(&world.log);
    assert!(
        !outside || retold || untouched,
        "an altered checkpoint was taken"
    );
    let all = log.checkpoints == world.log.checkpoints;
    assert!(
        !same || !all || outside,
        "a log that nobody altered is not whole"
    );
}

/// Whether every record is there that was, or the leaf of one that is said to be gone, and nothing else.
fn says_the_same(log: &Log, was: &Log) -> bool {
    // Numbers begin with 1: what stands below is read by nobody.
    let rows = first(&log.rows, u32::MAX, |row| row.seq > 0, |row| row.seq);
    let gone = log.pruned.map_or(0, |pruned| pruned.through);
    let gone = usize::try_from(gone).unwrap_or(usize::MAX);
    let (pruned, kept) = was.rows.split_at(gone.min(was.rows.len()));
    let leaves = pruned
        .iter()
        .map(|row| (row.seq, tree::leaf(row.text.as_bytes())));
    let leaves: Vec<_> = leaves.collect();
    let last = pruned.last().map(|row| row.hash);
    let said = first(&log.leaves, u32::MAX, |(at, _)| *at > 0, |(at, _)| *at);
    log.head == was.head
        && rows == kept
        && said.get(..gone).unwrap_or_default() == leaves
        && log.pruned.map(|pruned| pruned.hash) == last
}

/// One alteration. Whether checkpoints beside the log were taken away or put in order anew, which says nothing false.
fn alter(log: &mut Log, choices: &mut Choices<'_>) -> bool {
    let count = log.rows.len().max(1);
    let (at, other) = (choices.below(count), choices.below(count));
    match choices.below(12) {
        0..=2 => {
            if let Some(row) = log.rows.get_mut(at) {
                let text = altered(row.text.as_bytes(), choices);
                row.text = String::from_utf8_lossy(&text).into_owned();
            }
        }
        3 => {
            // A member of a record, as somebody would who knows what stands there.
            let fields = [
                "kind",
                "tenant",
                "at",
                "seq",
                "prev_hash",
                "log_id",
                "phase",
                "facts",
            ];
            let field = fields
                .get(choices.below(fields.len()))
                .copied()
                .unwrap_or("kind");
            if let Some(row) = log.rows.get_mut(at)
                && let Ok(Value::Object(mut record)) = serde_json::from_str(&row.text)
            {
                let value = [json!("evil"), json!(1), Value::Null, json!({})];
                let value = value.get(choices.below(4)).cloned().unwrap_or_default();
                record.insert(field.to_owned(), value);
                row.text = Value::Object(record).to_string();
            }
        }
        4 => log.rows.swap(at, other),
        5 if !log.rows.is_empty() => drop(log.rows.remove(at)),
        6 => log.rows.truncate(at),
        7 => {
            if let Some(row) = log.rows.get(at).cloned() {
                log.rows.insert(other, row);
            }
        }
        8 => {
            if let Some(row) = log.rows.get_mut(at) {
                let seq = i64::try_from(choices.below(12)).unwrap_or(0);
                row.seq = u64::try_from(seq).unwrap_or(0);
            }
        }
        9 => {
            log.head.seq = u64::try_from(choices.below(12)).unwrap_or(0);
            if choices.byte() % 2 == 1 {
                log.head.log_id = Uuid::from_u128(8);
            }
        }
        10 => {
            // Records that are said to have been pruned, with leaves or without.
            let through = u64::try_from(at).unwrap_or(0);
            if let Some(row) = through
                .checked_sub(1)
                .and_then(|_| log.rows.get(at.saturating_sub(1)))
            {
                log.pruned = Some(Pruned {
                    through,
                    hash: row.hash,
                });
                let leaf = |row: &AuditRow| (row.seq, tree::leaf(row.text.as_bytes()));
                log.leaves = log.rows.iter().take(at).map(leaf).collect();
                if choices.byte() % 2 == 1 {
                    log.rows.drain(..at.min(log.rows.len()));
                }
                if let Some((_, leaf)) = log.leaves.get_mut(other)
                    && choices.byte() % 2 == 1
                {
                    *leaf = Digest::of(b"another");
                }
            }
        }
        _ => {
            let place = choices.below(log.checkpoints.len().max(1));
            if choices.byte().is_multiple_of(4) && !log.checkpoints.is_empty() {
                log.checkpoints.remove(place);
                return true;
            }
            if let Some(row) = log.checkpoints.get_mut(place) {
                let text = altered(row.note.as_bytes(), choices);
                row.note = String::from_utf8_lossy(&text).into_owned();
            }
        }
    }
    false
}

/// Makes every digest, number and link fit what stands there now.
fn rechain(log: &mut Log) {
    let mut head = Head {
        log_id: log.head.log_id,
        seq: 0,
        hash: Digest::from([0; 32]),
    };
    for row in &mut log.rows {
        let seq = head.seq.saturating_add(1);
        if let Ok(Value::Object(mut record)) = serde_json::from_str(&row.text) {
            record.insert("seq".to_owned(), json!(seq));
            record.insert("prev_hash".to_owned(), json!(head.hash));
            record.insert("log_id".to_owned(), json!(head.log_id));
            row.text = serde_json_canonicalizer::to_string(&record).unwrap_or_default();
        }
        row.seq = seq;
        row.hash = Digest::of(row.text.as_bytes());
        head = Head {
            log_id: head.log_id,
            seq,
            hash: row.hash,
        };
    }
    log.head = head;
}

pub(crate) fn log_seeds() -> Vec<Vec<u8>> {
    (0..12_u8)
        .flat_map(|what| {
            [0_u8, 1].map(|fit| vec![0, 0, 2, 0, 5, 0, what, 0, 1, 0, 3, 0, 1, 0, 7, fit, 1, 0])
        })
        .collect()
}

/// A checkpoint, a file of them, a key, or a record, as somebody gives it to a verifier.
pub(crate) fn note(bytes: &[u8]) {
    let world = &*WORLD;
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let key = world.signer.key();
    if let Ok(note) = text.parse::<Note>() {
        let again = note.to_string();
        assert_eq!(
            again.parse().as_ref(),
            Ok(&note),
            "it reads otherwise than it is written"
        );
        let said = |row: &CheckpointRow| {
            row.note
                .parse::<Note>()
                .is_ok_and(|one| one.checkpoint() == note.checkpoint())
        };
        let is_ours = world.log.checkpoints.iter().any(said);
        assert!(
            is_ours || !note.is_signed_by(key),
            "a checkpoint that nobody signed"
        );
    }
    let (all, _) = notes(text);
    for note in &all {
        let said = |row: &CheckpointRow| {
            row.note
                .parse::<Note>()
                .is_ok_and(|one| one.checkpoint() == note.checkpoint())
        };
        assert!(!note.is_signed_by(key) || world.log.checkpoints.iter().any(said));
    }
    if let Ok(key) = text.parse::<LogKey>() {
        assert_eq!(key.to_string().parse().as_ref(), Ok(&key));
    }
    if let Ok(record) = serde_json::from_str::<Record>(text) {
        let written = super::canonical::text(&record).expect("a record that was read");
        // Numbers past 2^53 are written as the nearest double, which may be past the end of their type.
        let Ok(again) = serde_json::from_str::<Record>(&written) else {
            return;
        };
        assert_eq!(
            super::canonical::text(&again).ok(),
            Some(written),
            "it reads otherwise than it is written"
        );
    }
}

pub(crate) fn note_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let all: String = world
        .log
        .checkpoints
        .iter()
        .map(|row| row.note.as_str())
        .collect();
    let mut seeds: Vec<String> = world
        .log
        .checkpoints
        .iter()
        .map(|row| row.note.clone())
        .collect();
    seeds.push(all);
    seeds.push(world.signer.key().to_string());
    seeds.extend(world.log.rows.iter().take(2).map(|row| row.text.clone()));
    seeds.into_iter().map(String::into_bytes).collect()
}

pub(crate) const NOTE_WORDS: &[&str] = &[
    "bailiwick/audit/",
    "\n\n",
    "\n\n\u{2014} ",
    "at ",
    "head ",
    "+",
    "\"seq\":",
    "\"prev_hash\":",
    "\"log_id\":",
    "\"facts\":{",
    "\"at\":",
    "\"kind\":",
    "\"phase\":\"intent\"",
    "18446744073709551616",
    "9007199254740993",
    "-1",
    "1e3",
    "\u{e9}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_whole_until_it_is_altered() {
        let world = &*WORLD;
        let key = world.signer.key();
        assert!(is_whole(
            &world.log,
            key,
            std::slice::from_ref(&world.outside)
        ));
        let mut one = world.log.clone();
        one.rows[4].text = one.rows[4].text.replace("acme", "evil");
        assert!(!is_whole(&one, key, &[]));
        // A chain that fits itself is still not the one that was signed.
        rechain(&mut one);
        assert!(!is_whole(&one, key, &[]));
        one.checkpoints.clear();
        assert!(is_whole(&one, key, &[]));
        assert!(!is_whole(&one, key, std::slice::from_ref(&world.outside)));
    }

    #[test]
    fn making_an_untouched_log_fit_changes_nothing() {
        let mut log = WORLD.log.clone();
        rechain(&mut log);
        assert_eq!(
            (log.rows, log.head),
            (WORLD.log.rows.clone(), WORLD.log.head.clone())
        );
    }
}
