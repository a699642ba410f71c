//! Making checkpoints: the tree over the log so far, signed by a key of the server that signs nothing else.
//!
//! The records since the last checkpoint are walked before anything is signed. What this process wrote of them is signed as
//! it was written, whatever became of it in the file since; of what it did not write, nothing that the chain shows to be damaged.

use std::sync::Arc;

use uuid::Uuid;

use super::Audit;
use super::chain::VerifyError;
use super::note::{Checkpoint, LogKey, Note, Signer};
use super::tail::Tail;
use super::tree::Frontier;
use super::walk::Walk;
use crate::clock::SharedClock;
use crate::store::tree::CheckpointRow;
use crate::store::{SecretBytes, SharedStore, Store, StoreError, random_secret};

/// Name of the server's key that signs checkpoints: the seed of an Ed25519 key (RFC 8032 §5.1.5).
const KEY: &str = "audit.checkpoint";

/// What signed for this log until now; none where there is no key. Makes none.
pub(super) async fn kept_signer(
    store: &dyn Store,
    log_id: Uuid,
) -> Result<Option<Signer>, StoreError> {
    let seed = store.kept_secret(None, KEY).await?;
    let signer = |seed: SecretBytes| {
        Signer::new(log_id, &seed).ok_or(StoreError::Corrupt {
            table: "secret",
            column: "value",
        })
    };
    seed.map(signer).transpose()
}

/// What signs for this log from its first checkpoint on. Where there are checkpoints and no key, none is made: a new one would hide
/// that the old one is gone.
async fn own_signer(store: &dyn Store, log_id: Uuid) -> Result<Signer, CheckpointError> {
    if let Some(signer) = kept_signer(store, log_id).await? {
        return Ok(signer);
    }
    if store.checkpoint_before(u64::MAX).await?.is_some() {
        return Err(CheckpointError::KeyGone);
    }
    let seed = store.secret(None, KEY, random_secret()?).await?;
    Signer::new(log_id, &seed).ok_or(CheckpointError::Key)
}

/// The public key of the log, and its last checkpoint. Nothing is made for it.
pub async fn standing(
    store: &dyn Store,
) -> Result<(Option<LogKey>, Option<Note>), CheckpointError> {
    let log_id = store.head().await?.log_id;
    let signer = kept_signer(store, log_id).await?;
    let last = store.checkpoint_before(u64::MAX).await?;
    let Some(signer) = signer else {
        return match last {
            Some(_) => Err(CheckpointError::KeyGone),
            None => Ok((None, None)),
        };
    };
    let note = last.map(|row| note(&row, signer.key())).transpose()?;
    Ok((Some(signer.key().clone()), note))
}

/// The checkpoint of this row, which must be signed by this key.
pub(super) fn note(row: &CheckpointRow, key: &LogKey) -> Result<Note, CheckpointError> {
    let note: Note = row.note.parse().map_err(|_| CheckpointError::Last)?;
    let is_ours = note.is_signed_by(key) && note.checkpoint().size == row.size;
    is_ours.then_some(note).ok_or(CheckpointError::Last)
}

/// A checkpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The state cannot be read or written.
    #[error("the state cannot be read for a checkpoint of the audit log")]
    Store(#[from] StoreError),
    /// What would be signed is damaged.
    #[error("no checkpoint is made of a damaged audit log; `bailiwick audit verify` tells more")]
    Damaged(#[source] VerifyError),
    /// The key cannot be used.
    #[error("the key that signs checkpoints cannot be used; restore the state from a backup")]
    Key,
    /// It is not there any more.
    #[error(
        "the key that signed the checkpoints of the audit log is gone from the state; restore the state from a backup"
    )]
    KeyGone,
    /// The last checkpoint is not one of this key.
    #[error("the last checkpoint of the audit log is not signed by its key, or was altered")]
    Last,
}

/// Makes checkpoints of one log.
#[derive(Clone)]
pub struct Checkpoints {
    store: SharedStore,
    clock: SharedClock,
    log_id: Uuid,
    signer: Arc<Signer>,
    /// What this process wrote, where it writes.
    tail: Arc<Tail>,
}

impl Checkpoints {
    /// Those of the log in this store.
    pub async fn open(store: SharedStore, clock: SharedClock) -> Result<Self, CheckpointError> {
        let log_id = store.head().await?.log_id;
        let signer = own_signer(store.as_ref(), log_id).await?;
        Ok(Self {
            signer: Arc::new(signer),
            store,
            clock,
            log_id,
            tail: Arc::default(),
        })
    }

    /// Those of the log that this process writes.
    pub async fn of(audit: &Audit) -> Result<Self, CheckpointError> {
        let shared = &audit.shared;
        let those = Self::open(Arc::clone(&shared.store), Arc::clone(&shared.clock)).await?;
        Ok(Self {
            tail: Arc::clone(&shared.tail),
            ..those
        })
    }

    /// The key by which everybody can check them.
    pub fn key(&self) -> &LogKey {
        self.signer.key()
    }

    /// The last one.
    pub async fn last(&self) -> Result<Option<Note>, CheckpointError> {
        let last = self.store.checkpoint_before(u64::MAX).await?;
        last.map(|row| self.note(&row)).transpose()
    }

    /// One of all records that there are; the last one where there are no more, none where there are none.
    pub async fn make(&self) -> Result<Option<Note>, CheckpointError> {
        if let Some(broken) = self.tail.found() {
            return Err(CheckpointError::Damaged(broken.into()));
        }
        // In this order: another process may make one of later records meanwhile, and this one may write more.
        let last = self.store.checkpoint_before(u64::MAX).await?;
        let own = self.tail.behind(last.as_ref().map_or(0, |row| row.size));
        let head = self.store.head().await?;
        let mut walk = match &last {
            None if head.seq == 0 => return Ok(None),
            None => Walk::new(self.log_id),
            Some(row) => {
                let note = self.note(row)?;
                if head.seq < row.size {
                    return Err(CheckpointError::Last);
                }
                let is_same = head.seq == row.size && head.hash == note.checkpoint().head;
                if is_same && own.is_empty() {
                    return Ok(Some(note));
                }
                let tree = Frontier::from_parts(row.size, row.peaks.clone());
                let tree = tree.filter(|tree| tree.root() == note.checkpoint().root);
                let tree = tree.ok_or(CheckpointError::Last)?;
                Walk::from(self.log_id, tree, note.checkpoint().head)
            }
        };
        let walked = walk.through(self.store.as_ref(), &head, &own).await;
        walked.map_err(|error| match error {
            VerifyError::Store(error) => CheckpointError::Store(error),
            VerifyError::Broken(broken) => CheckpointError::Damaged(self.tail.find(broken).into()),
        })?;
        let tree = walk.tree();
        let note = self.signer.sign(Checkpoint {
            log_id: self.log_id,
            size: tree.size(),
            root: tree.root(),
            at: self.clock.now(),
            head: head.hash,
        });
        let row = CheckpointRow {
            size: tree.size(),
            at: note.checkpoint().at,
            peaks: tree.peaks().to_vec(),
            note: note.to_string(),
        };
        // Another process may have made one of the same records meanwhile; that one stands then.
        self.store.insert_checkpoint(&row).await?;
        let last = self.last().await?;
        let size = last.as_ref().map_or(0, |note| note.checkpoint().size);
        self.tail.covered(size.min(row.size));
        Ok(last)
    }

    fn note(&self, row: &CheckpointRow) -> Result<Note, CheckpointError> {
        note(row, self.key())
    }
}
