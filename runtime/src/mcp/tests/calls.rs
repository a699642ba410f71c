//! Calls and their answers: P16, P19–P26, P32–P39, P44–P45, D6 and the table of §1.4.

use super::*;

const CONSENT: &str = "https://mcp.test/consent/t1";

async fn call(rig: &Rig, make: fn(&str, Value) -> Request<Body>, name: &str) -> Shown {
    rig.send(make(
        "tools/call",
        json!({"name": name, "arguments": {"a": 1}}),
    ))
    .await
}

#[tokio::test]
async fn a_reply_is_one_json_answer_in_each_era() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        let result = call(&rig, make, "echo").await.result();
        assert_eq!(
            result["content"],
            json!([{"type": "text", "text": "{\"a\":1}"}])
        );
        assert_eq!(result["isError"], false);
    }
}

#[tokio::test]
async fn p36_structured_output_reaches_each_era_as_far_as_it_knows_it() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        let result = call(&rig, make, "structured").await.result();
        assert_eq!(result["structuredContent"], json!({"n": 1}));
        assert_eq!(result["content"][0]["text"], "{\"n\":1}");
    }
    let result = call(&rig, modern, "list").await.result();
    assert_eq!(result["structuredContent"], json!([1, 2]));
    let result = call(&rig, legacy, "list").await.result();
    assert_eq!(result.get("structuredContent"), None);
    assert_eq!(result["content"][0]["text"], "[1,2]");
}

#[tokio::test]
async fn errors_that_a_model_can_mend_are_results() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        let result = call(&rig, make, "fails").await.result();
        assert_eq!(result["isError"], true);
        assert_eq!(result["content"][0]["text"], "`city` is missing", "P39");
        let result = call(&rig, make, "denied").await.result();
        assert_eq!(result["isError"], true);
        assert_eq!(result["content"][0]["text"], "this call is not allowed");
    }
}

#[tokio::test]
async fn an_unknown_tool_and_a_name_that_is_none_are_invalid_params_with_200() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        assert_eq!(call(&rig, make, "nope").await.code(), (200, -32602));
        assert_eq!(call(&rig, make, "no spaces").await.code(), (200, -32602));
        let long = "x".repeat(65);
        assert_eq!(call(&rig, make, &long).await.code(), (200, -32602));
    }
    assert_eq!(rig.line.edge(), ["tool-name"; 4]);
}

