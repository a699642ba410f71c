//! Who may speak at all: A15–A22, W1–W11 and the metadata documents.

use super::*;

fn both() -> [Request<Body>; 2] {
    let params = json!({"name": "echo", "arguments": {}});
    [
        modern("tools/call", params.clone()),
        legacy("tools/call", params),
    ]
}

#[tokio::test]
async fn w1_r11_no_token_is_a_401_with_a_challenge_and_no_error_in_each_era() {
    let rig = Rig::new();
    for request in both() {
        let shown = rig.send(without(request, "authorization")).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        let expected = format!(r#"Bearer scope="tools:call", {METADATA}"#);
        assert_eq!(shown.header("www-authenticate"), Some(expected.as_str()));
        assert_eq!(shown.body, "");
        assert!(shown.header("x-request-id").is_some());
    }
    for request in both() {
        let shown = rig.send(with(request, "authorization", "Basic YTpi")).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.line.ran(), []);
    assert_eq!(rig.line.edge(), ["no-token"; 4]);
}

#[tokio::test]
async fn w1_a9_a_token_in_the_query_or_a_cookie_counts_for_nothing() {
    let rig = Rig::new();
    let token = testing::token(json!({}));
    for mut request in both() {
        *request.uri_mut() = format!("/mcp?access_token={token}").parse().unwrap();
        let request = with(without(request, "authorization"), "cookie", &token);
        assert_eq!(rig.send(request).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn w2_r11_a_bad_token_is_a_401_invalid_token_in_each_era() {
    let rig = Rig::new();
    let expected = format!(r#"Bearer error="invalid_token", scope="tools:call", {METADATA}"#);
    for changes in [
        json!({"aud": "https://other.test/mcp"}),
        json!({"exp": 1}),
        json!({"iss": "https://evil.test"}),
    ] {
        for request in both() {
            let request = with(request, "authorization", &bearer(changes.clone()));
            let shown = rig.send(request).await;
            assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{changes}");
            assert_eq!(shown.header("www-authenticate"), Some(expected.as_str()));
        }
    }
    assert_eq!(rig.line.ran(), []);
    assert_eq!(
        rig.line.edge(),
        [""; 0],
        "the line that verified it has recorded it"
    );
}

#[tokio::test]
async fn w3_r10_two_authorization_headers_are_a_400() {
    let rig = Rig::new();
    for mut request in both() {
        let again = request.headers()["authorization"].clone();
        request.headers_mut().append("authorization", again);
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST);
        let expected = format!(r#"Bearer error="invalid_request", {METADATA}"#);
        assert_eq!(shown.header("www-authenticate"), Some(expected.as_str()));
    }
    for bad in ["Bearer", "Bearer a b", "Bearer a, Bearer b"] {
        for request in both() {
            let shown = rig.send(with(request, "authorization", bad)).await;
            assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
    for mut request in both() {
        *request.uri_mut() = "/mcp?access_token=x".parse().unwrap();
        assert_eq!(rig.send(request).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn w4_r11_a_missing_scope_is_a_403_that_names_all_that_is_needed_in_each_era() {
    let rig = Rig::new();
    let params = json!({"name": "admin", "arguments": {}});
    for request in [
        modern("tools/call", params.clone()),
        legacy("tools/call", params.clone()),
    ] {
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN);
        let expected = format!(
            r#"Bearer error="insufficient_scope", scope="tools:call tools:admin", {METADATA}"#
        );
        assert_eq!(shown.header("www-authenticate"), Some(expected.as_str()));
    }
    assert_eq!(rig.line.ran(), []);
    assert_eq!(rig.line.edge(), ["insufficient-scope"; 2]);

    let token = bearer(json!({"scope": "tools:call tools:admin"}));
    for request in [
        modern("tools/call", params.clone()),
        legacy("tools/call", params),
    ] {
        let shown = rig.send(with(request, "authorization", &token)).await;
        assert_eq!(shown.status, StatusCode::OK);
    }
    assert_eq!(rig.line.ran().len(), 2);
}

#[tokio::test]
async fn w4_scopes_that_only_the_arguments_reveal_are_a_403_as_well() {
    let rig = Rig::new();
    let params = json!({"name": "late", "arguments": {}});
    for request in [
        modern("tools/call", params.clone()),
        legacy("tools/call", params),
    ] {
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN);
        let challenge = shown.header("www-authenticate").unwrap();
        assert!(challenge.contains(r#"scope="tools:call late:write""#));
    }
    // Once a stream has begun its status is fixed; the same is said inside it.
    let params = json!({"name": "late_stream", "arguments": {}, "_meta": {"progressToken": "p"}});
    let events = rig.modern("tools/call", params).await.events();
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["data"]["error"], "insufficient_scope");
    assert_eq!(error["data"]["scope"], "tools:call late:write");
}

/// RFC 9470 §3.
#[tokio::test]
async fn a_sign_in_that_does_not_suffice_is_a_401_that_says_which_would() {
    let rig = Rig::new();
    let params = json!({"name": "weak", "arguments": {}});
    for request in [
        modern("tools/call", params.clone()),
        legacy("tools/call", params),
    ] {
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        let challenge = shown.header("www-authenticate").unwrap();
        let expected = "Bearer error=\"insufficient_user_authentication\", acr_values=\"silver gold\", \
                        max_age=\"300\", scope=\"tools:call late:write\", resource_metadata=";
        assert!(challenge.starts_with(expected), "{challenge}");
    }
    // A token that is no good is told nothing of that.
    let bad = with(
        modern("tools/call", json!({"name": "weak", "arguments": {}})),
        "authorization",
        "Bearer x.y.z",
    );
    let shown = rig.send(bad).await;
    let challenge = shown.header("www-authenticate").unwrap();
    assert!(challenge.contains("invalid_token") && !challenge.contains("acr_values"));
    let params = json!({"name": "stale_stream", "arguments": {}, "_meta": {"progressToken": "p"}});
    let events = rig.modern("tools/call", params).await.events();
    let data = &events.last().unwrap()["error"]["data"];
    assert_eq!(data["error"], "insufficient_user_authentication");
    assert_eq!(
        (&data["max_age"], &data["acr_values"]),
        (&json!(300), &json!(""))
    );
}

#[tokio::test]
async fn r11_the_scope_check_judges_the_tool_that_runs() {
    // The header names a tool that needs nothing, the body the one that needs more.
    let rig = Rig::new();
    let request = modern("tools/call", json!({"name": "admin", "arguments": {}}));
    let shown = rig.send(with(request, "mcp-name", "echo")).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
    // The other way round is the SDK's to refuse: header and body differ.
    let request = modern("tools/call", json!({"name": "echo", "arguments": {}}));
    let shown = rig.send(with(request, "mcp-name", "admin")).await;
    assert_eq!(shown.code(), (400, -32020));
    assert_eq!(rig.line.ran(), []);
}

#[tokio::test]
async fn w6_keys_out_of_reach_are_a_503_without_a_challenge() {
    let rig = Rig::new();
    rig.line.keys_are_gone.store(true, Ordering::SeqCst);
    for request in both() {
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(shown.header("retry-after"), Some("5"));
        assert_eq!(shown.header("www-authenticate"), None);
    }
}

#[tokio::test]
async fn w10_s4_1_every_request_is_verified_whatever_its_method() {
    let rig = Rig::new();
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
        for mut request in both() {
            *request.method_mut() = method.clone();
            let shown = rig.send(without(request, "authorization")).await;
            assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{method}");
        }
    }
    for method in [
        "initialize",
        "server/discover",
        "tools/list",
        "ping",
        "nonsense",
    ] {
        let shown = rig
            .send(without(modern(method, json!({})), "authorization"))
            .await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{method}");
    }
    // One good request earns the next one nothing.
    let params = json!({"name": "echo", "arguments": {}});
    assert_eq!(
        rig.modern("tools/call", params).await.status,
        StatusCode::OK
    );
    for request in both() {
        let shown = rig.send(without(request, "authorization")).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn w10_a_refused_caller_learns_nothing_of_its_body() {
    let rig = Rig::new();
    for body in ["not json", "[]", r#"{"jsonrpc":"2.0"}"#] {
        let shown = rig.send(without(post(body), "authorization")).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        assert_eq!(shown.body, "");
    }
}

#[tokio::test]
async fn a22_no_text_of_a_request_reaches_a_header() {
    let rig = Rig::new();
    let marker = "z9marker";
    let mut requests = vec![
        with(post("{}"), "authorization", &format!("Bearer {marker}")),
        with(post("{}"), "authorization", &format!("{marker} x")),
        with(post("{}"), "origin", &format!("https://{marker}.test")),
        with(post("{}"), "host", &format!("{marker}.test")),
        with(modern(marker, json!({})), "mcp-protocol-version", marker),
        with(post("{}"), "content-type", marker),
    ];
    let mut query = without(post("{}"), "authorization");
    *query.uri_mut() = format!("/mcp?{marker}").parse().unwrap();
    requests.push(query);
    for request in requests {
        let shown = rig.send(request).await;
        assert!(shown.status.is_client_error());
        let headers = format!("{:?}", shown.headers);
        assert!(!headers.contains(marker), "{headers}");
    }
}

#[tokio::test]
async fn a1_to_a5_the_metadata_stands_in_both_places_without_a_token() {
    let rig = Rig::new();
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
    ] {
        let request = Request::get(path)
            .header("host", "mcp.test")
            .body(Body::empty())
            .unwrap();
        let shown = rig.send(request).await;
        assert_eq!(
            shown.result_document(),
            json!({
                "resource": "https://mcp.test/mcp",
                "authorization_servers": ["https://as.test"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["tools:call"],
                "resource_name": "Bailiwick",
            })
        );
        assert_eq!(shown.header("access-control-allow-origin"), Some("*"));

        let request = Request::get(path)
            .header("host", "evil.test")
            .body(Body::empty())
            .unwrap();
        assert_eq!(rig.send(request).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a1_without_an_issuer_there_is_no_metadata() {
    let rig = Rig::with(|settings| settings.authorization_servers.clear());
    let request = Request::get("/.well-known/oauth-protected-resource")
        .header("host", "mcp.test")
        .body(Body::empty())
        .unwrap();
    assert_eq!(rig.send(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn health_is_public_and_readiness_is_asked_each_time() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let rig = Rig::with(|settings| {
        settings.ready = Arc::new(move || asked.load(Ordering::SeqCst));
    });
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(rig.send(get("/healthz")).await.status, StatusCode::OK);
    let status = rig.send(get("/readyz")).await.status;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    ready.store(true, Ordering::SeqCst);
    assert_eq!(rig.send(get("/readyz")).await.status, StatusCode::OK);
}

impl Shown {
    fn result_document(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }
}
