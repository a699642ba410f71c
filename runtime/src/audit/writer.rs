//! The one task that writes: takes what waits, commits it together, tells who waits for the disk.
//!
//! While the store refuses, records that must not be lost are kept and tried again; whoever waits is told at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::event::{Event, EventKind};
use super::gather::Gather;
use super::interrupted::Open;
use super::job::{Job, Pending, chained};
use super::record::Phase;
use super::tail::Tail;
use super::{Health, evidence, key_of, pseudonym_under};
use crate::clock::{SharedClock, Timestamp};
use crate::ids::{Digest, Tenant, User};
use crate::limits::{AUDIT_BATCH_MAX, AUDIT_QUEUE_MAX};
use crate::problem::caused;
use crate::store::{Applied, Change, Draft, SharedStore, StoreError, row_id};

/// How long records that nobody waits for are gathered before they are committed together.
const GATHER: Duration = Duration::from_millis(5);
/// How long records that many wait for are gathered. A commit takes about as long, and costs the same for one as for many.
const GATHER_AWAITED: Duration = Duration::from_millis(1);
/// How often the store is tried again while it refuses.
const RETRY: Duration = Duration::from_millis(250);
/// Records that are kept while the store refuses. Intents stop at half of it; ends of calls that began are kept beyond it, at most
/// one for each call in flight.
pub(super) const BACKLOG_MAX: usize = 2 * AUDIT_QUEUE_MAX;
/// Users whose pseudonym is at hand.
const SUBJECTS_MAX: usize = 16_384;
/// For how long it is: a key that was destroyed by another process is used no longer than that.
pub(super) const SUBJECT_KEPT: Duration = Duration::from_secs(10);

/// How many wait for the disk.
fn awaited(batch: &[Job]) -> usize {
    batch.iter().filter(|job| job.done.is_some()).count()
}

/// Since when the store refuses, and what that cost.
struct Failure {
    since: Timestamp,
    refused: u64,
    lost: u64,
}

/// The pseudonym of a user.
#[derive(Clone, Copy)]
struct Subject {
    pseudonym: Digest,
    read_at: Timestamp,
}

/// The writer.
pub(super) struct Writer {
    store: SharedStore,
    clock: SharedClock,
    queue: mpsc::Receiver<Job>,
    dropped: mpsc::UnboundedReceiver<Job>,
    health: Arc<Health>,
    urgent: Arc<Notify>,
    tail: Arc<Tail>,
    subjects: HashMap<Tenant, HashMap<User, Subject>>,
    backlog: VecDeque<Pending>,
    /// The calls whose intent is in the backlog.
    begun: HashSet<Uuid>,
    failure: Option<Failure>,
    /// The calls without an outcome, in a server; commands make none, and know nothing of those of a server.
    open: Option<Open>,
    /// How many jobs were taken from the queue, and what was dropped, each behind so many of them.
    taken: u64,
    /// How many waited for the last commit.
    awaited: usize,
    late: VecDeque<(u64, Job)>,
}

impl Writer {
    pub(super) fn new(
        store: SharedStore,
        clock: SharedClock,
        (queue, dropped): (mpsc::Receiver<Job>, mpsc::UnboundedReceiver<Job>),
        health: Arc<Health>,
        urgent: Arc<Notify>,
        tail: Arc<Tail>,
    ) -> Self {
        Self {
            store,
            clock,
            queue,
            dropped,
            health,
            urgent,
            tail,
            subjects: HashMap::new(),
            backlog: VecDeque::new(),
            begun: HashSet::new(),
            failure: None,
            open: None,
            taken: 0,
            awaited: 0,
            late: VecDeque::new(),
        }
    }

