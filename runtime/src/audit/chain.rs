//! The chain: every record holds the digest of the one before it.
//!
//! [`verify`] finds a record that was changed, moved or taken out, records cut off behind the head that the store keeps
//! apart, and a log that is not the one of its checkpoints. Whoever can write the whole file and sign with its key can also
//! write a new chain with new checkpoints, or restore an old copy of all: only a checkpoint that is kept outside, where the
//! owner of the file cannot change it, shows that ([`verify_against`]).

use async_trait::async_trait;

use super::canonical;
use super::checkpoint::kept_signer;
use super::indexed::{Indexed, Misindexed};
use super::marks::Marks;
use super::note::{LogKey, Note};
use super::record::Record;
use super::walk::Walk;
use super::words;
use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::store::block::{Block, Word};
use crate::store::tree::{CheckpointRow, Pruned};
use crate::store::{AuditRow, Chained, Head, Linked, Store, StoreError};

/// Records that are read at once.
pub(super) const PAGE: u32 = 500;

impl Chained for Record {
    /// Canonical JSON (RFC 8785) with the digest of the record before it.
    fn behind(&mut self, head: &Head) -> Result<Linked, serde_json::Error> {
        let seq = head.seq.saturating_add(1);
        self.log_id = Some(head.log_id);
        self.prev_hash = Some(head.hash);
        self.seq = Some(seq);
        let text = canonical::text(self)?;
        Ok(Linked {
            head: Head {
                log_id: head.log_id,
                seq,
                hash: Digest::of(text.as_bytes()),
            },
            text,
        })
    }

    fn consents(&self) -> &[String] {
        &self.consents
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn words(&self, each: &mut dyn FnMut(Word<'_>)) {
        words::of(self, each);
    }
}

/// A chain without damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records were ever written.
    pub records: u64,
    /// The last one.
    pub head: Head,
    /// Up to which record only leaves are left.
    pub pruned: u64,
    /// Checkpoints beside the log that fit it.
    pub checkpoints: u64,
    /// Checkpoints from outside that fit it.
    pub copies: u64,
    /// What the index says of records that is not so, if anything.
    pub misindexed: Option<Misindexed>,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The record is not what its digest says.
    #[error("the record was altered")]
    Altered,
    /// The record is not what the one behind it was chained to.
    #[error("the record was replaced: the record behind it is chained to another")]
    Replaced,
    /// A record says that it belongs elsewhere.
    #[error("a record stands here that says it is number {says}")]
    Moved {
        /// The number that the record gives itself.
        says: u64,
    },
    /// There is no such record, though there are later ones.
    #[error("the record is missing")]
    Missing,
    /// The log ends before its head.
    #[error("the log ends here, but its head is number {head}: records were cut off")]
    Truncated {
        /// Number of the head.
        head: u64,
    },
    /// The record stands behind the head.
    #[error("the record stands behind the head of the log")]
    BehindHead,
    /// The record belongs to another log.
    #[error("the record belongs to another log")]
    OtherLog,
    /// The record is no record.
    #[error("the record cannot be read")]
    Unreadable,
    /// The tree over the records is not the one that was signed.
    #[error(
        "records {seq} to {size} are not those of the checkpoint of {size} records, though the chain fits: the log was \
         rewritten, or there are two"
    )]
    Forked {
        /// The first record behind the last checkpoint that fits.
        seq: u64,
        /// How many records the checkpoint covers.
        size: u64,
    },
    /// The log ends before a checkpoint.
    #[error("the log ends here, but a checkpoint covers {size} records: records were cut off")]
    CutOff {
        /// How many records the checkpoint covers.
        size: u64,
    },
    /// A checkpoint is not signed.
    #[error("the checkpoint of {seq} records is not signed by the key of the log")]
    Unsigned {
        /// How many records the checkpoint covers.
        seq: u64,
    },
    /// There are checkpoints, and not the key that signed them.
    #[error(
        "the checkpoint of {size} records cannot be checked, for the key of the log is gone from the state; name the one that was \
         kept outside by `--key`, and restore the state from a backup"
    )]
    KeyGone {
        /// How many records the checkpoint covers.
        size: u64,
    },
}

/// A chain is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit record {seq}: {what}")]
pub struct Broken {
    /// The record, or the place where one is missing.
    pub seq: u64,
    /// What is wrong with it.
    pub what: Damage,
}

/// A chain could not be shown to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
}

/// What the log is held against, beside itself.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// Checkpoints that were kept outside.
    pub notes: Vec<Note>,
    /// The key that must have signed all checkpoints; the one in the state when none is given.
    pub key: Option<LogKey>,
}

/// How often a log is read again that was pruned while it was read.
const AGAIN_MAX: u32 = 3;

