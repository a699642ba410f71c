use std::time::Duration;

use axum::http::{StatusCode, header};

use super::browser::{Browser, From, Page};
use super::world::World;
use crate::consent::{ConsentError, TicketId};
use crate::ids::Digest;
use crate::limits::{CONSENT_T1_MAX, TICKET_TTL};
use crate::store::{ConsentRow, ConsentState, Scope};
use crate::web::cookie::SESSION;

// What is asked stands in the order of the capabilities: 0 is to send, 1 is to read, which the page shows first, as the tool needs it.
pub(super) const CLIENT: &str = "https://client.example/meta.json";

/// The form of this page with these choices, as the page would send it.
pub(super) fn chosen(page: &Page, choices: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields = page.hidden();
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    fields.extend(choices.iter().map(pair));
    fields
}

pub(super) const ALLOW_ONCE: [(&str, &str); 2] =
    [("decision-0", "allow-once"), ("decision-1", "allow-once")];

pub(super) async fn records(world: &World, user: &str) -> Vec<ConsentRow> {
    world.consents.list(&world.user(user)).await.unwrap()
}

/// A signed-in browser of this user, and the question that a call of the user raised.
pub(super) async fn asked(world: &World, user: &str) -> (Browser, Page) {
    let url = world.question(user).await;
    let browser = Browser::new();
    let page = browser.visit_as(&url, user).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(page.url.as_str(), url);
    (browser, page)
}

