use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use axum::http::{Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use url::Url;

use super::browser::{Browser, Page};
use super::world::{Options, World};
use crate::ids::Digest;
use crate::limits::SIGN_IN_FLOW_TTL;
use crate::store::Store;
use crate::web::cookie::{FLOW, SESSION};

fn query(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn with(url: &Url, name: &str, value: Option<&str>) -> String {
    let mut pairs = query(url);
    match value {
        Some(value) => pairs.insert(name.to_owned(), value.to_owned()),
        None => pairs.remove(name),
    };
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed.into()
}

fn refused(page: &Page, status: StatusCode, browser: &Browser) {
    assert_eq!(page.status, status, "{}", page.body);
    assert!(page.body.contains("You are not signed in"), "{}", page.body);
    assert!(
        page.body.contains("/sign-in?next=/consent"),
        "no way on: {}",
        page.body
    );
    assert_eq!(browser.cookie(SESSION), None);
}

pub(super) async fn is_signed_in(world: &World, browser: &Browser) -> bool {
    let page = browser.get(&world.at("/consents")).await;
    match page.status {
        StatusCode::OK => true,
        StatusCode::SEE_OTHER => false,
        other => panic!("{other}: {}", page.body),
    }
}

#[tokio::test]
async fn s1_16_o2_o3_o4_a_sign_in_is_a_code_flow_with_pkce_state_and_nonce() {
    let world = World::start().await;
    let browser = Browser::new();
    let start = browser.get(&world.at("/sign-in?next=/consents")).await;
    assert_eq!(start.status, StatusCode::SEE_OTHER);
    let to = start.location();
    assert!(
        to.as_str()
            .starts_with(&format!("{}/authorize?", world.issuer)),
        "{to}"
    );
    let asked = query(&to);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["scope"], "openid");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["redirect_uri"], world.at("/sign-in/callback"));
    let chance = ["state", "nonce", "code_challenge"].map(|name| asked[name].clone());
    assert!(chance.iter().all(|one| one.len() == 43), "{asked:?}");
    assert!(!asked.contains_key("prompt"));
    let again = query(&browser.get(&world.at("/sign-in?fresh=1")).await.location());
    assert!(
        chance
            .iter()
            .all(|one| !again.values().any(|other| other == one))
    );

    // An issuer says when the user proved who they are if it is asked for an age, and need not otherwise.
    assert_eq!(asked["max_age"], (365 * 24 * 3600).to_string());
    assert_eq!((&*again["prompt"], &*again["max_age"]), ("login", "300"));

    // The state is kept as a hash alone, and with it what proves the code ours.
    let flow = world
        .store
        .take_flow(Digest::of(chance[0].as_bytes()), world.now())
        .await;
    let flow: serde_json::Value = serde_json::from_str(&flow.unwrap().unwrap()).unwrap();
    let challenge = Digest::of(flow["verifier"].as_str().unwrap().as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(challenge.as_bytes()), chance[2]);
    assert_eq!(flow["nonce"], chance[1].as_str());
    assert!(!flow.to_string().contains(&chance[0]));
}

#[tokio::test]
async fn a_user_who_signs_in_comes_to_the_page_that_was_wanted() {
    let world = World::start().await;
    let browser = Browser::new();
    let page = browser.visit_as(&world.at("/consents"), "alice").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.url.path(), "/consents");
    assert!(page.url.query().is_none());
    assert!(page.body.contains("alice"));
    assert!(is_signed_in(&world, &browser).await);
    assert_eq!(browser.cookie(FLOW), None);
    assert_eq!(world.events().await, ["sign-in.done"]);
}

#[tokio::test]
async fn s1_9_s1_10_s1_11_o5_cookies_are_bound_to_this_host_and_hidden_from_scripts() {
    let world = World::start().await;
    let browser = Browser::new();
    let start = browser.get(&world.at("/sign-in")).await;
    let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    let end = browser.get(back.as_str()).await;
    let lines: Vec<_> = start.cookies().into_iter().chain(end.cookies()).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        assert!(line.starts_with("__Host-bw-"), "{line}");
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(
                line.split("; ").any(|part| part == attribute),
                "{attribute}: {line}"
            );
        }
        assert!(!line.to_lowercase().contains("domain"), "{line}");
    }
    // Only a hash of what the cookie holds is kept.
    let cookie = browser.cookie(SESSION).unwrap();
    assert_eq!(cookie.len(), 43);
    let session = world
        .store
        .session(Digest::of(cookie.as_bytes()), world.now())
        .await;
    assert_eq!(session.unwrap().unwrap().who, world.user("alice"));
}