#[tokio::test]
async fn faults_have_a_status_an_id_and_no_detail() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        for (name, status) in [("fault", 500), ("panics", 500), ("unavailable", 503)] {
            let shown = call(&rig, make, name).await;
            assert_eq!(shown.code(), (status, -32603), "{name}");
            assert!(shown.json()["error"]["data"]["id"].is_string());
            assert_eq!(shown.json()["id"], 1);
            assert!(!shown.body.contains("broke"));
        }
        let shown = call(&rig, make, "busy").await;
        assert_eq!(shown.code(), (503, -32603));
        assert_eq!(shown.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn whatever_breaks_is_answered_without_detail() {
    let rig = Rig::new();
    let shown = rig.modern("breaks", json!({})).await;
    assert_eq!(shown.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!shown.body.contains("broke"));
    rig.line.breaks.store(true, Ordering::SeqCst);
    for make in [modern, legacy] {
        let shown = rig.send(make("tools/list", json!({}))).await;
        assert_eq!(shown.code(), (500, -32603));
        assert!(!shown.body.contains("broke"));
    }
}

#[tokio::test]
async fn p19_p26_missing_consent_is_one_question_in_url_mode() {
    let rig = Rig::new();
    let mut result = call(&rig, modern, "ask").await.result();
    result["_meta"].take();
    assert_eq!(
        result,
        json!({
            "resultType": "input_required",
            "inputRequests": {"consent": {
                "method": "elicitation/create",
                "params": {
                    "mode": "url",
                    "message": "Notes wants to write",
                    "url": CONSENT,
                    "elicitationId": "",
                },
            }},
            "requestState": "sealed",
            "_meta": null,
        })
    );
}

#[tokio::test]
async fn p20_p26_the_retry_brings_the_state_back_and_only_the_page_decides() {
    let rig = Rig::new();
    let retry = |action: &str| {
        json!({
            "name": "ask",
            "arguments": {},
            "requestState": "sealed",
            "inputResponses": {"consent": {"action": action}, "other": {"action": "accept"}},
        })
    };
    // The client says that its user agreed to open the page. That is no consent: asked again (P30).
    let shown = rig.modern("tools/call", retry("accept")).await.result();
    assert_eq!(shown["resultType"], "input_required");
    rig.line.consented.store(true, Ordering::SeqCst);
    let shown = rig.modern("tools/call", retry("accept")).await.result();
    assert_eq!(shown["content"][0]["text"], "agreed");
    // A user who says no ends it (P21).
    let shown = rig.modern("tools/call", retry("decline")).await.result();
    assert_eq!(shown["isError"], true);
    let shown = rig.modern("tools/call", retry("nonsense")).await.result();
    assert_eq!(shown["content"][0]["text"], "agreed");

    let said: Vec<_> = rig.line.ran().iter().map(|ran| ran.said).collect();
    let accepted = Some(Said::Accepted);
    assert_eq!(said, [accepted, accepted, Some(Said::Declined), None]);
    assert!(
        rig.line
            .ran()
            .iter()
            .all(|ran| ran.request_state.as_deref() == Some("sealed"))
    );
}

#[tokio::test]
async fn p21_only_what_this_request_declares_is_asked_of_a_client() {
    let rig = Rig::new();
    let key = "io.modelcontextprotocol/clientCapabilities";
    for capabilities in [
        json!({}),
        json!({"elicitation": {}}),
        json!({"elicitation": {"form": {}}}),
        json!({"sampling": {}}),
    ] {
        let params = json!({"name": "ask", "arguments": {}, "_meta": {key: capabilities}});
        let result = rig.modern("tools/call", params).await.result();
        assert_eq!(result["resultType"], "complete", "{capabilities}");
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(CONSENT) && text.contains("call the tool again"));
    }
    let params =
        json!({"name": "ask", "arguments": {}, "_meta": {key: {"elicitation": {"url": {}}}}});
    let result = rig.modern("tools/call", params).await.result();
    assert_eq!(result["resultType"], "input_required");
    let able: Vec<bool> = rig.line.ran().iter().map(|ran| ran.can_open_urls).collect();
    assert_eq!(able, [false, false, false, false, true]);
}

#[tokio::test]
async fn d6_a_legacy_client_gets_the_link_as_text_and_never_32042() {
    let rig = Rig::new();
    let shown = call(&rig, legacy, "ask").await;
    assert!(!shown.body.contains("-32042"));
    let result = shown.result();
    assert_eq!(result["isError"], true);
    assert_eq!(
        result["content"],
        json!([{
            "type": "text",
            "text": format!(
                "Notes wants to write\n\nOpen this link, decide there, and then call the tool again:\n{CONSENT}"
            ),
        }])
    );
}