fn not_for_you(page: &Page) {
    assert_eq!(page.status, StatusCode::NOT_FOUND, "{}", page.body);
    assert!(
        page.body.contains("not for you, or no longer open"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn s1_4_s1_5_a_question_is_asked_answered_and_then_the_call_goes_on() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    for shown in [
        "alice",
        "client.example",
        CLIENT,
        "notes",
        "1.0.0",
        "example.test",
        "Read files in your folder “notes”",
        "files read notes",
        "http GET,POST api.example.test /v1/",
        "needed: the tool does not run without it",
        "optional: the tool also works without it",
    ] {
        assert!(page.body.contains(shown), "{shown} is not in {}", page.body);
    }
    let done = browser
        .post(
            page.url.as_str(),
            &chosen(&page, &ALLOW_ONCE),
            From::OurPage,
        )
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(done.body.contains("the tool may go on"), "{}", done.body);
    assert!(done.body.contains("close this page"), "{}", done.body);

    let consent = world.call("alice", CLIENT).await.unwrap();
    assert_eq!(consent.agreed().iter().count(), 2);
    let rows = records(&world, "alice").await;
    assert!(rows.iter().all(|row| row.scope == Scope::Once));
    // Exactly what the browser was shown stands in the record, and how the user had signed in.
    let shown = Digest::of(page.body.as_bytes());
    assert!(rows.iter().all(|row| row.ui == shown));
    assert!(
        rows.iter()
            .all(|row| row.acr.as_deref() == Some("dev") && row.auth_time.is_some())
    );
    let events = world.events().await;
    assert_eq!(
        events,
        [
            "consent.asked",
            "sign-in.done",
            "consent.given",
            "consent.used"
        ]
    );
}

#[tokio::test]
async fn nothing_is_chosen_for_the_user() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    assert!(!page.body.contains("checked"), "{}", page.body);
    let place = |text| page.body.find(text).unwrap();
    assert!(place("decision-1") < place("decision-0"), "needed first");
    for incomplete in [
        &[][..],
        &[("decision-0", "allow-once")],
        &[("decision-0", "allow-once"), ("decision-1", "allow")],
        &[("decision-0", "allow-once"), ("decision-1", "")],
        &[ALLOW_ONCE[0], ALLOW_ONCE[1], ("decision-1", "deny")],
        &[("decision-0", "allow-once"), ("decision-1", "allow-until")],
        &[
            ("decision-0", "deny"),
            ("decision-1", "allow-until"),
            ("until-1", "tomorrow"),
        ],
        &[
            ("decision-0", "deny"),
            ("decision-1", "allow-until"),
            ("until-1", "2020-01-01"),
        ],
        &[
            ("decision-0", "deny"),
            ("decision-1", "allow-until"),
            ("until-1", "2027-01-20"),
            ("calls-1", "0"),
        ],
        &[
            ("decision-0", "deny"),
            ("decision-1", "allow-until"),
            ("until-1", "2027-01-20"),
            ("calls-1", "1001"),
        ],
    ] {
        let fields = chosen(&page, incomplete);
        let answer = browser
            .post(page.url.as_str(), &fields, From::OurPage)
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{incomplete:?}");
        assert!(
            answer.body.contains("Nothing was decided"),
            "{}",
            answer.body
        );
        assert!(records(&world, "alice").await.is_empty(), "{incomplete:?}");
    }
}

#[tokio::test]
async fn a_denial_is_a_decision() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let fields = chosen(
        &page,
        &[("decision-1", "deny"), ("decision-0", "allow-once")],
    );
    let done = browser
        .post(page.url.as_str(), &fields, From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(done.body.contains("the tool will not run"), "{}", done.body);
    let call = world.call("alice", CLIENT).await;
    assert!(matches!(call, Err(ConsentError::Denied { .. })), "{call:?}");
}

#[tokio::test]
async fn a_consent_lasts_until_the_day_that_was_chosen_and_no_longer_than_its_tier_allows() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let fields = chosen(
        &page,
        &[
            ("decision-0", "allow-until"),
            ("until-0", "2027-01-16"),
            ("decision-1", "allow-until"),
            ("until-1", "9000-01-01"),
        ],
    );
    let done = browser
        .post(page.url.as_str(), &fields, From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let mut ends: Vec<_> = records(&world, "alice").await;
    ends.sort_by_key(|row| row.expires_at);
    assert_eq!(ends[0].expires_at.rfc3339(), "2027-01-17T00:00:00Z");
    assert_eq!(ends[1].expires_at, world.now().plus(CONSENT_T1_MAX));
}

#[tokio::test]
async fn p27_h1_h4_s4_2_the_question_of_another_user_is_as_unknown_as_none() {
    let world = World::start().await;
    let url = world.question("alice").await;
    let other = Browser::new();
    let foreign = other.visit_as(&url, "root").await;
    not_for_you(&foreign);
    assert!(!foreign.body.contains("client.example") && !foreign.body.contains("alice"));
    let unknown = other
        .get(&world.at(&format!("/consent/{}", "A".repeat(43))))
        .await;
    not_for_you(&unknown);
    assert_eq!(foreign.body, unknown.body);
    // Nor can it be answered, by whatever form.
    let (_, own) = asked(&world, "root").await;
    for fields in [chosen(&own, &ALLOW_ONCE), Vec::new()] {
        not_for_you(&other.post(&url, &fields, From::OurPage).await);
    }
    assert!(records(&world, "alice").await.is_empty());
    assert!(records(&world, "root").await.is_empty());
    let events = world.events().await;
    let foreign = events.iter().filter(|kind| *kind == "consent.foreign-user");
    assert_eq!(foreign.count(), 3, "{events:?}");
}

#[tokio::test]
async fn a_link_that_is_no_ticket_is_unknown_before_any_sign_in() {
    let world = World::start().await;
    for bad in ["x", "%2e%2e%2f", &"A".repeat(44)] {
        not_for_you(
            &Browser::new()
                .get(&world.at(&format!("/consent/{bad}")))
                .await,
        );
    }
}

#[tokio::test]
async fn s1_7_an_answer_comes_from_our_page_in_the_same_session() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let url = page.url.as_str();
    let good = chosen(&page, &ALLOW_ONCE);
    let changed = |name: &str, value: Option<&str>| -> Vec<(String, String)> {
        let others = good.iter().filter(|(key, _)| key != name).cloned();
        let new = value.map(|value| (name.to_owned(), value.to_owned()));
        others.chain(new).collect()
    };
    for (fields, from) in [
        (good.clone(), From::OtherSite),
        (changed("token", None), From::OurPage),
        (changed("token", Some("")), From::OurPage),
        (changed("token", Some(&"A".repeat(43))), From::OurPage),
        (changed("shown-at", None), From::OurPage),
        (changed("shown-at", Some("1")), From::OurPage),
        (changed("shown-at", Some("1800000000001")), From::OurPage),
    ] {
        let answer = browser.post(url, &fields, from).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
    }
    // The token of another session of the same user does not count here.
    let second = Browser::new();
    let again = second.visit_as(url, "alice").await;
    let foreign = browser
        .post(url, &chosen(&again, &ALLOW_ONCE), From::OurPage)
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(records(&world, "alice").await.is_empty());
    assert_eq!(
        browser.post(url, &good, From::OurPage).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_answer_needs_a_session() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    browser.jar.lock().unwrap().remove(SESSION);
    let answer = browser
        .post(
            page.url.as_str(),
            &chosen(&page, &ALLOW_ONCE),
            From::OurPage,
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // Our own `form-action` would stop a redirect to the issuer, so there is a link.
    assert!(answer.body.contains(page.url.path()), "{}", answer.body);
    assert!(records(&world, "alice").await.is_empty());
}

#[tokio::test]
async fn h2_a_question_is_answered_once() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let url = page.url.as_str();
    let fields = chosen(&page, &ALLOW_ONCE);
    assert_eq!(
        browser.post(url, &fields, From::OurPage).await.status,
        StatusCode::OK
    );
    let deny = chosen(&page, &[("decision-0", "deny"), ("decision-1", "deny")]);
    let again = browser.post(url, &deny, From::OurPage).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("changed nothing"), "{}", again.body);
    assert!(
        again.body.contains("Allowed for one call"),
        "{}",
        again.body
    );
    let rows = records(&world, "alice").await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row.state == ConsentState::Active));
    // Opened again, it shows what was decided.
    let later = browser.get(url).await;
    assert_eq!(later.status, StatusCode::OK);
    assert!(later.body.contains("the tool may go on"), "{}", later.body);
}

