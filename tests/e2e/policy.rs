//! The operator's rules, each permission with its refusal beside it.

use bailiwick::config::{ClaimType, ExtraClaim, IssuerConfig, ScopeMap};
use bailiwick::consent::Choice;
use serde_json::{Value, json};

use crate::harness::{Answer, Era, Server, Setup, http, run, tool, with_manifest};

async fn hello(server: &Server, claims: Value) -> Answer {
    let alice = server.caller("alice").with(server, claims);
    alice.call("hello", json!({"name": "Ada"})).await
}

fn is_unknown(answer: &Answer) -> bool {
    answer.json()["error"]["message"] == "unknown tool"
}

fn customer(issuer: &mut IssuerConfig) {
    let claim = ExtraClaim {
        path: vec!["crm".to_owned(), "customer".to_owned()],
        kind: ClaimType::String,
        required: false,
        told: false,
    };
    issuer.claims.extra.insert("customer".to_owned(), claim);
}

#[test]
fn an_argument_must_be_the_claim_of_the_caller() {
    run(async {
        let rules = r#"
            permit (principal, action == Action::"list", resource);
            permit (principal, action == Action::"call:hello", resource)
            when { principal.claims has customer && context.args.name == principal.claims.customer };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = setup.issuer(customer).start().await;
        let of = |name: &str| json!({"crm": {"customer": name}});
        assert!(hello(&server, of("Ada")).await.is_reply());
        assert_eq!(
            hello(&server, of("Bob")).await.text(),
            "this call is not allowed"
        );
        assert_eq!(
            hello(&server, json!({})).await.text(),
            "this call is not allowed"
        );
        // A claim of another type is no claim that is missing.
        for wrong in [json!(7), json!(["Ada"]), json!(null)] {
            let answer = hello(&server, json!({"crm": {"customer": wrong}})).await;
            assert_eq!(answer.status, 401, "{answer:?}");
        }
        server.stop().await;
    });
}

