//! How long a browser stays signed in, and how that ends.

use std::time::Duration;

use axum::http::StatusCode;

use super::browser::{Browser, From, Page};
use super::sign_in::is_signed_in;
use super::world::World;
use crate::limits::{SIGN_IN_IDLE_TTL, SIGN_IN_TTL};
use crate::web::cookie::SESSION;

#[tokio::test]
async fn each_sign_in_ends_the_session_before_it() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    let first = browser.cookie(SESSION).unwrap();
    browser.visit_as(&world.at("/sign-in"), "root").await;
    assert_ne!(browser.cookie(SESSION), Some(first.clone()));
    let old = Browser::new();
    old.keep(SESSION, &first);
    assert!(!is_signed_in(&world, &old).await);
    assert!(is_signed_in(&world, &browser).await);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_our_side() {
    let world = World::start().await;
    let browser = Browser::new();
    let page = browser.visit_as(&world.at("/consents"), "alice").await;
    let session = browser.cookie(SESSION).unwrap();
    let foot = page.body.split("<footer>").nth(1).unwrap();
    let token = foot.split("name=\"token\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap().to_owned();

    // Another page cannot do it for the user.
    let nothing = browser
        .post(&world.at("/sign-out"), &[], From::OurPage)
        .await;
    assert_eq!(nothing.status, StatusCode::FORBIDDEN);
    let fields = [("token".to_owned(), token)];
    let other = browser
        .post(&world.at("/sign-out"), &fields, From::OtherSite)
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    assert!(is_signed_in(&world, &browser).await);

    let out = browser
        .post(&world.at("/sign-out"), &fields, From::OurPage)
        .await;
    assert_eq!(out.status, StatusCode::OK, "{}", out.body);
    assert_eq!(browser.cookie(SESSION), None);
    let thief = Browser::new();
    thief.keep(SESSION, &session);
    assert!(!is_signed_in(&world, &thief).await);
    assert_eq!(world.events().await, ["sign-in.done", "sign-in.ended"]);
}

/// The token of the form that signs out.
pub(super) fn sign_out_token(page: &Page) -> (String, String) {
    let foot = page.body.split("<footer>").nth(1).unwrap();
    let token = foot.split("name=\"token\" value=\"").nth(1).unwrap();
    (
        "token".to_owned(),
        token.split('"').next().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session_of_the_user_and_of_nobody_else() {
    let world = World::start().await;
    let (here, there, other) = (Browser::new(), Browser::new(), Browser::new());
    let page = here.visit_as(&world.at("/consents"), "alice").await;
    there.visit_as(&world.at("/consents"), "alice").await;
    other.visit_as(&world.at("/consents"), "root").await;
    let everywhere = ("everywhere".to_owned(), "yes".to_owned());
    let url = world.at("/sign-out");
    let forged = here
        .post(&url, std::slice::from_ref(&everywhere), From::OurPage)
        .await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(is_signed_in(&world, &there).await);
    let fields = [sign_out_token(&page), everywhere];
    let out = here.post(&url, &fields, From::OurPage).await;
    assert!(out.body.contains("every other browser"), "{}", out.body);
    assert!(!is_signed_in(&world, &here).await);
    assert!(!is_signed_in(&world, &there).await);
    assert!(is_signed_in(&world, &other).await);
}

#[tokio::test]
async fn a_session_ends_after_eight_hours_however_much_it_is_used() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    let step = SIGN_IN_IDLE_TTL / 2;
    for _ in 0..(SIGN_IN_TTL.as_secs() / step.as_secs() - 1) {
        world.clock.advance(step);
        assert!(is_signed_in(&world, &browser).await);
    }
    world.clock.advance(step - Duration::from_millis(1));
    assert!(is_signed_in(&world, &browser).await);
    world.clock.advance(Duration::from_millis(1));
    assert!(!is_signed_in(&world, &browser).await);
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_after_an_hour() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    world
        .clock
        .advance(SIGN_IN_IDLE_TTL - Duration::from_millis(1));
    assert!(is_signed_in(&world, &browser).await);
    world.clock.advance(SIGN_IN_IDLE_TTL);
    assert!(!is_signed_in(&world, &browser).await);
}

#[tokio::test]
async fn h2_s4_3_a_session_is_not_guessed() {
    let world = World::start().await;
    for guess in ["", "x", &"A".repeat(43)] {
        let browser = Browser::new();
        browser.keep(SESSION, guess);
        assert!(!is_signed_in(&world, &browser).await, "{guess}");
    }
}
