use axum::http::StatusCode;

use super::browser::{Browser, From};
use super::consent::{ALLOW_ONCE, CLIENT, asked, chosen, records};
use super::world::World;
use crate::consent::{CONSENTS_PAGE, ConsentError, DENIAL_TTL};
use crate::store::{ConsentRow, ConsentState};

#[tokio::test]
async fn ones_own_consents_are_listed_and_taken_back() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    let until = [
        ("decision-1", "allow-until"),
        ("until-1", "2027-01-20"),
        ("decision-0", "deny"),
    ];
    browser
        .post(page.url.as_str(), &chosen(&page, &until), From::OurPage)
        .await;
    let list = browser.get(&world.at("/consents")).await;
    assert_eq!(list.status, StatusCode::OK);
    for shown in [
        "notes",
        CLIENT,
        "Read files in your folder",
        "Allowed until 21 January 2027",
        "Not allowed",
    ] {
        assert!(list.body.contains(shown), "{shown} is not in {}", list.body);
    }
    let rows = records(&world, "alice").await;
    let given = rows
        .iter()
        .find(|row| row.state == ConsentState::Active)
        .unwrap();
    let take_back = world.at(&format!("/consents/{}/revoke", given.id));
    let token = || list.hidden().into_iter().take(1).collect::<Vec<_>>();

    // Neither another site nor another page of ours can do it.
    let foreign = browser.post(&take_back, &token(), From::OtherSite).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(
        browser.post(&take_back, &[], From::OurPage).await.status,
        StatusCode::FORBIDDEN
    );
    // Nor another user, in whose list it does not stand.
    let other = Browser::new();
    let others = other.visit_as(&world.at("/consents"), "root").await;
    assert!(!others.body.contains("Read files"), "{}", others.body);
    let (theirs, question) = asked(&world, "root").await;
    theirs
        .post(
            question.url.as_str(),
            &chosen(&question, &ALLOW_ONCE),
            From::OurPage,
        )
        .await;
    let own = theirs.get(&world.at("/consents")).await.hidden();
    let refused = theirs.post(&take_back, &own[..1], From::OurPage).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    let still = records(&world, "alice").await;
    assert!(
        still
            .iter()
            .any(|row| row.id == given.id && row.state == ConsentState::Active)
    );

    let done = browser.post(&take_back, &token(), From::OurPage).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let list = browser.follow(done).await;
    assert!(list.body.contains("Taken back"), "{}", list.body);
    let twice = browser.post(&take_back, &token(), From::OurPage).await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);
    let bad = browser
        .post(&world.at("/consents/x/revoke"), &token(), From::OurPage)
        .await;
    assert_eq!(bad.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn all_consents_are_taken_back_at_once_and_nobody_elses() {
    let world = World::start().await;
    for user in ["alice", "root"] {
        let (browser, page) = asked(&world, user).await;
        browser
            .post(
                page.url.as_str(),
                &chosen(&page, &ALLOW_ONCE),
                From::OurPage,
            )
            .await;
    }
    let browser = Browser::new();
    let list = browser.visit_as(&world.at("/consents"), "alice").await;
    assert!(list.body.contains("Take back all 2"), "{}", list.body);
    let token = list.hidden();
    let url = world.at("/consents/revoke-all");
    assert_eq!(
        browser.post(&url, &[], From::OurPage).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        browser.post(&url, &token[..1], From::OurPage).await.status,
        StatusCode::SEE_OTHER
    );
    let states = |rows: Vec<ConsentRow>| rows.iter().map(|row| row.state).collect::<Vec<_>>();
    assert_eq!(
        states(records(&world, "alice").await),
        [ConsentState::Revoked; 2]
    );
    assert_eq!(
        states(records(&world, "root").await),
        [ConsentState::Active; 2]
    );
    let asked_again = world.call("alice", CLIENT).await;
    assert!(matches!(asked_again, Err(ConsentError::Needed(_))));
}

#[tokio::test]
async fn the_page_says_before_the_click_what_a_second_refusal_leads_to() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    assert!(page.body.contains("twice within 24 hours"), "{}", page.body);
    let deny = [("decision-1", "deny"), ("decision-0", "deny")];
    browser
        .post(page.url.as_str(), &chosen(&page, &deny), From::OurPage)
        .await;
    world.clock.advance(DENIAL_TTL);
    let page = browser.get(&world.question("alice").await).await;
    assert!(
        page.body.contains("If you refuse again what it needs"),
        "{}",
        page.body
    );
    // What is optional was refused for longer, so reading alone is asked.
    let deny = chosen(&page, &[("decision-0", "deny")]);
    browser.post(page.url.as_str(), &deny, From::OurPage).await;
    // And so it is.
    world.clock.advance(DENIAL_TTL);
    let quiet = world.call("alice", CLIENT).await;
    assert!(
        matches!(quiet, Err(ConsentError::Denied { .. })),
        "{quiet:?}"
    );
}

