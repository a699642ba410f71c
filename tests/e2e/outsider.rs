//! What an outsider gets: section 12 of the design, row by row.

use bailiwick::idp::SigningKey;
use serde_json::json;

use crate::harness::{
    Answer, Caller, Era, Server, Setup, for_an_hour, http, run, tool, until, with_manifest,
};

/// What of an answer an outsider could learn from: everything but the marks of the single request.
fn learnt(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        name != "x-request-id" && name != "date"
    });
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (
        answer.status.as_u16(),
        headers.collect(),
        answer.body.clone(),
    )
}

#[test]
fn without_a_good_token_there_is_a_challenge_and_nothing_else_to_learn() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        let alice = server.caller("alice");
        let now = |seconds: i64| {
            use bailiwick::clock::Clock;
            bailiwick::clock::SystemClock.now().secs() + seconds
        };
        let claims = |changes| server.token("alice", changes);
        let good = claims(json!({}));
        let stranger = SigningKey::generate().unwrap();
        let mut cut = good.clone();
        cut.truncate(good.len() - 4);
        let bad = [
            ("nonsense", "nonsense".to_owned()),
            ("cut off", cut),
            (
                "of another audience",
                claims(json!({"aud": "https://other.test/mcp"})),
            ),
            ("of no audience", claims(json!({"aud": []}))),
            (
                "of another issuer",
                claims(json!({"iss": "https://other.test"})),
            ),
            (
                "expired",
                claims(json!({"exp": now(-3600), "iat": now(-7200)})),
            ),
            ("not yet valid", claims(json!({"nbf": now(3600)}))),
            (
                "an ID token",
                server.token_of_kind("JWT", "alice", json!({})),
            ),
            ("signed by another", {
                let payload = json!({"iss": server.issuer, "sub": "alice", "aud": format!("{}/mcp", server.url),
                    "client_id": "dev-client", "scope": "tools:call", "roles": ["user", "admin"],
                    "iat": now(0), "exp": now(600), "jti": "1"});
                stranger.sign("at+jwt", &payload).unwrap()
            }),
        ];
        for (what, token) in bad {
            let caller = alice.clone().bearing(&token);
            let known = caller.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(known.status, 401, "a token {what}: {known:?}");
            let challenge = known.header("www-authenticate").unwrap();
            assert!(
                challenge.starts_with("Bearer error=\"invalid_token\""),
                "{challenge}"
            );
            assert!(challenge.contains("resource_metadata=\""), "{challenge}");
            assert_eq!(known.body, "", "a token {what}");
            let unknown = caller.call("no-such-tool", json!({})).await;
            assert_eq!(learnt(&known), learnt(&unknown), "a token {what}");
        }

        let request = alice.request("tools/call", json!({"name": "hello", "arguments": {}}));
        let mut request = request.build().unwrap();
        request.headers_mut().remove("authorization");
        let none = http().execute(request).await.unwrap();
        assert_eq!(none.status(), 401);
        let challenge = none.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.starts_with("Bearer ") && !challenge.contains("error="),
            "{challenge}"
        );
        assert!(challenge.contains("scope=\"tools:call\""), "{challenge}");

        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        assert_eq!(server.outcomes("hello").await.len(), 1);
        server.stop().await;
    });
}

#[test]
fn the_challenge_leads_to_whoever_gives_tokens() {
    run(async {
        let server = Setup::new().start().await;
        let url = format!("{}/.well-known/oauth-protected-resource/mcp", server.url);
        let document = Answer::read(http().get(url)).await.json();
        assert_eq!(document["resource"], format!("{}/mcp", server.url));
        assert_eq!(document["authorization_servers"], json!([server.issuer]));
        server.stop().await;
    });
}

