//! The traps of the SDK, R1–R9; R10 and R11 stand in `auth`, R12 in `sockets`.

use super::*;

#[tokio::test]
async fn r1_h6_no_session_is_ever_issued_or_honoured() {
    let rig = Rig::new();
    let initialize = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    });
    let request = without(legacy("initialize", initialize), "mcp-protocol-version");
    let shown = rig.send(request).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.header("mcp-session-id"), None);

    for request in [
        modern("tools/list", json!({})),
        legacy("tools/list", json!({})),
    ] {
        let shown = rig.send(with(request, "mcp-session-id", "guessed")).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert_eq!(shown.header("mcp-session-id"), None);
    }
}

#[tokio::test]
async fn r2_a_revision_that_is_not_served_runs_no_tool() {
    let rig = Rig::new();
    let params = json!({"name": "echo", "arguments": {}});
    for version in ["2024-11-05", "2025-03-26", "1900-01-01", "DRAFT"] {
        let request = legacy("tools/call", params.clone());
        let shown = rig
            .send(with(request, "mcp-protocol-version", version))
            .await;
        assert_eq!(shown.code(), (400, -32022), "{version}");
        let data = &shown.json()["error"]["data"];
        assert_eq!(data["requested"], version);
        assert_eq!(
            data["supported"],
            json!(["2026-07-28", "2025-11-25", "2025-06-18"])
        );
        assert_eq!(shown.json()["id"], 1);
    }
    let request = legacy("tools/call", params.clone());
    let shown = rig.send(without(request, "mcp-protocol-version")).await;
    assert_eq!(shown.code(), (400, -32020));
    let mut request = legacy("tools/call", params.clone());
    let again = "2024-11-05".parse().unwrap();
    request.headers_mut().append("mcp-protocol-version", again);
    assert_eq!(rig.send(request).await.code(), (400, -32020));
    assert_eq!(rig.line.ran(), []);

    for version in ["2025-11-25", "2025-06-18"] {
        let request = legacy("tools/call", params.clone());
        let shown = rig
            .send(with(request, "mcp-protocol-version", version))
            .await;
        assert_eq!(shown.status, StatusCode::OK, "{version}");
    }
    assert_eq!(rig.line.ran().len(), 2);
}

#[tokio::test]
async fn r2_header_and_body_name_the_same_revision() {
    let rig = Rig::new();
    let params = json!({"name": "echo", "arguments": {}});
    for header in [LEGACY, "2024-11-05", "x"] {
        let request = modern("tools/call", params.clone());
        let shown = rig
            .send(with(request, "mcp-protocol-version", header))
            .await;
        assert_eq!(shown.code(), (400, -32020), "{header}");
    }
    let request = without(modern("tools/call", params), "mcp-protocol-version");
    assert_eq!(rig.send(request).await.code(), (400, -32020));
    // Both name one that is not served.
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}});
    let request = modern("tools/list", params);
    let shown = rig
        .send(with(request, "mcp-protocol-version", "2027-01-01"))
        .await;
    assert_eq!(shown.code(), (400, -32022));
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn r3_bad_bodies_get_json_rpc_errors() {
    let rig = Rig::new();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    let batch = format!("[{call}]");
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for (body, code) in [
        ("", -32700),
        ("not json", -32700),
        ("{\"jsonrpc\":", -32700),
        ("[]", -32600),
        (batch.as_str(), -32600),
        ("{}", -32600),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
            -32600,
        ),
        (deep.as_str(), -32600),
    ] {
        for version in [MODERN, LEGACY] {
            let request = with(post(body.to_owned()), "mcp-protocol-version", version);
            let shown = rig.send(request).await;
            assert_eq!(shown.code(), (400, code), "{body}");
            assert_eq!(shown.header("content-type"), Some("application/json"));
        }
    }
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn r3_known_methods_with_parameters_of_another_shape_are_invalid_params() {
    let rig = Rig::new();
    for params in [
        json!({"name": 7}),
        json!({}),
        json!({"name": "echo", "arguments": []}),
        json!({"name": "echo", "arguments": {}, "requestState": {}}),
    ] {
        let shown = rig.legacy("tools/call", params.clone()).await;
        assert_eq!(shown.json()["error"]["code"], -32602, "{params}");
    }
    // A key that stands twice is never read in two ways: no call, or the call that was judged.
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"admin","name":"echo"}}"#;
    let shown = rig
        .send(with(post(body), "mcp-protocol-version", LEGACY))
        .await;
    assert_eq!(shown.json()["error"]["code"], -32602);
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn r4_the_elicitation_id_is_gone_from_the_specification_and_still_on_the_wire() {
    let rig = Rig::new();
    let shown = rig
        .modern("tools/call", json!({"name": "ask", "arguments": {}}))
        .await;
    let params = &shown.result()["inputRequests"]["consent"]["params"];
    // When this fails, the SDK has mended it: drop this test and rejoice.
    assert_eq!(params["elicitationId"], "");
}

