//! Every fact that a rule can read of a caller, over HTTP: with the right value the call is made, with another one, or none,
//! the tool is unknown, or the answer says which sign-in would do.

use std::fmt::Write;
use std::time::Instant;

use bailiwick::config::{ClaimType, ExtraClaim, IssuerConfig};
use bailiwick::limits::UNKNOWN_TOOL_WAIT;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup, handmade, pack, run, toml_of};

/// One fact: what the rule about a tool asks for, claims that meet it, and claims that do not.
struct Fact {
    /// The name of the tool that stands for it.
    name: &'static str,
    condition: &'static str,
    good: Value,
    bad: Vec<Value>,
}

fn fact(name: &'static str, condition: &'static str, good: Value, bad: &[Value]) -> Fact {
    let bad = bad.to_vec();
    Fact {
        name,
        condition,
        good,
        bad,
    }
}

fn facts() -> Vec<Fact> {
    let ours = json!({});
    vec![
        fact(
            "subject",
            "principal.subject == \"alice\" && principal.has_user",
            ours.clone(),
            &[json!({"sub": "аlice"}), json!({"sub": "Alice"})],
        ),
        fact(
            "nested_roles",
            "principal.roles.contains(\"clerk\") && principal in Role::\"clerk\"",
            json!({"realm_access": {"roles": ["clerk"]}}),
            &[
                ours.clone(),
                json!({"roles": ["clerk"]}),
                json!({"realm_access": {"roles": ["clerks", "ｃlerk", "Clerk", "clerk "]}}),
            ],
        ),
        fact(
            "roles_as_text",
            "principal in Role::\"auditor\"",
            json!({"realm_access": {"roles": "clerk auditor"}}),
            &[json!({"realm_access": {"roles": "clerk, auditors"}})],
        ),
        fact(
            "tenant",
            "principal in Tenant::\"acme\"",
            json!({"org": "acme"}),
            &[ours.clone(), json!({"org": "acme2"})],
        ),
        fact(
            "client",
            "context.client == \"inspector\"",
            json!({"client_id": "inspector"}),
            &[ours.clone(), json!({"client_id": "Inspector"})],
        ),
        fact(
            "fresh",
            "context has auth_time && context.now - context.auth_time < 300",
            json!({"auth_time": ago(10)}),
            &[ours.clone(), json!({"auth_time": ago(400)})],
        ),
        fact(
            "acr",
            "context has acr && context.acr == \"gold\"",
            json!({"acr": "gold"}),
            &[ours.clone(), json!({"acr": "golden"})],
        ),
        fact(
            "level",
            "principal.claims has level && principal.claims.level >= 3",
            json!({"hr": {"level": 3}}),
            &[ours.clone(), json!({"hr": {"level": 2}})],
        ),
        fact(
            "flag",
            "principal.claims has staff && principal.claims.staff",
            json!({"hr": {"staff": true}}),
            &[ours.clone(), json!({"hr": {"staff": false}})],
        ),
        fact(
            "projects",
            "principal.claims has projects && principal.claims.projects.contains(\"blue\")",
            json!({"projects": ["red", "blue"]}),
            &[ours, json!({"projects": ["red"]}), json!({"projects": []})],
        ),
    ]
}

fn ago(seconds: u64) -> u64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() - seconds
}

fn mapped(issuer: &mut IssuerConfig) {
    let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    issuer.claims.roles = path(&["realm_access", "roles"]);
    issuer.claims.tenant = path(&["org"]);
    for (name, at, kind) in [
        ("level", ["hr", "level"].as_slice(), ClaimType::Integer),
        ("staff", &["hr", "staff"], ClaimType::Boolean),
        ("projects", &["projects"], ClaimType::Strings),
    ] {
        let claim = ExtraClaim {
            path: path(at),
            kind,
            required: false,
            told: false,
        };
        issuer.claims.extra.insert(name.to_owned(), claim);
    }
}

