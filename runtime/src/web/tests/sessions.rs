//! How long a browser stays signed in, and how that ends.

use std::time::Duration;

use axum::http::StatusCode;

use super::browser::{Browser, From, Page};
use super::sign_in::is_signed_in;
use super::world::World;
use crate::audit::{self, Filter};
use crate::clock::Clock;
use crate::limits::{SIGN_IN_IDLE_TTL, SIGN_IN_TTL};
use crate::store::Store;
use crate::web::cookie::SESSION;
use crate::web::forget_over;

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
async fn the_end_of_a_session_that_ran_out_is_recorded_once_whichever_way_it_is_noticed() {
    let world = World::start().await;
    let (idle, old) = (Browser::new(), Browser::new());
    idle.visit_as(&world.at("/consents"), "alice").await;
    world.clock.advance(SIGN_IN_IDLE_TTL);
    let asked = (0..8).map(|_| is_signed_in(&world, &idle));
    assert_eq!(futures_util::future::join_all(asked).await, [false; 8]);
    let expired = ["sign-in.done", "sign-in.expired"];
    assert_eq!(world.events().await, expired);

    // What nobody comes back to is noticed when what has expired is forgotten.
    old.visit_as(&world.at("/consents"), "root").await;
    let secret = old.cookie(SESSION).unwrap();
    world.clock.advance(SIGN_IN_TTL);
    for _ in 0..2 {
        let now = world.clock.now();
        forget_over(world.store.as_ref(), &world.audit, now)
            .await
            .unwrap();
    }
    let records = world.audit_text().await;
    assert_eq!(
        records.matches("\"sign-in.expired\"").count(),
        2,
        "{records}"
    );
    assert!(records.contains("\"why\":\"idle\"") && records.contains("\"why\":\"age\""));
    assert!(!records.contains(&secret));
}

#[tokio::test]
async fn a_user_whose_key_cannot_be_read_keeps_no_session_of_others() {
    let world = World::start().await;
    let visit = async |user: &str| Browser::new().visit_as(&world.at("/consents"), user).await;
    visit("alice").await;
    world.audit.flush().await.unwrap();
    sqlx::query("UPDATE secret SET value = x'00' WHERE name LIKE 'audit.subject.%'")
        .execute(world.store.writer())
        .await
        .unwrap();
    visit("root").await;
    world.clock.advance(SIGN_IN_TTL);
    let now = world.clock.now();
    let forgotten = forget_over(world.store.as_ref(), &world.audit, now).await;
    forgotten.unwrap();
    let store: &dyn Store = world.store.as_ref();
    assert_eq!(store.over_sessions(now, 10).await.unwrap(), []);
    assert_eq!(named(&world).await, [false, true]);
}

#[tokio::test]
async fn a_store_that_takes_nothing_for_a_while_costs_no_session_its_name() {
    let world = World::start().await;
    for user in ["alice", "root"] {
        Browser::new().visit_as(&world.at("/consents"), user).await;
    }
    world.audit.flush().await.unwrap();
    world.clock.advance(SIGN_IN_TTL);
    let now = world.clock.now();
    let store: &dyn Store = world.store.as_ref();
    let forget = || forget_over(store, &world.audit, now);
    let on_writer = async |statement: &'static str| {
        let done = sqlx::query(statement).execute(world.store.writer()).await;
        done.unwrap();
    };
    // It would take the same without a name.
    on_writer(
        "CREATE TRIGGER full BEFORE INSERT ON audit WHEN instr(NEW.record, '\"subject\"') > 0
         BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .await;
    assert!(forget().await.is_err());
    assert_eq!(store.over_sessions(now, 10).await.unwrap().len(), 2);
    on_writer("DROP TRIGGER full").await;
    // The log opens again by itself.
    let forgotten = tokio::time::timeout(Duration::from_secs(10), async {
        while forget().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    forgotten.await.unwrap();
    assert_eq!(store.over_sessions(now, 10).await.unwrap(), []);
    assert_eq!(named(&world).await, [true, true]);
}

/// Whether each session that ran out has its user's name in the log.
async fn named(world: &World) -> Vec<bool> {
    let mut named = Vec::new();
    audit::show(world.store.as_ref(), 0, &Filter::default(), |stored| {
        if stored.record.kind == "sign-in.expired" {
            named.push(stored.record.subject.is_some());
        }
    })
    .await
    .unwrap();
    named.sort_unstable();
    named
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
