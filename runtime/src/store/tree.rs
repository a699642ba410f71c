//! What the store keeps of the tree over the audit log: checkpoints, how far copies of them came, and the leaves of records
//! that are gone.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant};

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// How many records it covers.
    pub size: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The roots of the complete subtrees, the largest first: from here the tree grows on.
    pub peaks: Vec<Digest>,
    /// The signed text.
    pub note: String,
}

/// Up to where records are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The last of them.
    pub through: u64,
    /// Its digest, to which the next one is chained.
    pub hash: Digest,
}

/// What the store keeps of the tree.
#[async_trait]
pub trait LogTree: Send + Sync {
    /// Keeps a checkpoint, unless there is one of this size. Whether it was kept.
    async fn insert_checkpoint(&self, row: &CheckpointRow) -> Result<bool, StoreError>;

    /// The last checkpoint that covers at most this many records.
    async fn checkpoint_before(&self, size: u64) -> Result<Option<CheckpointRow>, StoreError>;

    /// At most `max` checkpoints that cover more than this many records, in order.
    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError>;

    /// The largest checkpoint that the copy of this name has; 0 where it has none.
    async fn copied(&self, copy: &str) -> Result<u64, StoreError>;

    /// Notes that the copy of this name has the checkpoint of this size, and all before it.
    async fn note_copied(&self, copy: &str, size: u64) -> Result<(), StoreError>;

    /// Up to where records are gone.
    async fn pruned(&self) -> Result<Option<Pruned>, StoreError>;

    /// At most `max` leaves of records that are gone, from this one on, in order.
    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError>;

    /// Before which record every intent has its outcome, as far as it was noted; 1 where nothing was.
    async fn closed_before(&self) -> Result<u64, StoreError>;

    /// Destroys the secret of this name, also where an old copy of its row may be. Whether there was one.
    async fn forget_secret(&self, tenant: &Tenant, name: &str) -> Result<bool, StoreError>;
}
