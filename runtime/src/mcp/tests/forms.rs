//! Forms of tools on the wire: who is shown one, in which shape, and what is done with the answer.

use super::elicitation::{answer, call};
use super::sessions::{begin, initialize, rig, within};
use super::subscriptions::Stream;
use super::*;
use crate::limits::SESSION_QUESTIONS_MAX;

fn declaring(elicitation: Value, extra: Value) -> Value {
    let mut params = json!({
        "name": "form",
        "arguments": {},
        "_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": elicitation}},
    });
    let extra = extra.as_object().unwrap().clone();
    params.as_object_mut().unwrap().extend(extra);
    params
}

fn retry(state: &str, answer: Value) -> Value {
    declaring(
        json!({"form": {}}),
        json!({"requestState": state, "inputResponses": {"form": answer}}),
    )
}

fn filled() -> Value {
    json!({"action": "accept", "content": {"note": "ada"}})
}

#[tokio::test]
async fn p19_p25_a_tool_asks_by_form_and_the_retry_brings_the_answer() {
    let rig = Rig::new();
    let shown = rig
        .modern("tools/call", declaring(json!({}), json!({})))
        .await;
    let result = shown.result();
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["requestState"], "first");
    assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
    assert_eq!(
        result["inputRequests"],
        json!({"form": {"method": "elicitation/create", "params": {
            "mode": "form",
            "message": "“Notes” (form) asks: first?",
            "requestedSchema": serde_json::from_str::<Value>(FORM).unwrap(),
        }}})
    );
    // Fields stand in the order that the tool gave them.
    let at = |field: &str| shown.body.find(field).unwrap();
    assert!(at("\"note\":") < at("\"age\":"), "{}", shown.body);
    let shown = rig.modern("tools/call", retry("first", filled())).await;
    assert_eq!(shown.result()["requestState"], "second");
    for (action, said) in [("decline", "declined"), ("cancel", "cancelled")] {
        let shown = rig
            .modern("tools/call", retry("second", json!({"action": action})))
            .await;
        assert_eq!(shown.result()["content"][0]["text"], said);
    }
    let content = Reply::Submitted(json!({"note": "ada"}));
    assert_eq!(rig.line.ran()[1].replied, Some(content));
    assert_eq!(rig.line.ran()[1].said, None, "it is no word about consent");
}

#[tokio::test]
async fn p21_a_missing_answer_is_asked_for_again_and_further_keys_are_ignored() {
    let rig = Rig::new();
    for responses in [
        json!({}),
        json!({"other": filled()}),
        json!({"form": {"action": "accept"}}),
        json!({"form": {"action": "allow", "content": {}}}),
        json!({"form": {}}),
        json!({"consent": {"action": "accept", "content": {}}}),
    ] {
        let extra = json!({"requestState": "first", "inputResponses": responses});
        let shown = rig.modern("tools/call", declaring(json!({}), extra)).await;
        assert_eq!(shown.result()["requestState"], "first", "{responses}");
        assert_eq!(rig.line.ran().last().unwrap().replied, None);
    }
    let both = json!({"form": filled(), "other": filled()});
    let extra = json!({"requestState": "first", "inputResponses": both});
    let shown = rig.modern("tools/call", declaring(json!({}), extra)).await;
    assert_eq!(shown.result()["requestState"], "second");
}

#[tokio::test]
async fn p21_the_line_hears_of_each_request_alone_what_its_client_can_show() {
    let rig = Rig::new();
    for (elicitation, forms, links) in [
        (json!({}), true, false),
        (json!({"form": {}}), true, false),
        (json!({"form": {}, "url": {}}), true, true),
        (json!({"url": {}}), false, true),
    ] {
        rig.modern("tools/call", declaring(elicitation.clone(), json!({})))
            .await;
        let ran = rig.line.ran();
        let ran = ran.last().unwrap();
        assert_eq!(
            (ran.can_show_forms, ran.can_open_urls),
            (forms, links),
            "{elicitation}"
        );
    }
    let params = json!({
        "name": "form",
        "arguments": {},
        "_meta": {"io.modelcontextprotocol/clientCapabilities": {}},
    });
    rig.modern("tools/call", params).await;
    assert!(!rig.line.ran().last().unwrap().can_show_forms);
    // Without a session nobody remembers what an older client can do.
    rig.send(call("form")).await;
    assert!(!rig.line.ran().last().unwrap().can_show_forms);
}

