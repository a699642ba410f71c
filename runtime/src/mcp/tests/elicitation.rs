//! Calls that ask their user in a session and go on: what is sent, whose answer counts, and how waiting ends.

use super::sessions::{bare, begin, by, initialize, rig, within};
use super::subscriptions::Stream;
use super::*;
use crate::limits::{REQUEST_STATE_TTL, SESSION_QUESTION_WAIT_MAX, SESSION_QUESTIONS_MAX};

pub(super) fn call(tool: &str) -> Request<Body> {
    legacy("tools/call", json!({"name": tool, "arguments": {}}))
}

fn said(id: &Value, answer: Value) -> Request<Body> {
    let mut body = json!({"jsonrpc": "2.0", "id": id});
    let answer = answer.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(answer);
    with(post(body.to_string()), "mcp-protocol-version", LEGACY)
}

fn did(action: &str) -> Value {
    json!({"result": {"action": action}})
}

/// Answers a question within a session.
pub(super) async fn answer(rig: &Rig, session: &str, id: &Value, answer: Value) {
    let shown = rig.send(within(session, said(id, answer))).await;
    assert_eq!(
        (shown.status, shown.body.as_str()),
        (StatusCode::ACCEPTED, "")
    );
}

fn consent(rig: &Rig, given: bool) {
    rig.line.consented.store(given, Ordering::SeqCst);
}

/// A call that asks, up to its question.
async fn asked(rig: &Rig, session: &str) -> (Stream, Value) {
    let mut stream = Stream::open(rig, within(session, call("ask"))).await;
    let question = stream.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    (stream, question)
}

fn is_link(result: &Value) -> bool {
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    result["isError"] == true && text.contains("https://mcp.test/consent/t1")
}

#[tokio::test]
async fn p26_d7_5_a_call_asks_by_url_waits_and_goes_on_after_the_user_decided() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let (mut stream, question) = asked(&rig, &id).await;
    let ticket = "A".repeat(43).parse::<TicketId>().unwrap();
    let name = ticket.hash().to_string();
    assert_eq!(
        question["params"],
        json!({
            "mode": "url",
            "elicitationId": name,
            "url": "https://mcp.test/consent/t1",
            "message": "Notes wants to write",
        })
    );
    // That its user agreed to open the page is no consent.
    answer(&rig, &id, &question["id"], did("accept")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.line.ran().len(), 1);
    consent(&rig, true);
    let complete = stream.next().await.unwrap();
    assert_eq!(complete["method"], "notifications/elicitation/complete");
    assert_eq!(complete["params"], json!({"elicitationId": name}));
    let result = stream.next().await.unwrap();
    assert_eq!(result["id"], 1);
    assert_eq!(result["result"]["content"][0]["text"], "agreed");
    assert_eq!(stream.next().await, None);
    let ran = rig.line.ran();
    assert_eq!(ran.len(), 2);
    assert_eq!(ran[1].said, Some(Said::Accepted));
    assert_eq!(ran[1].request_state.as_deref(), Some("sealed"));
}

#[tokio::test]
async fn p30_the_decision_counts_whether_or_not_the_client_answers() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let (mut stream, question) = asked(&rig, &id).await;
    consent(&rig, true);
    stream.next().await.unwrap();
    let result = stream.next().await.unwrap();
    assert_eq!(result["result"]["content"][0]["text"], "agreed");
    // Too late, and not an error.
    answer(&rig, &id, &question["id"], did("decline")).await;
}

#[tokio::test]
async fn p21_decline_and_cancel_end_the_call_and_allow_nothing() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    for (action, said) in [("decline", Said::Declined), ("cancel", Said::Cancelled)] {
        let (mut stream, question) = asked(&rig, &id).await;
        answer(&rig, &id, &question["id"], did(action)).await;
        let result = stream.next().await.unwrap();
        assert_eq!(result["result"]["isError"], true, "{result}");
        assert_eq!(rig.line.ran().last().unwrap().said, Some(said));
    }
}

#[tokio::test]
async fn p21_d6_a_client_that_cannot_ask_gets_the_link_as_text() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    for failed in [
        json!({"error": {"code": -32601, "message": "no"}}),
        json!({"result": {}}),
        did("whatever"),
    ] {
        let (mut stream, question) = asked(&rig, &id).await;
        answer(&rig, &id, &question["id"], failed).await;
        assert!(is_link(&stream.next().await.unwrap()["result"]));
    }
}

#[tokio::test]
async fn p21_d7_5_who_never_said_that_it_shows_links_is_not_asked() {
    let (rig, _) = rig();
    for (version, elicitation) in [
        (LEGACY, json!({})),
        (LEGACY, json!({"form": {}})),
        // That revision has no links.
        ("2025-06-18", json!({"url": {}})),
    ] {
        let begun = rig.send(initialize(version, elicitation)).await;
        let id = begun.header("mcp-session-id").unwrap();
        let request = with(call("ask"), "mcp-protocol-version", version);
        let shown = rig.send(within(id, request)).await;
        assert!(is_link(&shown.result()), "{shown:?}");
    }
    assert!(is_link(&rig.send(call("ask")).await.result()), "no session");
}

