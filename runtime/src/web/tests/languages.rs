//! Every page in the language that the browser prefers, and what a user answers in it.

use axum::http::{StatusCode, header};

use super::browser::{Browser, From, Page};
use super::consent::{ALLOW_ONCE, asked, chosen, records};
use super::world::{Options, World};
use crate::consent::ConsentError;
use crate::ids::Digest;

/// Whether the page is in this language, and says so.
fn is_in(page: &Page, tag: &str) {
    let lang = format!("<html lang=\"{tag}\">");
    assert!(page.body.contains(&lang), "{}", page.body);
    assert_eq!(page.headers[header::CONTENT_LANGUAGE], tag);
    assert_eq!(page.headers[header::VARY], "Accept-Language");
    let japanese = |c: char| matches!(c, '\u{3040}'..='\u{30ff}');
    assert_eq!(page.body.contains(japanese), tag == "ja", "{}", page.body);
}

#[tokio::test]
async fn every_page_is_in_the_browsers_language() {
    let world = World::start().await;
    let (browser, question) = asked(&world, "alice").await;
    for (accept, tag) in [("en-GB,en;q=0.9", "en"), ("ja,en-US;q=0.7,en;q=0.3", "ja")] {
        let browser = browser.speaking(accept);
        let stranger = Browser::new().speaking(accept);
        for page in [
            browser.get(question.url.as_str()).await,
            browser.get(&world.at("/consents")).await,
            browser.get(&world.at("/consents?by=client")).await,
            browser.get(&world.at("/consents/history")).await,
            browser
                .get(&world.at(&format!("/consent/{}", "A".repeat(43))))
                .await,
            browser.get(&world.at("/consents/x/receipt")).await,
            browser
                .post(&world.at("/consents/revoke-all"), &[], From::OurPage)
                .await,
            browser
                .post(question.url.as_str(), &[], From::OurPage)
                .await,
            // Where nothing of ours has looked at the request, too.
            browser
                .post(question.url.as_str(), &[], From::OtherSite)
                .await,
            stranger.get(&world.at("/sign-in?next=//evil.test")).await,
            stranger.get(&world.at("/sign-in/callback")).await,
            // The identity provider for development.
            stranger.visit(&world.at("/consents")).await,
        ] {
            is_in(&page, tag);
        }
    }
    let style = browser.get(&world.at("/style.css")).await;
    assert!(!style.headers.contains_key(header::CONTENT_LANGUAGE));
}

#[tokio::test]
async fn a_fault_and_a_missing_sign_in_are_told_in_the_browsers_language() {
    let world = World::with(Options {
        no_sign_in: true,
        ..Options::default()
    })
    .await;
    let browser = Browser::new().speaking("ja");
    is_in(&browser.get(&world.at("/sign-in")).await, "ja");
    let world = World::start().await;
    let signed_in = Browser::new();
    signed_in.visit_as(&world.at("/consents"), "alice").await;
    world.store.close().await;
    let broken = signed_in.speaking("ja").get(&world.at("/consents")).await;
    assert_eq!(broken.status, StatusCode::SERVICE_UNAVAILABLE);
    is_in(&broken, "ja");
    assert!(broken.body.contains("次の番号"), "{}", broken.body);
}

#[tokio::test]
async fn the_language_of_the_page_stands_in_the_record() {
    for (accept, tag) in [("ja-JP", "ja"), ("fr", "en")] {
        let world = World::start().await;
        let (browser, page) = asked(&world, "alice").await;
        let page = browser.speaking(accept).get(page.url.as_str()).await;
        // By now the browser prefers another one: the page that was shown counts.
        let other = browser.speaking(if tag == "ja" { "en" } else { "ja" });
        let form = chosen(&page, &ALLOW_ONCE);
        let done = other.post(page.url.as_str(), &form, From::OurPage).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.body);
        for row in records(&world, "alice").await {
            assert_eq!(row.evidence.locale.as_deref(), Some(tag));
            assert_eq!(row.ui, Digest::of(page.body.as_bytes()));
        }
    }
}

#[tokio::test]
async fn a_page_in_another_language_than_the_form_says_counts_for_nothing() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    for forged in [Some("ja"), Some("fr"), None] {
        let mut form = chosen(&page, &ALLOW_ONCE);
        form.retain(|(name, _)| name != "language");
        form.extend(forged.map(|tag| ("language".to_owned(), tag.to_owned())));
        let refused = browser.post(page.url.as_str(), &form, From::OurPage).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{forged:?}");
    }
    assert!(records(&world, "alice").await.is_empty());
}

#[tokio::test]
async fn a_name_that_hides_something_is_shown_with_a_warning() {
    let world = World::start().await;
    let Err(ConsentError::Needed(needed)) = world.call("alice", "desk\u{200b}top").await else {
        panic!("no question");
    };
    let url = world.at(&needed.path);
    let browser = Browser::new();
    browser.visit_as(&url, "alice").await;
    for (accept, warning, caution) in [
        ("en", "holds characters that show nothing", "Caution:"),
        ("ja", "目に見えない文字が含まれています", "注意:"),
    ] {
        let page = browser.speaking(accept).get(&url).await;
        for shown in ["desk⟨U+200B⟩top", warning, caution, "⟨U+202E⟩evil"] {
            assert!(page.body.contains(shown), "{shown}: {}", page.body);
        }
        assert!(!page.body.contains(['\u{200b}', '\u{202e}']));
        // Of the two that are asked, one sends.
        assert_eq!(page.body.matches("class=\"warning\"").count(), 1);
    }
    // An ordinary client is warned of in no language.
    let (_, page) = asked(&world, "alice").await;
    assert!(!page.body.contains("made to pass for"), "{}", page.body);
}
