//! The one task that writes: takes what waits, commits it together, tells who waits for the disk.
//!
//! While the store refuses, records that must not be lost are kept and tried again; whoever waits is told at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::{Notify, mpsc, oneshot};

use super::record::{Event, EventKind, Record};
use super::{Health, pseudonym_key, pseudonym_under};
use crate::clock::{SharedClock, Timestamp};
use crate::ids::{Tenant, User};
use crate::limits::{AUDIT_BATCH_MAX, AUDIT_QUEUE_MAX};
use crate::store::{Applied, Chained, Change, Draft, SharedStore, StoreError, row_id};

/// How long records that nobody waits for are gathered before they are committed together.
const GATHER: Duration = Duration::from_millis(5);
/// How often the store is tried again while it refuses.
const RETRY: Duration = Duration::from_millis(250);
/// Records that are kept while the store refuses: intents stop at half of it, so that every call can be closed.
const BACKLOG_MAX: usize = 2 * AUDIT_QUEUE_MAX;
/// Tenants whose key is at hand.
const KEYS_MAX: usize = 4_096;

/// A record whose user has no pseudonym yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) record: Record,
    pub(super) user: Option<User>,
}

/// What whoever waits is told.
pub(super) type Told = oneshot::Sender<Result<Applied, Arc<StoreError>>>;

/// Something to write.
pub(super) struct Job {
    change: Option<Change>,
    records: Vec<Pending>,
    /// Whether it is written later when it cannot be written now. An intent is not: its call is refused.
    keep: bool,
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

    /// Nothing, in its turn.
    pub(super) fn nothing() -> Self {
        Self {
            change: None,
            records: Vec::new(),
            keep: false,
            done: None,
        }
    }

    /// The same, with somebody who waits for it.
    pub(super) fn told(mut self, done: Told) -> Self {
        self.done = Some(done);
        self
    }
}

/// Whether somebody waits for the disk.
fn is_awaited(batch: &[Job]) -> bool {
    batch.iter().any(|job| job.done.is_some())
}

/// Since when the store refuses, and what that cost.
struct Failure {
    since: Timestamp,
    refused: u64,
    lost: u64,
}

/// The writer.
pub(super) struct Writer {
    store: SharedStore,
    clock: SharedClock,
    queue: mpsc::Receiver<Job>,
    dropped: mpsc::UnboundedReceiver<Job>,
    health: Arc<Health>,
    urgent: Arc<Notify>,
    keys: HashMap<Tenant, hmac::Key>,
    backlog: VecDeque<Pending>,
    failure: Option<Failure>,
}

