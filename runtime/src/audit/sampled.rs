//! Records of what anybody can cause without a token or a session, and of calls that are made too often: so many a minute, the rest as a
//! count.
//!
//! They never wait, never grow the log without bound, and are never kept for a store that refuses: the room there is for
//! the records of calls. What stands in no record is counted, and one record of the same kind tells the count later. A
//! count that was not told yet is lost when the process ends without [`Audit::flush`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::job::Job;
use super::{Audit, Event, EventKind, Shared};
use crate::clock::Timestamp;
use crate::ids::TenantUser;
use crate::limits::{AUDIT_SAMPLED_MAX, AUDIT_SAMPLED_OF_USER_MAX, AUDIT_SAMPLED_USERS_MAX};
use crate::store::{Applied, StoreError, row_id};

/// The span for which [`AUDIT_SAMPLED_MAX`] holds.
const WINDOW: Duration = Duration::from_secs(60);
/// How often counts are told that nothing new brings to light.
const TELL: Duration = Duration::from_secs(60);

/// What was recorded lately, by kind, and where it is known by whom.
#[derive(Default)]
pub(super) struct Sampler {
    windows: Mutex<HashMap<Whose, Window>>,
}

/// What has a minute of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Whose {
    kind: EventKind,
    user: Option<TenantUser>,
}

impl Whose {
    fn anybody(kind: EventKind) -> Self {
        Self { kind, user: None }
    }

    /// How many records it may have in its minute.
    fn most(&self) -> usize {
        match self.user {
            Some(_) => AUDIT_SAMPLED_OF_USER_MAX,
            None => AUDIT_SAMPLED_MAX,
        }
    }

    fn event(&self) -> Event {
        let event = Event::new(self.kind);
        match &self.user {
            Some(who) => event.user(&who.tenant, &who.user),
            None => event,
        }
    }
}

/// What one of them recorded in its minute.
struct Window {
    began: Timestamp,
    /// Records since it began.
    sent: usize,
    /// What happened and stands in no record.
    untold: u64,
    /// Records for which the writer did not answer yet.
    under_way: Vec<UnderWay>,
}

/// A record on its way to the store.
struct UnderWay {
    written: oneshot::Receiver<Result<Applied, Arc<StoreError>>>,
    /// How many times it happened, as the record says.
    count: u64,
}

impl Audit {
    /// Records something that anybody can cause, with its reason: at most [`AUDIT_SAMPLED_MAX`] of a kind a minute, the
    /// rest as a count. Never waits.
    pub fn sampled(&self, kind: EventKind, reason: &'static str) {
        self.meters().sampled(kind, Some(reason));
        self.sample(kind, |event| event.fact("reason", reason));
    }

    /// The same for an event that tells something else than a reason.
    pub fn sampled_with(&self, kind: EventKind, describe: impl FnOnce(Event) -> Event) {
        self.meters().sampled(kind, None);
        self.sample(kind, describe);
    }

    fn sample(&self, kind: EventKind, describe: impl FnOnce(Event) -> Event) {
        let now = self.shared.clock.now();
        let whose = Whose::anybody(kind);
        let mut windows = self.shared.sampler.windows();
        let window = windows.entry(whose.clone());
        let window = window.or_insert_with(|| Window::new(now));
        window.move_to(now);
        window.tell_count(self, &whose);
        if !(window.has_room(&whose) && window.send(self, describe(whose.event()), 1)) {
            window.untold = window.untold.saturating_add(1);
        }
    }

    /// Whether something of this kind that this user caused may have a full record of its own, which its entry then writes; what may
    /// not is counted.
    pub fn admits(&self, kind: EventKind, user: TenantUser) -> bool {
        self.in_minute_of(kind, user, |window, has_room| {
            match has_room {
                true => window.sent = window.sent.saturating_add(1),
                false => window.untold = window.untold.saturating_add(1),
            }
            has_room
        })
    }

    /// Whether it may not, and is counted by this. If it may, [`Audit::admits`] is asked at its end.
    pub fn only_counts(&self, kind: EventKind, user: TenantUser) -> bool {
        self.in_minute_of(kind, user, |window, has_room| {
            if !has_room {
                window.untold = window.untold.saturating_add(1);
            }
            !has_room
        })
    }