#[tokio::test]
async fn p32_p33_p43_a_list_is_what_the_claims_allow_in_one_order() {
    let rig = Rig::new();
    let names = |shown: &Shown| -> Vec<String> {
        let tools = shown.result()["tools"].clone();
        let tools = tools.as_array().unwrap();
        tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for make in [modern, legacy] {
        let user = rig.send(make("tools/list", json!({}))).await;
        assert_eq!(
            names(&user),
            ["ask", "echo", "list", "progress", "structured"]
        );
        let token = bearer(json!({"roles": ["admin"]}));
        let admin = rig
            .send(with(make("tools/list", json!({})), "authorization", &token))
            .await;
        assert_eq!(names(&admin)[0], "admin");
        let again = rig.send(make("tools/list", json!({}))).await;
        assert_eq!(
            names(&again),
            names(&user),
            "one caller's list is not another's"
        );
    }
    let shown = rig
        .modern("tools/list", json!({"cursor": "nonsense!"}))
        .await;
    assert_eq!(shown.code(), (200, -32602));
}

#[tokio::test]
async fn p38_hints_come_with_the_list() {
    let rig = Rig::new();
    let result = rig.modern("tools/list", json!({})).await.result();
    assert_eq!(
        result["tools"][1],
        json!({
            "name": "echo",
            "description": "Does echo",
            "inputSchema": {"type": "object"},
            "annotations": {
                "readOnlyHint": true,
                "destructiveHint": false,
                "idempotentHint": true,
                "openWorldHint": false,
            },
        })
    );
}

#[tokio::test]
async fn p44_progress_streams_in_order_before_the_result_and_only_when_asked() {
    let rig = Rig::new();
    for make in [modern, legacy] {
        let params = json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": "t"}});
        let shown = rig.send(make("tools/call", params)).await;
        assert_eq!(shown.header("x-accel-buffering"), Some("no"), "P18");
        let events = shown.events();
        let steps: Vec<f64> = events
            .iter()
            .filter(|event| event["method"] == "notifications/progress")
            .map(|event| event["params"]["progress"].as_f64().unwrap())
            .collect();
        assert_eq!(steps, [1.0, 3.0, 4.0], "only what grows");
        assert_eq!(events[0]["params"]["progressToken"], "t");
        assert_eq!(events[0]["params"]["message"], "at 1", "P39");
        let last = events.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "done");
        assert!(
            events
                .iter()
                .all(|event| event.get("method").is_none() || event.get("id").is_none()),
            "P18"
        );

        let shown = call(&rig, make, "progress").await;
        assert_eq!(shown.result()["content"][0]["text"], "done");
    }
    let asked: Vec<bool> = rig.line.ran().iter().map(|ran| ran.has_progress).collect();
    assert_eq!(asked, [true, false, true, false]);
}

#[tokio::test]
async fn p44_progress_has_a_largest_count() {
    let rig = Rig::new();
    let params = json!({"name": "flood", "arguments": {}, "_meta": {"progressToken": 1}});
    let events = rig.modern("tools/call", params).await.events();
    assert!(events.len() <= crate::limits::PROGRESS_MESSAGES_MAX + 1);
    let last = events.last().unwrap();
    assert_eq!(last["result"]["content"][0]["text"], "flooded");
}

#[tokio::test]
async fn p45_a_trace_context_is_passed_on_when_it_is_one() {
    let rig = Rig::new();
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for trace in [good, "00-junk"] {
        let params = json!({"name": "echo", "arguments": {}, "_meta": {"traceparent": trace}});
        rig.modern("tools/call", params).await.result();
    }
    let traces: Vec<_> = rig
        .line
        .ran()
        .into_iter()
        .map(|ran| ran.traceparent)
        .collect();
    assert_eq!(traces, [Some(good.to_owned()), None]);
}

#[tokio::test]
async fn p4_what_a_client_says_of_itself_is_not_needed_and_changes_nothing() {
    let rig = Rig::new();
    let key = "io.modelcontextprotocol/clientInfo";
    let params =
        json!({"name": "echo", "arguments": {}, "_meta": {key: {"name": "root", "version": "9"}}});
    rig.modern("tools/call", params).await.result();
    let request = modern("tools/call", json!({"name": "echo", "arguments": {}}));
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["params"]["_meta"].as_object_mut().unwrap().remove(key);
    let request = Request::from_parts(parts, Body::from(body.to_string()));
    rig.send(request).await.result();
    let ran = rig.line.ran();
    assert_eq!(ran[0], ran[1]);
}