#[tokio::test]
async fn s1_19_s1_20_o3_an_answer_without_our_state_is_refused() {
    let world = World::start().await;
    let browser = Browser::new();
    let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    let state = query(&back)["state"].clone();
    for (bad, status) in [
        (None, StatusCode::BAD_REQUEST),
        (Some(""), StatusCode::BAD_REQUEST),
        (Some("x"), StatusCode::BAD_REQUEST),
        (Some(&*format!("{state} ")), StatusCode::BAD_REQUEST),
        (Some(&*state.to_lowercase()), StatusCode::FORBIDDEN),
        (Some(&*"A".repeat(43)), StatusCode::FORBIDDEN),
    ] {
        let page = browser.get(&with(&back, "state", bad)).await;
        assert!(
            page.status == status || page.status == StatusCode::BAD_REQUEST,
            "{bad:?}: {}",
            page.status
        );
        assert_eq!(browser.cookie(SESSION), None, "{bad:?}");
    }
    let twice = format!("{back}&state={state}");
    refused(
        &browser.get(&twice).await,
        StatusCode::BAD_REQUEST,
        &browser,
    );
    // Beside the refusals: the true answer still counts.
    assert_eq!(
        browser.get(back.as_str()).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(is_signed_in(&world, &browser).await);
}

#[tokio::test]
async fn s1_19_o3_an_answer_counts_in_the_browser_that_asked() {
    let world = World::start().await;
    let (asked, other, busy) = (Browser::new(), Browser::new(), Browser::new());
    let back = asked.up_to_callback(&world.at("/sign-in"), "alice").await;
    refused(
        &other.get(back.as_str()).await,
        StatusCode::FORBIDDEN,
        &other,
    );
    // A browser with a sign-in of its own is another one as well.
    busy.get(&world.at("/sign-in")).await;
    refused(&busy.get(back.as_str()).await, StatusCode::FORBIDDEN, &busy);
    // Nobody else can use it up.
    assert_eq!(asked.get(back.as_str()).await.status, StatusCode::SEE_OTHER);
    assert!(is_signed_in(&world, &asked).await);
    let events = world.events().await;
    assert_eq!(events, ["sign-in.failed", "sign-in.failed", "sign-in.done"]);
}

#[tokio::test]
async fn s1_21_o3_an_answer_counts_once() {
    let world = World::start().await;
    let browser = Browser::new();
    let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    let flow = browser.cookie(FLOW).unwrap();
    browser.get(back.as_str()).await;
    let session = browser.cookie(SESSION).unwrap();
    browser.keep(FLOW, &flow);
    let page = browser.get(back.as_str()).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert_eq!(browser.cookie(SESSION), Some(session));
}

#[tokio::test]
async fn s1_21_o3_an_answer_that_comes_too_late_is_refused() {
    let world = World::start().await;
    let browser = Browser::new();
    let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    world.clock.advance(SIGN_IN_FLOW_TTL);
    refused(
        &browser.get(back.as_str()).await,
        StatusCode::BAD_REQUEST,
        &browser,
    );
}

#[tokio::test]
async fn s8_o6_an_answer_names_the_issuer_that_was_asked() {
    let world = World::start().await;
    for other in [None, Some("https://evil.test"), Some("")] {
        let browser = Browser::new();
        let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
        let page = browser.get(&with(&back, "iss", other)).await;
        refused(&page, StatusCode::FORBIDDEN, &browser);
        // It cannot be tried again with another name.
        refused(
            &browser.get(back.as_str()).await,
            StatusCode::BAD_REQUEST,
            &browser,
        );
    }
    let slash = format!("{}/", world.issuer);
    let browser = Browser::new();
    let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    refused(
        &browser.get(&with(&back, "iss", Some(&slash))).await,
        StatusCode::FORBIDDEN,
        &browser,
    );
    assert!(
        world.wire.sent.lock().unwrap().is_empty(),
        "a code went out"
    );
}

#[tokio::test]
async fn o7_an_id_token_of_another_sign_in_is_refused() {
    let world = World::start().await;
    let victim = Browser::new();
    victim.visit_as(&world.at("/consents"), "alice").await;
    let stolen = world.wire.answers.lock().unwrap()[0].clone();
    let thief = Browser::new();
    let back = thief.up_to_callback(&world.at("/sign-in"), "root").await;
    *world.wire.instead.lock().unwrap() = Some(Ok(Response::new(stolen)));
    refused(
        &thief.get(back.as_str()).await,
        StatusCode::FORBIDDEN,
        &thief,
    );
}

#[tokio::test]
async fn what_the_token_endpoint_does_wrong_signs_nobody_in() {
    let world = World::start().await;
    let refusal = |status: u16, body: &'static str| {
        let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(answer)
    };
    for (instead, status) in [
        (
            refusal(400, r#"{"error":"invalid_grant"}"#),
            StatusCode::FORBIDDEN,
        ),
        (
            refusal(401, r#"{"error":"invalid_client"}"#),
            StatusCode::BAD_GATEWAY,
        ),
        (refusal(302, ""), StatusCode::BAD_GATEWAY),
        (refusal(200, "{}"), StatusCode::BAD_GATEWAY),
        (refusal(200, "<html>"), StatusCode::BAD_GATEWAY),
        (
            refusal(200, r#"{"id_token":"a.b.c"}"#),
            StatusCode::FORBIDDEN,
        ),
        (Err("no way"), StatusCode::BAD_GATEWAY),
    ] {
        let browser = Browser::new();
        let back = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
        *world.wire.instead.lock().unwrap() = Some(instead);
        refused(&browser.get(back.as_str()).await, status, &browser);
    }
}

#[tokio::test]
async fn a_user_whom_the_issuer_declines_is_not_signed_in() {
    let world = World::start().await;
    let browser = Browser::new();
    let start = browser.get(&world.at("/sign-in")).await.location();
    let mut back = Url::parse(&world.at("/sign-in/callback")).unwrap();
    back.query_pairs_mut()
        .append_pair("state", &query(&start)["state"])
        .append_pair("iss", &world.issuer)
        .append_pair("error", "access_denied")
        .append_pair("error_description", "<b>no</b>");
    let page = browser.get(back.as_str()).await;
    refused(&page, StatusCode::FORBIDDEN, &browser);
    assert!(!page.body.contains("<b>no"), "{}", page.body);
}

#[tokio::test]
async fn o4_a_sign_in_leads_to_no_address_of_somebodys_choice() {
    let world = World::start().await;
    for bad in [
        "https://evil.test",
        "//evil.test",
        "/%5Cevil.test",
        "/sign-out",
        "/consent/short",
        "",
    ] {
        let browser = Browser::new();
        let page = browser
            .get(&world.at(&format!("/sign-in?next={bad}")))
            .await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(page.cookies().is_empty(), "{bad}");
        assert!(!page.body.contains("evil"), "{bad}");
    }
    let twice = browser_get(&world, "/sign-in?next=/consents&next=//evil.test").await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
}

async fn browser_get(world: &World, path: &str) -> Page {
    Browser::new().get(&world.at(path)).await
}

#[tokio::test]
async fn two_sign_ins_that_were_begun_together_can_both_be_finished() {
    let world = World::start().await;
    let browser = Browser::new();
    let one = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    let two = browser.up_to_callback(&world.at("/sign-in"), "alice").await;
    for back in [one, two] {
        assert_eq!(
            browser.get(back.as_str()).await.status,
            StatusCode::SEE_OTHER
        );
    }
    assert_eq!(browser.cookie(FLOW), None);
}

#[tokio::test]
async fn without_an_issuer_nobody_signs_in_and_the_page_says_what_to_do() {
    let off = World::with(Options {
        no_sign_in: true,
        ..Options::default()
    })
    .await;
    let page = Browser::new().get(&off.at("/sign-in")).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.body.contains("[sign_in]"), "{}", page.body);
    let down = World::with(Options {
        no_issuer: true,
        ..Options::default()
    })
    .await;
    let page = Browser::new().get(&down.at("/sign-in")).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers.contains_key(header::RETRY_AFTER));
    assert!(page.cookies().is_empty());
}

#[tokio::test]
async fn a_client_with_a_secret_proves_itself_and_one_without_says_its_name() {
    let plain = World::start().await;
    Browser::new()
        .visit_as(&plain.at("/consents"), "alice")
        .await;
    let (headers, form) = plain.wire.sent.lock().unwrap()[0].clone();
    assert!(!headers.contains_key(header::AUTHORIZATION));
    assert!(
        form.contains("client_id=bailiwick-web") && form.contains("code_verifier="),
        "{form}"
    );

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "p:ä ss\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let sent = async |secret_in_form| {
        let secret = World::with(Options {
            client_secret: Some(file.clone()),
            secret_in_form,
            ..Options::default()
        })
        .await;
        let browser = Browser::new();
        let back = browser
            .up_to_callback(&secret.at("/sign-in"), "alice")
            .await;
        *secret.wire.instead.lock().unwrap() = Some(Err("seen enough"));
        browser.get(back.as_str()).await;
        let mut sent = secret.wire.sent.lock().unwrap();
        sent.remove(0)
    };
    let (headers, form) = sent(false).await;
    // RFC 6749 §2.3.1: form-encoded first, then Basic.
    let basic = base64::engine::general_purpose::STANDARD.encode("bailiwick-web:p%3A%C3%A4+ss");
    assert_eq!(headers[header::AUTHORIZATION], format!("Basic {basic}"));
    assert!(headers[header::AUTHORIZATION].is_sensitive());
    assert!(!form.contains("client_id"), "{form}");
    // Where the issuer takes nothing else, in the form; never in both.
    let (headers, form) = sent(true).await;
    assert!(!headers.contains_key(header::AUTHORIZATION));
    assert!(
        form.ends_with("&client_id=bailiwick-web&client_secret=p%3A%C3%A4+ss"),
        "{form}"
    );
}
