//! Append-only, hash-chained evidence of what was asked, decided and done.
//!
//! Every call leaves a closing record, and before it an intent, which is durable where there is an outside effect. Records hold names,
//! kinds, sizes, classes and digests, never the value of an argument, a reply or a token; a user stands in them under a
//! pseudonym. No record, no effect: when the store does not take an intent, the call is refused.

mod canonical;
mod chain;
mod checkpoint;
mod copy;
mod entry;
mod event;
mod evidence;
mod export;
mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gather;
mod indexed;
mod interrupted;
mod job;
mod marks;
mod note;
mod pages;
mod prove;
mod record;
mod retention;
mod sampled;
mod show;
mod sieve;
mod tail;
mod tree;
mod walk;
mod witness;
mod words;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::SharedClock;
use crate::ids::{Digest, Tenant, User};
use crate::limits::{AUDIT_QUEUE_MAX, AUDIT_WAIT_MAX};
use crate::store::{
    Applied, Change, SecretBytes, SharedStore, Store, StoreError, random_secret, row_id,
};
use crate::telemetry::Meters;

pub use chain::{Anchors, Broken, Damage, Verified, VerifyError, verify, verify_against};
pub use checkpoint::{CheckpointError, Checkpoints, standing};
pub use copy::{CopyError, Place};
pub use entry::Entry;
pub use event::{Event, EventKind};
pub use evidence::{Evidenced, evidenced};
pub use export::Format;
pub use facts::{ArgumentFacts, CallerFacts, EffectUse, End, Stage, ToolFacts, Used};
pub use indexed::Misindexed;
pub use note::{Checkpoint, LogKey, LogKeyError, NOTE_BYTES_MAX, Note, NoteError, notes};
pub use prove::{
    PROOF_BYTES_MAX, Proof, ProofError, ProveError, Shown, check, consistency, inclusion,
};
pub use record::{DecisionFacts, Phase, Record, ResultFacts, TokenUse, TrialFacts};
pub use retention::{EraseError, PruneError, erase, newest, prune};
pub use show::{Filter, Line, ShowError, Stored, show};
pub use witness::{Due, Witness};

use job::{Job, Pending};
use tail::Tail;
use writer::Writer;

/// What the name of the key of a user's pseudonym begins with.
const SUBJECT_KEY: &str = "audit.subject.";
/// Name of a tenant's key under which the keys of its users are found.
const PSEUDONYM_KEY: &str = "audit.pseudonym";
/// The method that is a call of a tool.
const CALL: &str = "tools/call";
/// Name of the server's key for digests of arguments.
const ARGUMENTS_KEY: &str = "audit.arguments";

/// A record could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The store does not take records; calls with effects are refused until it does.
    #[error("the audit log cannot be written; check the disk of the state file")]
    Unavailable(#[source] Arc<StoreError>),
    /// As many records wait for the store as may wait.
    #[error("too many audit records wait for the store; check the disk of the state file")]
    Full,
    /// The writer has ended.
    #[error("the audit log is closed; the server is stopping")]
    Closed,
    /// The disk says nothing; the record may be written yet.
    #[error("an audit record was not on the disk in time; check the disk of the state file")]
    TooSlow,
}

/// The audit log. Cheap to clone; one task writes.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

struct Shared {
    queue: mpsc::Sender<Job>,
    /// Records of entries that were dropped, at most one for each call in flight, and of sessions, at most two for each request
    /// and one for each session that there is: it needs no bound of its own.
    dropped: mpsc::UnboundedSender<Job>,
    store: SharedStore,
    clock: SharedClock,
    arguments: hmac::Key,
    health: Arc<Health>,
    tail: Arc<Tail>,
    sampler: sampled::Sampler,
    /// Tells the writer that somebody waits for the disk.
    urgent: Arc<Notify>,
    meters: Arc<Meters>,
    /// For how long a call waits.
    wait_max: Duration,
}

/// What the writer tells of itself.
#[derive(Debug)]
struct Health {
    healthy: AtomicBool,
    backlog: AtomicUsize,
}

impl Audit {
    /// Starts the writer on this store.
    pub async fn start(store: SharedStore, clock: SharedClock) -> Result<Self, AuditError> {
        let unavailable = |error| AuditError::Unavailable(Arc::new(error));
        let candidate = random_secret().map_err(unavailable)?;
        let arguments = store
            .secret(None, ARGUMENTS_KEY, candidate)
            .await
            .map_err(unavailable)?;
        Ok(Self::on(store, clock, &arguments, AUDIT_WAIT_MAX))
    }

    /// The same for commands that record what they do and no call: it needs no key of the server's own.
    pub fn start_for_acts(store: SharedStore, clock: SharedClock) -> Result<Self, AuditError> {
        let key = random_secret().map_err(|error| AuditError::Unavailable(Arc::new(error)))?;
        Ok(Self::on(store, clock, &key, AUDIT_WAIT_MAX))
    }

