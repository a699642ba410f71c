//! Host, origin, method, size and shape: P10–P12, W7.

use http::Version;

use super::*;
use crate::limits::REQUEST_BODY_BYTES_MAX;

fn call() -> Request<Body> {
    modern("tools/call", json!({"name": "echo", "arguments": {}}))
}

#[tokio::test]
async fn w7_only_our_own_hosts_are_served() {
    let rig = Rig::new();
    for host in [
        "mcp.test",
        "MCP.test:443",
        "localhost:9",
        "127.0.0.1",
        "[::1]:8137",
    ] {
        let shown = rig.send(with(call(), "host", host)).await;
        assert_eq!(shown.status, StatusCode::OK, "{host}");
    }
    let served = rig.line.ran().len();
    for host in [
        "evil.test",
        "mcp.test.evil.test",
        "localhost@evil.test",
        "evil@localhost",
        "",
        "a b",
    ] {
        let shown = rig.send(with(call(), "host", host)).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{host}");
        assert_eq!(shown.header("www-authenticate"), None);
    }
    assert_eq!(
        rig.send(without(call(), "host")).await.status,
        StatusCode::FORBIDDEN
    );
    let mut twice = call();
    twice
        .headers_mut()
        .append("host", "mcp.test".parse().unwrap());
    assert_eq!(rig.send(twice).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.line.ran().len(), served);
}

#[tokio::test]
async fn w7_a_target_and_a_header_that_name_two_hosts_name_none_of_ours() {
    let rig = Rig::new();
    let asked = |version, target: &str, host: Option<&str>| {
        let mut request = call();
        *request.version_mut() = version;
        *request.uri_mut() = target.parse().unwrap();
        match host {
            Some(host) => with(request, "host", host),
            None => without(request, "host"),
        }
    };
    let (ours, evil) = ("https://mcp.test/mcp", "https://evil.test/mcp");
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for host in [None, Some("mcp.test"), Some("mcp.test:443")] {
            let shown = rig.send(asked(version, ours, host)).await;
            assert_eq!(shown.status, StatusCode::OK, "{version:?} {host:?}");
        }
        let served = rig.line.ran().len();
        for (target, host) in [
            (evil, Some("mcp.test")),
            (ours, Some("evil.test")),
            (ours, Some("mcp.test:8443")),
            (ours, Some("localhost")),
            (evil, None),
        ] {
            let shown = rig.send(asked(version, target, host)).await;
            assert_eq!(shown.status, StatusCode::FORBIDDEN, "{target} {host:?}");
        }
        assert_eq!(rig.line.ran().len(), served);
    }
}

