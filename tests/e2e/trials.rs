//! What rules under trial and rules that err leave behind: the log and the audit name them, and no value of an argument.

use bailiwick::audit::TrialFacts;
use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::{Answer, Server, Setup, log, run};

async fn hello(server: &Server, name: &str) -> Answer {
    let alice = server.caller("alice");
    alice.call("hello", json!({"name": name})).await
}

fn shown(server: &Server, rule: &str) -> String {
    let show = [
        "audit",
        "show",
        "--config",
        "bailiwick.toml",
        "--rule",
        rule,
    ];
    bailiwick(server.dir(), &show).ends(0)
}

#[test]
fn a_rule_under_trial_is_on_record_and_decides_nothing() {
    run(async {
        let rules = r#"
            permit (principal, action, resource);
            @id("trial-of-e2e") @log_only("true")
            forbid (principal, action == Action::"call:hello", resource) when { context.args.name == "Adalbert" };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = setup.start().await;
        server.write_config();
        assert!(hello(&server, "Adalbert").await.is_reply());
        assert!(hello(&server, "Bob").await.is_reply());
        // A listing leaves no record, whatever is tried.
        server.caller("alice").list().await;

        let intents = server.intents("hello").await;
        let trials: Vec<_> = intents
            .iter()
            .map(|intent| intent.decision.as_ref().unwrap().trial.clone())
            .collect();
        let would_refuse = TrialFacts {
            bounds: None,
            from: "allow".to_owned(),
            question: "call".to_owned(),
            rules: vec!["trial-of-e2e".to_owned()],
            to: "refuse".to_owned(),
        };
        assert_eq!(trials, [vec![would_refuse], vec![]]);
        // Who, by which client, which build: what every record of a call says.
        let intent = &intents[0];
        assert!(intent.subject.is_some() && intent.client_id.is_some());
        assert!(intent.tool.is_some());
        for stored in server.records().await {
            assert!(!stored.json.contains("Adalbert"), "{}", stored.json);
        }
        let text = shown(&server, "trial-of-e2e");
        assert_eq!(text.lines().count(), 1, "{text}");
        let said = "under trial trial-of-e2e: call would go from allow to refuse";
        assert!(text.contains(said), "{text}");
        let text = log::text();
        let line = text.lines().find(|line| line.contains("trial-of-e2e"));
        let line = line.unwrap();
        assert!(
            line.contains("would=refuse") && !line.contains("Adalbert"),
            "{line}"
        );

        // The same rule, once it decides.
        let decides = r#"@id("decides") forbid (principal, action == Action::"call:hello", resource) when { context.args.name == "Adalbert" };"#;
        let server = server.restart(decides).await;
        let refused = hello(&server, "Adalbert").await;
        assert_eq!(refused.text(), "this call is not allowed");
        assert!(hello(&server, "Bob").await.is_reply());
        let text = shown(&server, "decides");
        assert!(
            text.contains("refused by policy, denied; by rule decides"),
            "{text}"
        );
        server.stop().await;
    });
}

#[test]
fn what_a_trial_would_have_allowed_stands_in_the_record_of_the_refusal() {
    run(async {
        let rules = r#"
            permit (principal, action == Action::"list", resource);
            @id("opening-of-e2e") @log_only("true") permit (principal, action in Action::"call", resource);
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = setup.start().await;
        let refused = hello(&server, "Ada").await;
        assert_eq!(refused.text(), "this call is not allowed");
        let outcome = server.outcomes("hello").await.pop().unwrap();
        assert_eq!(outcome.kind, "tool.denied");
        let decision = outcome.decision.unwrap();
        let way = |one: &TrialFacts| (one.from.clone(), one.to.clone());
        let ways: Vec<_> = decision.trial.iter().map(way).collect();
        assert_eq!(ways, [("refuse".to_owned(), "allow".to_owned())]);
        server.stop().await;
    });
}

#[test]
fn a_rule_that_errs_refuses_and_is_on_record_by_its_id() {
    run(async {
        // Addition beyond 64 bits is the one error that a rule can still make once it was checked.
        let rules = r#"
            permit (principal, action, resource);
            @id("overflows-in-e2e")
            forbid (principal, action == Action::"call:hello", resource)
            when { context.args.name like "Ada*" && context.now + 9223372036854775807 > 0 };
        "#;
        let setup = Setup::new().tools(&["hello"]).await.only_rules(rules);
        let server = setup.start().await;
        server.write_config();
        for _ in 0..2 {
            let refused = hello(&server, "Adalbert").await;
            assert_eq!(refused.text(), "this call is not allowed");
        }
        assert!(hello(&server, "Bob").await.is_reply());
        let outcomes = server.outcomes("hello").await;
        let erred: Vec<Value> = outcomes
            .iter()
            .filter(|one| one.kind == "tool.denied")
            .map(|one| {
                json!([
                    one.result.as_ref().unwrap().reason,
                    one.decision.as_ref().unwrap().erred
                ])
            })
            .collect();
        let expected = json!(["evaluation-error", ["overflows-in-e2e"]]);
        assert_eq!(erred, [expected.clone(), expected]);
        let text = shown(&server, "overflows-in-e2e");
        assert_eq!(text.lines().count(), 2, "one for each refusal: {text}");
        assert!(
            text.contains("could not be evaluated: overflows-in-e2e"),
            "{text}"
        );
        let log = log::text();
        let line = log.lines().find(|line| line.contains("overflows-in-e2e"));
        let line = line.unwrap();
        assert!(
            line.contains("WARN") && !line.contains("Adalbert"),
            "{line}"
        );
        server.stop().await;
    });
}