#[tokio::test]
async fn h2_s4_3_a_question_expires() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    world.clock.advance(TICKET_TTL);
    let url = page.url.as_str();
    for late in [
        browser.get(url).await,
        browser
            .post(url, &chosen(&page, &ALLOW_ONCE), From::OurPage)
            .await,
    ] {
        assert_eq!(late.status, StatusCode::GONE);
        assert!(late.body.contains("call the tool again"), "{}", late.body);
    }
    assert!(records(&world, "alice").await.is_empty());
}

#[tokio::test]
async fn a_question_that_took_a_while_to_read_can_still_be_answered() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    world.clock.advance(Duration::from_secs(540));
    let fields = chosen(&page, &ALLOW_ONCE);
    let done = browser
        .post(page.url.as_str(), &fields, From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let shown = Digest::of(page.body.as_bytes());
    assert!(
        records(&world, "alice")
            .await
            .iter()
            .all(|row| row.ui == shown)
    );
}

#[tokio::test]
async fn texts_of_others_are_text() {
    let world = World::start().await;
    let (_, page) = asked(&world, "alice").await;
    assert!(!page.body.contains("<script"), "{}", page.body);
    assert!(!page.body.contains("<b>&"), "{}", page.body);
    assert!(!page.body.contains('\u{202e}'));
}

#[tokio::test]
async fn s1_8_every_page_is_framed_by_nobody_cached_by_nobody_and_runs_no_script() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let done = browser
        .post(
            page.url.as_str(),
            &chosen(&page, &ALLOW_ONCE),
            From::OurPage,
        )
        .await;
    let forged = browser.post(page.url.as_str(), &[], From::OtherSite).await;
    for page in [
        page,
        done,
        forged,
        browser.get(&world.at("/consents")).await,
        browser.get(&world.at("/style.css")).await,
        browser.get(&world.at("/consent/x")).await,
        browser.get(&world.at("/sign-in?next=x")).await,
        browser.get(&world.at("/sign-in")).await,
        browser.get(&format!("{}/authorize", world.issuer)).await,
    ] {
        let policy = page.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        for rule in [
            "default-src 'none'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{}: {policy}", page.url);
        }
        assert!(!policy.contains("script"), "{}: {policy}", page.url);
        assert_eq!(page.headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(page.headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        for active in ["<script", "javascript:", " onclick", " style="] {
            assert!(!page.body.contains(active), "{}: {active}", page.url);
        }
    }
}

#[tokio::test]
async fn p26_o11_a_page_without_a_session_leads_to_the_sign_in_and_back() {
    let world = World::start().await;
    let url = world.question("alice").await;
    let page = Browser::new().get(&url).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let to = page.location();
    let ticket: TicketId = url.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(to.path(), "/sign-in");
    assert_eq!(to.query(), Some(&*format!("next={}", ticket.path())));
    // A ticket is all that an address holds: no name, no claim, no choice.
    assert!(!to.as_str().contains("alice"));
}