    /// Each user has a minute of their own, so that one who floods makes nobody else a number; where there are too many of them, the
    /// others share one.
    fn in_minute_of<T>(
        &self,
        kind: EventKind,
        user: TenantUser,
        act: impl FnOnce(&mut Window, bool) -> T,
    ) -> T {
        let now = self.shared.clock.now();
        let mut windows = self.shared.sampler.windows();
        let mut whose = Whose {
            kind,
            user: Some(user),
        };
        if !windows.contains_key(&whose) && windows.len() >= AUDIT_SAMPLED_USERS_MAX {
            windows.retain(|_, window| !window.is_over(now));
            if windows.len() >= AUDIT_SAMPLED_USERS_MAX {
                whose.user = None;
            }
        }
        let window = windows.entry(whose.clone());
        let window = window.or_insert_with(|| Window::new(now));
        window.move_to(now);
        window.tell_count(self, &whose);
        let has_room = window.has_room(&whose);
        act(window, has_room)
    }

    /// Records the counts for which there is room now.
    fn tell_counts(&self) {
        let now = self.shared.clock.now();
        for (whose, window) in self.shared.sampler.windows().iter_mut() {
            window.move_to(now);
            window.tell_count(self, whose);
        }
    }

    /// Records every count for which the queue has room, in its minute or not: nothing may come after it. Whether some are left.
    pub(super) fn tell_last_counts(&self) -> bool {
        let mut left = false;
        for (whose, window) in self.shared.sampler.windows().iter_mut() {
            window.answered();
            window.tell(self, whose);
            left |= window.untold > 0;
        }
        left
    }
}

/// Tells counts when nothing more of their kind happens, until nobody has the log any more.
pub(super) async fn tell_counts(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(TELL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        Audit { shared }.tell_counts();
    }
}

impl Sampler {
    fn windows(&self) -> MutexGuard<'_, HashMap<Whose, Window>> {
        // A panic while it is held leaves at worst a count that is too small.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new(began: Timestamp) -> Self {
        Self {
            began,
            sent: 0,
            untold: 0,
            under_way: Vec::new(),
        }
    }

    /// Whether its minute is over, or the clock was set back.
    fn is_past(&self, now: Timestamp) -> bool {
        now < self.began || now.since(self.began) >= WINDOW
    }

    /// Whether nothing is left of it that is not told.
    fn is_over(&mut self, now: Timestamp) -> bool {
        self.answered();
        self.is_past(now) && self.untold == 0 && self.under_way.is_empty()
    }

    /// Begins again when its minute is over.
    fn move_to(&mut self, now: Timestamp) {
        if self.is_past(now) {
            self.began = now;
            self.sent = 0;
        }
        self.answered();
    }

    /// Takes back what the store refused: it stands in no record.
    fn answered(&mut self) {
        let untold = &mut self.untold;
        self.under_way
            .retain_mut(|record| match record.written.try_recv() {
                Ok(Ok(_)) => false,
                Err(TryRecvError::Empty) => true,
                Ok(Err(_)) | Err(TryRecvError::Closed) => {
                    *untold = untold.saturating_add(record.count);
                    false
                }
            });
    }

    /// Whether one more may be sent; what a slow store did not answer counts however long ago it was sent.
    fn has_room(&self, whose: &Whose) -> bool {
        self.sent.max(self.under_way.len()) < whose.most()
    }

    fn tell_count(&mut self, audit: &Audit, whose: &Whose) {
        if self.has_room(whose) {
            self.tell(audit, whose);
        }
    }

    fn tell(&mut self, audit: &Audit, whose: &Whose) {
        let count = self.untold;
        let event = whose.event().fact("reason", "many").fact("count", count);
        if count > 0 && self.send(audit, event, count) {
            self.untold = 0;
        }
    }

    /// Sends a record if the store takes records and the queue has room.
    fn send(&mut self, audit: &Audit, event: Event, count: u64) -> bool {
        if !audit.healthy() {
            return false;
        }
        let (done, written) = oneshot::channel();
        // Counted already, whether it is recorded or not.
        let now = audit.shared.clock.now();
        let job = Job::refusable(event.into_pending(row_id(now), now)).told(done);
        if audit.shared.queue.try_send(job).is_err() {
            return false;
        }
        self.sent = self.sent.saturating_add(1);
        self.under_way.push(UnderWay { written, count });
        true
    }
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod tests;
