//! What became of decisions, who else opened a question, and taking back by tool and by client.

use axum::http::StatusCode;

use super::browser::{Browser, From};
use super::consent::{ALLOW_ONCE, CLIENT, asked, chosen, records};
use super::world::World;
use crate::consent::ConsentError;
use crate::store::ConsentState;

const OTHER_CLIENT: &str = "other-client";

/// Lets this user allow both once through this client.
async fn allow(world: &World, browser: &Browser, user: &str, client: &str) {
    let Err(ConsentError::Needed(needed)) = world.call(user, client).await else {
        panic!("no question");
    };
    let page = browser.get(&world.at(&needed.path)).await;
    let form = chosen(&page, &ALLOW_ONCE);
    let done = browser.post(page.url.as_str(), &form, From::OurPage).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn what_became_of_each_decision_is_told() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let choices = [
        ("decision-1", "allow-until"),
        ("until-1", "2027-01-20"),
        ("decision-0", "deny"),
    ];
    let form = chosen(&page, &choices);
    browser.post(page.url.as_str(), &form, From::OurPage).await;
    world.call("alice", CLIENT).await.unwrap();
    let history = browser.get(&world.at("/consents/history")).await;
    assert_eq!(history.status, StatusCode::OK);
    for told in [
        "You allowed it until 21 January 2027",
        "You did not allow it",
        "Used last",
        CLIENT,
        "/receipt",
    ] {
        assert!(history.body.contains(told), "{told}: {}", history.body);
    }
    for row in records(&world, "alice").await {
        let url = world.at(&format!("/consents/{}/revoke", row.id));
        let token = browser.get(&world.at("/consents")).await.hidden();
        browser.post(&url, &token[..1], From::OurPage).await;
    }
    // What was refused is still told as refused when the refusal was taken back.
    let history = browser.get(&world.at("/consents/history")).await;
    assert_eq!(history.body.matches("You took it back").count(), 2);
    assert_eq!(history.body.matches("You did not allow it").count(), 1);
    // Nobody else's history has it, and nobody has one who is not signed in.
    let other = Browser::new();
    let others = other.visit_as(&world.at("/consents/history"), "root").await;
    assert_eq!(others.url.path(), "/consents/history");
    assert!(others.body.contains("Nothing was decided yet"));
    let stranger = Browser::new().get(&world.at("/consents/history")).await;
    assert!(stranger.status.is_redirection());
}

#[tokio::test]
async fn the_history_goes_on_by_pages() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    for n in 0..14 {
        allow(&world, &browser, "alice", &format!("client-{n}")).await;
    }
    let receipts = |body: &str| body.matches("/receipt\"").count();
    let first = browser.get(&world.at("/consents/history")).await;
    assert_eq!(receipts(&first.body), 25);
    let next = first.body.split("/consents/history?before=").nth(1);
    let next = next.unwrap().split('"').next().unwrap();
    let url = format!("/consents/history?before={next}");
    let second = browser.get(&world.at(&url)).await;
    assert_eq!(receipts(&second.body), 3);
    assert!(!second.body.contains("?before="), "{}", second.body);
    // The same place in the history of another user is in that user's history.
    let other = Browser::new();
    other.visit_as(&world.at("/consents"), "root").await;
    let others = other.get(&world.at(&url)).await;
    assert_eq!(receipts(&others.body), 0);
    let bad = browser
        .get(&world.at("/consents/history?before=nothing"))
        .await;
    assert_eq!(receipts(&bad.body), 25);
}

#[tokio::test]
async fn a_forwarded_link_is_refused_and_its_user_sees_that_it_was_opened() {
    let world = World::start().await;
    let (alice, page) = asked(&world, "alice").await;
    let before = alice.get(&world.at("/consents/history")).await;
    assert!(!before.body.contains("Somebody else"), "{}", before.body);
    let root = Browser::new();
    root.visit_as(&world.at("/consents"), "root").await;
    for _ in 0..2 {
        let refused = root.get(page.url.as_str()).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
    }
    let history = alice.get(&world.at("/consents/history")).await;
    for told in [
        "Somebody else opened your question",
        "notes",
        CLIENT,
        "twice",
    ] {
        assert!(history.body.contains(told), "{told}: {}", history.body);
    }
    // Who it was is in the audit log, and not told to the other side.
    let foot = history.body.split("<main>").nth(1).unwrap();
    assert!(!foot.contains("root"), "{foot}");
    let own = root.get(&world.at("/consents/history")).await;
    assert!(!own.body.contains("Somebody else"), "{}", own.body);
}

#[tokio::test]
async fn consents_are_taken_back_by_client_and_by_tool() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    for client in [CLIENT, OTHER_CLIENT] {
        allow(&world, &browser, "alice", client).await;
    }
    let root = Browser::new();
    root.visit_as(&world.at("/consents"), "root").await;
    allow(&world, &root, "root", CLIENT).await;
    let page = browser.get(&world.at("/consents?by=client")).await;
    assert!(page.body.contains("Take back all 2 of this client"));
    let token = page.hidden()[0].clone();
    let left = |client: &'static str| {
        let world = &world;
        async move {
            let rows = records(world, "alice").await;
            let live = |row: &&crate::store::ConsentRow| {
                row.state == ConsentState::Active && row.key.client.as_str() == client
            };
            rows.iter().filter(live).count()
        }
    };
    let url = world.at("/consents/revoke-client");
    // Without the token of our page, or without saying which: nothing.
    let named = field("client", OTHER_CLIENT);
    for (form, status) in [
        (vec![named.clone()], StatusCode::FORBIDDEN),
        (vec![token.clone()], StatusCode::BAD_REQUEST),
        (
            vec![token.clone(), named.clone(), field("client", CLIENT)],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let refused = browser.post(&url, &form, From::OurPage).await;
        assert_eq!(refused.status, status, "{form:?}");
    }
    assert_eq!((left(CLIENT).await, left(OTHER_CLIENT).await), (2, 2));
    let done = browser
        .post(&url, &[token.clone(), named], From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!((left(CLIENT).await, left(OTHER_CLIENT).await), (2, 0));

    let url = world.at("/consents/revoke-tool");
    let tool = field("tool", "notes");
    let short = browser
        .post(&url, &[token.clone(), tool.clone()], From::OurPage)
        .await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST, "of which publisher?");
    let other = field("publisher", "another");
    browser
        .post(&url, &[token.clone(), tool.clone(), other], From::OurPage)
        .await;
    assert_eq!(left(CLIENT).await, 2);
    // The form as the page has it.
    let page = browser.get(&world.at("/consents")).await;
    assert!(page.body.contains("Take back all 2 of this tool"));
    let publisher = page
        .hidden()
        .into_iter()
        .find(|(name, _)| name == "publisher");
    let form = [token, tool, publisher.unwrap()];
    browser.post(&url, &form, From::OurPage).await;
    assert_eq!(left(CLIENT).await, 0);
    let theirs = records(&world, "root").await;
    assert!(theirs.iter().all(|row| row.state == ConsentState::Active));
}
