//! What a tool wishes for and does not need: asked about once, and never in the way.

use super::*;

/// A tool that runs without anything.
fn wishing() -> Tool {
    tool("page", &[("page", &[GET], true)])
}

/// A tool that needs to read notes and wishes for pages.
fn needing_and_wishing() -> Tool {
    tool(
        "notes",
        &[("notes", &[READ], false), ("page", &[GET], true)],
    )
}

async fn confirm_with(world: &World, tool: &Tool, offer: Offer) -> Result<Consent, ConsentError> {
    let permit = permit(&caller(json!({})), tool);
    let now = world.now();
    let consents = &world.consents;
    consents
        .confirm_with(permit, &arguments(), &[], offer, &[], now)
        .await
}

async fn confirm_waiting(world: &World, tool: &Tool) -> Result<Consent, ConsentError> {
    confirm_with(world, tool, Offer::Waits).await
}

async fn agreed(world: &World, tool: &Tool) -> Vec<String> {
    texts(world.confirm(json!({}), tool).await.unwrap().agreed())
}

#[tokio::test]
async fn what_is_only_wished_for_is_asked_once_and_the_next_call_goes_on_without() {
    let world = World::new().await;
    assert_eq!(
        asked(world.confirm(json!({}), &wishing()).await),
        sentences(&[GET])
    );
    for _ in 0..3 {
        let consent = world.confirm(json!({}), &wishing()).await.unwrap();
        assert!(consent.agreed().is_empty() && consent.records().is_empty());
    }
    assert_eq!(world.log("consent.asked").await.len(), 1);
    // Another user, and another client, are asked for themselves.
    for other in [json!({"sub": "bob"}), json!({"client_id": "client-2"})] {
        asked(world.confirm(other, &wishing()).await);
    }
}

#[tokio::test]
async fn an_open_question_can_still_be_answered_and_then_the_answer_holds() {
    let world = World::new().await;
    let ticket = world.ticket(&wishing()).await;
    assert_eq!(agreed(&world, &wishing()).await, [""; 0]);
    let decided = world.answer(&ticket, &[(GET, long())]).await.unwrap();
    assert!(decided.allowed);
    assert_eq!(agreed(&world, &wishing()).await, [GET]);
}

#[tokio::test]
async fn a_call_whose_user_is_on_the_page_waits_for_the_answer() {
    let world = World::new().await;
    let ticket = world.ticket(&wishing()).await;
    match confirm_waiting(&world, &wishing()).await {
        Err(ConsentError::Needed(needed)) => {
            assert!(needed.optional);
            assert_eq!(needed.ticket, ticket, "it is the same question");
        }
        other => panic!("{other:?}"),
    }
    world.answer(&ticket, &[(GET, Choice::Deny)]).await.unwrap();
    let consent = confirm_waiting(&world, &wishing()).await.unwrap();
    assert!(consent.agreed().is_empty());
}

#[tokio::test]
async fn a_denied_wish_is_quiet_for_long_unless_the_user_takes_the_denial_back() {
    let world = World::new().await;
    let id = world
        .given(&wishing(), &[(GET, Choice::Deny)])
        .await
        .records[0];
    assert_eq!(agreed(&world, &wishing()).await, [""; 0]);
    world.clock.advance(DENIAL_TTL + OFFER_TTL);
    assert_eq!(agreed(&world, &wishing()).await, [""; 0]);
    let now = world.now();
    assert!(world.consents.revoke(&alice(), id, now).await.unwrap());
    world.given(&wishing(), &[(GET, Choice::Deny)]).await;
    world.clock.advance(OPTIONAL_DENIAL_TTL);
    asked(world.confirm(json!({}), &wishing()).await);
}

