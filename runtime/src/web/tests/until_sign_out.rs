//! What is allowed until its user signs out, and what ends it.

use std::time::Duration;

use axum::http::StatusCode;

use super::browser::{Browser, From, Page};
use super::consent::{CLIENT, asked, chosen, records};
use super::sessions::sign_out_token;
use super::world::World;
use crate::clock::Timestamp;
use crate::consent::ConsentError;
use crate::limits::{SIGN_IN_IDLE_TTL, SIGN_IN_TTL};
use crate::store::{ConsentState, Scope};

const SESSION: [(&str, &str); 2] = [
    ("decision-0", "allow-session"),
    ("decision-1", "allow-session"),
];

/// A browser in which alice allowed both until she signs out.
async fn allowed(world: &World) -> Browser {
    let (browser, page) = asked(world, "alice").await;
    let form = chosen(&page, &SESSION);
    let done = browser.post(page.url.as_str(), &form, From::OurPage).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    browser
}

async fn holds(world: &World) -> bool {
    match world.call("alice", CLIENT).await {
        Ok(consent) => consent.agreed().iter().count() == 2,
        Err(ConsentError::Needed(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn sign_out(world: &World, browser: &Browser, page: &Page, everywhere: bool) -> Page {
    let mut fields = vec![sign_out_token(page)];
    if everywhere {
        fields.push(("everywhere".to_owned(), "yes".to_owned()));
    }
    let url = world.at("/sign-out");
    browser.post(&url, &fields, From::OurPage).await
}

#[tokio::test]
async fn it_is_offered_with_its_end_proposed_for_what_writes_and_chosen_for_nobody() {
    let world = World::start().await;
    let (_, page) = asked(&world, "alice").await;
    let until = "until I sign out in this browser, at the latest 15 January 2027, 16:00 UTC";
    assert_eq!(page.body.matches(until).count(), 2, "{}", page.body);
    assert_eq!(page.body.matches(">suggested<").count(), 1, "{}", page.body);
    assert!(!page.body.contains("checked"));
}

#[tokio::test]
async fn it_holds_until_its_user_signs_out_there_and_the_pages_say_so() {
    let world = World::start().await;
    let browser = allowed(&world).await;
    assert!(holds(&world).await);
    let rows = records(&world, "alice").await;
    assert!(rows.iter().all(|row| row.scope == Scope::Session));
    let list = browser.get(&world.at("/consents")).await;
    let stands = "Allowed until you sign out in the browser in which you allowed it, at the latest 15 January 2027, 16:00 UTC";
    assert_eq!(list.body.matches(stands).count(), 2, "{}", list.body);
    let out = sign_out(&world, &browser, &list, false).await;
    assert_eq!(out.status, StatusCode::OK, "{}", out.body);
    assert!(
        out.body
            .contains("what you allowed in this browser until you sign out has ended")
    );
    assert!(!holds(&world).await);
    let history = browser
        .visit_as(&world.at("/consents/history"), "alice")
        .await;
    assert_eq!(
        history
            .body
            .matches("Ended, because you signed out")
            .count(),
        2
    );
    assert!(
        history
            .body
            .contains("You allowed it until you sign out in that browser")
    );
}

#[tokio::test]
async fn another_browser_ends_it_everywhere_or_not_at_all() {
    let world = World::start().await;
    let _here = allowed(&world).await;
    let there = Browser::new();
    let page = there.visit_as(&world.at("/consents"), "alice").await;
    sign_out(&world, &there, &page, false).await;
    assert!(holds(&world).await);
    let page = there.visit_as(&world.at("/consents"), "alice").await;
    sign_out(&world, &there, &page, true).await;
    assert!(!holds(&world).await);
}

#[tokio::test]
async fn it_outlives_an_idle_browser_and_ends_when_its_user_signs_out_there_after_all() {
    let world = World::start().await;
    // Who comes back to an old page and signs out there.
    let browser = allowed(&world).await;
    let page = browser.get(&world.at("/consents")).await;
    world.clock.advance(SIGN_IN_IDLE_TTL);
    assert!(holds(&world).await);
    let refused = sign_out(&world, &Browser::new(), &page, false).await;
    assert_eq!(refused.status, StatusCode::OK, "nobody is signed in there");
    assert!(holds(&world).await);
    // Opening a page finds the session over, and that ends nothing.
    browser.get(&world.at("/consents")).await;
    assert!(holds(&world).await);
    sign_out(&world, &browser, &page, false).await;
    assert!(!holds(&world).await);

    // Who signs in again, and then out.
    let browser = allowed(&world).await;
    world.clock.advance(SIGN_IN_IDLE_TTL);
    let page = browser.visit_as(&world.at("/consents"), "alice").await;
    assert!(holds(&world).await);
    sign_out(&world, &browser, &page, false).await;
    assert!(!holds(&world).await);
}

#[tokio::test]
async fn a_session_that_began_while_the_clock_was_ahead_counts_for_nothing_when_it_is_back() {
    let world = World::start().await;
    let now = world.now();
    world.clock.set(now.plus(400 * 3 * SIGN_IN_TTL));
    let browser = allowed(&world).await;
    let signed_in = browser.get(&world.at("/consents")).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.body);
    assert!(signed_in.body.contains("My consents"), "{}", signed_in.body);
    world.clock.set(now);
    let page = browser.get(&world.at("/consents")).await;
    assert!(!page.body.contains("My consents"), "{}", page.body);
    // Whoever is within what is believed is still there.
    let world = World::start().await;
    let now = world.now();
    let browser = allowed(&world).await;
    world.clock.set(Timestamp(now.0 - 60_000));
    let page = browser.get(&world.at("/consents")).await;
    assert!(page.body.contains("My consents"), "{}", page.body);
}

#[tokio::test]
async fn signing_in_again_goes_on_with_it_and_prolongs_it_by_nothing() {
    let world = World::start().await;
    let browser = allowed(&world).await;
    world.clock.advance(SIGN_IN_TTL - Duration::from_secs(1));
    // Too long unused, and still the same sign-in at this browser.
    browser
        .visit_as(&world.at("/sign-in?next=/consents&fresh=1"), "alice")
        .await;
    assert!(holds(&world).await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!holds(&world).await);
}

#[tokio::test]
async fn somebody_else_who_signs_in_at_this_browser_ends_it() {
    let world = World::start().await;
    let browser = allowed(&world).await;
    browser.visit_as(&world.at("/sign-in"), "root").await;
    assert!(!holds(&world).await);
    let rows = records(&world, "alice").await;
    assert!(rows.iter().all(|row| row.state == ConsentState::Revoked));
}

#[tokio::test]
async fn whoever_signed_out_in_another_window_allows_nothing_by_a_page_that_is_open() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let form = chosen(&page, &SESSION);
    let cookies = browser.jar.lock().unwrap().clone();
    sign_out(&world, &browser, &page, false).await;
    let late = Browser::new();
    *late.jar.lock().unwrap() = cookies;
    let refused = late.post(page.url.as_str(), &form, From::OurPage).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert!(records(&world, "alice").await.is_empty());
}
