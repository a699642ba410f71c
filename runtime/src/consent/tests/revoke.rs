//! Revocation, as running calls see it.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::grant::GrantSet;
use crate::revocation::Revoked;

fn one(text: &str) -> Capability {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_running_call_loses_what_is_revoked_and_keeps_the_rest() {
    let world = World::new().await;
    let page = tool(
        "page",
        &[
            ("web", &[GET], false),
            ("b", &["http GET b.example /"], false),
        ],
    );
    let decided = world
        .given(&page, &[(GET, long()), ("http GET b.example /", long())])
        .await;
    let grants = GrantSet::from(world.confirm(json!({}), &page).await.unwrap());
    let (a, b) = (one(GET), one("http GET b.example /"));
    assert_eq!(grants.standing().of(&a).pass(|| ()), Ok(()));
    for id in decided.records {
        let row = world.store.consent(&alice(), id).await.unwrap().unwrap();
        if row.capability == a {
            assert!(
                world
                    .consents
                    .revoke(&alice(), id, world.now())
                    .await
                    .unwrap()
            );
        }
    }
    assert_eq!(grants.standing().of(&a).pass(|| ()), Err(Revoked));
    assert_eq!(grants.standing().of(&b).pass(|| ()), Ok(()));
    assert!(!grants.standing().is_lost());
    assert_eq!(
        world.log("consent.revoked").await[0].record.facts["by"],
        "user"
    );
}

#[tokio::test]
async fn a_revocation_that_commits_after_the_look_is_noticed_by_who_looked() {
    // The interleavings of a call and a revocation, by hand: look, [revoke], hold, and look, hold, [revoke].
    let world = World::new().await;
    let decided = world.given(&notes(), &[(WRITE, long())]).await;
    let id = decided.records[0];
    let early = world.consents.running.enter();
    let looked = early.look();
    let found = world.confirm(json!({}), &notes()).await.unwrap();
    let held = GrantSet::from(found);
    let stops = held.standing().clone();
    let ends = tokio::spawn(async move {
        held.standing().lost().await;
        drop(held);
    });
    assert!(
        world
            .consents
            .revoke(&alice(), id, world.now())
            .await
            .unwrap()
    );
    assert!(!early.hold(looked, [id]), "looked before, holds after");
    assert!(stops.is_lost(), "looked and held before");
    ends.await.unwrap();
    asked(world.confirm(json!({}), &notes()).await);
}

#[tokio::test]
async fn a_call_during_whose_look_something_ended_looks_again_before_it_goes_on() {
    let world = Arc::new(World::new().await);
    let given = world.given(&notes(), &[(WRITE, long())]).await;
    // The state has one connection, so that a call waits at its look for as long as that is taken.
    let only = world.store.writer().acquire().await.unwrap();
    let call = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.confirm(json!({}), &notes()).await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    world.consents.running.look_again(&alice());
    drop(only);
    let consent = call.await.unwrap().unwrap();
    assert_eq!(ids(&consent), given.records);
    // What it goes on with can be taken from it.
    assert_eq!(world.consents.running.held(), given.records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_the_order_no_call_goes_on_under_a_consent_that_was_revoked() {
    for _ in 0..30 {
        let world = Arc::new(World::new().await);
        let page = tool("page", &[("web", &[GET], false)]);
        let id = world.given(&page, &[(GET, long())]).await.records[0];
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let (world, page) = (Arc::clone(&world), page.clone());
                tokio::spawn(async move {
                    let consent = world.confirm(json!({}), &page).await.ok()?;
                    let grants = GrantSet::from(consent);
                    // It runs until it is stopped: a call that slipped through would run for ever.
                    grants.standing().lost().await;
                    Some(())
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(
            world
                .consents
                .revoke(&alice(), id, world.now())
                .await
                .unwrap()
        );
        for call in calls {
            let ended = tokio::time::timeout(Duration::from_secs(20), call).await;
            ended.expect("no call goes on").unwrap();
        }
    }
}

#[tokio::test]
async fn the_one_call_of_a_consent_can_be_stopped_while_it_may_run_and_not_later() {
    let world = World::new().await;
    let decided = world.given(&notes(), &[(WRITE, Choice::Once)]).await;
    let grants = GrantSet::from(world.confirm(json!({}), &notes()).await.unwrap());
    let standing = grants.standing().clone();
    let ends = tokio::spawn(async move {
        grants.standing().lost().await;
        drop(grants);
    });
    let (user, now) = (alice(), world.now());
    let taken = world.consents.revoke(&user, decided.records[0], now);
    assert!(taken.await.unwrap());
    assert!(standing.is_lost());
    ends.await.unwrap();

    let decided = world.given(&notes(), &[(WRITE, Choice::Once)]).await;
    world.confirm(json!({}), &notes()).await.unwrap();
    world.clock.advance(crate::limits::LAST_CALL_MAX);
    let late = world
        .consents
        .revoke(&user, decided.records[0], world.now());
    assert!(!late.await.unwrap());
}

#[tokio::test]
async fn a_decision_that_replaces_a_consent_ends_the_calls_that_run_on_it() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, long())]).await;
    let grants = GrantSet::from(world.confirm(json!({}), &notes()).await.unwrap());
    let standing = grants.standing().clone();
    let ends = tokio::spawn(async move {
        grants.standing().lost().await;
        drop(grants);
    });
    // Another build of the same tool is asked about, and what is decided there stands in the place of the first.
    let rebuilt = changed(&[("notes", &[WRITE], false)], |manifest| {
        manifest.version = "9.9.9".parse().unwrap();
    });
    world.given(&rebuilt, &[(WRITE, Choice::Deny)]).await;
    assert!(standing.is_lost());
    ends.await.unwrap();
}

#[tokio::test]
async fn calls_stop_when_nobody_can_tell_any_more_what_was_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("state.db"))
        .await
        .unwrap();
    let server = World::on(Arc::new(store)).await;
    let stop = CancellationToken::new();
    let follow = server.consents.clone();
    let follow = follow.follow(Arc::new(server.clock.clone()), stop.clone());
    let follow = tokio::spawn(follow);
    let page = tool("page", &[("web", &[GET], false)]);
    server.given(&page, &[(GET, long())]).await;
    let grants = GrantSet::from(server.confirm(json!({}), &page).await.unwrap());
    let free = tool("free", &[("now", &["clock"], false)]);
    let needs_none = GrantSet::from(server.confirm(json!({}), &free).await.unwrap());
    let began = tokio::time::Instant::now();
    server.store.close().await;
    let lost = tokio::time::timeout(Duration::from_secs(20), grants.standing().lost()).await;
    lost.expect("it is stopped");
    // Not for a moment in which nobody could read it.
    assert!(began.elapsed() > Duration::from_secs(1));
    assert!(
        !needs_none.standing().is_lost(),
        "what needs no consent goes on"
    );
    stop.cancel();
    drop(grants);
    follow.await.unwrap();
}