    fn on(
        store: SharedStore,
        clock: SharedClock,
        arguments: &SecretBytes,
        wait_max: Duration,
    ) -> Self {
        let (queue, queued) = mpsc::channel(AUDIT_QUEUE_MAX);
        let (dropped, left) = mpsc::unbounded_channel();
        let health = Arc::new(Health {
            healthy: AtomicBool::new(true),
            backlog: AtomicUsize::new(0),
        });
        let urgent = Arc::new(Notify::new());
        let tail = Arc::new(Tail::default());
        let writer = Writer::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            (queued, left),
            Arc::clone(&health),
            Arc::clone(&urgent),
            Arc::clone(&tail),
        );
        tokio::spawn(writer.run());
        let shared = Arc::new(Shared {
            queue,
            dropped,
            store,
            clock,
            arguments: hmac::Key::new(hmac::HMAC_SHA256, arguments.as_slice()),
            health,
            tail,
            sampler: sampled::Sampler::default(),
            urgent,
            meters: Arc::default(),
            wait_max,
        });
        tokio::spawn(sampled::tell_counts(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Opens the entry of one request. Nothing is written yet.
    pub fn open(&self, method: &str) -> Entry {
        let now = self.shared.clock.now();
        if method == CALL {
            self.meters().call_began();
        }
        Entry::new(self.clone(), Record::new(row_id(now), now, method))
    }

    /// Records something that is no call. Durable when it returns.
    pub async fn event(&self, event: Event) -> Result<(), AuditError> {
        let pending = self.pending(event);
        self.durable(Job::keep(pending)).await.map(drop)
    }

    /// Records something that is no call; waits for room in the queue, not for the disk.
    pub async fn event_soon(&self, event: Event) -> Result<(), AuditError> {
        let pending = self.pending(event);
        self.enqueue(Job::keep(pending)).await
    }

    /// Records something that is no call, for whoever cannot wait. There is no bound on how many wait then: what calls it has one.
    pub fn event_unwaited(&self, event: Event) {
        let kind = event.kind().as_str();
        let job = Job::keep(self.pending(event));
        if self.shared.dropped.send(job).is_err() {
            tracing::error!(kind, "the log is closed; an event is not recorded");
        }
    }

    /// Makes a change and records it, in one transaction. A refused change leaves no record.
    pub async fn commit(&self, change: Change, events: Vec<Event>) -> Result<Applied, AuditError> {
        self.change(change, events).await?.end().await
    }

    /// The same for a call, which waits no longer for the disk than for its own records. What was not in time may be made yet.
    pub async fn commit_in_time(
        &self,
        change: Change,
        events: Vec<Event>,
    ) -> Result<Applied, AuditError> {
        self.change(change, events).await?.end_in_time().await
    }

    async fn change(&self, change: Change, events: Vec<Event>) -> Result<Written<'_>, AuditError> {
        let ready = self.shared.store.ready(&change).await;
        ready.map_err(|error| AuditError::Unavailable(Arc::new(error)))?;
        let kinds = events.iter().map(Event::kind).collect();
        let now = self.shared.clock.now();
        let records = events.into_iter();
        let records = records.map(|event| event.into_pending(row_id(now), now));
        let job = Job::change(change, records.collect());
        let written = self.write(self.place().await?, job);
        Ok(Written { kinds, ..written })
    }

    /// Waits until everything that was enqueued before is durable, with the counts of what was only counted.
    pub async fn flush(&self) -> Result<(), AuditError> {
        // The queue has room for so many at once.
        while self.tell_last_counts() {
            self.durable(Job::nothing()).await?;
        }
        self.durable(Job::nothing()).await.map(drop)
    }

    /// Whether the store took the last records. It becomes true again by itself when the store does.
    pub fn healthy(&self) -> bool {
        self.shared.health.healthy.load(Ordering::Acquire)
    }

    /// The name under which a user stands in the log.
    pub async fn pseudonym(&self, tenant: &Tenant, user: &User) -> Result<Digest, AuditError> {
        pseudonym(self.shared.store.as_ref(), tenant, user)
            .await
            .map_err(|error| AuditError::Unavailable(Arc::new(error)))
    }

    /// What is counted beside the records.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.shared.meters
    }

    /// How many records wait for the store, those that it refused among them.
    pub fn waiting(&self) -> usize {
        let queue = &self.shared.queue;
        let queued = queue.max_capacity().saturating_sub(queue.capacity());
        queued.saturating_add(self.shared.health.backlog.load(Ordering::Acquire))
    }

    fn pending(&self, event: Event) -> Pending {
        let now = self.shared.clock.now();
        self.meters().event(event.kind());
        event.into_pending(row_id(now), now)
    }