/// One tool for each fact, and a rule for each tool.
async fn serve() -> Server {
    let mut setup = Setup::new();
    let mut rules = String::new();
    for fact in facts() {
        let component = handmade::component(fact.name, "", "(call $number (i64.const 7))");
        let package = pack(&component, &toml_of(fact.name, &[])).await.unwrap();
        setup = setup.package(fact.name, &package);
        let Fact {
            name, condition, ..
        } = fact;
        // A list knows no time. A rule about listing alone would show the tool to whoever may not call it.
        let listed = match condition.contains("context.now") {
            true => "true",
            false => condition,
        };
        writeln!(
            rules,
            "permit (principal, action in [Action::\"list\", Action::\"use\"], resource == Tool::\"{name}\") when {{ {listed} }};
             permit (principal, action == Action::\"call:{name}\", resource) when {{ {condition} }};"
        )
        .unwrap();
    }
    setup.only_rules(&rules).issuer(mapped).start().await
}

#[test]
fn each_fact_of_a_caller_decides_and_another_value_of_it_does_not() {
    run(async {
        let server = serve().await;
        let call = async |claims: &Value, name: &str| {
            let caller = server.caller("alice").with(&server, claims.clone());
            caller.call(name, json!({"name": "Ada"})).await
        };
        for fact in facts() {
            let answer = call(&fact.good, fact.name).await;
            assert!(answer.is_reply(), "{}: {answer:?}", fact.name);
            for bad in &fact.bad {
                let answer = call(bad, fact.name).await;
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                let refused = match fact.name {
                    // Another sign-in would do, so that is what they are told.
                    "fresh" => {
                        answer.status == 401
                            && challenge.contains("insufficient_user_authentication")
                    }
                    _ => answer.json()["error"]["message"] == "unknown tool",
                };
                assert!(refused, "{} {bad}: {answer:?}", fact.name);
            }
        }
        server.stop().await;
    });
}

#[test]
fn a_claim_that_is_no_such_claim_is_no_token() {
    run(async {
        let server = serve().await;
        let long = "x".repeat(1024 * 1024);
        let many: Vec<_> = (0..1_000).map(|n| format!("r{n}")).collect();
        for wrong in [
            json!({"hr": {"level": "3"}}),
            json!({"hr": {"level": 3.5}}),
            json!({"hr": {"level": 9_223_372_036_854_775_808_u64}}),
            json!({"hr": {"staff": "true"}}),
            json!({"projects": ["blue", 7]}),
            json!({"realm_access": {"roles": {"clerk": true}}}),
            json!({"realm_access": {"roles": [["clerk"]]}}),
            json!({"realm_access": {"roles": many}}),
            json!({"org": ["acme"]}),
            json!({"client_id": 7}),
            json!({"auth_time": "now"}),
            json!({"acr": ["gold"]}),
        ] {
            let caller = server.caller("alice").with(&server, wrong.clone());
            let answer = caller.call("subject", json!({"name": "Ada"})).await;
            let short: String = wrong.to_string().chars().take(80).collect();
            assert!(
                matches!(answer.status.as_u16(), 401 | 431),
                "{short}: {}",
                answer.status
            );
        }
        // A field that is longer than all may be together is answered, or its connection broken, while it still comes.
        let caller = server.caller("alice").with(&server, json!({"hr": long}));
        let call = json!({"name": "subject", "arguments": {"name": "Ada"}});
        let sent = caller.request("tools/call", call).send().await;
        let status = sent.map(|answer| answer.status().as_u16());
        assert!(
            status.as_ref().is_ok_and(|one| matches!(one, 401 | 431))
                || status.as_ref().is_err_and(reqwest::Error::is_request),
            "{status:?}"
        );
        // What was running keeps running.
        let alice = server.caller("alice");
        assert!(
            alice
                .call("subject", json!({"name": "Ada"}))
                .await
                .is_reply()
        );
        server.stop().await;
    });
}

#[test]
fn a_hidden_tool_answers_in_every_byte_as_one_that_does_not_exist_and_no_sooner() {
    run(async {
        let server = serve().await;
        let alice = server.caller("alice").with(&server, json!({}));
        for arguments in [
            json!({"name": "Ada"}),
            json!({"name": 7}),
            json!({}),
            json!({"name": "Ada", "more": [1]}),
        ] {
            let began = Instant::now();
            let hidden = alice.call("tenant", arguments.clone()).await;
            assert!(began.elapsed() >= UNKNOWN_TOOL_WAIT);
            let began = Instant::now();
            let unknown = alice.call("tenanx", arguments).await;
            assert!(began.elapsed() >= UNKNOWN_TOOL_WAIT);
            assert_eq!(hidden.status, unknown.status);
            assert_eq!(hidden.body, unknown.body);
            let names = |answer: &Answer| {
                let mut all: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
                all.sort();
                all
            };
            assert_eq!(names(&hidden), names(&unknown));
        }
        server.stop().await;
    });
}
