//! Proofs about the log for whoever has one checkpoint and the public key: that a record is in it, and that it only grew.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::chain::PAGE;
use super::note::{LogKey, Note};
use super::tree::{self, Frontier};
use crate::ids::Digest;
use crate::store::tree::CheckpointRow;
use crate::store::{Store, StoreError};

/// Bytes of a proof: a record of few KiB at most, two checkpoints, and at most 64 digests twice.
pub const PROOF_BYTES_MAX: usize = 1024 * 1024;

/// A proof as it is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Proof {
    /// That a record is in the log.
    Inclusion {
        /// The checkpoint that covers it.
        checkpoint: String,
        /// Roots from the leaf upwards.
        hashes: Vec<Digest>,
        /// The leaf of the record.
        leaf: Digest,
        /// The record as it stands in the log; none where only its leaf is left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<String>,
        /// The number of the record.
        seq: u64,
    },
    /// That the log of the one checkpoint begins with that of the other.
    Consistency {
        /// The older one.
        from: String,
        /// Roots from below upwards.
        hashes: Vec<Digest>,
        /// The newer one.
        to: String,
    },
}

/// There is no such proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    /// No checkpoint covers it.
    #[error(
        "no checkpoint covers record {0}; there is none before 1, and `bailiwick audit checkpoint --now` makes one"
    )]
    NotCovered(u64),
    /// There is no checkpoint of this size.
    #[error("there is no checkpoint of {wanted} records; {}", match nearest {
        Some(size) => format!("the nearest below is of {size}"),
        None => "there is none below".to_owned(),
    })]
    NoCheckpoint {
        /// What was asked for.
        wanted: u64,
        /// The one below it.
        nearest: Option<u64>,
    },
    /// The older one is larger.
    #[error("the first checkpoint is of more records than the second")]
    Backwards,
    /// The log is not the one of the checkpoint.
    #[error("the log does not fit its checkpoint; `bailiwick audit verify` tells more")]
    Damaged,
}

/// Proves that a record is in the log of the last checkpoint.
pub async fn inclusion(store: &dyn Store, seq: u64) -> Result<Proof, ProveError> {
    let last = store.checkpoint_before(u64::MAX).await?;
    let last = last.filter(|row| (1..=row.size).contains(&seq));
    let last = last.ok_or(ProveError::NotCovered(seq))?;
    let note = note(&last)?;
    let ranges = tree::inclusion(seq - 1, last.size).ok_or(ProveError::NotCovered(seq))?;
    let own = seq - 1..seq;
    let mut all = roots(store, ranges.iter().chain([&own]), last.size).await?;
    let leaf = all.pop().ok_or(ProveError::Damaged)?;
    let row = store.audit_from(seq, 1).await?.pop();
    let record = row.filter(|row| row.seq == seq).map(|row| row.text);
    let pruned = store.pruned().await?.map_or(0, |pruned| pruned.through);
    // What is gone does not come back, and a record that is not that of its leaf was not in the log.
    if let Some(text) = &record
        && (seq <= pruned || tree::leaf(text.as_bytes()) != leaf)
    {
        return Err(ProveError::Damaged);
    }
    let root = note.checkpoint().root;
    if !tree::is_included(seq - 1, last.size, leaf, &all, root) {
        return Err(ProveError::Damaged);
    }
    Ok(Proof::Inclusion {
        checkpoint: last.note,
        hashes: all,
        leaf,
        record,
        seq,
    })
}

/// Proves that the log of the checkpoint of `to` records begins with that of `from`. Without `to` it is the last one.
pub async fn consistency(
    store: &dyn Store,
    from: u64,
    to: Option<u64>,
) -> Result<Proof, ProveError> {
    let first = exactly(store, from).await?;
    let second = match to {
        Some(to) => exactly(store, to).await?,
        None => {
            let last = store.checkpoint_before(u64::MAX).await?;
            last.ok_or(ProveError::NotCovered(from))?
        }
    };
    let ranges = tree::consistency(first.size, second.size).ok_or(ProveError::Backwards)?;
    let hashes = roots(store, ranges.iter(), second.size).await?;
    let (old, new) = (note(&first)?, note(&second)?);
    let (old, new) = (old.checkpoint().root, new.checkpoint().root);
    if !tree::is_consistent(first.size, second.size, old, new, &hashes) {
        return Err(ProveError::Damaged);
    }
    Ok(Proof::Consistency {
        from: first.note,
        hashes,
        to: second.note,
    })
}