    /// Whether so many records wait that no call should begin.
    fn is_full(&self) -> bool {
        !self.healthy() && self.shared.health.backlog.load(Ordering::Acquire) >= AUDIT_QUEUE_MAX
    }

    /// A place in the queue; waits for one, and not without end.
    async fn place(&self) -> Result<mpsc::Permit<'_, Job>, AuditError> {
        let place = tokio::time::timeout(self.shared.wait_max, self.shared.queue.reserve());
        let place = place.await.map_err(|_| AuditError::Full)?;
        place.map_err(|_| AuditError::Closed)
    }

    async fn enqueue(&self, job: Job) -> Result<(), AuditError> {
        self.place().await?.send(job);
        Ok(())
    }

    async fn durable(&self, job: Job) -> Result<Applied, AuditError> {
        self.write(self.place().await?, job).end().await
    }

    /// Enqueues what somebody waits for then, and tells the writer so.
    fn write(&self, place: mpsc::Permit<'_, Job>, job: Job) -> Written<'_> {
        let (done, written) = oneshot::channel();
        place.send(job.told(done));
        self.shared.urgent.notify_one();
        Written {
            audit: self,
            began: Instant::now(),
            written,
            kinds: Vec::new(),
        }
    }
}

/// What is in the queue, until it is on the disk.
struct Written<'a> {
    audit: &'a Audit,
    began: Instant,
    written: oneshot::Receiver<Result<Applied, Arc<StoreError>>>,
    /// What is counted once it is.
    kinds: Vec<EventKind>,
}

impl Written<'_> {
    async fn end(self) -> Result<Applied, AuditError> {
        let written = self.written.await;
        self.audit.meters().on_disk(self.began.elapsed());
        let applied = match written {
            Ok(result) => result.map_err(AuditError::Unavailable)?,
            Err(_) => return Err(AuditError::Closed),
        };
        if matches!(applied, Applied::Done) {
            let meters = self.audit.meters();
            self.kinds.into_iter().for_each(|kind| meters.event(kind));
        }
        Ok(applied)
    }

    /// The same, and not without end.
    async fn end_in_time(self) -> Result<Applied, AuditError> {
        let wait_max = self.audit.shared.wait_max;
        let ended = tokio::time::timeout(wait_max, self.end()).await;
        ended.map_err(|_| AuditError::TooSlow)?
    }
}

/// The name under which a user stands in the log: HMAC of issuer and subject under a key of this user. Without that key
/// nobody can say any more whose records they are.
pub async fn pseudonym(
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<Digest, StoreError> {
    Ok(pseudonym_under(&key_of(store, tenant, user).await?, user))
}

/// The key of a user.
async fn key_of(store: &dyn Store, tenant: &Tenant, user: &User) -> Result<hmac::Key, StoreError> {
    let name = subject_key(&pseudonym_key(store, tenant).await?, user);
    let key = store.secret(Some(tenant), &name, random_secret()?).await?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

/// The same, where records of this user were written. Makes no key.
pub async fn pseudonym_if_any(
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<Option<Digest>, StoreError> {
    let key = kept_key_of(store, tenant, user).await?;
    Ok(key.map(|key| pseudonym_under(&key, user)))
}

/// The key of a user, if one was made.
async fn kept_key_of(
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<Option<hmac::Key>, StoreError> {
    let Some(of_tenant) = store.kept_secret(Some(tenant), PSEUDONYM_KEY).await? else {
        return Ok(None);
    };
    let of_tenant = hmac::Key::new(hmac::HMAC_SHA256, of_tenant.as_slice());
    let name = subject_key(&of_tenant, user);
    let key = store.kept_secret(Some(tenant), &name).await?;
    Ok(key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())))
}

/// The name of the key of a user, in which the user does not stand.
fn subject_key(tenant: &hmac::Key, user: &User) -> String {
    let parts: [&[u8]; 3] = [
        b"subject key",
        user.issuer.as_str().as_bytes(),
        user.subject.as_str().as_bytes(),
    ];
    format!("{SUBJECT_KEY}{}", mac(tenant, &parts))
}

async fn pseudonym_key(store: &dyn Store, tenant: &Tenant) -> Result<hmac::Key, StoreError> {
    let key = store
        .secret(Some(tenant), PSEUDONYM_KEY, random_secret()?)
        .await?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

fn pseudonym_under(key: &hmac::Key, user: &User) -> Digest {
    // Neither part can hold a control character, so the byte between them keeps pairs apart.
    mac(
        key,
        &[
            user.issuer.as_str().as_bytes(),
            user.subject.as_str().as_bytes(),
        ],
    )
}

/// HMAC-SHA256 of the parts with a zero byte behind each.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
        context.update(&[0]);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    Digest::from(bytes)
}

#[cfg(test)]
mod tests;
