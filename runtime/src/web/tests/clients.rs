//! Who asks: what is verified, what the client says of itself, and what is not known, in both languages.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::browser::{Browser, From, Page};
use super::consent::{ALLOW_ONCE, CLIENT, chosen, records};
use super::world::{Options, World};
use crate::clients::testing::Shelf;
use crate::consent::ConsentError;
use crate::limits::{CLIENT_GONE_AFTER, CLIENT_TTL_MAX, TICKET_TTL};
use crate::store::ConsentState;

const HOME: &str = "https://client.example/back";
const LONG: [(&str, &str); 3] = [
    ("decision-0", "deny"),
    ("decision-1", "allow-until"),
    ("until-1", "2027-01-20"),
];

async fn world(named: &[(&str, &str)]) -> (World, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    let options = Options {
        clients: Some(shelf.clients(named)),
        ..Options::default()
    };
    (World::with(options).await, shelf)
}

/// A page, after sign-in where that is asked for.
async fn open(browser: &Browser, url: &str) -> Page {
    let page = browser.get(url).await;
    match page.status.is_redirection() {
        true => browser.visit_as(url, "alice").await,
        false => page,
    }
}

/// The question that a call by this client raises, in this language.
async fn question(world: &World, browser: &Browser, client: &str) -> Page {
    let Err(ConsentError::Needed(needed)) = world.call("alice", client).await else {
        panic!("no question");
    };
    let page = open(browser, &world.at(&needed.path)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page
}

fn holds(page: &Page, told: &[&str]) {
    for told in told {
        assert!(page.body.contains(told), "{told} is not in {}", page.body);
    }
}

#[tokio::test]
async fn the_page_tells_what_is_verified_from_what_a_client_says_of_itself() {
    let (world, shelf) = world(&[]).await;
    shelf.describe(
        CLIENT,
        "</bdi><script>Bank</script>\u{202e}",
        &[HOME, "com.example.app:/cb"],
    );
    let english = question(&world, &Browser::new(), CLIENT).await;
    holds(
        &english,
        &[
            "<b><bdi>client.example</bdi></b> <span class=\"quiet\">(this address is verified: what follows",
            "It calls itself “<bdi>&#60;/bdi&#62;&#60;script&#62;Bank&#60;/script&#62;⟨U+202E⟩</bdi>”, which is not verified.",
            "Its sign-ins lead back to <bdi>client.example, com.example.app:</bdi>.",
            "The name of the client holds characters that show nothing.",
        ],
    );
    assert!(!english.body.contains("<script"), "{}", english.body);
    assert!(!english.body.contains("<img"), "{}", english.body);
    let japanese = question(&world, &Browser::new().speaking("ja"), CLIENT).await;
    holds(
        &japanese,
        &[
            "このアドレスは確認済みです",
            "自称:「<bdi>",
            "サインイン後の戻り先: <bdi>client.example, com.example.app:</bdi>",
            "クライアントの名前に、目に見えない文字が含まれています",
        ],
    );
}

#[tokio::test]
async fn the_page_says_who_vouches_for_a_client_and_who_does_not() {
    let (world, shelf) = world(&[("cli", "Our own <b>")]).await;
    let browser = Browser::new();
    let named = question(&world, &browser, "cli").await;
    holds(
        &named,
        &[
            "<b><bdi>Our own &#60;b&#62;</bdi></b> <span class=\"quiet\">(the operator of this server knows it by this name)",
            "<code><bdi>cli</bdi></code>",
        ],
    );
    let registered = question(&world, &browser, "other").await;
    holds(
        &registered,
        &["your identity provider knows it under this name"],
    );
    for page in [named, registered] {
        assert!(!page.body.contains("is verified"), "{}", page.body);
    }
    // Nobody can be asked for in the clear, and a page that is served there says so in a sentence.
    let plain = question(&world, &browser, "http://client.example/meta.json").await;
    holds(&plain, &["its address is not https"]);
    assert_eq!(shelf.asked(), 0);
}

#[tokio::test]
async fn the_page_says_plainly_that_a_description_could_not_be_read_and_its_user_may_still_decide()
{
    for (status, body, english, japanese) in [
        (
            404,
            "{}",
            "its address does not answer as it should",
            "正しい応答がなかった",
        ),
        (
            200,
            "[]",
            "does not describe it as it must",
            "クライアントを正しく説明していません",
        ),
    ] {
        let (world, shelf) = world(&[]).await;
        shelf.put(CLIENT, status, body);
        let browser = Browser::new();
        let page = question(&world, &browser, CLIENT).await;
        holds(
            &page,
            &[
                "<p class=\"alert\">",
                english,
                "<b><bdi>client.example</bdi></b>",
            ],
        );
        assert!(!page.body.contains("is verified"), "{}", page.body);
        let in_japanese = question(&world, &Browser::new().speaking("ja"), CLIENT).await;
        holds(&in_japanese, &["<p class=\"alert\">", japanese]);
        let form = chosen(&page, &ALLOW_ONCE);
        let done = browser.post(page.url.as_str(), &form, From::OurPage).await;
        holds(&done, &["the tool may go on"]);
        assert!(world.call("alice", CLIENT).await.is_ok());
    }
}

#[tokio::test]
async fn its_user_is_told_of_a_client_that_changed_and_asked_with_what_is_different() {
    for (gone, told, asked, in_japanese) in [
        (
            false,
            "sign-ins of the client lead back to other hosts than before",
            "Its sign-ins led back to client.example then, and lead back to evil.example now.",
            "クライアントのサインイン後の戻り先が以前と変わった",
        ),
        (
            true,
            "what the client said of itself cannot be read any more",
            "What it said of itself then cannot be read now.",
            "クライアント自身が示していた内容を読み取れなくなった",
        ),
    ] {
        let (world, shelf) = world(&[]).await;
        shelf.describe(CLIENT, "Example", &[HOME]);
        let browser = Browser::new();
        let page = question(&world, &browser, CLIENT).await;
        let done = browser
            .post(page.url.as_str(), &chosen(&page, &LONG), From::OurPage)
            .await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.body);
        match gone {
            false => shelf.describe(CLIENT, "Example", &["https://evil.example/"]),
            true => shelf.put(CLIENT, 410, ""),
        }
        let hours = [CLIENT_TTL_MAX, CLIENT_GONE_AFTER];
        for pause in &hours[..if gone { 2 } else { 1 }] {
            world.clock.advance(*pause);
            let before = shelf.asked();
            assert!(world.call("alice", CLIENT).await.is_ok());
            while shelf.asked() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        for _ in 0..500 {
            let rows = records(&world, "alice").await;
            if rows.iter().any(|row| row.state == ConsentState::Suspended) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let browser = Browser::new();
        for at in ["/consents", "/consents?by=client", "/consents/history"] {
            let page = open(&browser, &world.at(at)).await;
            holds(&page, &[told]);
        }
        let japanese = Browser::new().speaking("ja");
        for at in ["/consents", "/consents/history"] {
            let page = open(&japanese, &world.at(at)).await;
            holds(&page, &[in_japanese]);
        }
        let again = question(&world, &browser, CLIENT).await;
        holds(&again, &["This client is not what it was", asked]);
        let again = question(&world, &japanese, CLIENT).await;
        holds(&again, &["に許可したときから変わっています"]);
        // Nobody else is told anything.
        let root = Browser::new();
        let others = root.visit_as(&world.at("/consents/history"), "root").await;
        assert!(!others.body.contains(told), "{}", others.body);
    }
}

#[tokio::test]
async fn its_user_sees_under_what_name_a_client_goes_on() {
    let (world, shelf) = world(&[]).await;
    shelf.describe(CLIENT, "Example", &[HOME]);
    let browser = Browser::new();
    let page = question(&world, &browser, CLIENT).await;
    browser
        .post(page.url.as_str(), &chosen(&page, &LONG), From::OurPage)
        .await;
    shelf.describe(CLIENT, "Example 2", &[HOME]);
    world.clock.advance(TICKET_TTL * 6);
    let before = shelf.asked();
    assert!(world.call("alice", CLIENT).await.is_ok());
    while shelf.asked() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(world.call("alice", CLIENT).await.is_ok());
    let browser = Browser::new();
    let told = "It was called “Example” then, and is called “Example 2” now.";
    for at in ["/consents", "/consents/history"] {
        let page = open(&browser, &world.at(at)).await;
        holds(
            &page,
            &["The client has changed since; this goes on as it was", told],
        );
    }
    let japanese = Browser::new().speaking("ja");
    let page = japanese.visit_as(&world.at("/consents"), "alice").await;
    holds(
        &page,
        &["名前は、当時は「Example」でしたが、現在は「Example 2」です。"],
    );
}