#[test]
fn a_token_that_lacks_scopes_is_told_exactly_which() {
    run(async {
        let scoped = with_manifest(&tool("hello").await, |manifest| {
            manifest.requires.scopes = vec!["hello:say".to_owned()];
        });
        let server = Setup::new().package("hello", &scoped).start().await;
        let refused = |caller: Caller| async move {
            let answer = caller.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(answer.status, 403, "{answer:?}");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(
                challenge.contains("error=\"insufficient_scope\""),
                "{challenge}"
            );
            let (_, scope) = challenge.split_once("scope=\"").unwrap();
            scope.split('"').next().unwrap().to_owned()
        };
        let alice = |scope: &str| {
            server
                .caller("alice")
                .with(&server, json!({"scope": scope}))
        };
        assert_eq!(refused(alice("other")).await, "tools:call");
        assert_eq!(refused(alice("tools:call")).await, "hello:say tools:call");
        let good = alice("tools:call hello:say");
        assert!(good.call("hello", json!({"name": "Ada"})).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn a_tool_that_policy_denies_looks_like_one_that_does_not_exist() {
    run(async {
        let setup = Setup::new().tools(&["hello", "whoami-admin"]).await;
        let server = setup.start().await;
        for era in [Era::Modern, Era::Legacy] {
            let alice = server.caller("alice").in_era(era);
            assert_eq!(alice.list().await, ["hello"]);
            let hidden = alice.call("whoami-admin", json!({})).await;
            let unknown = alice.call("whoami-admim", json!({})).await;
            assert_eq!(learnt(&hidden), learnt(&unknown));
            assert_eq!(hidden.error().1, "unknown tool");
        }
        // The log knows which was which.
        let hidden = server.outcomes("whoami-admin").await.pop().unwrap();
        assert_eq!(hidden.result.unwrap().reason.unwrap(), "missing-role");
        let unknown = server.outcomes("whoami-admim").await.pop().unwrap();
        assert_eq!(unknown.result.unwrap().reason.unwrap(), "unknown-tool");
        server.stop().await;
    });
}

#[test]
fn a_call_that_policy_denies_for_its_arguments_gives_no_reason() {
    run(async {
        let rule = r#"
            @id("no-mallory")
            forbid (principal, action == Action::"call:hello", resource)
            when { context.args.name == "Mallory" };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.more_rules(rule);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let refused = alice.call("hello", json!({"name": "Mallory"})).await;
        assert!(refused.is_tool_error());
        assert_eq!(refused.text(), "this call is not allowed");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn a_missing_consent_is_asked_for_as_the_client_can_show_it() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let arguments = json!({"name": "a", "text": "b"});
        let modern = server.caller("alice");
        let asked = modern.call("notes_write", arguments.clone()).await;
        let result = asked.result();
        assert_eq!(result["resultType"], "input_required");
        let question = &result["inputRequests"]["consent"];
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"]["mode"], "url");
        assert!(!asked.state().is_empty());

        let link = asked.link().unwrap();
        assert!(link.starts_with(&server.url), "{link}");
        for other in [modern.clone().without_links(), modern.in_era(Era::Legacy)] {
            let asked = other.call("notes_write", arguments.clone()).await;
            assert!(asked.is_tool_error(), "{asked:?}");
            assert_eq!(asked.link().as_ref(), Some(&link), "the same question");
        }
        server.stop().await;
    });
}

#[test]
fn p22_h5_a_state_that_is_not_ours_or_not_for_this_call_is_refused() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        let note = |text: &str| json!({"name": "a", "text": text});
        let asked = alice.call("notes_write", note("b")).await;
        server
            .decide(&asked.link().unwrap(), "alice", for_an_hour())
            .await;

        let refused = |answer: Answer| {
            assert!(
                answer.is_tool_error() && answer.link().is_none(),
                "{answer:?}"
            );
            assert!(
                answer.text().contains("call the tool again without it"),
                "{answer:?}"
            );
        };
        refused(bob.retry("notes_write", note("b"), &asked, "accept").await);
        refused(
            alice
                .retry("notes_write", note("other"), &asked, "accept")
                .await,
        );
        refused(alice.retry("notes_list", json!({}), &asked, "accept").await);
        assert!(
            alice
                .retry("notes_write", note("b"), &asked, "accept")
                .await
                .is_reply()
        );
        refused(
            alice
                .retry("notes_write", note("b"), &asked, "accept")
                .await,
        );
        server.stop().await;
    });
}

#[test]
fn arguments_that_do_not_fit_are_answered_with_their_field() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let alice = server.caller("alice");
        for (tool, arguments, field) in [
            ("hello", json!({}), "name"),
            ("hello", json!({"name": 7}), "name"),
            ("notes_read", json!({"name": "../secret"}), "name"),
            ("notes_write", json!({"name": "a", "text": ["b"]}), "text"),
        ] {
            let answer = alice.call(tool, arguments).await;
            assert!(answer.is_tool_error(), "{answer:?}");
            assert!(answer.text().contains(field), "{answer:?}");
            assert!(
                answer.link().is_none(),
                "nobody is asked for a call that cannot be made"
            );
            let outcome = server.outcomes(tool).await.pop().unwrap();
            assert_eq!(outcome.result.unwrap().stage.unwrap().as_str(), "arguments");
        }
        server.stop().await;
    });
}

#[test]
fn a_guest_that_breaks_ends_its_own_call_and_the_next_ones_go_on() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.guests(&["trap", "exit", "panic"]).await.start().await;
        let alice = server.caller("alice");
        for guest in ["trap", "exit", "panic"] {
            let answer = alice.call(guest, json!({})).await;
            assert!(answer.is_tool_error(), "{answer:?}");
            assert!(
                !answer.body.contains("wasm"),
                "no detail of ours: {answer:?}"
            );
            assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        }
        server.stop().await;
    });
}

