//! Who comes in, and what is said to who does not.

use super::*;

#[test]
fn who_lacks_token_scope_or_rule_gets_one_answer_for_every_path() {
    run(async {
        let catch_all = "@id(\"all\") permit(principal, action, resource);";
        let rules = format!("{ADMINS}{catch_all}");
        let setup = Setup::new().only_rules(&rules);
        let server = setup
            .config("[discovery]\nanonymous = true\n")
            .start()
            .await;
        let metadata = format!(
            "resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
            server.url
        );
        let scope = "scope=\"tools:call admin\"";
        let other = json!({"scope": "tools:call admin", "aud": "https://other.example/mcp"});
        let refused = [
            // No token, though discovery is open to those without one.
            (None, 401, format!("Bearer {scope}, {metadata}")),
            (
                Some(server.token("root", other)),
                401,
                format!("Bearer error=\"invalid_token\", {scope}, {metadata}"),
            ),
            // The role without the scope: a token for tools.
            (
                Some(server.token("root", json!({}))),
                403,
                format!("Bearer error=\"insufficient_scope\", {scope}, {metadata}"),
            ),
            // The scope alone, which is not what the issuer's tokens always need.
            (
                Some(server.token("root", json!({"scope": "admin"}))),
                403,
                format!("Bearer error=\"insufficient_scope\", {scope}, {metadata}"),
            ),
            // The scope without the role, and a rule that permits everything.
            (
                Some(scoped(&server, "alice")),
                403,
                format!("Bearer {metadata}"),
            ),
        ];
        for (token, status, challenge) in &refused {
            let mut bodies = Vec::new();
            for (method, path) in PATHS {
                let answer = ask(&server, method, path, token.as_deref()).await;
                assert!(is_problem(&answer, *status), "{path}: {answer:?}");
                assert_eq!(
                    answer.header("www-authenticate"),
                    Some(challenge.as_str()),
                    "{path}"
                );
                assert!(answer.header("access-control-allow-origin").is_none());
                bodies.push(answer.body);
            }
            bodies.dedup();
            assert_eq!(bodies.len(), 1, "{bodies:?}");
        }
        // The right one, beside them.
        let root = scoped(&server, "root");
        assert_eq!(get(&server, "/admin/status", &root).await["ready"], true);

        // Every refusal is on record, each with its reason; those with a caller say who.
        let denied = records(&server, "admin.denied").await;
        let of = |word: &str| denied.iter().filter(|one| reason(one) == word).count();
        assert_eq!(
            (of("missing-scopes"), of("denied")),
            (PATHS.len(), PATHS.len())
        );
        let known = denied.iter().filter(|one| one.method.is_some());
        assert!(known.clone().count() > 0);
        for one in known {
            assert!(one.subject.is_some() && one.client_id.is_some(), "{one:?}");
        }
        let sampled: u64 = denied
            .iter()
            .filter(|one| one.method.is_none())
            .map(|one| one.facts.get("count").and_then(Value::as_u64).unwrap_or(1))
            .sum();
        assert_eq!(sampled, 3 * PATHS.len() as u64);
        let asked = records(&server, "admin.request").await;
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].facts["action"], "admin:read");
        let decision = asked[0].decision.as_ref().unwrap();
        assert_eq!(decision.rules, ["admins-administer"]);
        server.stop().await;
    });
}

#[test]
fn the_checks_of_the_endpoint_hold_here_as_well() {
    run(async {
        let server = Setup::new().more_rules(ADMINS).start().await;
        let root = scoped(&server, "root");
        let url = format!("{}/admin/status", server.url);
        let good = || http().get(&url).bearer_auth(&root);
        for (request, status) in [
            (good().header("host", "rebound.test"), 403),
            (good().header("origin", "https://evil.example"), 403),
            (good().header("origin", "null"), 403),
            (http().get(format!("{url}?access_token={root}")), 401),
            (
                http()
                    .get(format!("{url}?access_token={root}"))
                    .bearer_auth(&root),
                400,
            ),
            (
                http().get(&url).header("authorization", "Basic cm9vdA=="),
                401,
            ),
            (
                http().get(&url).header("cookie", format!("token={root}")),
                401,
            ),
        ] {
            let answer = Answer::read(request).await;
            assert!(is_problem(&answer, status), "{status}: {answer:?}");
        }
        // The refusal may come while the body is being sent, and break that before it is read.
        let large = || good().body("x".repeat(2 * 1024 * 1024)).send();
        let refused = crate::harness::until("it is heard", async || large().await.ok()).await;
        let answer = Answer {
            status: refused.status(),
            headers: refused.headers().clone(),
            body: refused.text().await.unwrap(),
        };
        assert!(is_problem(&answer, 413), "{answer:?}");
        // Nobody's client asks for the scope by itself: the metadata does not name it.
        let document = format!("{}/.well-known/oauth-protected-resource/mcp", server.url);
        let document = Answer::read(http().get(document)).await.json();
        assert_eq!(document["scopes_supported"], json!(["tools:call"]));
        // Another name for the scope shuts out who has the first one.
        assert_eq!(Answer::read(good()).await.status, 200);
        server.stop().await;
        let setup = Setup::new().more_rules(ADMINS);
        let server = setup.config("[admin]\nscope = \"ops\"\n").start().await;
        let (admin, ops) = (
            scoped(&server, "root"),
            server.token("root", json!({"scope": "tools:call ops"})),
        );
        assert_eq!(
            ask(&server, "GET", "/admin/status", Some(&admin))
                .await
                .status,
            403
        );
        assert_eq!(
            ask(&server, "GET", "/admin/status", Some(&ops))
                .await
                .status,
            200
        );
        server.stop().await;
    });
}
