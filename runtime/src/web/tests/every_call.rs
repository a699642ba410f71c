//! What is asked about at every call: shown with its arguments, allowed after a fresh sign-in, once.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::browser::{Browser, From, Page};
use super::consent::{ALLOW_ONCE, CLIENT, chosen, records};
use super::world::World;
use crate::consent::{ConsentError, T3_TTL};
use crate::store::{ConsentState, Scope};

const RULES: &str = "@min_tier(\"T3\") permit(principal, action, resource);";

async fn question(world: &World, values: Value) -> String {
    match world.call_under(RULES, "alice", CLIENT, values).await {
        Err(ConsentError::Needed(needed)) => world.at(&needed.path),
        other => panic!("no question: {other:?}"),
    }
}

async fn opened(world: &World, values: Value) -> (Browser, Page) {
    let url = question(world, values).await;
    let browser = Browser::new();
    let page = browser.visit_as(&url, "alice").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    (browser, page)
}

fn values() -> Value {
    json!({"to": "</pre><script>alert(1)</script>", "memo": "a\u{202e}b\u{200b}c\nd", "sum": 12})
}

#[tokio::test]
async fn the_page_shows_exactly_the_call_escaped_and_with_what_hides_named() {
    let world = World::start().await;
    let (browser, page) = opened(&world, values()).await;
    for shown in [
        "The call, exactly as it will be made",
        "&#34;sum&#34;: 12",
        "a⟨U+202E⟩b⟨U+200B⟩c\\nd",
        "Danger: this can do lasting harm.",
        "Single use: this cannot be allowed for longer.",
        "single use",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for hidden in [
        "<script>",
        "\u{202e}",
        "\u{200b}",
        "allow-until",
        "allow-session",
    ] {
        assert!(!page.body.contains(hidden), "{hidden:?}: {}", page.body);
    }
    let japanese = browser.speaking("ja").get(page.url.as_str()).await;
    for shown in [
        "実行される呼び出しの正確な内容",
        "1回限り",
        "&#34;sum&#34;: 12",
    ] {
        assert!(japanese.body.contains(shown), "{shown}: {}", japanese.body);
    }
    // What the record says was shown is this page, the arguments among it.
    let form = chosen(&page, &ALLOW_ONCE);
    let done = browser.post(page.url.as_str(), &form, From::OurPage).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let shown = crate::ids::Digest::of(page.body.as_bytes());
    let rows = records(&world, "alice").await;
    assert!(
        rows.iter()
            .all(|row| row.ui == shown && row.scope == Scope::Once)
    );
    // And it allows this call, once, and no other.
    let other = json!({"to": "b", "sum": 12});
    question(&world, other).await;
    let call = world.call_under(RULES, "alice", CLIENT, values()).await;
    assert_eq!(call.unwrap().agreed().iter().count(), 2);
    question(&world, values()).await;
    // No more is shown of it.
    let after = browser.get(page.url.as_str()).await;
    assert!(!after.body.contains("&#34;sum&#34;"), "{}", after.body);
}

#[tokio::test]
async fn nothing_longer_than_one_call_can_be_chosen_by_force() {
    let world = World::start().await;
    let (browser, page) = opened(&world, values()).await;
    for choice in ["allow-session", "allow-until"] {
        let form = chosen(
            &page,
            &[
                ("decision-0", choice),
                ("decision-1", choice),
                ("until-0", "2027-01-20"),
                ("until-1", "2027-01-20"),
            ],
        );
        let refused = browser.post(page.url.as_str(), &form, From::OurPage).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body.contains("can be allowed for one call only"));
    }
    assert!(records(&world, "alice").await.is_empty());
}

#[tokio::test]
async fn an_old_sign_in_is_sent_to_sign_in_again_and_may_allow_after_that() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    world
        .clock
        .advance(T3_TTL + std::time::Duration::from_millis(1));
    let url = question(&world, values()).await;
    let page = browser.get(&url).await;
    assert!(
        page.body.contains("signed in within the last five minutes"),
        "{}",
        page.body
    );
    let refused = browser
        .post(&url, &chosen(&page, &ALLOW_ONCE), From::OurPage)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert!(
        refused.body.contains("Sign in once more"),
        "{}",
        refused.body
    );
    assert!(records(&world, "alice").await.is_empty());

    let again = page.body.split("href=\"/sign-in?").nth(1).unwrap();
    let again = again
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    let to_issuer = browser.get(&world.at(&format!("/sign-in?{again}"))).await;
    let asked: std::collections::HashMap<_, _> =
        to_issuer.location().query_pairs().into_owned().collect();
    assert_eq!(asked["prompt"], "login");
    assert_eq!(asked["max_age"], "300");
    let page = browser
        .visit_as(&world.at(&format!("/sign-in?{again}")), "alice")
        .await;
    assert_eq!(page.url.as_str(), url);
    assert!(!page.body.contains("signed in within the last five minutes"));
    let done = browser
        .post(&url, &chosen(&page, &ALLOW_ONCE), From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(
        world
            .call_under(RULES, "alice", CLIENT, values())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn to_refuse_it_no_fresh_sign_in_is_needed() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.visit_as(&world.at("/consents"), "alice").await;
    world.clock.advance(2 * T3_TTL);
    let page = browser.get(&question(&world, values()).await).await;
    let deny = [("decision-0", "deny"), ("decision-1", "deny")];
    let done = browser
        .post(page.url.as_str(), &chosen(&page, &deny), From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let rows = records(&world, "alice").await;
    assert!(rows.iter().all(|row| row.state == ConsentState::Denied));
}

#[tokio::test]
async fn an_issuer_that_does_not_say_how_its_user_signed_in_is_told_of_and_allows_nothing() {
    let world = World::start().await;
    let (browser, page) = opened(&world, values()).await;
    sqlx::query("UPDATE browser_session SET acr = NULL")
        .execute(world.store.writer())
        .await
        .unwrap();
    let told = browser.get(page.url.as_str()).await;
    assert!(
        told.body.contains("cannot be allowed here"),
        "{}",
        told.body
    );
    assert!(!told.body.contains("/sign-in?"), "which would not help");
    let form = chosen(&told, &ALLOW_ONCE);
    let refused = browser.post(page.url.as_str(), &form, From::OurPage).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("does not say it"), "{}", refused.body);
    assert!(
        refused.body.contains("tell the operator"),
        "{}",
        refused.body
    );
    assert!(records(&world, "alice").await.is_empty());
    let japanese = browser.speaking("ja").get(page.url.as_str()).await;
    assert!(
        japanese.body.contains("管理者に知らせてください"),
        "{}",
        japanese.body
    );
}

#[tokio::test]
async fn what_rules_raise_without_asking_every_time_says_who_raised_it() {
    let world = World::start().await;
    let rules = "@min_tier(\"T2\") permit(principal, action, resource);";
    let asked = world.call_under(rules, "alice", CLIENT, json!({})).await;
    let Err(ConsentError::Needed(needed)) = asked else {
        panic!("{asked:?}");
    };
    let page = Browser::new()
        .visit_as(&world.at(&needed.path), "alice")
        .await;
    assert_eq!(
        page.body
            .matches("more strictly than what it does calls for")
            .count(),
        1
    );
    // It reads all the same, and is proposed as what writes is.
    assert!(page.body.contains("It only reads."), "{}", page.body);
    assert_eq!(page.body.matches(">suggested<").count(), 2, "{}", page.body);
    assert!(!page.body.contains("The call, exactly"), "{}", page.body);
}