#[tokio::test]
async fn what_is_bounded_or_lapses_or_was_refused_says_so() {
    let world = World::start().await;
    let (browser, page) = asked(&world, "alice").await;
    assert!(
        page.body.contains("ends sooner if 30 days pass"),
        "{}",
        page.body
    );
    let twice = [
        ("decision-1", "allow-until"),
        ("until-1", "2027-01-20"),
        ("calls-1", "2"),
        ("decision-0", "deny"),
    ];
    browser
        .post(page.url.as_str(), &chosen(&page, &twice), From::OurPage)
        .await;
    let list = browser.get(&world.at("/consents")).await;
    assert!(list.body.contains("for 2 more calls"), "{}", list.body);
    assert!(list.body.contains("Ask me again"), "{}", list.body);
    let rows = records(&world, "alice").await;
    assert!(rows.iter().any(|row| row.uses_max == Some(2)));
}

/// Lets alice allow both capabilities through so many clients, by the page.
async fn allowed_through(world: &World, browser: &Browser, clients: usize) {
    for n in 0..clients {
        let client = format!("client-{n}");
        let Err(ConsentError::Needed(needed)) = world.call("alice", &client).await else {
            panic!("it is asked about");
        };
        let page = browser.get(&world.at(&needed.path)).await;
        let session = [
            ("decision-0", "allow-session"),
            ("decision-1", "allow-session"),
        ];
        let form = chosen(&page, &session);
        let done = browser.post(page.url.as_str(), &form, From::OurPage).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    }
}

/// The address behind a link of this page.
fn link(page: &super::browser::Page, text: &str) -> Option<String> {
    let (before, _) = page.body.split_once(&format!(">{text}</a>"))?;
    let (_, address) = before.rsplit_once("href=\"")?;
    Some(address.trim_end_matches('"').replace("&amp;", "&"))
}

#[tokio::test]
async fn whatever_holds_is_in_reach_and_taken_back_with_the_rest_however_much_it_is() {
    let world = World::start().await;
    let browser = Browser::new();
    let first = browser.visit_as(&world.at("/consents"), "alice").await;
    assert_eq!(link(&first, "Earlier decisions"), None);
    let clients = CONSENTS_PAGE / 2 + 5;
    allowed_through(&world, &browser, clients).await;

    // Page after page, every one of them has its button, once.
    let (mut seen, mut pages) = (std::collections::BTreeSet::new(), 0);
    let mut next = Some("/consents?by=client".to_owned());
    while let Some(address) = next {
        let page = browser.get(&world.at(&address)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.body
                .contains(&format!("Take back all {} consents", 2 * clients))
        );
        for rest in page.body.split("action=\"/consents/").skip(1) {
            if let Some((id, _)) = rest.split_once("/revoke\"") {
                assert!(seen.insert(id.to_owned()), "twice: {id}");
            }
        }
        pages += 1;
        next = link(&page, "Earlier decisions");
        assert_eq!(link(&page, "Newest decisions").is_some(), pages > 1);
    }
    assert_eq!((seen.len(), pages), (2 * clients, 2));

    // The button under a tool says how many there are of it in all, and takes all of them back.
    let page = browser.get(&world.at("/consents")).await;
    assert!(
        page.body
            .contains(&format!("Take back all {} of this tool", 2 * clients))
    );
    let mut fields = page.hidden()[..1].to_vec();
    let last = [("client".to_owned(), "client-0".to_owned())];
    fields.extend(last);
    let one = world.at("/consents/revoke-client");
    browser.post(&one, &fields, From::OurPage).await;
    let live = async || {
        let rows = records(&world, "alice").await.into_iter();
        rows.filter(|row| row.state == ConsentState::Active).count()
    };
    assert_eq!(
        live().await,
        2 * clients - 2,
        "what only the last page shows"
    );
    let tool = [
        fields[0].clone(),
        ("tool".to_owned(), "notes".to_owned()),
        ("publisher".to_owned(), "example.test".to_owned()),
    ];
    browser
        .post(&world.at("/consents/revoke-tool"), &tool, From::OurPage)
        .await;
    assert_eq!(live().await, 0);
}