impl Writer {
    pub(super) fn new(
        store: SharedStore,
        clock: SharedClock,
        queue: mpsc::Receiver<Job>,
        dropped: mpsc::UnboundedReceiver<Job>,
        health: Arc<Health>,
        urgent: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            clock,
            queue,
            dropped,
            health,
            urgent,
            keys: HashMap::new(),
            backlog: VecDeque::new(),
            failure: None,
        }
    }

    /// Writes until nobody can enqueue any more and everything is written.
    pub(super) async fn run(mut self) {
        loop {
            let failing = self.failure.is_some();
            let first = tokio::select! {
                biased;
                Some(job) = self.dropped.recv() => Some(job),
                Some(job) = self.queue.recv() => Some(job),
                () = tokio::time::sleep(RETRY), if failing => None,
                else => return,
            };
            let mut batch: Vec<Job> = first.into_iter().collect();
            self.fill(&mut batch);
            if !failing && batch.len() < AUDIT_BATCH_MAX && !is_awaited(&batch) {
                // A commit costs the same for one record as for many, so records that nobody waits for come together.
                tokio::select! {
                    () = self.urgent.notified() => {}
                    () = tokio::time::sleep(GATHER) => {}
                }
                self.fill(&mut batch);
            }
            self.write(batch).await;
            if self.failure.is_some() && self.queue.is_closed() && self.queue.is_empty() {
                tracing::error!(
                    records = self.backlog.len(),
                    "the server stops while the store refuses audit records"
                );
                return;
            }
        }
    }

    /// Takes what waits, as far as one commit holds it.
    fn fill(&mut self, batch: &mut Vec<Job>) {
        while batch.len() < AUDIT_BATCH_MAX {
            match self.dropped.try_recv().or_else(|_| self.queue.try_recv()) {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
    }

    async fn write(&mut self, mut batch: Vec<Job>) {
        if let Err(error) = self.recover().await {
            return self.fail(batch, error);
        }
        if batch.is_empty() {
            return;
        }
        match self.commit(&mut batch).await {
            Ok(results) => {
                for (job, applied) in batch.into_iter().zip(results) {
                    if let Some(done) = job.done {
                        // Whoever waited may have gone away; the record stands all the same.
                        let _ = done.send(Ok(applied));
                    }
                }
            }
            Err(error) => self.fail(batch, error),
        }
    }

    /// Commits a batch. What it tells of goes out in the order in which it came in.
    async fn commit(&mut self, batch: &mut [Job]) -> Result<Vec<Applied>, StoreError> {
        for pending in batch.iter_mut().flat_map(|job| &mut job.records) {
            self.finish(pending).await?;
        }
        let mut drafts: Vec<Draft<'_>> = batch
            .iter_mut()
            .map(|job| Draft {
                change: job.change.take(),
                records: chained(&mut job.records),
            })
            .collect();
        self.store.append(&mut drafts).await
    }

    /// Writes what was kept, once the store takes it again.
    async fn recover(&mut self) -> Result<(), StoreError> {
        while let Some(failure) = &self.failure {
            let now = self.clock.now();
            let mut told = Event::new(EventKind::AuditRecovered)
                .fact("since", failure.since.0)
                .fact("refused", failure.refused)
                .fact("lost", failure.lost)
                .into_pending(row_id(now), now);
            self.finish(&mut told).await?;
            self.write_kept(Some(told)).await?;
            tracing::info!(
                kept = self.backlog.len(),
                "the store takes audit records again"
            );
            self.failure = None;
        }
        while !self.backlog.is_empty() {
            self.write_kept(None).await?;
        }
        self.health.healthy.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes some of the backlog behind `first`, and takes it off the backlog.
    async fn write_kept(&mut self, first: Option<Pending>) -> Result<(), StoreError> {
        let kept = self.backlog.len().min(AUDIT_BATCH_MAX);
        let mut some: Vec<Pending> = self.backlog.iter().take(kept).cloned().collect();
        for pending in &mut some {
            self.finish(pending).await?;
        }
        some.splice(..0, first);
        let draft = Draft {
            change: None,
            records: chained(&mut some),
        };
        self.store.append(&mut [draft]).await?;
        self.backlog.drain(..kept);
        self.health
            .backlog
            .store(self.backlog.len(), Ordering::Release);
        Ok(())
    }

    fn fail(&mut self, batch: Vec<Job>, error: StoreError) {
        let error = Arc::new(error);
        if self.failure.is_none() {
            let error: &dyn std::error::Error = error.as_ref();
            tracing::error!(
                error,
                "the store does not take audit records; calls with effects are refused"
            );
        }
        self.health.healthy.store(false, Ordering::Release);
        let now = self.clock.now();
        let failure = self.failure.get_or_insert(Failure {
            since: now,
            refused: 0,
            lost: 0,
        });
        for job in batch {
            if !job.keep {
                failure.refused += u64::from(!job.records.is_empty());
            } else if self.backlog.len() < BACKLOG_MAX {
                self.backlog.extend(job.records);
            } else {
                failure.lost += 1;
            }
            if let Some(done) = job.done {
                let _ = done.send(Err(Arc::clone(&error)));
            }
        }
        self.health
            .backlog
            .store(self.backlog.len(), Ordering::Release);
    }

    /// Puts the user under a pseudonym, as a record is written.
    async fn finish(&mut self, pending: &mut Pending) -> Result<(), StoreError> {
        let record = &mut pending.record;
        let (Some(user), Some(tenant)) = (&pending.user, &record.tenant) else {
            return Ok(());
        };
        if !self.keys.contains_key(tenant) {
            let key = pseudonym_key(self.store.as_ref(), tenant).await?;
            if self.keys.len() >= KEYS_MAX {
                self.keys.clear();
            }
            self.keys.insert(tenant.clone(), key);
        }
        if let Some(key) = self.keys.get(tenant) {
            record.subject = Some(pseudonym_under(key, user));
            record.iss = Some(user.issuer.clone());
        }
        Ok(())
    }
}

/// The records of these, to be chained.
fn chained(records: &mut [Pending]) -> Vec<&mut dyn Chained> {
    records
        .iter_mut()
        .map(|pending| &mut pending.record as &mut dyn Chained)
        .collect()
}