#[tokio::test]
async fn r5_every_modern_result_says_who_serves() {
    let rig = Rig::new();
    let server = json!({"name": "bailiwick", "version": env!("CARGO_PKG_VERSION")});
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "echo", "arguments": {}})),
        ("tools/call", json!({"name": "fails", "arguments": {}})),
        ("tools/call", json!({"name": "denied", "arguments": {}})),
        ("tools/call", json!({"name": "structured", "arguments": {}})),
        ("tools/call", json!({"name": "ask", "arguments": {}})),
    ] {
        let result = rig.modern(method, params.clone()).await.result();
        assert_eq!(
            result["_meta"]["io.modelcontextprotocol/serverInfo"], server,
            "{method} {params}"
        );
        let kind = if params["name"] == "ask" {
            "input_required"
        } else {
            "complete"
        };
        assert_eq!(result["resultType"], kind, "P5");
    }
}

#[tokio::test]
async fn r6_hidden_and_unknown_tools_answer_alike() {
    let rig = Rig::new();
    let mut secret = listed("hidden");
    let schema = json!({
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    });
    secret.input_schema = Arc::new(schema.as_object().cloned().unwrap());
    secret.name = "admin".parse().unwrap();
    rig.line
        .tools
        .lock()
        .unwrap()
        .retain(|tool| tool.name.as_str() != "admin");
    rig.line.tools.lock().unwrap().push(secret);
    let token = bearer(json!({"scope": "tools:call tools:admin"}));
    let mut shapes = Vec::new();
    for name in ["admin", "no-such-tool"] {
        let arguments = json!({"region": "eu"});
        for header in [None, Some("eu"), Some("us")] {
            for make in [modern, legacy] {
                let request = make("tools/call", json!({"name": name, "arguments": arguments}));
                let mut request = with(request, "authorization", &token);
                if let Some(value) = header {
                    request = with(request, "mcp-param-region", value);
                }
                let shown = rig.send(request).await;
                shapes.push((shown.status, shown.body));
            }
        }
    }
    assert!(shapes.windows(2).all(|two| two[0] == two[1]), "{shapes:?}");
    assert!(shapes[0].1.contains("-32602"));
}

#[tokio::test]
async fn r7_each_era_is_asked_in_its_own_way() {
    let rig = Rig::new();
    let params = json!({"name": "ask", "arguments": {}});
    let modern = rig.modern("tools/call", params.clone()).await.result();
    assert_eq!(modern["resultType"], "input_required");
    let legacy = rig.legacy("tools/call", params).await.result();
    assert_eq!(legacy["isError"], true);
    assert_eq!(legacy.get("resultType"), None);
    let eras: Vec<Era> = rig.line.ran().iter().map(|ran| ran.era).collect();
    assert_eq!(eras, [Era::Modern, Era::Legacy]);
}

#[tokio::test]
async fn r8_p42_cache_hints_stand_on_modern_lists_alone() {
    let rig = Rig::new();
    let modern = rig.modern("tools/list", json!({})).await.result();
    assert_eq!(modern["cacheScope"], "private");
    assert_eq!(modern["ttlMs"], 5000);
    let legacy = rig.legacy("tools/list", json!({})).await.result();
    for key in ["cacheScope", "ttlMs", "resultType", "_meta"] {
        assert_eq!(legacy.get(key), None, "{key}");
    }
    let discover = rig.modern("server/discover", json!({})).await.result();
    assert_eq!(discover["cacheScope"], "private");
    assert_eq!(discover["ttlMs"], 60_000);
}

#[tokio::test]
async fn r9_state_is_shared_by_all_requests_and_callers_are_not() {
    let rig = Rig::new();
    let call = |user: &str| {
        let request = modern("tools/call", json!({"name": "echo", "arguments": {}}));
        with(request, "authorization", &bearer(json!({"sub": user})))
    };
    let users = ["alice", "bob", "alice", "carol"];
    for user in users {
        assert_eq!(rig.send(call(user)).await.status, StatusCode::OK);
    }
    let ran: Vec<String> = rig.line.ran().into_iter().map(|ran| ran.user).collect();
    assert_eq!(ran, users);
}