#[tokio::test]
async fn c5_in_a_session_the_call_waits_and_goes_on_with_the_answers() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
    for state in ["first", "second"] {
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(
            question["params"],
            json!({
                "mode": "form",
                "message": format!("“Notes” (form) asks: {state}?"),
                "requestedSchema": serde_json::from_str::<Value>(FORM).unwrap(),
            })
        );
        answer(&rig, &id, &question["id"], json!({"result": filled()})).await;
    }
    let result = stream.next().await.unwrap();
    assert_eq!(result["result"]["content"][0]["text"], "submitted");
    assert_eq!(stream.next().await, None);
    let ran = rig.line.ran();
    let states: Vec<_> = ran.iter().map(|ran| ran.request_state.as_deref()).collect();
    assert_eq!(states, [None, Some("first"), Some("second")]);
}

#[tokio::test]
async fn in_a_session_decline_and_cancel_are_answers_and_an_error_ends_the_call() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    for (action, reply) in [("decline", Reply::Declined), ("cancel", Reply::Cancelled)] {
        let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
        let question = stream.next().await.unwrap();
        let said = json!({"result": {"action": action}});
        answer(&rig, &id, &question["id"], said).await;
        stream.next().await.unwrap();
        assert_eq!(rig.line.ran().last().unwrap().replied, Some(reply));
    }
    for failed in [
        json!({"error": {"code": -32601, "message": "no"}}),
        json!({"result": {}}),
    ] {
        let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
        let question = stream.next().await.unwrap();
        answer(&rig, &id, &question["id"], failed).await;
        let result = stream.next().await.unwrap();
        assert_eq!(result["result"]["isError"], true, "{result}");
        assert!(result.to_string().contains("no answer"), "{result}");
    }
    // The same without content, which is no answer to a form: it is asked again.
    let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
    let question = stream.next().await.unwrap();
    let accepted = json!({"result": {"action": "accept"}});
    answer(&rig, &id, &question["id"], accepted).await;
    let again = stream.next().await.unwrap();
    assert_eq!(again["params"]["message"], question["params"]["message"]);
    assert_ne!(again["id"], question["id"]);
}

#[tokio::test]
async fn a_session_is_asked_by_form_if_its_client_said_so_when_it_began() {
    let (rig, _) = rig();
    for (version, elicitation, forms) in [
        (LEGACY, json!({}), true),
        (LEGACY, json!({"form": {}}), true),
        (LEGACY, json!({"url": {}}), false),
        // That revision has nothing but forms.
        ("2025-06-18", json!({}), true),
        ("2025-06-18", json!({"url": {}}), true),
    ] {
        let begun = rig.send(initialize(version, elicitation.clone())).await;
        let id = begun.header("mcp-session-id").unwrap();
        let request = with(call("echo"), "mcp-protocol-version", version);
        rig.send(within(id, request)).await;
        let ran = rig.line.ran();
        assert_eq!(
            ran.last().unwrap().can_show_forms,
            forms,
            "{version} {elicitation}"
        );
    }
    let params = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    });
    let begin = without(legacy("initialize", params), "mcp-protocol-version");
    let begun = rig.send(begin).await;
    let id = begun.header("mcp-session-id").unwrap();
    rig.send(within(id, call("echo"))).await;
    assert!(!rig.line.ran().last().unwrap().can_show_forms);
}

#[tokio::test]
async fn a_form_that_nobody_answers_holds_no_place_and_ends_with_its_session_and_its_client() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    for _ in 0..3 * SESSION_QUESTIONS_MAX {
        let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
        stream.next().await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut stream = Stream::open(&rig, within(&id, call("form"))).await;
    let question = stream.next().await.unwrap();
    let ended = within(&id, super::sessions::bare(Method::DELETE));
    rig.send(ended).await;
    let cancelled = stream.next().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert_eq!(stream.next().await.unwrap()["result"]["isError"], true);
}

#[tokio::test]
async fn p44_progress_goes_on_growing_through_the_runs_of_one_request() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let params = json!({"name": "form", "arguments": {}, "_meta": {"progressToken": "p"}});
    let request = within(&id, legacy("tools/call", params));
    let mut stream = Stream::open(&rig, request).await;
    let mut told = Vec::new();
    while let Some(message) = stream.next().await {
        match message["method"].as_str() {
            Some("notifications/progress") => told.push(message["params"]["progress"].clone()),
            Some("elicitation/create") => {
                answer(&rig, &id, &message["id"], json!({"result": filled()})).await;
            }
            _ => {}
        }
    }
    assert_eq!(told, [1.0, 2.0], "each run reports its first step anew");
}
