//! What tools are told of users: what was granted of it, and nothing that is about the token.

use serde_json::{Value, json};

use crate::harness::{Caller, Server, Setup, packed, run, toml_of};

fn told(answer: &Value) -> Vec<String> {
    serde_json::from_value(answer["told"].clone()).unwrap()
}

fn with_claims(server: &Server, user: &str) -> Caller {
    let claims = json!({
        "email": "canary-2b7e@example.com",
        "name": "Canary Person",
        "department": "canary-lab",
        "given_name": "Canary",
        "sid": "canary-session",
    });
    server.caller(user).with(server, claims)
}

#[test]
fn a_tool_is_told_the_claims_that_its_user_agreed_to_and_no_others() {
    run(async {
        let server = Setup::new().guests(&["claims_probe"]).await.start().await;
        let alice = with_claims(&server, "alice");
        let first = alice.call("claims_probe", json!({})).await;
        let link = first.link().unwrap();
        // The pseudonym is asked of nobody.
        assert_eq!(
            server.asked(&link, "alice").await,
            ["claims email", "claims name"]
        );
        let choice = |one: &str| match one {
            "claims email" => crate::harness::for_an_hour(),
            _ => bailiwick::consent::Choice::Deny,
        };
        server.decide_each(&link, "alice", choice).await;
        let answer = alice.call("claims_probe", json!({})).await;
        let report = answer.structured();
        assert_eq!(told(&report).len(), 1, "{report}");
        assert_eq!(report["absent"], json!([]));
        assert_eq!(report["refused"], 48);
        // The search of replies holds as ever: it was told, and may not tell.
        assert!(told(&report)[0].starts_with("email="), "{report}");
        assert!(
            !answer.body.contains("canary-2b7e@example.com"),
            "{answer:?}"
        );
        let outcome = server.outcomes("claims_probe").await.pop().unwrap();
        let used = outcome.result.unwrap().used.unwrap();
        assert_eq!(used.effects["claims email"].count, 1);
        assert_eq!(used.effects["claims (refused)"].count, 48);
        assert_eq!(used.effects["claims subject"].count, 1);
        for stored in server.records().await {
            assert!(
                !stored.json.to_lowercase().contains("canary"),
                "{}",
                stored.json
            );
        }
        server.stop().await;
    });
}

#[test]
fn a_claim_of_the_operators_own_is_told_where_it_is_listed_alone() {
    run(async {
        let needs: toml::Table = toml::from_str(
            "id = \"user\"\nkind = \"claims\"\nclaims = [\"department\", \"name\"]\nreason = \"For the test.\"\n",
        )
        .unwrap();
        let package = packed("claims_probe", &toml_of("claims_probe", &[needs])).await;
        for listed in [true, false] {
            let setup = Setup::new().package("claims_probe", &package);
            let setup = setup.issuer(move |issuer| {
                let claim = bailiwick::config::ExtraClaim {
                    path: vec!["department".to_owned()],
                    kind: bailiwick::config::ClaimType::String,
                    required: false,
                    told: listed,
                };
                issuer.claims.extra.insert("department".to_owned(), claim);
            });
            let server = setup.start().await;
            let alice = with_claims(&server, "alice");
            let answer = alice.call_allowed(&server, "claims_probe", json!({})).await;
            let told = told(&answer.structured()).join(" ");
            assert!(told.contains("name=\"Canary Person\""), "{told}");
            assert_eq!(told.contains("canary-lab"), listed, "{told}");
            server.stop().await;
        }
    });
}

#[test]
fn a_pseudonym_is_one_tools_own_and_outlives_the_server() {
    run(async {
        let needs: toml::Table = toml::from_str(
            "id = \"user\"\nkind = \"claims\"\nclaims = [\"subject\"]\nreason = \"For the test.\"\n",
        )
        .unwrap();
        let mut setup = Setup::new().config("[tools.prefix]\none = \"one-\"\ntwo = \"two-\"\n");
        for name in ["one", "two"] {
            let toml = toml_of(name, std::slice::from_ref(&needs));
            setup = setup.package(name, &packed("claims_probe", &toml).await);
        }
        let server = setup.start().await;
        let subject = async |server: &Server, caller: &Caller, tool: &str| {
            let _ = server;
            let answer = caller.call(tool, json!({})).await;
            answer.structured()["subject"].as_str().unwrap().to_owned()
        };
        let alice = server.caller("alice");
        let known = subject(&server, &alice, "one-claims_probe").await;
        assert_eq!(known.len(), 64);
        assert_eq!(subject(&server, &alice, "one-claims_probe").await, known);
        let via = alice.clone().via(&server, "other-client");
        assert_eq!(subject(&server, &via, "one-claims_probe").await, known);
        assert_ne!(subject(&server, &alice, "two-claims_probe").await, known);
        let bob = server.caller("bob");
        assert_ne!(subject(&server, &bob, "one-claims_probe").await, known);
        let elsewhere = alice.clone().with(&server, json!({"tenant": "other"}));
        assert_ne!(
            subject(&server, &elsewhere, "one-claims_probe").await,
            known
        );
        let records = server.records().await;
        assert!(records.iter().all(|stored| !stored.json.contains(&known)));
        let server = server.restart("").await;
        let alice = server.caller("alice");
        assert_eq!(subject(&server, &alice, "one-claims_probe").await, known);
        server.stop().await;
    });
}

#[test]
fn rules_decide_by_claim_and_by_called_tool() {
    run(async {
        let rules = r#"
            @id("no-names")
            forbid (principal, action == Action::"use", resource)
            when { resource has claim && resource.claim == "name" };
            @id("no-flood")
            forbid (principal, action == Action::"use", resource)
            when { resource has callee && resource.callee == "hello" };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.more_rules(rules);
        let setup = setup.guests(&["claims_probe", "call_flood"]).await;
        let server = setup.start().await;
        let alice = with_claims(&server, "alice");
        let asked = alice.call("claims_probe", json!({})).await;
        assert_eq!(
            server.asked(&asked.link().unwrap(), "alice").await,
            ["claims email"]
        );
        assert_eq!(alice.list().await, ["claims_probe", "hello"]);
        server.stop().await;
    });
}

#[test]
fn nothing_that_a_tool_can_read_is_a_token() {
    run(async {
        let server = Setup::new().guests(&["token_probe"]).await.start().await;
        let alice = with_claims(&server, "alice");
        let answer = alice.call_allowed(&server, "token_probe", json!({})).await;
        let found = answer.structured();
        assert_eq!(found["tokens"], json!([]), "{found}");
        assert!(found["looked_at"].as_u64().unwrap() >= 2, "{found}");
        server.stop().await;
    });
}
