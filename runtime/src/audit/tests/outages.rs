//! A store that refuses, a disk that hangs and a queue without room.

use super::*;

/// Makes the store refuse every record, as a full disk does.
pub(super) async fn block(store: &Arc<SqliteStore>) {
    sqlx::query(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .execute(store.writer())
    .await
    .unwrap();
}

pub(super) async fn unblock(store: &Arc<SqliteStore>) {
    sqlx::query("DROP TRIGGER full")
        .execute(store.writer())
        .await
        .unwrap();
}

/// All records, once the store takes them again.
async fn recovered(audit: &Audit, store: &Arc<SqliteStore>) -> Vec<Stored> {
    tokio::time::timeout(Duration::from_secs(30), async {
        while !audit.healthy() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    audit.flush().await.unwrap();
    records(store, &Filter::default()).await
}

#[tokio::test]
async fn nobody_waits_without_end_for_room_or_for_a_disk_that_hangs() {
    let store = store().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let audit = Audit::on(
        store.clone(),
        clock,
        &[7; 32].into(),
        Duration::from_millis(50),
    );
    let (mut waits, mut no_room) = (audit.open("tools/call"), audit.open("tools/call"));
    let ends = audit.open("tools/call");
    let unended = audit.open("tools/call");
    // Whoever holds the only connection that writes is a disk that hangs.
    let hangs = store.writer().acquire().await.unwrap();
    assert!(matches!(waits.intent().await, Err(AuditError::TooSlow)));
    assert!(matches!(
        unended.close(replied()).await,
        Err(AuditError::TooSlow)
    ));
    let room = audit.shared.queue.capacity();
    let taken = audit.shared.queue.reserve_many(room).await.unwrap();
    assert!(matches!(no_room.intent().await, Err(AuditError::Full)));
    assert!(matches!(no_room.intent_soon().await, Err(AuditError::Full)));
    let id = ends.id();
    assert!(matches!(ends.close(replied()).await, Err(AuditError::Full)));
    drop(taken);
    // What was in the queue is written once the disk answers, and no intent is left open.
    drop(hangs);
    drop((waits, no_room));
    audit.flush().await.unwrap();
    let all = records(&store, &Filter::default()).await;
    let outcomes = all.iter().filter(|one| one.record.phase == Phase::Outcome);
    assert_eq!((all.len(), outcomes.count()), (5, 4));
    // What a call did is not forgotten because there was no room.
    let ended = all.iter().find(|one| one.record.event_id == id).unwrap();
    let result = ended.record.result.as_ref().unwrap();
    assert!(result.status == "replied" && result.used.is_some());
}

#[tokio::test]
async fn a_change_that_a_call_waits_for_is_not_waited_for_without_end() {
    let store = store().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let wait_max = Duration::from_millis(50);
    let audit = Audit::on(store.clone(), clock, &[7; 32].into(), wait_max);
    let hangs = store.writer().acquire().await.unwrap();
    let change = || Change::Suspend {
        ids: Vec::new(),
        at: Timestamp(0),
        by: Ender::Publisher,
    };
    let waits = audit.commit_in_time(change(), Vec::new()).await;
    assert!(matches!(waits, Err(AuditError::TooSlow)), "{waits:?}");
    drop(hangs);
    let done = audit.commit_in_time(change(), Vec::new()).await;
    assert!(matches!(done, Ok(Applied::Done)), "{done:?}");
}

#[tokio::test]
async fn what_is_refused_while_the_store_refuses_pushes_out_no_end_of_a_call() {
    let store = store().await;
    let audit = audit(&store).await;
    audit.close_interrupted().await.unwrap();
    let mut effects = audit.open("tools/call");
    effects.intent().await.unwrap();
    block(&store).await;
    // One whose beginning is kept as well.
    let mut pure = audit.open("tools/call");
    pure.intent_soon().await.unwrap();
    audit.flush().await.unwrap_err();
    let refused = || async {
        let stage = Stage::Policy;
        let reason = "no-rule".to_owned();
        let end = End::Refused { stage, reason };
        audit.open("tools/call").close_soon(end).await.unwrap();
    };
    for _ in 0..writer::BACKLOG_MAX + 100 {
        refused().await;
    }
    audit.flush().await.unwrap_err();
    let ids = [effects.id(), pure.id()];
    effects.close(replied()).await.unwrap_err();
    pure.close_soon(replied()).await.unwrap();
    refused().await;
    audit.flush().await.unwrap_err();

    unblock(&store).await;
    let all = recovered(&audit, &store).await;
    for id in ids {
        let of = all.iter().filter(|one| one.record.event_id == id);
        let phases: Vec<_> = of.map(|one| one.record.phase).collect();
        assert_eq!(phases, [Phase::Intent, Phase::Outcome]);
    }
    // The rest is bounded, and counted.
    let told = all.iter().find(|one| one.record.kind == "audit.recovered");
    let lost = told.unwrap().record.facts["lost"].as_u64().unwrap();
    assert_eq!(lost, 102);
    let written = all.iter().filter(|one| one.record.kind == "tool.denied");
    assert_eq!(written.count(), writer::BACKLOG_MAX - 1);
    assert!(verdict(&store).await.is_ok());
}

#[tokio::test]
async fn a_call_without_effects_does_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let audit = audit(&store).await;
    let other = SqliteStore::open(&path).await.unwrap();
    let held = other.writer().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut entry = audit.open("tools/call");
    entry.intent_soon().await.unwrap();
    entry.close_soon(replied()).await.unwrap();
    let mut slow = audit.open("tools/call");
    let waited = tokio::time::timeout(Duration::from_millis(50), slow.intent()).await;
    assert!(waited.is_err(), "an intent waits for the disk");
    held.rollback().await.unwrap();
    slow.close(End::Answered).await.unwrap();
    assert_eq!(verdict(&store).await.unwrap().records, 4);
}

#[tokio::test]
async fn a_store_that_refuses_stops_calls_with_effects_and_loses_nothing() {
    let store = store().await;
    let audit = audit(&store).await;
    let mut running = audit.open("tools/call");
    running.intent().await.unwrap();
    block(&store).await;

    let mut refused = audit.open("tools/call");
    let error = refused.intent().await.unwrap_err();
    assert!(matches!(error, AuditError::Unavailable(_)), "{error}");
    assert!(!audit.healthy());
    let reason = "log".to_owned();
    let stage = Stage::Audit;
    assert!(refused.close(End::Refused { stage, reason }).await.is_err());
    // A call that was running when the disk filled up is closed all the same.
    assert!(running.close(replied()).await.is_err());
    assert_eq!(records(&store, &Filter::default()).await.len(), 1);

    unblock(&store).await;
    let all = recovered(&audit, &store).await;
    let kinds: Vec<_> = all
        .iter()
        .map(|stored| stored.record.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        ["tool.call", "audit.recovered", "tool.denied", "tool.call"]
    );
    assert_eq!(all[1].record.facts["refused"], 1);
    assert_eq!(all[1].record.facts["lost"], 0);
    assert!(verdict(&store).await.is_ok());
}
