//! A walk along the chain, from record to record.

use std::cmp::Ordering;

use serde::Deserialize;
use uuid::Uuid;

use super::chain::{Broken, Damage, PAGE, Reads, VerifyError, broken};
use super::indexed::Indexed;
use super::marks::Marks;
use super::tail::Placed;
use super::tree::{self, Frontier};
use crate::ids::Digest;
use crate::store::tree::Pruned;
use crate::store::{AuditRow, Head, Store};

/// What a record says of its place.
#[derive(Deserialize)]
struct Place {
    log_id: Uuid,
    seq: u64,
    prev_hash: Digest,
}

/// Where a walk along the chain stands.
pub(super) struct Walk {
    log_id: Uuid,
    next: u64,
    /// Digest of the record before, computed from its text; none before the first.
    pub(super) previous: Option<Digest>,
    tree: Frontier,
}

impl Walk {
    /// From the beginning of a log.
    pub(super) fn new(log_id: Uuid) -> Self {
        Self {
            log_id,
            next: 1,
            previous: None,
            tree: Frontier::default(),
        }
    }

    /// On from a checkpoint, whose tree this is.
    pub(super) fn from(log_id: Uuid, tree: Frontier, head: Digest) -> Self {
        Self {
            log_id,
            next: tree.size().saturating_add(1),
            previous: Some(head),
            tree,
        }
    }

    /// The tree over the records so far.
    pub(super) fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Walks from where it stands to the head: along what this process wrote, which it knows, and along the file elsewhere.
    pub(super) async fn through(
        &mut self,
        store: &dyn Store,
        head: &Head,
        own: &[Placed],
    ) -> Result<(), VerifyError> {
        // The head was read after all of them were written.
        let last = own.iter().map(|one| one.seq).max();
        if let Some(last) = last.filter(|last| *last > head.seq) {
            let what = Damage::Truncated { head: last };
            return Err(broken(head.seq.saturating_add(1), what).into());
        }
        for one in own {
            self.read(store, one.seq.saturating_sub(1)).await?;
            self.pass(one)?;
        }
        self.read(store, head.seq).await?;
        Ok(self.end(head)?)
    }

    /// Walks along the file to this record, or to where the file ends.
    async fn read(&mut self, store: &dyn Store, last: u64) -> Result<(), VerifyError> {
        while self.next <= last {
            let page = store.audit_from(self.next, PAGE).await?;
            match page.first() {
                None => break,
                Some(row) if row.seq > last => {
                    return Err(broken(self.next, Damage::Missing).into());
                }
                Some(_) => {}
            }
            for row in page.iter().take_while(|row| row.seq <= last) {
                self.step(row)?;
            }
        }
        Ok(())
    }

    /// Passes a record that this process wrote.
    fn pass(&mut self, one: &Placed) -> Result<(), Broken> {
        match one.seq.cmp(&self.next) {
            // Another one was written in its place since.
            Ordering::Less => {
                let head = self.next.saturating_sub(1);
                return Err(broken(one.seq, Damage::Truncated { head }));
            }
            Ordering::Greater => return Err(broken(self.next, Damage::Missing)),
            Ordering::Equal => {}
        }
        self.add(one.previous, one.hash, one.leaf)
    }

    /// The same, and compares every checkpoint on the way, and what the index says.
    pub(super) async fn to(
        &mut self,
        log: &dyn Reads,
        head: &Head,
        marks: &mut Marks<'_>,
        index: &mut Indexed,
    ) -> Result<(), VerifyError> {
        while self.next <= head.seq {
            let page = log.audit_from(self.next, PAGE).await?;
            if page.is_empty() {
                break;
            }
            marks.load(log, self.next).await?;
            index.load(log, self.next).await?;
            // What stands behind the head was written after we read it, or by somebody else: told apart by the next one.
            for row in page.iter().take_while(|row| row.seq <= head.seq) {
                self.step(row)?;
                marks.check(self)?;
                index.check(row);
            }
            if page.last().is_none_or(|last| last.seq >= head.seq) {
                break;
            }
        }
        Ok(self.end(head)?)
    }

    /// Passes over records of which only the leaves are left.
    pub(super) async fn skip(
        &mut self,
        log: &dyn Reads,
        pruned: &Pruned,
        marks: &mut Marks<'_>,
    ) -> Result<(), VerifyError> {
        while self.next <= pruned.through {
            let page = log.pruned_leaves(self.next, PAGE).await?;
            marks.load(log, self.next).await?;
            if page.is_empty() {
                return Err(broken(self.next, Damage::Missing).into());
            }
            for (seq, leaf) in page.into_iter().filter(|(seq, _)| *seq <= pruned.through) {
                if seq != self.next {
                    return Err(broken(self.next, Damage::Missing).into());
                }
                self.tree.push(leaf);
                self.next += 1;
                if self.next > pruned.through {
                    self.previous = Some(pruned.hash);
                }
                marks.check(self)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let seq = self.next;
        if row.seq != seq {
            return Err(broken(seq, Damage::Missing));
        }
        let hash = Digest::of(row.text.as_bytes());
        if hash != row.hash {
            return Err(broken(seq, Damage::Altered));
        }
        let place: Place =
            serde_json::from_str(&row.text).map_err(|_| broken(seq, Damage::Unreadable))?;
        if place.log_id != self.log_id {
            return Err(broken(seq, Damage::OtherLog));
        }
        if place.seq != seq {
            return Err(broken(seq, Damage::Moved { says: place.seq }));
        }
        self.add(place.prev_hash, hash, tree::leaf(row.text.as_bytes()))
    }

    /// Adds the next record, which says that it stands behind this one.
    fn add(&mut self, before: Digest, hash: Digest, leaf: Digest) -> Result<(), Broken> {
        let seq = self.next;
        match self.previous {
            Some(previous) if before != previous => {
                return Err(broken(seq - 1, Damage::Replaced));
            }
            None if before.as_bytes() != &[0; 32] => {
                return Err(broken(seq, Damage::Altered));
            }
            Some(_) | None => {}
        }
        self.previous = Some(hash);
        self.tree.push(leaf);
        self.next += 1;
        Ok(())
    }

    fn end(&self, head: &Head) -> Result<(), Broken> {
        let last = self.next - 1;
        if last < head.seq {
            return Err(broken(self.next, Damage::Truncated { head: head.seq }));
        }
        match self.previous {
            Some(hash) if hash != head.hash => Err(broken(last, Damage::Replaced)),
            Some(_) | None => Ok(()),
        }
    }
}