#[tokio::test]
async fn a_wish_that_became_a_need_is_asked_about_although_the_wish_was_denied() {
    let world = World::new().await;
    world.given(&wishing(), &[(GET, Choice::Deny)]).await;
    let needing = tool("page", &[("page", &[GET], false)]);
    let denied = world.confirm(json!({}), &needing).await;
    let Err(ConsentError::Denied { again_from }) = denied else {
        panic!("{denied:?}");
    };
    assert_eq!(again_from, NOW.plus(DENIAL_TTL));
    world.clock.advance(DENIAL_TTL);
    world.given(&needing, &[(GET, long())]).await;
    assert_eq!(agreed(&world, &needing).await, [GET]);
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_put_again_when_it_has_expired() {
    let world = World::new().await;
    let first = world.ticket(&wishing()).await;
    world.clock.advance(OFFER_TTL - Duration::from_millis(1));
    assert_eq!(agreed(&world, &wishing()).await, [""; 0]);
    world.clock.advance(Duration::from_millis(1));
    assert_ne!(world.ticket(&wishing()).await, first);
}

#[tokio::test]
async fn a_wish_beside_a_need_never_lets_the_need_go_unasked() {
    let world = World::new().await;
    let tool = needing_and_wishing();
    for _ in 0..2 {
        let sentences = sentences(&[READ, GET]);
        let mut asked = asked(world.confirm(json!({}), &tool).await);
        asked.sort_by_key(|one| sentences.iter().position(|same| same == one));
        assert_eq!(asked, sentences);
    }
    let waiting = confirm_waiting(&world, &tool).await;
    let Err(ConsentError::Needed(needed)) = waiting else {
        panic!("{waiting:?}");
    };
    assert!(!needed.optional);
    let now = world.now();
    assert_eq!(needed.expires_at, now.plus(TICKET_TTL));
}

#[tokio::test]
async fn asking_for_a_wish_uses_up_no_consent_to_one_call() {
    let world = World::new().await;
    let small = tool("notes", &[("notes", &[READ], false)]);
    world.given(&small, &[(READ, Choice::Once)]).await;
    let tool = needing_and_wishing();
    assert_eq!(
        asked(world.confirm(json!({}), &tool).await),
        sentences(&[GET])
    );
    assert!(world.log("consent.used").await.is_empty());
    assert_eq!(agreed(&world, &tool).await, [READ]);
    assert_eq!(world.log("consent.used").await.len(), 1);
    asked(world.confirm(json!({}), &tool).await);
}

#[tokio::test]
async fn a_wish_that_cannot_be_asked_stands_in_nobodys_way() {
    let world = World::new().await;
    let most = usize::try_from(OPEN_QUESTIONS_MAX).unwrap();
    for n in 0..most {
        let tool = tool(&format!("tool-{n}"), &[("notes", &[WRITE], false)]);
        asked(world.confirm(json!({}), &tool).await);
    }
    assert_eq!(agreed(&world, &wishing()).await, [""; 0]);
    // A client of its own has nobody to ask.
    let machine = world.confirm(json!({"sub": "client-1"}), &wishing()).await;
    assert!(machine.unwrap().agreed().is_empty());
}

#[tokio::test]
async fn only_its_user_learns_whether_a_question_is_about_wishes() {
    let world = World::new().await;
    let wish = world.ticket(&wishing()).await;
    let need = world.ticket(&needing_and_wishing()).await;
    let consents = &world.consents;
    assert!(consents.is_offer(&wish, &alice()).await.unwrap());
    assert!(!consents.is_offer(&wish, &user("bob")).await.unwrap());
    assert!(!consents.is_offer(&need, &alice()).await.unwrap());
}

#[tokio::test]
async fn a_wish_whose_question_cannot_be_recorded_fails_the_call() {
    let world = World::new().await;
    sqlx::query(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .execute(world.store.writer())
    .await
    .unwrap();
    let refused = world.confirm(json!({}), &wishing()).await;
    assert!(
        matches!(refused, Err(ConsentError::Audit(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn where_nobody_could_be_told_any_more_no_question_is_opened() {
    let world = World::new().await;
    let without = confirm_with(&world, &wishing(), Offer::Never).await;
    assert!(without.unwrap().agreed().is_empty());
    let late = confirm_with(&world, &needing_and_wishing(), Offer::Never).await;
    assert!(matches!(late, Err(ConsentError::TooLate)), "{late:?}");
    assert!(world.log("consent.asked").await.is_empty());
    // Nothing of that stands in the way of one who can be told.
    asked(world.confirm(json!({}), &wishing()).await);
}