#[tokio::test]
async fn s4_4_the_answer_of_another_session_reaches_nobody() {
    let (rig, _) = rig();
    let alice = begin(&rig, json!({})).await;
    let (own, claims) = (begin(&rig, json!({})).await, json!({"sub": "mallory"}));
    let mallory = begin(&rig, claims.clone()).await;
    let (mut stream, question) = asked(&rig, &alice).await;
    answer(&rig, &own, &question["id"], did("decline")).await;
    let foreign = within(&mallory, said(&question["id"], did("decline")));
    let shown = rig.send(by(foreign, claims.clone())).await;
    assert_eq!(
        shown.status,
        StatusCode::ACCEPTED,
        "of a question that it never saw"
    );
    let stolen = within(&alice, said(&question["id"], did("decline")));
    let shown = rig.send(by(stolen, claims)).await;
    assert_eq!(shown.code(), (404, -32001));
    consent(&rig, true);
    stream.next().await.unwrap();
    let result = stream.next().await.unwrap();
    assert_eq!(result["result"]["content"][0]["text"], "agreed");
}

#[tokio::test]
async fn a_question_goes_to_the_stream_of_its_call_and_to_no_other() {
    let (rig, _) = rig();
    let claims = json!({"sub": "mallory"});
    let (one, two) = (
        begin(&rig, json!({})).await,
        begin(&rig, claims.clone()).await,
    );
    let mut listening = Stream::open(&rig, within(&one, bare(Method::GET))).await;
    let foreign = by(within(&two, bare(Method::GET)), claims);
    let mut foreign = Stream::open(&rig, foreign).await;
    let (first, _) = asked(&rig, &one).await;
    let (second, _) = asked(&rig, &one).await;
    drop((first, second));
    rig.shutdown.cancel();
    assert_eq!(listening.next().await, None);
    assert_eq!(foreign.next().await, None);
}

#[tokio::test]
async fn delete_ends_what_waits() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let (mut stream, _) = asked(&rig, &id).await;
    let shown = rig.send(within(&id, bare(Method::DELETE))).await;
    assert_eq!(shown.status, StatusCode::NO_CONTENT);
    let cancelled = stream.next().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert!(is_link(&stream.next().await.unwrap()["result"]));
    assert_eq!(rig.line.ran().len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_waiting() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    // Far more than may wait at once, so each one that goes must give its place back.
    for _ in 0..3 * SESSION_QUESTIONS_MAX {
        let (stream, _) = asked(&rig, &id).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = rig.line.ran().len();
    consent(&rig, true);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(rig.line.ran().len(), before, "and no call goes on");
}

#[tokio::test]
async fn the_client_can_cancel_a_call_that_waits() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let (mut stream, _) = asked(&rig, &id).await;
    let params = json!({"requestId": 1});
    let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    let request = with(post(body.to_string()), "mcp-protocol-version", LEGACY);
    // The same id in another session, and without one, is another call.
    let other = begin(&rig, json!({})).await;
    for elsewhere in [Some(&other), None] {
        let request = with(post(body.to_string()), "mcp-protocol-version", LEGACY);
        let request = match elsewhere {
            Some(other) => within(other, request),
            None => request,
        };
        assert_eq!(rig.send(request).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(
        rig.send(within(&id, request)).await.status,
        StatusCode::ACCEPTED
    );
    let answer = stream.next().await.unwrap();
    assert_eq!(answer["error"]["message"], "the call was cancelled");
}

#[tokio::test]
async fn a_session_has_so_many_questions_and_the_next_is_a_link() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let mut waiting = Vec::new();
    for _ in 0..SESSION_QUESTIONS_MAX {
        waiting.push(asked(&rig, &id).await);
    }
    let shown = rig.send(within(&id, call("ask"))).await;
    assert!(is_link(&shown.result()), "{shown:?}");
    let other = begin(&rig, json!({})).await;
    asked(&rig, &other).await;
}

#[tokio::test]
async fn a_wait_ends_in_time_and_with_the_link() {
    // Else the state of the call would have expired before it goes on.
    const { assert!(SESSION_QUESTION_WAIT_MAX.as_secs() < REQUEST_STATE_TTL.as_secs()) };
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    // Nothing goes on under a token that has expired meanwhile, so this wait is short.
    let claims = json!({"exp": testing::NOW.secs() + 1});
    let request = by(within(&id, call("ask")), claims);
    let mut stream = Stream::open(&rig, request).await;
    let question = stream.next().await.unwrap();
    let cancelled = stream.next().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert!(is_link(&stream.next().await.unwrap()["result"]));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn r11_a_refusal_within_a_session_keeps_its_status() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let shown = rig.send(within(&id, call("late"))).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
    let challenge = shown.header("www-authenticate").unwrap();
    assert!(challenge.contains("late:write"), "{challenge}");
    let shown = rig.send(within(&id, call("admin"))).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
}
