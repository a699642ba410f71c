//! Consents for a number of calls, and calls that ask their user and run again.

use super::*;
use crate::capability::CapabilitySet;
use crate::catalog::Tool;
use crate::consent::Offer;
use crate::limits::LAST_CALL_MAX;

impl World {
    /// One more run of a call whose runs before have used up these.
    async fn run_again(&self, tool: &Tool, used: &[Uuid]) -> Result<Consent, ConsentError> {
        let permit = permit(&caller(json!({})), tool);
        let (now, offer) = (self.now(), Offer::GoesOn);
        self.consents
            .confirm_with(permit, &arguments(), &[], offer, used, now)
            .await
    }
}

fn writes(consent: &Consent) -> bool {
    let write: CapabilitySet = [WRITE.parse().unwrap()].into_iter().collect();
    write.iter().all(|one| consent.agreed().covers(one))
}

#[tokio::test]
async fn a_consent_to_one_call_serves_every_run_of_that_call_and_no_other_call() {
    let world = World::new().await;
    let given = world.given(&notes(), &[(WRITE, Choice::Once)]).await;
    let first = world.run_again(&notes(), &[]).await.unwrap();
    assert_eq!(first.used_up(), given.records);
    // The call that used it up runs again, and again.
    for _ in 0..2 {
        let again = world.run_again(&notes(), first.used_up()).await.unwrap();
        assert!(writes(&again));
        assert_eq!(again.used_up(), given.records);
    }
    let used = world.log("consent.used").await;
    assert_eq!(used.len(), 1, "it was used up once");
    // Another call finds nothing.
    let other = world.run_again(&notes(), &[]).await;
    assert!(matches!(other, Err(ConsentError::Needed(_))), "{other:?}");
}

#[tokio::test]
async fn a_consent_for_some_calls_counts_a_call_that_asks_once() {
    let world = World::new().await;
    let until = world.now().plus(Duration::from_secs(3600));
    world
        .given(&notes(), &[(WRITE, Choice::Times(2, until))])
        .await;
    let first = world.run_again(&notes(), &[]).await.unwrap();
    let again = world.run_again(&notes(), first.used_up()).await.unwrap();
    assert_eq!(again.used_up(), first.used_up());
    // The other of the two is left for another call, and the first goes on even so.
    world.run_again(&notes(), &[]).await.unwrap();
    assert!(world.run_again(&notes(), first.used_up()).await.is_ok());
    let third = world.run_again(&notes(), &[]).await;
    assert!(matches!(third, Err(ConsentError::Needed(_))), "{third:?}");
}

#[tokio::test]
async fn what_was_taken_back_while_the_user_was_asked_serves_no_further_run() {
    let world = World::new().await;
    let given = world.given(&notes(), &[(WRITE, Choice::Once)]).await;
    let first = world.run_again(&notes(), &[]).await.unwrap();
    let used = first.used_up().to_vec();
    drop(first);
    let id = given.records[0];
    let now = world.now();
    assert!(world.consents.revoke(&alice(), id, now).await.unwrap());
    let again = world.run_again(&notes(), &used).await;
    assert!(matches!(again, Err(ConsentError::Needed(_))), "{again:?}");
}

#[tokio::test]
async fn a_record_serves_on_for_its_time_and_for_its_own_user_and_tool_alone() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, Choice::Once)]).await;
    let first = world.run_again(&notes(), &[]).await.unwrap();
    let used = first.used_up();
    let other = tool("other", &[("notes", &[WRITE], false)]);
    let foreign = world.run_again(&other, used).await;
    assert!(matches!(foreign, Err(ConsentError::Needed(_))));
    let bob = permit(&caller(json!({"sub": "bob"})), &notes());
    let foreign = world
        .consents
        .confirm_with(bob, &arguments(), &[], Offer::GoesOn, used, world.now())
        .await;
    assert!(matches!(foreign, Err(ConsentError::Needed(_))));
    assert!(world.run_again(&notes(), used).await.is_ok());
    world.clock.advance(LAST_CALL_MAX);
    let late = world.run_again(&notes(), used).await;
    assert!(matches!(late, Err(ConsentError::Needed(_))), "{late:?}");
}

#[tokio::test]
async fn what_was_suspended_while_the_user_was_asked_serves_no_further_run() {
    let world = World::new().await;
    let twice = Choice::Times(2, world.now().plus(Duration::from_secs(3600)));
    world.given(&notes(), &[(WRITE, twice)]).await;
    let first = world.run_again(&notes(), &[]).await.unwrap();
    let used = first.used_up().to_vec();
    drop(first);
    let (name, other) = (notes().name().clone(), "evil.test".parse().unwrap());
    let suspended = world.consents.suspend_others(&name, &other, world.now());
    assert_eq!(suspended.await.unwrap(), 1);
    let again = world.run_again(&notes(), &used).await;
    assert!(matches!(again, Err(ConsentError::Needed(_))), "{again:?}");
}

#[tokio::test]
async fn a_call_goes_on_with_what_it_has_used_up_some_of_and_with_what_it_used_up_whole() {
    let world = World::new().await;
    let both = tool(
        "notes",
        &[("notes", &[WRITE], false), ("page", &[GET], false)],
    );
    let twice = Choice::Times(2, world.now().plus(Duration::from_secs(3600)));
    world
        .given(&both, &[(WRITE, Choice::Once), (GET, twice)])
        .await;
    let first = world.run_again(&both, &[]).await.unwrap();
    assert_eq!(first.used_up().len(), 2);
    let again = world.run_again(&both, first.used_up()).await.unwrap();
    assert_eq!(again.used_up(), first.used_up());
}

#[tokio::test]
async fn a_call_goes_on_with_its_own_where_an_older_one_would_serve_as_well() {
    const PART: &str = "files read notes a";
    let world = World::new().await;
    let reading = |capability: &str| tool("notes", &[("notes", &[capability], false)]);
    let twice = Choice::Times(2, world.now().plus(Duration::from_secs(3600)));
    let asked = world.ticket(&reading(PART)).await;
    let older = world.given(&reading(READ), &[(READ, twice)]).await;
    world.clock.advance(Duration::from_millis(1));
    let own = world.answer(&asked, &[(PART, twice)]).await.unwrap();
    let first = world.run_again(&reading(PART), &[]).await.unwrap();
    assert_eq!(first.used_up(), older.records);
    let again = world.run_again(&reading(PART), &own.records).await.unwrap();
    assert_eq!(again.used_up(), own.records);
    assert_eq!(world.log("consent.used").await.len(), 1);
}
