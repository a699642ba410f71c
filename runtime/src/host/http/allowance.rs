//! How much of the web a call may use: for each grant, for the call, and for the calls around it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::{Capability, Http};
use crate::egress::{Budget, Whose};
use crate::limits::{HTTP_BYTES_IN_MAX, HTTP_BYTES_OUT_MAX, HTTP_PARALLEL_MAX, HTTP_REQUESTS_MAX};
use crate::revocation::Live;

/// One grant, with the consent behind it and what is left of its budget.
pub(super) struct Scope {
    pub(super) http: Http,
    pub(super) live: Live,
    pub(super) whose: Whose,
    /// The grant of the call around this one by which this call has it, whose budget it uses as well.
    pub(super) around: Option<Arc<Scope>>,
    pub(super) requests: AtomicU64,
    pub(super) sent: Budget,
    pub(super) received: Budget,
    pub(super) slots: Arc<Semaphore>,
}

impl Scope {
    /// Whether it has a request left, and so has each one around it.
    pub(super) fn has_requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
            && self.around.as_ref().is_none_or(|one| one.has_requests())
    }

    /// Takes a request of it and of each one around it.
    pub(super) fn take(&self) -> bool {
        take_one(&self.requests) && self.around.as_ref().is_none_or(|one| one.take())
    }
}

/// What the whole call may use, however many grants it has, together with the calls that it makes of other tools.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) requests: Arc<AtomicU64>,
    pub(super) sent: Budget,
    pub(super) received: Budget,
    pub(super) slots: Arc<Semaphore>,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            requests: Arc::new(AtomicU64::new(HTTP_REQUESTS_MAX)),
            sent: Budget::of(HTTP_BYTES_OUT_MAX),
            received: Budget::of(HTTP_BYTES_IN_MAX),
            slots: slots(HTTP_PARALLEL_MAX),
        }
    }
}

pub(super) type Scopes = Arc<OnceLock<Vec<Arc<Scope>>>>;

/// What one call may still ask of web hosts: a part of what the call around it may.
#[derive(Clone, Default)]
pub struct Allowance {
    pub(super) whole: Whole,
    /// The grants of the call around this one; none where there is no such call.
    pub(super) around: Option<Scopes>,
    pub(super) own: Scopes,
}

impl Allowance {
    /// Of a call within this one.
    pub fn inner(&self) -> Self {
        Self {
            whole: self.whole.clone(),
            around: Some(Arc::clone(&self.own)),
            own: Scopes::default(),
        }
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Allowance").finish_non_exhaustive()
    }
}

/// A request that may be made, and made again: its grant, and places among those that are under way.
pub(super) struct Going {
    pub(super) scope: Arc<Scope>,
    pub(super) requests: Arc<AtomicU64>,
    pub(super) _slots: Vec<OwnedSemaphorePermit>,
}

impl Going {
    /// One more attempt: whether both budgets of requests have one left.
    pub(super) fn again(&self) -> bool {
        take_one(&self.requests) && self.scope.take()
    }
}

/// Takes one from what is left.
pub(super) fn take_one(left: &AtomicU64) -> bool {
    let take = |left: u64| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
}

/// The grant of the call around that this one lies in; without one there is nothing to use.
pub(super) fn covering(around: &Scopes, http: &Http) -> Option<Arc<Scope>> {
    let inner = Capability::Http(http.clone());
    let lies_in = |scope: &&Arc<Scope>| inner.within(&Capability::Http(scope.http.clone()));
    around.get()?.iter().find(lies_in).cloned()
}

pub(super) fn slots(all: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(0)))
}