#[tokio::test]
async fn w7_loopback_names_are_ours_on_loopback_alone() {
    let rig = Rig::with(|settings| settings.listen = "0.0.0.0:8137".parse().unwrap());
    let shown = rig.send(with(call(), "host", "localhost:8137")).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
    let origin = with(call(), "origin", "http://localhost:8137");
    assert_eq!(rig.send(origin).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.send(call()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn p12_an_origin_that_is_present_must_be_allowed() {
    let rig = Rig::new();
    for origin in [
        "https://mcp.test",
        "https://app.test",
        "http://localhost:8137",
        "http://[::1]:8137",
    ] {
        let shown = rig.send(with(call(), "origin", origin)).await;
        assert_eq!(shown.status, StatusCode::OK, "{origin}");
        assert_eq!(shown.header("access-control-allow-origin"), Some(origin));
    }
    for origin in [
        "https://evil.test",
        "http://mcp.test",
        "https://mcp.test:8443",
        "https://mcp.test.evil.test",
        "http://localhost:1",
        "null",
        "",
    ] {
        let shown = rig.send(with(call(), "origin", origin)).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{origin}");
        assert_eq!(shown.header("access-control-allow-origin"), None);
    }
    let mut two = with(call(), "origin", "https://app.test");
    two.headers_mut()
        .append("origin", "https://evil.test".parse().unwrap());
    assert_eq!(rig.send(two).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn w7_host_and_origin_are_judged_before_the_token() {
    let rig = Rig::new();
    let request = without(with(call(), "host", "evil.test"), "authorization");
    assert_eq!(rig.send(request).await.status, StatusCode::FORBIDDEN);
    let request = without(with(call(), "origin", "https://evil.test"), "authorization");
    assert_eq!(rig.send(request).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.line.edge(), ["host", "origin"]);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_whether_it_may_call() {
    let rig = Rig::new();
    let ask = |origin: &str| {
        Request::options("/mcp")
            .header("host", "mcp.test")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .unwrap()
    };
    let shown = rig.send(ask("https://app.test")).await;
    assert_eq!(shown.status, StatusCode::NO_CONTENT);
    assert_eq!(
        shown.header("access-control-allow-origin"),
        Some("https://app.test")
    );
    assert_eq!(shown.header("access-control-allow-credentials"), None);
    let shown = rig.send(ask("https://evil.test")).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
    assert_eq!(shown.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn p10_get_and_delete_are_405() {
    let rig = Rig::new();
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH] {
        let mut request = call();
        *request.method_mut() = method.clone();
        let request = with(request, "last-event-id", "1");
        let shown = rig.send(with(request, "mcp-session-id", "x")).await;
        assert_eq!(shown.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(shown.header("allow"), Some("POST"));
    }
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let rig = Rig::new();
    let padded = |bytes: usize| {
        let params = json!({"name": "echo", "arguments": {}});
        let (parts, _) = modern("tools/call", params.clone()).into_parts();
        let mut body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {}, "_meta": meta()},
        })
        .to_string();
        body.push_str(&" ".repeat(bytes - body.len()));
        (parts, body)
    };
    let (parts, body) = padded(REQUEST_BODY_BYTES_MAX);
    let shown = rig.send(Request::from_parts(parts, Body::from(body))).await;
    assert_eq!(shown.status, StatusCode::OK);

    // Said too large, and too large without saying so.
    let (parts, body) = padded(REQUEST_BODY_BYTES_MAX + 1);
    let shown = rig
        .send(Request::from_parts(parts.clone(), Body::from(body.clone())))
        .await;
    assert_eq!(shown.status, StatusCode::PAYLOAD_TOO_LARGE);
    let said = with(call(), "content-length", &body.len().to_string());
    let shown = rig.send(without(said, "authorization")).await;
    assert_eq!(
        shown.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "before the token is looked at"
    );
    // The rest of it stands on the connection, unread.
    assert_eq!(shown.headers["connection"], "close");
    assert_eq!(rig.line.ran().len(), 1);
}

#[tokio::test]
async fn only_json_is_read() {
    let rig = Rig::new();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json5",
    ] {
        let shown = rig.send(with(call(), "content-type", kind)).await;
        assert_eq!(shown.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let shown = rig
        .send(with(
            call(),
            "content-type",
            "Application/JSON; charset=utf-8",
        ))
        .await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(rig.line.ran().len(), 1);
}

#[tokio::test]
async fn p11_a_client_must_accept_both_forms() {
    let rig = Rig::new();
    for accept in ["application/json", "text/event-stream", "*/*"] {
        let shown = rig.send(with(call(), "accept", accept)).await;
        assert_eq!(shown.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn p11_a_notification_is_accepted_without_a_body() {
    let rig = Rig::new();
    let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let shown = rig
        .send(with(post(body), "mcp-protocol-version", LEGACY))
        .await;
    assert_eq!(
        (shown.status, shown.body.as_str()),
        (StatusCode::ACCEPTED, "")
    );
}

#[tokio::test]
async fn p24_answers_are_not_stored_and_carry_their_request_id() {
    let rig = Rig::new();
    let shown = rig.send(call()).await;
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    let id: Uuid = shown.header("x-request-id").unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test]
async fn a_call_without_a_place_ends_before_anything_else_of_it_is_looked_at() {
    let rig = Rig::new();
    rig.line.is_full.store(true, Ordering::SeqCst);
    let to = |tool| json!({"name": tool, "arguments": {}});
    for (shown, what) in [
        (rig.modern("tools/call", to("echo")).await, "modern"),
        (rig.legacy("tools/call", to("echo")).await, "legacy"),
        (rig.modern("tools/call", to("admin")).await, "scopes"),
        (rig.modern("tools/call", to("no name")).await, "no name"),
    ] {
        assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert_eq!(shown.header("retry-after"), Some("1"), "{what}");
        let answer = shown.json();
        assert_eq!(answer["id"], 1, "{what}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{what}: {answer}");
    }
    assert!(rig.line.ran().is_empty());
    assert!(rig.line.edge().is_empty(), "the line counts them itself");
    // Strangers learn nothing of it, and what takes no place goes on.
    let stranger = rig.send(without(call(), "authorization")).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    let listed = rig.modern("tools/list", json!({})).await;
    assert_eq!(listed.status, StatusCode::OK);
    rig.line.is_full.store(false, Ordering::SeqCst);
    assert_eq!(rig.send(call()).await.status, StatusCode::OK);
}
