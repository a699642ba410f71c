//! Documents of clients that are gone, come back, or never were.

use super::*;

#[tokio::test]
async fn a_document_that_is_unreadable_for_a_day_is_gone_and_one_that_comes_back_is_not() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    let look = async |hours: u32| {
        world.clock.advance(Duration::from_secs(3600) * hours);
        let before = shelf.asked();
        assert!(world.confirm(of_alice(), &reads()).await.is_ok());
        read_beside(&shelf, before).await;
    };
    shelf.put(ID, 404, "");
    look(1).await;
    look(20).await;
    shelf.describe(ID, "Example", &[HOME]);
    look(1).await;
    shelf.put(ID, 503, "");
    look(2).await;
    look(23).await;
    assert_eq!(
        record(&world, &of_alice(), id).await.state,
        ConsentState::Active
    );
    assert_eq!(CLIENT_GONE_AFTER, Duration::from_secs(24 * 3600));
    look(1).await;
    let row = record(&world, &of_alice(), id).await;
    assert_eq!(
        (row.state, row.evidence.ended_by),
        (ConsentState::Suspended, Some(Ender::ClientGone))
    );
    let log = &world.log("consent.suspended").await[0].record.facts;
    assert_eq!(
        (&log["reason"], &log["unread"]),
        (&json!("document-gone"), &json!("status"))
    );
    // The page says that it cannot be read now, and that it could be then.
    let (_, question) = asked_of(&world, &of_alice(), &reads()).await;
    assert_eq!(asking(&question).unread, Some(Unread::Status));
    let changed = asking(&question).changed.clone().unwrap();
    assert_eq!(changed.before.kind, ClientKind::MetadataDocument);
    assert_eq!(changed.after.kind, ClientKind::Registered);
}

#[tokio::test]
async fn since_when_a_document_is_unreadable_outlives_a_restart() {
    let (mut world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    shelf.put(ID, 404, "");
    for _ in 0..2 {
        world.clock.advance(CLIENT_GONE_AFTER);
        world.consents = world.consents.with_clients(shelf.clients(&[]));
        let before = shelf.asked();
        assert!(world.confirm(of_alice(), &reads()).await.is_ok());
        read_beside(&shelf, before).await;
    }
    assert_eq!(
        record(&world, &of_alice(), id).await.state,
        ConsentState::Suspended
    );
}

#[tokio::test]
async fn a_client_by_which_nobody_agreed_to_anything_leaves_no_mark() {
    let (world, shelf) = described().await;
    shelf.put(ID, 404, "");
    asked_of(&world, &of_alice(), &reads()).await;
    let client = ID.parse().unwrap();
    let since = world.store.note_client_unread(&client, world.now()).await;
    assert_eq!(since.unwrap(), None);
}

#[tokio::test]
async fn whatever_stands_in_the_place_of_a_document_allows_nothing() {
    let (world, shelf) = described().await;
    let good = crate::clients::testing::described(ID, "Example", &[HOME]).to_string();
    let other = crate::clients::testing::described("https://evil.example/", "Example", &[HOME]);
    for (status, body, why) in [
        (302, good.clone(), Unread::Redirect),
        (404, good.clone(), Unread::Missing),
        (500, good.clone(), Unread::Status),
        (200, "<html>".to_owned(), Unread::NotJson),
        (
            200,
            format!("{{\"client_id\":1,{}", &good[1..]),
            Unread::Duplicate,
        ),
        (200, "x".repeat(5 * 1024 * 1024), Unread::TooLarge),
        (200, other.to_string(), Unread::OtherClient),
        (200, "{}".to_owned(), Unread::OtherClient),
        (200, good.replace("client_name", "name"), Unread::Malformed),
    ] {
        // The same question is asked once; when it has expired, its client is looked at again.
        world.clock.advance(TICKET_TTL);
        shelf.put(ID, status, &body);
        let (_, question) = asked_of(&world, &of_alice(), &reads()).await;
        assert_eq!(asking(&question).unread, Some(why));
        assert_eq!(asking(&question).kind, ClientKind::Registered);
        assert_eq!(asking(&question).name, None, "{why:?}");
    }
}

#[tokio::test]
async fn no_document_is_read_for_a_call_while_it_is_fresh_or_where_nothing_needs_consent() {
    let (world, shelf) = described().await;
    // Whoever would read it beside the call has time to begin.
    let read = async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        shelf.asked()
    };
    let clock = tool("clock", &[("time", &["clock"], false)]);
    assert!(world.confirm(of_alice(), &clock).await.is_ok());
    assert_eq!(read().await, 0);
    allowed(&world, &of_alice(), &reads()).await;
    assert_eq!(read().await, 1);
    world
        .clock
        .advance(CLIENT_TTL_MAX - Duration::from_millis(1));
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    assert_eq!(read().await, 1);
    world.clock.advance(Duration::from_millis(1));
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    read_beside(&shelf, 1).await;
}

#[tokio::test]
async fn only_who_read_a_document_says_that_it_is_there() {
    let (world, _) = described().await;
    allowed(&world, &of_alice(), &reads()).await;
    let client = ID.parse().unwrap();
    // Another process finds nothing there.
    let since = world.store.note_client_unread(&client, NOW).await;
    assert_eq!(since.unwrap(), Some(NOW));
    // What is remembered of it is no sign of anything else.
    asked_of(&world, &of_alice(), &tool("other", READS)).await;
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    let since = world.store.note_client_unread(&client, world.now()).await;
    assert_eq!(since.unwrap(), Some(NOW));
    asked_of(&world, &of_alice(), &tool("third", READS)).await;
    let since = world.store.note_client_unread(&client, world.now()).await;
    assert_eq!(since.unwrap(), Some(world.now()));
}