#[tokio::test]
async fn what_another_process_revokes_or_time_ends_is_taken_from_running_calls() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    let server = World::on(Arc::new(SqliteStore::open(&file).await.unwrap())).await;
    let stop = CancellationToken::new();
    let follow = server.consents.clone();
    let follow = follow.follow(Arc::new(server.clock.clone()), stop.clone());
    let follow = tokio::spawn(follow);

    let page = tool("page", &[("web", &[GET], false)]);
    let id = server.given(&page, &[(GET, long())]).await.records[0];
    let first = GrantSet::from(server.confirm(json!({}), &page).await.unwrap());
    tokio::time::sleep(SEEN_WITHIN).await;
    assert!(!first.standing().is_lost());
    let operator = World::on(Arc::new(SqliteStore::open(&file).await.unwrap())).await;
    let row = operator.store.consent(&alice(), id).await.unwrap().unwrap();
    assert!(
        operator
            .consents
            .revoke_for_operator(&row, None, operator.now())
            .await
            .unwrap()
    );
    let seen = tokio::time::timeout(Duration::from_secs(10), first.standing().lost()).await;
    seen.expect("the server hears of it");
    asked(server.confirm(json!({}), &page).await);

    server.given(&page, &[(GET, long())]).await;
    let second = GrantSet::from(server.confirm(json!({}), &page).await.unwrap());
    server.clock.advance(Duration::from_secs(21 * 24 * 3600));
    let ended = tokio::time::timeout(Duration::from_secs(10), second.standing().lost()).await;
    ended.expect("a consent that expires ends its calls");
    stop.cancel();
    follow.await.unwrap();
}
