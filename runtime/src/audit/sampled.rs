//! Records of what anybody can cause without a token or a session: so many a minute, the rest as a count.
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
use crate::limits::AUDIT_SAMPLED_MAX;
use crate::store::{Applied, StoreError, row_id};

/// The span for which [`AUDIT_SAMPLED_MAX`] holds.
const WINDOW: Duration = Duration::from_secs(60);
/// How often counts are told that nothing new brings to light.
const TELL: Duration = Duration::from_secs(60);

/// What was recorded lately, by kind.
#[derive(Default)]
pub(super) struct Sampler {
    windows: Mutex<HashMap<EventKind, Window>>,
}

/// What one kind recorded in its minute.
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
        let mut windows = self.shared.sampler.windows();
        let window = windows.entry(kind).or_insert_with(|| Window::new(now));
        window.move_to(now);
        window.tell_count(self, kind);
        if !(window.has_room() && window.send(self, describe(Event::new(kind)), 1)) {
            window.untold = window.untold.saturating_add(1);
        }
    }

    /// Whether something of this kind may have a full record of its own, which its entry then writes; what may not is counted.
    pub fn admits(&self, kind: EventKind) -> bool {
        let now = self.shared.clock.now();
        let mut windows = self.shared.sampler.windows();
        let window = windows.entry(kind).or_insert_with(|| Window::new(now));
        window.move_to(now);
        window.tell_count(self, kind);
        let admitted = window.has_room();
        match admitted {
            true => window.sent = window.sent.saturating_add(1),
            false => window.untold = window.untold.saturating_add(1),
        }
        admitted
    }

    /// Records the counts for which there is room now.
    fn tell_counts(&self) {
        let now = self.shared.clock.now();
        for (kind, window) in self.shared.sampler.windows().iter_mut() {
            window.move_to(now);
            window.tell_count(self, *kind);
        }
    }

    /// Records every count, room or not: nothing may come after it.
    pub(super) fn tell_last_counts(&self) {
        for (kind, window) in self.shared.sampler.windows().iter_mut() {
            window.answered();
            window.tell(self, *kind);
        }
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
    fn windows(&self) -> MutexGuard<'_, HashMap<EventKind, Window>> {
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

    /// Begins again when its minute is over, or when the clock was set back.
    fn move_to(&mut self, now: Timestamp) {
        if now < self.began || now.since(self.began) >= WINDOW {
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
    fn has_room(&self) -> bool {
        self.sent.max(self.under_way.len()) < AUDIT_SAMPLED_MAX
    }

    fn tell_count(&mut self, audit: &Audit, kind: EventKind) {
        if self.has_room() {
            self.tell(audit, kind);
        }
    }

    fn tell(&mut self, audit: &Audit, kind: EventKind) {
        let count = self.untold;
        let event = Event::new(kind).fact("reason", "many").fact("count", count);
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
mod tests {
    use super::super::{Filter, show};
    use super::*;
    use crate::clock::ManualClock;
    use crate::limits::AUDIT_QUEUE_MAX;
    use crate::store::SqliteStore;
    use crate::store::testing::store;

    const KIND: EventKind = EventKind::AuthFailed;

    struct World {
        store: Arc<SqliteStore>,
        clock: ManualClock,
        audit: Audit,
    }

    impl World {
        async fn start() -> Self {
            let store = store().await;
            let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
            let audit = Audit::start(store.clone(), Arc::new(clock.clone()))
                .await
                .unwrap();
            Self {
                store,
                clock,
                audit,
            }
        }

        /// Waits for the writer, without asking for the counts.
        async fn written(&self) {
            let _ = self.audit.durable(Job::nothing()).await;
        }

        async fn fail(&self) {
            sqlx::query(
                "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END",
            )
            .execute(self.store.writer())
            .await
            .unwrap();
        }

        async fn heal(&self) {
            sqlx::query("DROP TRIGGER full")
                .execute(self.store.writer())
                .await
                .unwrap();
            tokio::time::timeout(Duration::from_secs(10), async {
                while !self.audit.healthy() {
                    self.written().await;
                }
            })
            .await
            .unwrap();
        }

        /// For every record of the kind, how many times it happened.
        async fn counts(&self, kind: EventKind) -> Vec<u64> {
            let mut counts = Vec::new();
            show(self.store.as_ref(), 1, &Filter::default(), |stored| {
                let record = &stored.record;
                if record.kind == kind.as_str() {
                    let count = record.facts.get("count");
                    assert_eq!(count.is_some(), record.facts["reason"] == "many");
                    counts.push(count.map_or(1, |count| count.as_u64().unwrap()));
                }
            })
            .await
            .unwrap();
            counts
        }
    }

    #[tokio::test]
    async fn ten_thousand_bad_tokens_leave_few_records_that_count_them_all() {
        let world = World::start().await;
        for _ in 0..9_999 {
            world.audit.sampled(KIND, "shape");
        }
        world.written().await;
        assert_eq!(world.counts(KIND).await, [1; AUDIT_SAMPLED_MAX]);
        world.clock.advance(WINDOW);
        world.audit.sampled(KIND, "signature");
        world.written().await;
        let counts = world.counts(KIND).await;
        assert_eq!(counts.len(), AUDIT_SAMPLED_MAX + 2);
        assert_eq!(counts.iter().sum::<u64>(), 10_000);
    }

    #[tokio::test]
    async fn one_kind_takes_no_room_from_another() {
        let world = World::start().await;
        for _ in 0..1_000 {
            world.audit.sampled(KIND, "shape");
        }
        world.audit.sampled(EventKind::SignInFailed, "state");
        world.written().await;
        assert_eq!(world.counts(EventKind::SignInFailed).await, [1]);
    }

    #[tokio::test]
    async fn full_records_are_so_many_a_minute_and_the_rest_is_counted() {
        let world = World::start().await;
        let admitted = (0..1_000).filter(|_| world.audit.admits(KIND)).count();
        assert_eq!(admitted, AUDIT_SAMPLED_MAX);
        world.audit.flush().await.unwrap();
        let told: u64 = world.counts(KIND).await.iter().sum();
        assert_eq!(told, 1_000 - u64::try_from(AUDIT_SAMPLED_MAX).unwrap());
        world.clock.advance(WINDOW);
        assert!(world.audit.admits(KIND));
    }

    #[tokio::test]
    async fn a_count_is_told_when_its_minute_is_over_and_nothing_more_happens() {
        let world = World::start().await;
        for _ in 0..100 {
            world.audit.sampled(KIND, "shape");
        }
        world.audit.tell_counts();
        world.written().await;
        assert_eq!(world.counts(KIND).await.len(), AUDIT_SAMPLED_MAX);
        world.clock.advance(WINDOW);
        world.audit.tell_counts();
        world.audit.tell_counts();
        world.written().await;
        let counts = world.counts(KIND).await;
        assert_eq!(counts.len(), AUDIT_SAMPLED_MAX + 1);
        assert_eq!(counts.iter().sum::<u64>(), 100);
    }

    #[tokio::test]
    async fn a_flush_tells_every_count() {
        let world = World::start().await;
        for _ in 0..100 {
            world.audit.sampled(KIND, "shape");
        }
        world.audit.flush().await.unwrap();
        assert_eq!(world.counts(KIND).await.iter().sum::<u64>(), 100);
    }

    #[tokio::test]
    async fn a_store_that_refuses_loses_no_count() {
        let world = World::start().await;
        world.fail().await;
        // The first are under way before anybody knows that the store refuses.
        for _ in 0..100 {
            world.audit.sampled(KIND, "shape");
        }
        world.written().await;
        assert!(!world.audit.healthy());
        world.audit.sampled(KIND, "shape");
        world.heal().await;
        world.audit.flush().await.unwrap();
        assert_eq!(world.counts(KIND).await, [101]);
    }

    #[tokio::test]
    async fn no_outcome_is_displaced_while_the_store_refuses() {
        let world = World::start().await;
        let mut running = Vec::new();
        for _ in 0..AUDIT_QUEUE_MAX {
            let mut entry = world.audit.open("tools/call");
            entry.intent_soon().await.unwrap();
            running.push(entry);
        }
        world.written().await;
        world.fail().await;
        for _ in 0..10 {
            for _ in 0..1_000 {
                world.audit.sampled(KIND, "shape");
            }
            world.clock.advance(WINDOW);
            world.written().await;
        }
        for entry in running {
            entry.close_soon(super::super::End::Answered).await.unwrap();
        }
        world.written().await;
        let kept = &world.audit.shared.health.backlog;
        assert_eq!(
            kept.load(std::sync::atomic::Ordering::Acquire),
            AUDIT_QUEUE_MAX
        );
        world.heal().await;
        world.audit.flush().await.unwrap();
        let mut outcomes = 0;
        show(world.store.as_ref(), 1, &Filter::default(), |stored| {
            outcomes += usize::from(stored.record.phase == super::super::Phase::Outcome);
            if let Some(lost) = stored.record.facts.get("lost") {
                assert_eq!(lost, 0);
            }
        })
        .await
        .unwrap();
        assert_eq!(outcomes, AUDIT_QUEUE_MAX);
        assert_eq!(world.counts(KIND).await, [10_000]);
    }
}
