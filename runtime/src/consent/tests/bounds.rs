use super::*;

async fn confirm(world: &World, bounds: &str) -> Result<Consent, ConsentError> {
    let permit = bounded_permit(bounds, &caller(json!({})), &notes());
    world
        .consents
        .confirm(permit, &arguments(), world.now())
        .await
}

async fn ticket(world: &World, bounds: &str) -> TicketId {
    match confirm(world, bounds).await {
        Err(ConsentError::Needed(needed)) => needed.ticket,
        other => panic!("{other:?}"),
    }
}

const WEEK: &str = "@max_consent(\"P7D\")";

#[tokio::test]
async fn a_consent_lasts_no_longer_than_the_rules_allow() {
    let world = World::new().await;
    let asked = ticket(&world, WEEK).await;
    let question = world.consents.question(&asked, &alice(), world.now()).await;
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(question.unwrap().asked[0].longest, Some(week));
    // Twenty days are asked for; seven are given.
    world.answer(&asked, &[(WRITE, long())]).await.unwrap();
    assert!(confirm(&world, WEEK).await.is_ok());
    world.clock.advance(week - Duration::from_secs(1));
    assert!(confirm(&world, WEEK).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    ticket(&world, WEEK).await;
    // Without the bound it is over as well: it was given for a week.
    ticket(&world, "").await;
}

#[tokio::test]
async fn a_consent_that_was_given_for_longer_is_cut_down_when_the_rules_are() {
    let world = World::new().await;
    let asked = ticket(&world, "").await;
    world.answer(&asked, &[(WRITE, long())]).await.unwrap();
    assert!(confirm(&world, WEEK).await.is_ok());
    ticket(&world, "@max_consent(\"once\")").await;
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    ticket(&world, WEEK).await;
    assert!(confirm(&world, "").await.is_ok());
}

#[tokio::test]
async fn where_the_rules_say_once_nothing_longer_can_be_agreed_to() {
    let world = World::new().await;
    let once = "@max_consent(\"once\")";
    let asked = ticket(&world, once).await;
    let refused = world.answer(&asked, &[(WRITE, long())]).await;
    assert!(
        matches!(refused, Err(TicketError::OnceOnly { .. })),
        "{refused:?}"
    );
    world
        .answer(&asked, &[(WRITE, Choice::Once)])
        .await
        .unwrap();
    assert!(confirm(&world, once).await.is_ok());
    ticket(&world, once).await;
}

#[tokio::test]
async fn a_denial_holds_however_little_the_rules_let_be_agreed_to() {
    let world = World::new().await;
    let once = "@max_consent(\"once\")";
    let asked = ticket(&world, once).await;
    world
        .answer(&asked, &[(WRITE, Choice::Deny)])
        .await
        .unwrap();
    let denied = confirm(&world, once).await;
    assert!(
        matches!(denied, Err(ConsentError::Denied { .. })),
        "{denied:?}"
    );
}
