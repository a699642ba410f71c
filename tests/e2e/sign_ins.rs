//! Calls that need a stronger or fresher sign-in: a challenge that says which (RFC 9470), and only where it would help.

use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick::config::IssuerConfig;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup, run, tool, with_manifest};

const ORDER: [&str; 3] = ["bronze", "silver", "gold"];

fn ordered(issuer: &mut IssuerConfig) {
    issuer.acr = ORDER.map(str::to_owned).to_vec();
}

async fn hello(server: &Server, claims: Value) -> Answer {
    let alice = server.caller("alice").with(server, claims);
    alice.call("hello", json!({"name": "Ada"})).await
}

fn secs_ago(secs: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() - secs
}

/// The challenge of a 401, up to where it leads to the metadata.
fn challenge(answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    let whole = answer.header("www-authenticate").unwrap();
    let (said, metadata) = whole.split_once("resource_metadata=").unwrap();
    assert!(metadata.contains("/.well-known/oauth-protected-resource"));
    said.trim_end_matches([',', ' ']).to_owned()
}

#[test]
fn a_rule_that_asks_for_strength_or_age_is_answered_with_what_would_do() {
    run(async {
        let rules = r#"
            permit (principal in Role::"user", action, resource);
            @id("strong") forbid (principal, action == Action::"call:hello", resource)
            unless { context has acr && ["silver", "gold"].contains(context.acr) };
            @id("fresh") forbid (principal, action == Action::"call:hello", resource)
            unless { context has auth_time && context.now - context.auth_time <= 300 };
            @id("scoped") forbid (principal, action == Action::"call:hello", resource)
            unless { principal.scopes.contains("hello:ada") };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = setup.issuer(ordered).start().await;
        let scope = "hello:ada tools:call";
        let now = secs_ago(0);
        let good = json!({"acr": "silver", "auth_time": now, "scope": scope});
        assert!(hello(&server, good).await.is_reply());

        let head = "Bearer error=\"insufficient_user_authentication\"";
        let scopes = format!("scope=\"{scope}\"");
        for (claims, wanted) in [
            (
                json!({"acr": "bronze", "auth_time": now, "scope": scope}),
                "acr_values=\"silver gold\"",
            ),
            (
                json!({"acr": "gold", "auth_time": secs_ago(400), "scope": scope}),
                "max_age=\"300\"",
            ),
            (json!({"acr": "gold", "scope": scope}), "max_age=\"300\""),
            // Whatever else is missing is asked for at once.
            (
                json!({"auth_time": secs_ago(400)}),
                "acr_values=\"silver gold\", max_age=\"300\"",
            ),
        ] {
            let refused = hello(&server, claims.clone()).await;
            assert_eq!(
                challenge(&refused),
                format!("{head}, {wanted}, {scopes}"),
                "{claims}"
            );
        }
        // Where scopes alone are missing it is a matter of scopes.
        let refused = hello(&server, json!({"acr": "gold", "auth_time": now})).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let said = refused.header("www-authenticate").unwrap();
        assert!(
            said.contains("insufficient_scope") && !said.contains("acr_values"),
            "{said}"
        );
        // And whoever could not call it in any case learns nothing.
        let guest = hello(&server, json!({"acr": "bronze", "roles": ["guest"]})).await;
        assert_eq!(guest.error().1, "unknown tool");

        let outcomes = server.outcomes("hello").await;
        let reasons: Vec<_> = outcomes
            .iter()
            .filter_map(|one| one.result.as_ref().unwrap().reason.as_deref())
            .collect();
        assert_eq!(reasons[..4], ["weak-sign-in"; 4]);
        assert_eq!(reasons[4..], ["missing-scopes", "denied"]);
        server.stop().await;
    });
}

#[test]
fn what_an_author_demands_of_the_sign_in_is_asked_for_where_somebody_can_sign_in() {
    run(async {
        let strict = with_manifest(&tool("hello").await, |manifest| {
            manifest.requires.acr = Some("silver".to_owned());
        });
        let setup = Setup::new().package("hello", &strict).machines();
        let server = setup.issuer(ordered).start().await;
        for weak in [json!({"acr": "bronze"}), json!({"acr": "other"}), json!({})] {
            let said = challenge(&hello(&server, weak).await);
            assert!(said.contains("acr_values=\"silver gold\""), "{said}");
        }
        assert!(hello(&server, json!({"acr": "gold"})).await.is_reply());
        // A machine cannot: it is told in words, and nobody is sent to sign in.
        let machine = server.caller("dev-client");
        let refused = machine.call("hello", json!({"name": "Ada"})).await;
        assert!(refused.is_tool_error() && refused.text().contains("stronger sign-in"));
        server.stop().await;
    });
}
