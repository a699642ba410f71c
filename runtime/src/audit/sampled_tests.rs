use super::super::{Filter, show};
use super::*;
use crate::clock::ManualClock;
use crate::ids::User;
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
    let admits = || world.audit.admits(KIND, user("alice"));
    let admitted = (0..1_000).filter(|_| admits()).count();
    assert_eq!(admitted, AUDIT_SAMPLED_OF_USER_MAX);
    world.audit.flush().await.unwrap();
    let told: u64 = world.counts(KIND).await.iter().sum();
    assert_eq!(
        told,
        1_000 - u64::try_from(AUDIT_SAMPLED_OF_USER_MAX).unwrap()
    );
    world.clock.advance(WINDOW);
    assert!(admits());
}

#[tokio::test]
async fn what_may_not_have_a_record_is_counted_once_by_whoever_asks_before_its_entry() {
    let world = World::start().await;
    let only_counts = || world.audit.only_counts(KIND, user("alice"));
    for _ in 0..AUDIT_SAMPLED_OF_USER_MAX {
        assert!(!only_counts(), "its entry asks at its end");
        assert!(world.audit.admits(KIND, user("alice")));
    }
    for _ in 0..100 {
        assert!(only_counts());
    }
    assert!(!world.audit.only_counts(KIND, user("bob")));
    world.audit.flush().await.unwrap();
    assert_eq!(world.counts(KIND).await, [100]);
    world.clock.advance(WINDOW);
    assert!(!only_counts());
}

fn user(name: &str) -> TenantUser {
    TenantUser {
        tenant: "t1".parse().unwrap(),
        user: User {
            issuer: "https://issuer.test".parse().unwrap(),
            subject: name.parse().unwrap(),
        },
    }
}

#[tokio::test]
async fn a_user_who_floods_takes_no_record_from_another_and_is_named_with_their_count() {
    let world = World::start().await;
    let admits = |name| world.audit.admits(KIND, user(name));
    let loud = (0..1_000).filter(|_| admits("mallory")).count();
    assert_eq!(loud, AUDIT_SAMPLED_OF_USER_MAX);
    assert!(admits("alice"));
    world.audit.flush().await.unwrap();
    let mut told = Vec::new();
    show(world.store.as_ref(), 1, &Filter::default(), |stored| {
        let record = &stored.record;
        told.extend(
            record
                .facts
                .get("count")
                .map(|count| (record.subject, count.as_u64())),
        );
    })
    .await
    .unwrap();
    let count = 1_000 - u64::try_from(AUDIT_SAMPLED_OF_USER_MAX).unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, Some(count));
    assert!(told[0].0.is_some(), "of whom");
}

#[tokio::test]
async fn a_call_that_is_only_counted_is_in_flight_no_more() {
    let world = World::start().await;
    let entry = world.audit.open("tools/call");
    assert_eq!(world.audit.meters().in_flight(), 1);
    entry.counted(&super::super::End::Answered);
    assert_eq!(world.audit.meters().in_flight(), 0);
}

#[tokio::test]
async fn many_users_take_bounded_memory_and_all_are_counted() {
    let world = World::start().await;
    let names: Vec<_> = (0..2 * AUDIT_SAMPLED_USERS_MAX)
        .map(|n| format!("user-{n}"))
        .collect();
    let admitted = names
        .iter()
        .filter(|name| world.audit.admits(KIND, user(name)));
    // Those for whom there is no minute share one.
    let admitted = admitted.count();
    assert_eq!(admitted, AUDIT_SAMPLED_USERS_MAX + AUDIT_SAMPLED_MAX);
    let held = world.audit.shared.sampler.windows().len();
    assert_eq!(held, AUDIT_SAMPLED_USERS_MAX + 1);
    // More counts than the queue has room for.
    let mut counted = names.len() - admitted;
    for _ in 0..AUDIT_SAMPLED_OF_USER_MAX + 1 {
        let more = names.iter();
        let more = more.filter(|name| !world.audit.admits(KIND, user(name)));
        counted += more.count();
    }
    world.audit.flush().await.unwrap();
    let told: u64 = world.counts(KIND).await.iter().sum();
    assert_eq!(told, u64::try_from(counted).unwrap());
    // A minute later there is room for others.
    world.written().await;
    world.clock.advance(WINDOW);
    assert!(world.audit.admits(KIND, user("somebody")));
    assert!(world.audit.shared.sampler.windows().len() < 3);
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