    /// Writes until nobody can enqueue any more and everything is written.
    pub(super) async fn run(mut self) {
        loop {
            let failing = self.failure.is_some();
            let first = match self.next() {
                Some(job) => Some(job),
                None => tokio::select! {
                    biased;
                    Some(job) = self.queue.recv() => {
                        self.taken += 1;
                        Some(job)
                    }
                    Some(job) = self.dropped.recv() => {
                        self.is_late(job);
                        self.next()
                    }
                    () = tokio::time::sleep(RETRY), if failing => None,
                    else => return,
                },
            };
            let mut batch: Vec<Job> = first.into_iter().collect();
            self.fill(&mut batch);
            // A commit costs the same for one record as for many.
            let gather = match failing || batch.len() >= AUDIT_BATCH_MAX {
                true => Gather::No,
                false => Gather::of(awaited(&batch), self.awaited),
            };
            match gather {
                Gather::No => {}
                Gather::UntilAwaited => tokio::select! {
                    () = self.urgent.notified() => {}
                    () = tokio::time::sleep(GATHER) => {}
                },
                Gather::Awaited => tokio::time::sleep(GATHER_AWAITED).await,
            }
            self.fill(&mut batch);
            self.awaited = awaited(&batch);
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
        while batch.len() < AUDIT_BATCH_MAX
            && let Some(job) = self.next()
        {
            batch.push(job);
        }
    }

    /// The next job that waits. What was dropped comes behind all that was in the queue when it was: its own intent among that.
    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.dropped.try_recv() {
            self.is_late(job);
        }
        let is_due = |(after, _): &(u64, Job)| *after <= self.taken;
        if !self.late.front().is_some_and(is_due)
            && let Ok(job) = self.queue.try_recv()
        {
            self.taken += 1;
            return Some(job);
        }
        // Due, or there is nothing in the queue.
        self.late.pop_front().map(|(_, job)| job)
    }

