//! What goes from the log, and how it stays provable: old records leave their leaves in the tree, and the key of a user's
//! pseudonym is destroyed without a change to any record.

use serde::Deserialize;

use super::chain::PAGE;
use super::checkpoint::{CheckpointError, standing};
use super::{Audit, AuditError, Event, EventKind, pseudonym_key, subject_key, tree};
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant, User};
use crate::limits::AUDIT_PRUNE_MAX;
use crate::store::tree::Pruned;
use crate::store::{Applied, AuditRow, Change, Store, StoreError};

/// Old records could not be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The log cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    /// The change could not be made and recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What would vouch for the records is not ours.
    #[error("nothing is pruned, for the last checkpoint does not vouch for what would go")]
    Checkpoint(#[from] CheckpointError),
    /// A record is not there, or says nothing of its time.
    #[error("audit record {0} is damaged; `bailiwick audit verify` tells more")]
    Damaged(u64),
}

/// A key could not be destroyed.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The state refuses.
    #[error("the state does not let the key go")]
    Store(#[from] StoreError),
    /// It could not be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// When the newest record was written; long ago where it does not say. None of an empty log.
pub async fn newest(store: &dyn Store) -> Result<Option<Timestamp>, StoreError> {
    let head = store.head().await?;
    if head.seq == 0 {
        return Ok(None);
    }
    let rows = match store.audit_from(head.seq, 1).await {
        Err(StoreError::Corrupt { .. }) => Vec::new(),
        rows => rows?,
    };
    let at = rows
        .first()
        .map(|row| serde_json::from_str::<At>(&row.text));
    Ok(Some(match at {
        Some(Ok(at)) => at.at,
        Some(Err(_)) | None => Timestamp(0),
    }))
}

/// Prunes the records from the oldest on that were written before this time and are covered by a checkpoint, up to the first
/// that is not. Each step is one transaction with the record that tells of it. How many are gone.
pub async fn prune(audit: &Audit, store: &dyn Store, before: Timestamp) -> Result<u64, PruneError> {
    let covered = covered(store).await?;
    let mut gone: u64 = 0;
    loop {
        let pruned = store.pruned().await?;
        let through = pruned.map_or(0, |pruned| pruned.through);
        let rows = old(store, pruned, covered, before).await?;
        let Some(last) = rows.last() else {
            return Ok(gone);
        };
        let last = Pruned {
            through: last.seq,
            hash: last.hash,
        };
        let leaf = |row: &AuditRow| (row.seq, tree::leaf(row.text.as_bytes()));
        let leaves: Vec<_> = rows.iter().map(leaf).collect();
        let event = Event::new(EventKind::AuditPruned)
            .fact("from", through.saturating_add(1))
            .fact("through", last.through);
        let change = Change::PruneLog { leaves, last };
        match audit.commit(change, vec![event]).await? {
            Applied::Done => gone = gone.saturating_add(last.through - through),
            // Another process was faster; it goes on.
            Applied::Existing(_) | Applied::Refused => return Ok(gone),
        }
    }
}

/// How many records a checkpoint of ours vouches for: what is gone can be compared with nothing else.
async fn covered(store: &dyn Store) -> Result<u64, PruneError> {
    let (_, last) = standing(store).await?;
    Ok(last.map_or(0, |note| note.checkpoint().size))
}

/// The next records behind those that are gone which may go. One that is not what the chain says stays, as evidence.
async fn old(
    store: &dyn Store,
    pruned: Option<Pruned>,
    covered: u64,
    before: Timestamp,
) -> Result<Vec<AuditRow>, PruneError> {
    let from = pruned.map_or(0, |pruned| pruned.through).saturating_add(1);
    let first = pruned.map_or(Digest::from([0; 32]), |pruned| pruned.hash);
    let mut rows: Vec<AuditRow> = Vec::new();
    let most = usize::try_from(AUDIT_PRUNE_MAX).unwrap_or(usize::MAX);
    loop {
        let next = rows.last().map_or(from, |row| row.seq.saturating_add(1));
        let page = store.audit_from(next, PAGE.min(AUDIT_PRUNE_MAX)).await?;
        let is_last = page.is_empty();
        for (seq, row) in (next..).zip(page) {
            let at: At = serde_json::from_str(&row.text).map_err(|_| PruneError::Damaged(seq))?;
            let is_whole = Digest::of(row.text.as_bytes()) == row.hash;
            let before_it = rows.last().map_or(first, |row| row.hash);
            if row.seq != seq || !is_whole || at.prev_hash != before_it {
                return Err(PruneError::Damaged(seq));
            }
            if seq > covered || at.at >= before || rows.len() >= most {
                return Ok(rows);
            }
            rows.push(row);
        }
        if is_last {
            return Ok(rows);
        }
    }
}

/// What a record says of its time and its place.
#[derive(Deserialize)]
struct At {
    at: Timestamp,
    prev_hash: Digest,
}

/// Destroys the key of the pseudonym of a user. Whether there was one.
///
/// It is recorded before it is done: that a key is gone without a record cannot be.
pub async fn erase(
    audit: &Audit,
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<bool, EraseError> {
    let name = subject_key(&pseudonym_key(store, tenant).await?, user);
    audit
        .event(Event::new(EventKind::AuditErased).tenant(tenant))
        .await?;
    Ok(store.forget_secret(tenant, &name).await?)
}
