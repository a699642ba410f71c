//! Both lifecycles on one endpoint: P3, P8–P10, P13–P16, D1–D5.

use super::*;

fn initialize(version: &str) -> Request<Body> {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {"elicitation": {"url": {}}},
        "clientInfo": {"name": "t", "version": "1"},
    });
    without(legacy("initialize", params), "mcp-protocol-version")
}

#[tokio::test]
async fn d2_initialize_gives_a_served_revision_back_or_the_newest() {
    let rig = Rig::new();
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let result = rig.send(initialize(asked)).await.result();
        assert_eq!(result["protocolVersion"], given, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "bailiwick");
        assert_eq!(result["capabilities"], json!({"tools": {}}), "D5");
    }
}

#[tokio::test]
async fn d2_ping_is_answered_and_results_have_the_legacy_shape() {
    let rig = Rig::new();
    assert_eq!(rig.legacy("ping", json!({})).await.result(), json!({}));
    let result = rig
        .legacy("tools/call", json!({"name": "echo", "arguments": {}}))
        .await
        .result();
    assert_eq!(result.get("resultType"), None);
}

#[tokio::test]
async fn p1_what_initialize_said_is_not_remembered() {
    let rig = Rig::new();
    rig.send(initialize(LEGACY)).await.result();
    rig.legacy("tools/call", json!({"name": "ask", "arguments": {}}))
        .await
        .result();
    assert!(!rig.line.ran()[0].can_open_urls);
}

#[tokio::test]
async fn p8_discover_says_what_is_served() {
    let rig = Rig::new();
    let mut result = rig.modern("server/discover", json!({})).await.result();
    result["_meta"].take();
    assert_eq!(
        result,
        json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28", "2025-11-25", "2025-06-18"],
            "capabilities": {"tools": {"listChanged": true}},
            "ttlMs": 60000,
            "cacheScope": "private",
            "_meta": null,
        })
    );
}

#[tokio::test]
async fn p3_required_metadata_that_is_missing_or_malformed_is_a_400() {
    let rig = Rig::new();
    for (key, value) in [
        ("io.modelcontextprotocol/clientCapabilities", json!(null)),
        ("io.modelcontextprotocol/clientCapabilities", json!("x")),
        ("io.modelcontextprotocol/protocolVersion", json!(null)),
        ("io.modelcontextprotocol/protocolVersion", json!(7)),
    ] {
        let params = json!({"name": "echo", "arguments": {}, "_meta": {key: value}});
        let shown = rig.modern("tools/call", params).await;
        assert_eq!(shown.code(), (400, -32602), "{key} {value}");
    }
    let request = legacy("tools/call", json!({"name": "echo", "arguments": {}}));
    let request = with(request, "mcp-protocol-version", MODERN);
    let request = with(request, "mcp-method", "tools/call");
    let shown = rig.send(with(request, "mcp-name", "echo")).await;
    assert_eq!(shown.code(), (400, -32602));
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn p13_p16_standard_headers_must_be_there_and_agree() {
    let rig = Rig::new();
    let call = || modern("tools/call", json!({"name": "echo", "arguments": {}}));
    for request in [
        without(call(), "mcp-method"),
        without(call(), "mcp-name"),
        with(call(), "mcp-method", "tools/list"),
        with(call(), "mcp-name", "list"),
        with(call(), "mcp-name", "ECHO"),
        with(call(), "mcp-name", "=?base64?bGlzdA==?="),
    ] {
        assert_eq!(rig.send(request).await.code(), (400, -32020));
    }
    assert_eq!(rig.line.ran(), []);
    // P15: `echo`, encoded.
    let request = with(call(), "mcp-name", "=?base64?ZWNobw==?=");
    rig.send(request).await.result();
}

#[tokio::test]
async fn p16_an_unknown_method_is_a_404_in_the_modern_era() {
    let rig = Rig::new();
    for method in [
        "nonsense",
        "resources/list",
        "prompts/get",
        "tasks/get",
        "ping",
        "logging/setLevel",
    ] {
        let params = match method {
            "prompts/get" => json!({"name": "x"}),
            "tasks/get" => json!({"taskId": "x"}),
            "logging/setLevel" => json!({"level": "info"}),
            _ => json!({}),
        };
        let request = modern(method, params);
        let request = match method {
            "tasks/get" => with(request, "mcp-name", "x"),
            _ => request,
        };
        assert_eq!(rig.send(request).await.code(), (404, -32601), "{method}");
    }
    let shown = rig.legacy("nonsense", json!({})).await;
    assert_eq!(shown.code(), (200, -32601));
}

#[tokio::test]
async fn p46_log_messages_are_never_sent() {
    let rig = Rig::new();
    let params = json!({
        "name": "progress", "arguments": {},
        "_meta": {"progressToken": 1, "io.modelcontextprotocol/logLevel": "debug"},
    });
    let shown = rig.modern("tools/call", params).await;
    assert!(!shown.body.contains("notifications/message"));
}

#[tokio::test]
async fn d1_one_connection_may_carry_both_eras() {
    let rig = Rig::new();
    let params = json!({"name": "echo", "arguments": {}});
    for make in [modern, legacy, modern] {
        rig.send(make("tools/call", params.clone())).await.result();
    }
    let eras: Vec<Era> = rig.line.ran().iter().map(|ran| ran.era).collect();
    assert_eq!(eras, [Era::Modern, Era::Legacy, Era::Modern]);
}