/// What is read of a log. Nothing of it is written.
#[async_trait]
pub(super) trait Reads: Send + Sync {
    async fn head(&self) -> Result<Head, StoreError>;
    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError>;
    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError>;
    async fn pruned(&self) -> Result<Option<Pruned>, StoreError>;
    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError>;
    async fn blocks(&self, number: u64, max: u32) -> Result<Vec<Block>, StoreError>;
}

/// The log in a store.
pub(super) struct In<'a>(pub(super) &'a dyn Store);

#[async_trait]
impl Reads for In<'_> {
    async fn head(&self) -> Result<Head, StoreError> {
        self.0.head().await
    }

    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.0.audit_from(seq, max).await
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        self.0.checkpoints_after(size, max).await
    }

    async fn pruned(&self) -> Result<Option<Pruned>, StoreError> {
        self.0.pruned().await
    }

    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError> {
        self.0.pruned_leaves(seq, max).await
    }

    async fn blocks(&self, number: u64, max: u32) -> Result<Vec<Block>, StoreError> {
        self.0.blocks(number, max).await
    }
}

/// Reads the whole log and checks every record against the one before it, the last against the head, and the tree over all
/// against every checkpoint beside it. Records that are written meanwhile do not matter, unless a checkpoint covers them. Writes nothing.
pub async fn verify(store: &dyn Store) -> Result<Verified, VerifyError> {
    verify_against(store, &Anchors::default()).await
}

/// The same, and against checkpoints from outside.
pub async fn verify_against(store: &dyn Store, anchors: &Anchors) -> Result<Verified, VerifyError> {
    let key = match &anchors.key {
        Some(key) => Some(key.clone()),
        None => {
            let log_id = store.head().await?.log_id;
            let signer = kept_signer(store, log_id).await?;
            signer.map(|signer| signer.key().clone())
        }
    };
    verify_log(&In(store), key.as_ref(), &anchors.notes).await
}

/// The same for a log that is read from anywhere, whose checkpoints are signed by this key.
pub(super) async fn verify_log(
    log: &dyn Reads,
    key: Option<&LogKey>,
    notes: &[Note],
) -> Result<Verified, VerifyError> {
    let mut tries = 0;
    loop {
        let pruned = log.pruned().await?;
        let result = verify_once(log, key, notes, pruned).await;
        tries += 1;
        // What was pruned meanwhile was not there to be read.
        let moved = result.is_err() && log.pruned().await? != pruned;
        if !(moved && tries < AGAIN_MAX) {
            return result;
        }
    }
}

async fn verify_once(
    log: &dyn Reads,
    key: Option<&LogKey>,
    notes: &[Note],
    pruned: Option<Pruned>,
) -> Result<Verified, VerifyError> {
    let mut head = log.head().await?;
    let mut marks = Marks::new(head.log_id, key, notes)?;
    let mut walk = Walk::new(head.log_id);
    let mut index = Indexed::new(pruned.map_or(0, |pruned| pruned.through));
    if let Some(pruned) = pruned {
        walk.skip(log, &pruned, &mut marks).await?;
        // What is gone does not come back.
        let first = log.audit_from(1, 1).await?;
        if let Some(row) = first.first().filter(|row| row.seq <= pruned.through) {
            return Err(broken(row.seq, Damage::Altered).into());
        }
    }
    loop {
        walk.to(log, &head, &mut marks, &mut index).await?;
        let later = log.audit_from(head.seq.saturating_add(1), PAGE).await?;
        let beyond = log.checkpoints_after(head.seq, PAGE).await?;
        let now = log.head().await?;
        if let Some(row) = later.iter().find(|row| row.seq > now.seq) {
            return Err(broken(row.seq, Damage::BehindHead).into());
        }
        let beyond = beyond.iter().map(|row| row.size);
        let left = marks.left().filter(|size| *size > head.seq);
        let unread: Vec<u64> = beyond.chain(left).collect();
        if let Some(size) = unread.iter().find(|size| **size > now.seq) {
            let seq = now.seq.saturating_add(1);
            return Err(broken(seq, Damage::CutOff { size: *size }).into());
        }
        if unread.is_empty() {
            break;
        }
        // They cover what was written since the head was read: a log that was cut off may have grown past them meanwhile. The walk goes
        // on to them, and so comes to its end as soon as it is faster than one checkpoint a second.
        head = now;
    }
    // A leaf proves nothing by itself: only what a checkpoint covers may be gone.
    let pruned = pruned.map_or(0, |pruned| pruned.through);
    if marks.last < pruned {
        return Err(broken(marks.last.saturating_add(1), Damage::Missing).into());
    }
    Ok(Verified {
        records: head.seq,
        head,
        pruned,
        checkpoints: marks.kept,
        copies: marks.copied,
        misindexed: index.end(log).await?,
    })
}

pub(super) fn broken(seq: u64, what: Damage) -> Broken {
    Broken { seq, what }
}