async fn exactly(store: &dyn Store, size: u64) -> Result<CheckpointRow, ProveError> {
    let row = store.checkpoint_before(size).await?;
    let nearest = row.as_ref().map(|row| row.size);
    row.filter(|row| row.size == size)
        .ok_or(ProveError::NoCheckpoint {
            wanted: size,
            nearest,
        })
}

fn note(row: &CheckpointRow) -> Result<Note, ProveError> {
    let note: Note = row.note.parse().map_err(|_| ProveError::Damaged)?;
    match note.checkpoint().size == row.size {
        true => Ok(note),
        false => Err(ProveError::Damaged),
    }
}

/// The roots of these ranges of leaves, with one pass over the log.
async fn roots<'a>(
    store: &dyn Store,
    ranges: impl Iterator<Item = &'a Range<u64>> + Send,
    size: u64,
) -> Result<Vec<Digest>, ProveError> {
    let mut all: Vec<_> = ranges
        .map(|range| (range.clone(), Frontier::default()))
        .collect();
    let mut take = |seq: u64, leaf: Digest| {
        let at = seq.saturating_sub(1);
        for (range, tree) in &mut all {
            if range.contains(&at) {
                tree.push(leaf);
            }
        }
    };
    let mut next = 1;
    let pruned = store.pruned().await?.map_or(0, |pruned| pruned.through);
    while next <= pruned.min(size) {
        let page = store.pruned_leaves(next, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Err(ProveError::Damaged);
        };
        next = last.saturating_add(1);
        page.into_iter().for_each(|(seq, leaf)| take(seq, leaf));
    }
    while next <= size {
        let page = store.audit_from(next, PAGE).await?;
        let Some(last) = page.last() else {
            return Err(ProveError::Damaged);
        };
        next = last.seq.saturating_add(1);
        for row in page {
            take(row.seq, tree::leaf(row.text.as_bytes()));
        }
    }
    let whole = |(range, tree): (Range<u64>, Frontier)| {
        (tree.size() == range.end - range.start).then(|| tree.root())
    };
    all.into_iter()
        .map(whole)
        .collect::<Option<_>>()
        .ok_or(ProveError::Damaged)
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The record of this number is in a log of this many records; of one that was pruned, whose text the proof does not hold, the leaf.
    Included { seq: u64, size: u64, whole: bool },
    /// The log of the first many records is the beginning of that of the second many.
    Grew { from: u64, to: u64 },
}

/// A proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A checkpoint is none.
    #[error("the proof holds no checkpoint")]
    Checkpoint(#[from] super::note::NoteError),
    /// A checkpoint is not signed.
    #[error("a checkpoint of the proof is not signed by this key")]
    Unsigned,
    /// The record is not that of the leaf.
    #[error("the record of the proof is not the one that is proven, or has another number")]
    Record,
    /// The digests do not lead to the root.
    #[error("the digests do not lead to the root of the checkpoint")]
    Root,
}

/// Checks a proof without the log.
pub fn check(proof: &Proof, key: &LogKey) -> Result<Shown, ProofError> {
    let signed = |text: &str| {
        let note: Note = text.parse()?;
        match note.is_signed_by(key) {
            true => Ok(note.checkpoint().clone()),
            false => Err(ProofError::Unsigned),
        }
    };
    match proof {
        Proof::Inclusion {
            checkpoint,
            hashes,
            leaf,
            record,
            seq,
        } => {
            let said = signed(checkpoint)?;
            if let Some(record) = record {
                let place: Option<Place> = serde_json::from_str(record).ok();
                let is_it =
                    place.is_some_and(|place| place.seq == *seq && place.log_id == said.log_id);
                if tree::leaf(record.as_bytes()) != *leaf || !is_it {
                    return Err(ProofError::Record);
                }
            }
            let index = seq.checked_sub(1).ok_or(ProofError::Root)?;
            match tree::is_included(index, said.size, *leaf, hashes, said.root) {
                true => Ok(Shown::Included {
                    seq: *seq,
                    size: said.size,
                    whole: record.is_some(),
                }),
                false => Err(ProofError::Root),
            }
        }
        Proof::Consistency { from, hashes, to } => {
            let (old, new) = (signed(from)?, signed(to)?);
            let (from, to) = (old.size, new.size);
            let is_one = old.log_id == new.log_id;
            match is_one && tree::is_consistent(from, to, old.root, new.root, hashes) {
                true => Ok(Shown::Grew { from, to }),
                false => Err(ProofError::Root),
            }
        }
    }
}

/// What a record says of its place.
#[derive(Deserialize)]
struct Place {
    log_id: uuid::Uuid,
    seq: u64,
}