#[test]
fn a_fault_of_ours_has_an_id_and_its_detail_stays_in_the_log() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let alice = server.caller("alice");
        let list = json!({});
        assert!(
            alice
                .call_allowed(&server, "notes_list", list.clone())
                .await
                .is_reply()
        );

        // Where the directory of the mount was, there is a file.
        let notes = server.dir().join("notes");
        std::fs::rename(&notes, server.dir().join("moved")).unwrap();
        std::fs::write(&notes, "no directory").unwrap();
        let answer = alice.call("notes_list", list.clone()).await;
        assert_eq!(answer.status, 500, "{answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["message"], "the server failed");
        let id = error["data"]["id"].as_str().unwrap();
        assert!(
            !answer.body.contains("notes") && !answer.body.contains("directory"),
            "{answer:?}"
        );
        let log = crate::harness::log::text();
        let line = log
            .lines()
            .find(|line| line.contains(id) && line.contains("ERROR"));
        assert!(
            line.is_some_and(|line| line.contains("mount `notes`")),
            "{line:?}"
        );
        let outcome = server.outcomes("notes_list").await.pop().unwrap();
        assert_eq!(outcome.event_id.to_string(), id);
        assert_eq!(outcome.result.unwrap().status, "fault");

        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        std::fs::remove_file(&notes).unwrap();
        std::fs::rename(server.dir().join("moved"), &notes).unwrap();
        assert!(alice.call("notes_list", list).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn a_bad_package_is_refused_and_what_is_served_stays_served() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        server.put("bad", b"\0asm but not a component");
        let reason = until("the refusal", async || server.refusal("bad.wasm")).await;
        assert!(!reason.is_empty());
        let hello = json!({"name": "Ada"});
        assert!(
            server
                .caller("alice")
                .call("hello", hello.clone())
                .await
                .is_reply()
        );
        let refused = server.records().await.into_iter();
        let refused = refused.filter(|stored| stored.record.kind == "tool.refused");
        assert_eq!(
            refused
                .map(|stored| stored.record.facts["file"].clone())
                .collect::<Vec<_>>(),
            ["bad.wasm"]
        );
        server.stop().await;
    });
}

#[test]
fn rules_that_no_longer_fit_leave_those_before_in_force() {
    run(async {
        let rule = r#"
            @id("no-mallory")
            forbid (principal, action == Action::"call:hello", resource)
            when { context.args.name == "Mallory" };
            @id("one-note")
            forbid (principal, action == Action::"call:notes_write", resource)
            when { context.args.name == "forbidden" };
        "#;
        let setup = Setup::new()
            .tools(&["hello", "notes"])
            .await
            .more_rules(rule);
        let server = setup.start().await;
        assert_eq!(ready(&server).await, 200);
        // The second rule reads an argument that is of another type now.
        let other = with_manifest(&tool("notes").await, |manifest| {
            for tool in &mut manifest.tools {
                if tool.name.as_str() == "notes_write" {
                    tool.input_schema["properties"]["name"] = json!({"type": "integer"});
                }
            }
        });
        server.put("notes", &other);
        let refused = until("the rules are refused", async || {
            let all = server.records().await.into_iter();
            all.map(|stored| stored.record.kind)
                .find(|kind| kind == "policy.refused")
        });
        refused.await;
        let alice = server.caller("alice");
        let listed = alice.list().await;
        assert!(listed.contains(&"hello".to_owned()), "{listed:?}");
        assert!(!listed.contains(&"notes_write".to_owned()), "{listed:?}");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        assert!(
            alice
                .call("hello", json!({"name": "Mallory"}))
                .await
                .is_tool_error()
        );
        assert_eq!(
            ready(&server).await,
            503,
            "an operator sees that the rules do not fit"
        );
        server.put("notes", &tool("notes").await);
        until("the rules fit again", async || {
            (ready(&server).await == 200).then_some(())
        })
        .await;
        server.stop().await;
    });
}

#[test]
fn rules_that_never_fitted_allow_nothing() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let setup = setup.more_rules(
            "permit (principal in Role::\"user\", action, resource) when { principal.nothing };",
        );
        let server = setup.start().await;
        let alice = server.caller("alice");
        assert_eq!(alice.list().await, [""; 0]);
        assert_eq!(
            alice.call("hello", json!({"name": "Ada"})).await.error().1,
            "unknown tool"
        );
        assert_eq!(ready(&server).await, 503);
        server.stop().await;
    });
}

async fn ready(server: &Server) -> u16 {
    let answer = Answer::read(http().get(format!("{}/readyz", server.url))).await;
    answer.status.as_u16()
}
