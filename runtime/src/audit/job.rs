//! What waits to be written: records, and the change that they tell of.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::record::Record;
use super::tail::Placed;
use super::tree;
use crate::clock::Timestamp;
use crate::ids::User;
use crate::problem::caused;
use crate::store::block::Word;
use crate::store::{Applied, Chained, Change, Head, Linked, StoreError};

/// A record whose user has no pseudonym yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) record: Record,
    pub(super) user: Option<User>,
    pub(super) evidence: Option<Value>,
    /// Where it was put, once it was.
    pub(super) placed: Option<Placed>,
}

impl Pending {
    pub(super) fn new(record: Record, user: Option<User>, evidence: Option<Value>) -> Self {
        Self {
            record,
            user,
            evidence,
            placed: None,
        }
    }
}

impl Chained for Pending {
    fn behind(&mut self, head: &Head) -> Result<Linked, serde_json::Error> {
        let linked = self.record.behind(head)?;
        self.placed = Some(Placed {
            seq: linked.head.seq,
            previous: head.hash,
            hash: linked.head.hash,
            leaf: tree::leaf(linked.text.as_bytes()),
        });
        Ok(linked)
    }

    fn consents(&self) -> &[String] {
        self.record.consents()
    }

    fn at(&self) -> Timestamp {
        self.record.at()
    }

    fn words(&self, each: &mut dyn FnMut(Word<'_>)) {
        self.record.words(each);
    }
}

/// What whoever waits is told.
pub(super) type Told = oneshot::Sender<Result<Applied, Arc<StoreError>>>;

/// Something to write.
pub(super) struct Job {
    pub(super) change: Option<Change>,
    pub(super) records: Vec<Pending>,
    /// Whether it is written later when it cannot be written now. An intent is not: its call is refused.
    pub(super) keep: bool,
    pub(super) done: Option<Told>,
}

impl Job {
    /// A record that is not lost while the store refuses.
    pub(super) fn keep(record: Pending) -> Self {
        Self {
            keep: true,
            ..Self::refusable(record)
        }
    }

    /// A record without which something is not done.
    pub(super) fn refusable(record: Pending) -> Self {
        Self {
            change: None,
            records: vec![record],
            keep: false,
            done: None,
        }
    }

    /// A change with its records.
    pub(super) fn change(change: Change, records: Vec<Pending>) -> Self {
        Self {
            change: Some(change),
            records,
            keep: false,
            done: None,
        }
    }

    /// Whether it is what a server writes before it makes calls.
    pub(super) fn is_first(&self) -> bool {
        matches!(self.change, Some(Change::Closed { .. }))
    }

    /// Nothing, in its turn.
    pub(super) fn nothing() -> Self {
        Self {
            change: None,
            records: Vec::new(),
            keep: false,
            done: None,
        }
    }

    /// Leaves it out, with its change, and tells whoever waits: without a whole record nothing is done.
    pub(super) fn refuse(&mut self, error: StoreError) {
        tracing::error!(error = %caused(&error), "what needs its record is refused, for the key of its user cannot be read");
        self.change = None;
        self.records.clear();
        if let Some(done) = self.done.take() {
            let _ = done.send(Err(Arc::new(error)));
        }
    }

    /// The same, with somebody who waits for it.
    pub(super) fn told(mut self, done: Told) -> Self {
        self.done = Some(done);
        self
    }
}

/// The records of these, to be chained.
pub(super) fn chained(records: &mut [Pending]) -> Vec<&mut dyn Chained> {
    records
        .iter_mut()
        .map(|pending| pending as &mut dyn Chained)
        .collect()
}
