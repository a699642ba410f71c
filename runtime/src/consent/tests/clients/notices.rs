//! What its user is told of a client that goes on although it is not what it was.

use super::*;

const BOTH: &[(&str, &[&str], bool)] = &[("notes", &[READ], false), ("page", &[GET], false)];

/// The client calls itself something else, which is read beside a call.
async fn renamed(world: &World, shelf: &Shelf, name: &str) {
    shelf.describe(ID, name, &[HOME]);
    world.clock.advance(CLIENT_TTL_MAX);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    read_beside(shelf, before).await;
}

#[tokio::test]
async fn a_notice_is_of_the_consents_that_a_call_uses_and_of_no_others() {
    let (world, shelf) = described().await;
    allowed(&world, &of_alice(), &tool("notes", BOTH)).await;
    renamed(&world, &shelf, "Another").await;
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    let rows = world.consents.list(&alice()).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let used = row.capability.to_string() == READ;
        assert_eq!(row.evidence.client_seen.is_some(), used, "{row:?}");
        // The build is another one as well.
        assert_eq!(row.seen.is_some(), used, "{row:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_again_what_its_user_agreed_to_is_no_different_one() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    for (name, different) in [("Another", true), ("Example", false)] {
        renamed(&world, &shelf, name).await;
        assert!(world.confirm(of_alice(), &reads()).await.is_ok());
        let row = record(&world, &of_alice(), id).await;
        assert!(row.evidence.client_seen.is_some());
        let changed = world.consents.client_changed(&row).await.unwrap();
        assert_eq!(changed.is_some(), different, "{name}");
    }
    assert_eq!(world.log("consent.client-changed").await.len(), 2);
}

#[tokio::test]
async fn a_question_about_more_says_nothing_of_a_client_that_is_what_it_was() {
    let (world, _) = described().await;
    allowed(&world, &of_alice(), &reads()).await;
    let (_, question) = asked_of(&world, &of_alice(), &tool("notes", BOTH)).await;
    assert!(question.changed.is_some(), "the tool is another");
    assert_eq!(asking(&question).changed, None);
}

#[tokio::test]
async fn no_call_goes_on_through_a_changed_client_where_that_cannot_be_noted_for_its_user() {
    let (world, shelf) = described().await;
    allowed(&world, &of_alice(), &reads()).await;
    renamed(&world, &shelf, "Another").await;
    // As if what was found had ended each time before that.
    sqlx::query(
        "CREATE TRIGGER ended BEFORE UPDATE OF client_seen_at ON consent BEGIN SELECT RAISE(IGNORE); END",
    )
    .execute(world.store.writer())
    .await
    .unwrap();
    let refused = world.confirm(of_alice(), &reads()).await;
    assert!(
        matches!(refused, Err(ConsentError::Contended)),
        "{refused:?}"
    );
    assert!(world.log("consent.client-changed").await.is_empty());
}
