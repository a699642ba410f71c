//! What this process wrote to the log and no checkpoint covers yet.
//!
//! A checkpoint signs these as they were written, not as the file holds them when it is made: who alters the file in between
//! is found, also where the new records fit each other.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::chain::Broken;
use crate::ids::Digest;

/// Records that are kept, in about 7 MiB. Where a checkpoint covers more, the oldest are read from the file.
pub(super) const KEPT_MAX: usize = 65_536;

/// A record in its place, without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) seq: u64,
    /// Digest of the record before it.
    pub(super) previous: Digest,
    pub(super) hash: Digest,
    pub(super) leaf: Digest,
}

/// The records of this process since the last checkpoint, in their order.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Mutex<VecDeque<Placed>>,
    /// Damage that was found. It stays, for what shows it may be forgotten.
    found: OnceLock<Broken>,
}

impl Tail {
    /// Adds what was just committed.
    pub(super) fn wrote(&self, records: impl IntoIterator<Item = Placed>) {
        let mut kept = self.kept();
        kept.extend(records);
        let over = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..over);
    }

    /// Those behind this number.
    pub(super) fn behind(&self, seq: u64) -> Vec<Placed> {
        let kept = self.kept();
        kept.iter().filter(|one| one.seq > seq).copied().collect()
    }

    /// Forgets what a checkpoint covers.
    pub(super) fn covered(&self, through: u64) {
        self.kept().retain(|one| one.seq > through);
    }

    /// Notes damage, and tells what was found first.
    pub(super) fn find(&self, broken: Broken) -> Broken {
        self.found.get_or_init(|| broken).clone()
    }

    /// The damage that was found.
    pub(super) fn found(&self) -> Option<Broken> {
        self.found.get().cloned()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Placed>> {
        // A panic while it is held leaves records that are there.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