#[test]
fn groups_actors_and_the_kind_of_sign_in_decide() {
    run(async {
        let rules = r#"
            permit (principal in Group::"crew", action, resource)
            when { context.amr.contains("otp") && context.actors == 1 && context has actor && context.actor.subject == "bot" };
        "#;
        let server = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = server.start().await;
        let good = json!({"groups": ["crew"], "amr": ["pwd", "otp"], "act": {"sub": "bot"}});
        assert!(hello(&server, good.clone()).await.is_reply());
        for (name, other) in [
            ("groups", json!(["crowd"])),
            ("groups", json!(["сrew"])),
            ("amr", json!(["pwd"])),
            ("act", json!({"sub": "bob"})),
            ("act", json!({"sub": "bot", "act": {"sub": "x"}})),
        ] {
            let mut claims = good.clone();
            claims[name] = other;
            let answer = hello(&server, claims).await;
            assert!(is_unknown(&answer), "{name}: {answer:?}");
        }
        let many: Vec<_> = (0..300).map(|n| format!("g{n}")).collect();
        let answer = hello(&server, json!({"groups": many})).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn what_a_tool_does_and_the_operators_tags_decide() {
    run(async {
        let rules = r#"
            permit (principal in Role::"user", action, resource);
            forbid (principal, action, resource is Tool) when { resource.destructive && !resource.tags.contains("trusted") };
        "#;
        let setup = || async {
            let setup = Setup::new().tools(&["hello", "notes"]).await;
            setup.only_rules(rules)
        };
        let server = setup().await.start().await;
        assert_eq!(server.caller("alice").list().await, ["hello"]);
        server.stop().await;
        let tags = "[tools.tags]\nnotes_write = [\"trusted\"]\n";
        let server = setup().await.config(tags).start().await;
        assert_eq!(
            server.caller("alice").list().await,
            ["hello", "notes_write"]
        );
        server.stop().await;
    });
}

#[test]
fn listing_and_calling_are_told_apart_on_purpose_alone() {
    run(async {
        let rules = r#"
            permit (principal, action, resource);
            forbid (principal, action in Action::"call", resource in Package::"notes");
        "#;
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        let server = setup.only_rules(rules).start().await;
        let alice = server.caller("alice");
        assert_eq!(alice.list().await, ["hello"]);
        let hidden = alice.call("notes_list", json!({})).await;
        let unknown = alice.call("notes_lost", json!({})).await;
        assert_eq!(
            (hidden.status, &hidden.body),
            (unknown.status, &unknown.body)
        );
        assert!(is_unknown(&hidden));

        let shown =
            r#"permit (principal, action == Action::"list", resource == Tool::"notes_list");"#;
        let server = server.restart(shown).await;
        let alice = server.caller("alice");
        assert_eq!(alice.list().await, ["hello", "notes_list"]);
        let refused = alice.call("notes_list", json!({})).await;
        assert_eq!(refused.text(), "this call is not allowed");
        server.stop().await;
    });
}

#[test]
fn what_an_author_requires_only_narrows() {
    run(async {
        let strict = with_manifest(&tool("hello").await, |manifest| {
            manifest.requires.roles = vec!["user".to_owned()];
            manifest.requires.acr = Some("silver".to_owned());
        });
        let setup = Setup::new().package("hello", &strict).issuer(|issuer| {
            issuer.acr = ["bronze", "silver", "gold"].map(str::to_owned).to_vec();
        });
        let server = setup.start().await;
        for acr in ["silver", "gold"] {
            assert!(hello(&server, json!({"acr": acr})).await.is_reply());
        }
        for weak in [json!({"acr": "bronze"}), json!({"acr": "other"}), json!({})] {
            let answer = hello(&server, weak).await;
            assert_eq!(answer.status, 401, "{answer:?}");
        }
        let answer = hello(&server, json!({"acr": "gold", "roles": ["admin"]})).await;
        assert!(is_unknown(&answer), "{answer:?}");
        // What the author asks for gives nobody anything.
        let server = server
            .restart("forbid (principal, action, resource == Tool::\"hello\");")
            .await;
        assert!(is_unknown(&hello(&server, json!({"acr": "gold"})).await));
        server.stop().await;
    });
}

#[test]
fn bounds_of_deciding_rules_are_kept() {
    run(async {
        let note = json!({"name": "milk", "text": "Buy some."});
        let bounded = |bound: &str| format!("{bound} permit (principal, action, resource);");
        let setup = Setup::new().tools(&["notes"]).await.only_rules("");
        let server = setup.start().await;
        let server = server.restart(&bounded("@max_consent(\"once\")")).await;
        let alice = server.caller("alice");
        let once = alice.call_deciding(&server, "notes_write", note.clone(), |_| Choice::Once);
        assert!(once.await.is_reply());
        assert!(
            alice
                .call("notes_write", note.clone())
                .await
                .link()
                .is_some()
        );

        let server = server.restart(&bounded("@max_consent(\"P7D\")")).await;
        let alice = server.caller("alice");
        assert!(
            alice
                .call_allowed(&server, "notes_write", note.clone())
                .await
                .is_reply()
        );
        assert!(alice.call("notes_write", note.clone()).await.is_reply());

        // Whatever was agreed to: above the highest tier there is nothing.
        let server = server.restart(&bounded("@max_tier(\"T1\")")).await;
        let alice = server.caller("alice");
        assert!(!alice.list().await.contains(&"notes_write".to_owned()));
        assert!(is_unknown(&alice.call("notes_write", note).await));
        server.stop().await;
    });
}

#[test]
fn calls_of_a_rate_class_are_counted_for_their_user_alone_and_use_up_no_consent() {
    run(async {
        let rules = r#"
            permit (principal, action, resource) unless { resource in Package::"notes" };
            @rate("few") permit (principal, action, resource in Package::"notes");
        "#;
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        let setup = setup.config("[rate.few]\ncalls = 2\nseconds = 86400\n");
        let server = setup.only_rules(rules).start().await;
        let note = json!({"name": "milk", "text": "Buy some."});
        let alice = server.caller("alice");
        // Neither what the user is asked nor what does not fit is counted.
        let asked = alice.call("notes_write", note.clone()).await;
        assert!(alice.call("notes_write", json!({})).await.is_tool_error());
        server
            .decide(&asked.link().unwrap(), "alice", Choice::Once)
            .await;
        assert!(alice.call("notes_write", note.clone()).await.is_reply());
        let again = alice.call_deciding(&server, "notes_write", note.clone(), |_| Choice::Once);
        assert!(again.await.is_reply());

        let refused = alice.call("notes_write", note.clone()).await;
        assert!(refused.is_tool_error(), "{refused:?}");
        let text = refused.text();
        assert!(
            text.contains("the limit `few` allows 2 in 86400 s") && text.contains("wait 4"),
            "{text}"
        );
        // By another client it is the same user; what no rule bounds goes on; another user has calls of their own.
        let other = server.caller("alice").via(&server, "other");
        assert!(
            other
                .call("notes_list", json!({}))
                .await
                .text()
                .contains("`few`")
        );
        assert!(hello(&server, json!({})).await.is_reply());
        let bob = server.caller("root");
        assert!(
            bob.call_allowed(&server, "notes_write", note)
                .await
                .is_reply()
        );
        let records = server.records().await;
        let refusals = records.iter().filter(|stored| {
            let refusal = serde_json::to_string(&stored.record).unwrap();
            refusal.contains("\"rate:few\"") && refusal.contains("\"limits\"")
        });
        assert_eq!(refusals.count(), 2);
        server.stop().await;
    });
}

#[test]
fn a_call_that_lacks_scopes_alone_is_told_which_would_do() {
    run(async {
        let rules = r#"
            permit (principal in Role::"user", action, resource);
            forbid (principal, action == Action::"call:hello", resource)
            unless { context.args.name == "Bob" || principal.scopes.contains("hello:ada") };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let setup = setup.issuer(|issuer| {
            let implied = vec!["tools:call".to_owned(), "hello:ada".to_owned()];
            issuer.scopes = ScopeMap::new([("boss".to_owned(), implied)]);
        });
        let server = setup.start().await;
        let refused = hello(&server, json!({})).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
        assert!(
            challenge.contains("scope=\"hello:ada tools:call\""),
            "{challenge}"
        );
        // With those, or with one that implies them, the same call is made; and with other arguments it always was.
        for scope in ["hello:ada tools:call", "boss"] {
            assert!(hello(&server, json!({"scope": scope})).await.is_reply());
        }
        let bob = server
            .caller("alice")
            .call("hello", json!({"name": "Bob"}))
            .await;
        assert!(bob.is_reply());
        // Whoever lacks more than scopes learns of none.
        let guest = hello(&server, json!({"roles": ["guest"]})).await;
        assert!(is_unknown(&guest), "{guest:?}");
        server.stop().await;
    });
}

#[test]
fn without_a_token_one_lists_what_is_open_and_never_calls() {
    run(async {
        let rules = r#"
            permit (principal is User, action, resource);
            permit (principal is Anonymous, action == Action::"list", resource == Tool::"hello");
        "#;
        let setup = || async {
            let setup = Setup::new().tools(&["hello", "notes"]).await;
            setup.only_rules(rules)
        };
        let bare = |method: &str, server: &Server, era| {
            let alice = server.caller("alice").in_era(era);
            let params = match method {
                "tools/call" => json!({"name": "hello", "arguments": {"name": "Ada"}}),
                _ => json!({}),
            };
            let request = alice.request(method, params).build().unwrap();
            let (mut headers, body) = (
                request.headers().clone(),
                request.body().unwrap().as_bytes().unwrap().to_vec(),
            );
            headers.remove("authorization");
            let again = http()
                .post(request.url().clone())
                .headers(headers)
                .body(body);
            Answer::read(again)
        };
        // The door is shut unless the operator opens it.
        let server = setup().await.start().await;
        assert_eq!(bare("tools/list", &server, Era::Modern).await.status, 401);
        server.stop().await;

        let open = "[discovery]\nanonymous = true\n";
        let server = setup().await.config(open).start().await;
        for era in [Era::Modern, Era::Legacy] {
            let listed = bare("tools/list", &server, era).await.result();
            let names: Vec<_> = listed["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].clone())
                .collect();
            assert_eq!(names, ["hello"]);
            let called = bare("tools/call", &server, era).await;
            assert_eq!(called.status, 401, "{called:?}");
            assert!(
                called
                    .header("www-authenticate")
                    .unwrap()
                    .contains("resource_metadata=")
            );
        }
        for method in ["subscriptions/listen", "prompts/list", "tasks/get"] {
            assert_eq!(
                bare(method, &server, Era::Modern).await.status,
                401,
                "{method}"
            );
        }
        assert!(server.outcomes("hello").await.is_empty());
        // A bad token is a bad token, not none; and a caller is served as ever.
        let bad = server.caller("alice").bearing("x.y.z");
        assert_eq!(bad.send("tools/list", json!({})).await.status, 401);
        assert!(hello(&server, json!({})).await.is_reply());
        assert!(server.caller("alice").list().await.len() > 1);
        server.stop().await;
    });
}
