//! How often, how long without use, and how often a user is asked.

use super::*;

fn times(calls: u32) -> Choice {
    Choice::Times(calls, NOW.plus(Duration::from_secs(20 * 24 * 3600)))
}

fn reads() -> Tool {
    tool("notes", &[("notes", &[READ], false)])
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_consent_for_three_calls_serves_three_and_not_a_fourth() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, times(3))]).await;
    for used in 1..=3 {
        assert!(world.confirm(json!({}), &notes()).await.is_ok(), "{used}");
        let row = &world.consents.list(&alice()).await.unwrap()[0];
        assert_eq!(row.uses, used);
        assert_eq!(row.state == ConsentState::Consumed, used == 3);
    }
    asked(world.confirm(json!({}), &notes()).await);
    assert_eq!(world.log("consent.used").await.len(), 3);
}

#[tokio::test]
async fn however_many_call_at_once_no_more_go_on_than_were_allowed() {
    let world = Arc::new(World::new().await);
    world.given(&notes(), &[(WRITE, times(3))]).await;
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.confirm(json!({}), &notes()).await.is_ok() })
        })
        .collect();
    let mut went = 0;
    for call in calls {
        went += u32::from(call.await.unwrap());
    }
    assert_eq!(went, 3);
}

#[tokio::test]
async fn what_serves_without_a_count_is_not_counted() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, times(2))]).await;
    // A consent for the whole is not there, so it is used; once there is one for all calls, that serves.
    assert!(world.confirm(json!({}), &notes()).await.is_ok());
    let both = tool(
        "notes",
        &[("notes", &[WRITE], false), ("web", &[GET], false)],
    );
    let ticket = world.ticket(&both).await;
    world
        .answer(&ticket, &[(WRITE, long()), (GET, long())])
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(world.confirm(json!({}), &both).await.is_ok());
    }
    assert_eq!(world.log("consent.used").await.len(), 1);
}

#[tokio::test]
async fn reading_that_is_not_used_for_30_days_lapses_and_each_use_moves_that_on() {
    let world = World::new().await;
    let latest = Choice::Until(NOW.plus(CONSENT_T1_MAX));
    world.given(&reads(), &[(READ, latest)]).await;
    for _ in 0..2 {
        world.clock.advance(IDLE_TTL - DAY);
        assert!(world.confirm(json!({}), &reads()).await.is_ok());
    }
    let row = &world.consents.list(&alice()).await.unwrap()[0];
    assert_eq!(row.last_used_at, Some(world.now()));
    assert!(is_live(row, world.now()) && row.expires_at > world.now().plus(IDLE_TTL));
    world.clock.advance(IDLE_TTL);
    let row = &world.consents.list(&alice()).await.unwrap()[0];
    assert!(!is_live(row, world.now()) && row.expires_at > world.now());
    asked(world.confirm(json!({}), &reads()).await);
}

#[tokio::test]
async fn use_is_noted_once_an_hour_and_what_writes_does_not_lapse_before_its_date() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, long())]).await;
    let last = async || world.consents.list(&alice()).await.unwrap()[0].last_used_at;
    world.confirm(json!({}), &notes()).await.unwrap();
    let first = last().await;
    assert_eq!(first, Some(NOW));
    world.clock.advance(HOUR / 2);
    world.confirm(json!({}), &notes()).await.unwrap();
    assert_eq!(last().await, first);
    world.clock.advance(HOUR / 2);
    world.confirm(json!({}), &notes()).await.unwrap();
    assert_eq!(last().await, Some(world.now()));
    let row = &world.consents.list(&alice()).await.unwrap()[0];
    assert_eq!(row.idle_expires_at, None);
}

fn again_from(result: Result<Consent, ConsentError>) -> Timestamp {
    match result {
        Err(ConsentError::Denied { again_from }) => again_from,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_refusals_quiet_a_tool_for_a_day_and_one_for_ten_minutes() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    let first = again_from(world.confirm(json!({}), &notes()).await);
    assert_eq!(first, world.now().plus(DENIAL_TTL));
    world.clock.advance(DENIAL_TTL);
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    let second = again_from(world.confirm(json!({}), &notes()).await);
    assert_eq!(second, world.now().plus(REFUSED_TWICE_TTL));
    // Another client, and another tool, are asked about as before.
    asked(
        world
            .confirm(json!({"client_id": "client-2"}), &notes())
            .await,
    );
    asked(
        world
            .confirm(json!({}), &tool("other", &[("notes", &[WRITE], false)]))
            .await,
    );
    world.clock.advance(REFUSED_TWICE_TTL);
    asked(world.confirm(json!({}), &notes()).await);
}

#[tokio::test]
async fn refusals_a_day_apart_are_two_first_ones() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    world.clock.advance(REFUSED_TWICE_TTL + HOUR);
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    let again = again_from(world.confirm(json!({}), &notes()).await);
    assert_eq!(again, world.now().plus(DENIAL_TTL));
}

#[tokio::test]
async fn whoever_takes_a_denial_back_is_asked_again_and_starts_anew() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    world.clock.advance(DENIAL_TTL);
    let denial = world
        .given(&notes(), &[(WRITE, Choice::Deny)])
        .await
        .records[0];
    world.clock.advance(HOUR);
    assert!(
        world
            .consents
            .revoke(&alice(), denial, world.now())
            .await
            .unwrap()
    );
    world.clock.advance(Duration::from_secs(1));
    world.given(&notes(), &[(WRITE, Choice::Deny)]).await;
    let again = again_from(world.confirm(json!({}), &notes()).await);
    assert_eq!(again, world.now().plus(DENIAL_TTL));
}

#[tokio::test]
async fn neither_a_consent_to_one_call_nor_a_denial_lapses_before_its_end() {
    for choice in [Choice::Once, Choice::Deny] {
        let world = World::new().await;
        world.given(&reads(), &[(READ, choice)]).await;
        let row = &world.consents.list(&alice()).await.unwrap()[0];
        assert_eq!(row.tier, Tier::T1);
        assert_eq!(row.idle_expires_at, None, "{choice:?}");
    }
}

#[tokio::test]
async fn a_call_that_wants_two_parts_of_what_is_counted_is_counted_once() {
    let world = World::new().await;
    world.given(&reads(), &[(READ, times(2))]).await;
    let parts = tool(
        "notes",
        &[(
            "notes",
            &["files read notes a", "files read notes b"],
            false,
        )],
    );
    let consent = world.confirm(json!({}), &parts).await.unwrap();
    assert_eq!(consent.records().len(), 1);
    let row = &world.consents.list(&alice()).await.unwrap()[0];
    assert_eq!((row.uses, row.state), (1, ConsentState::Active));
}