    fn is_late(&mut self, job: Job) {
        let waiting = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        self.late
            .push_back((self.taken.saturating_add(waiting), job));
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
        for job in batch.iter_mut() {
            match self.finish_all(job).await {
                Ok(()) => {}
                Err(error) if error.is_of_one_owner() => job.refuse(error),
                Err(error) => return Err(error),
            }
        }
        let begins = batch.iter().any(Job::is_first);
        let mut drafts: Vec<Draft<'_>> = batch
            .iter_mut()
            .map(|job| Draft {
                change: job.change.take(),
                records: chained(&mut job.records),
            })
            .collect();
        // Behind the others, whose results are told in their order.
        let noted = self.open.as_ref().and_then(Open::due);
        drafts.extend(noted.map(|before| Draft {
            change: Some(Change::Closed { before }),
            records: Vec::new(),
        }));
        let applied = self.store.append(&mut drafts).await?;
        drop(drafts);
        let made = batch.iter().zip(&applied);
        let made = made.filter(|(_, applied)| matches!(applied, Applied::Done));
        let written = made.flat_map(|(job, _)| &job.records);
        self.tail
            .wrote(written.filter_map(|pending| pending.placed));
        if begins {
            self.open.get_or_insert_default();
        }
        if let Some(open) = &mut self.open {
            noted.into_iter().for_each(|before| open.noted(before));
            let records = batch.iter().flat_map(|job| &job.records);
            open.wrote(records.map(|pending| &pending.record));
        }
        Ok(applied)
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
            self.finish(&mut told, true).await?;
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
            self.finish(pending, true).await?;
        }
        some.splice(..0, first);
        let draft = Draft {
            change: None,
            records: chained(&mut some),
        };
        self.store.append(&mut [draft]).await?;
        self.tail
            .wrote(some.iter().filter_map(|pending| pending.placed));
        if let Some(open) = &mut self.open {
            open.wrote(some.iter().map(|pending| &pending.record));
        }
        for pending in self.backlog.drain(..kept) {
            self.begun.remove(&pending.record.event_id);
        }
        self.health
            .backlog
            .store(self.backlog.len(), Ordering::Release);
        Ok(())
    }

    fn fail(&mut self, batch: Vec<Job>, error: StoreError) {
        let error = Arc::new(error);
        if self.failure.is_none() {
            tracing::error!(
                error = %caused(error.as_ref()),
                "the store does not take audit records; calls with effects are refused"
            );
        }
        self.health.healthy.store(false, Ordering::Release);
        let now = self.clock.now();
        let mut failure = self.failure.take().unwrap_or(Failure {
            since: now,
            refused: 0,
            lost: 0,
        });
        for job in batch {
            if !job.keep {
                failure.refused += u64::from(!job.records.is_empty());
            } else if self.backlog.len() < BACKLOG_MAX || self.ends_a_call(&job) {
                let intents = job.records.iter().map(|pending| &pending.record);
                let intents = intents.filter(|record| record.phase == Phase::Intent);
                self.begun.extend(intents.map(|record| record.event_id));
                self.backlog.extend(job.records);
            } else {
                failure.lost += 1;
            }
            if let Some(done) = job.done {
                let _ = done.send(Err(Arc::clone(&error)));
            }
        }
        self.failure = Some(failure);
        self.health
            .backlog
            .store(self.backlog.len(), Ordering::Release);
    }

    /// Whether it is the end of a call whose intent is in the log, or comes into it.
    fn ends_a_call(&self, job: &Job) -> bool {
        job.records.iter().any(|pending| {
            let record = &pending.record;
            let id = &record.event_id;
            let has_begun = self.begun.contains(id);
            let is_open = self.open.as_ref().is_some_and(|open| open.has(id));
            record.phase == Phase::Outcome && (has_begun || is_open)
        })
    }

    async fn finish_all(&mut self, job: &mut Job) -> Result<(), StoreError> {
        for pending in &mut job.records {
            self.finish(pending, job.keep).await?;
        }
        Ok(())
    }

    /// Puts the user under a pseudonym, as a record is written. What must be `kept` is written without one where that of this user
    /// cannot be read: a row of one user does not hold up the records of all.
    async fn finish(&mut self, pending: &mut Pending, kept: bool) -> Result<(), StoreError> {
        let (Some(user), Some(tenant)) = (&pending.user, &pending.record.tenant) else {
            return Ok(());
        };
        let evidence = pending.evidence.as_ref();
        match self.of_user(tenant, user, evidence).await {
            Ok((pseudonym, digest)) => {
                pending.record.subject = Some(pseudonym);
                if let Some(digest) = digest {
                    let facts = &mut pending.record.facts;
                    facts.insert(evidence::FACT.to_owned(), digest.to_string().into());
                }
            }
            Err(error) if kept && error.is_of_one_owner() => {
                tracing::error!(error = %caused(&error), "a record is written without its user, whose key cannot be read");
            }
            Err(error) => return Err(error),
        }
        pending.record.iss = Some(user.issuer.clone());
        Ok(())
    }

    /// The pseudonym of a user, and the digest of evidence.
    async fn of_user(
        &mut self,
        tenant: &Tenant,
        user: &User,
        evidence: Option<&Value>,
    ) -> Result<(Digest, Option<Digest>), StoreError> {
        // Rare, and read anew: no key of a user is kept in memory.
        if let Some(evidence) = evidence {
            let key = key_of(self.store.as_ref(), tenant, user).await?;
            let digest = evidence::under(&key, evidence);
            return Ok((pseudonym_under(&key, user), Some(digest)));
        }
        let now = self.clock.now();
        let known = self.subjects.get(tenant).and_then(|users| users.get(user));
        let is_fresh = |one: &&Subject| now >= one.read_at && now.since(one.read_at) < SUBJECT_KEPT;
        if let Some(one) = known.filter(is_fresh) {
            return Ok((one.pseudonym, None));
        }
        let pseudonym = pseudonym_under(&key_of(self.store.as_ref(), tenant, user).await?, user);
        if self.subjects.values().map(HashMap::len).sum::<usize>() >= SUBJECTS_MAX {
            self.subjects.clear();
        }
        let one = Subject {
            pseudonym,
            read_at: now,
        };
        let users = self.subjects.entry(tenant.clone()).or_default();
        users.insert(user.clone(), one);
        Ok((pseudonym, None))
    }
}
