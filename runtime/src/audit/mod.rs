//! Append-only, hash-chained evidence of what was asked, decided and done.
//!
//! Every call leaves a closing record, and before it an intent, which is durable where there is an outside effect. Records hold names,
//! kinds, sizes, classes and digests, never the value of an argument, a reply or a token; a user stands in them under a
//! pseudonym. No record, no effect: when the store does not take an intent, the call is refused.

mod canonical;
mod chain;
mod entry;
mod facts;
mod record;
mod sampled;
mod show;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::SharedClock;
use crate::ids::{Digest, Tenant, User};
use crate::limits::AUDIT_QUEUE_MAX;
use crate::store::{Applied, Change, SharedStore, Store, StoreError, random, row_id};

pub use chain::{Broken, Damage, Verified, VerifyError, verify};
pub use entry::Entry;
pub use facts::{ArgumentFacts, CallerFacts, EffectUse, End, Stage, ToolFacts, Used};
pub use record::{
    DecisionFacts, Event, EventKind, Phase, Record, ResultFacts, TokenUse, TrialFacts,
};
pub use show::{Filter, Line, ShowError, Stored, show};

use writer::{Job, Pending, Writer};

/// Name of a tenant's key under which its users get their pseudonyms. Without it they cannot be told apart any more.
const PSEUDONYM_KEY: &str = "audit.pseudonym";
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
}

/// The audit log. Cheap to clone; one task writes.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

struct Shared {
    queue: mpsc::Sender<Job>,
    /// Records of entries that were dropped: at most one for each call in flight, so it needs no bound of its own.
    dropped: mpsc::UnboundedSender<Job>,
    store: SharedStore,
    clock: SharedClock,
    arguments: hmac::Key,
    health: Arc<Health>,
    sampler: sampled::Sampler,
    /// Tells the writer that somebody waits for the disk.
    urgent: Arc<Notify>,
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
        let candidate = random().map_err(unavailable)?;
        let arguments = store
            .secret(None, ARGUMENTS_KEY, candidate)
            .await
            .map_err(unavailable)?;
        let (queue, queued) = mpsc::channel(AUDIT_QUEUE_MAX);
        let (dropped, left) = mpsc::unbounded_channel();
        let health = Arc::new(Health {
            healthy: AtomicBool::new(true),
            backlog: AtomicUsize::new(0),
        });
        let urgent = Arc::new(Notify::new());
        let writer = Writer::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            queued,
            left,
            Arc::clone(&health),
            Arc::clone(&urgent),
        );
        tokio::spawn(writer.run());
        let shared = Arc::new(Shared {
            queue,
            dropped,
            store,
            clock,
            arguments: hmac::Key::new(hmac::HMAC_SHA256, &arguments),
            health,
            sampler: sampled::Sampler::default(),
            urgent,
        });
        tokio::spawn(sampled::tell_counts(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Opens the entry of one request. Nothing is written yet.
    pub fn open(&self, method: &str) -> Entry {
        let now = self.shared.clock.now();
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

    /// Makes a change and records it, in one transaction. A refused change leaves no record.
    pub async fn commit(&self, change: Change, events: Vec<Event>) -> Result<Applied, AuditError> {
        let records = events
            .into_iter()
            .map(|event| self.pending(event))
            .collect();
        self.durable(Job::change(change, records)).await
    }

    /// Waits until everything that was enqueued before is durable, with the counts of what was only counted.
    pub async fn flush(&self) -> Result<(), AuditError> {
        self.tell_last_counts();
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

    fn pending(&self, event: Event) -> Pending {
        let now = self.shared.clock.now();
        event.into_pending(row_id(now), now)
    }

    /// Whether so many records wait that no call should begin.
    fn is_full(&self) -> bool {
        !self.healthy() && self.shared.health.backlog.load(Ordering::Acquire) >= AUDIT_QUEUE_MAX
    }

    /// A place in the queue; waits for one.
    async fn place(&self) -> Result<mpsc::Permit<'_, Job>, AuditError> {
        let place = self.shared.queue.reserve().await;
        place.map_err(|_| AuditError::Closed)
    }

    /// Tells the writer that somebody waits for the disk.
    fn hurry(&self) {
        self.shared.urgent.notify_one();
    }

    async fn enqueue(&self, job: Job) -> Result<(), AuditError> {
        let is_awaited = job.done.is_some();
        self.place().await?.send(job);
        if is_awaited {
            self.hurry();
        }
        Ok(())
    }

    async fn durable(&self, mut job: Job) -> Result<Applied, AuditError> {
        let (done, written) = oneshot::channel();
        job.done = Some(done);
        self.enqueue(job).await?;
        match written.await {
            Ok(result) => result.map_err(AuditError::Unavailable),
            Err(_) => Err(AuditError::Closed),
        }
    }
}

/// The name under which a user stands in the log: HMAC of issuer and subject under a key of the tenant.
pub async fn pseudonym(
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<Digest, StoreError> {
    Ok(pseudonym_under(&pseudonym_key(store, tenant).await?, user))
}

async fn pseudonym_key(store: &dyn Store, tenant: &Tenant) -> Result<hmac::Key, StoreError> {
    let key = store.secret(Some(tenant), PSEUDONYM_KEY, random()?).await?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
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
