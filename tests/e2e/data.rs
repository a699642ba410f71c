//! Personal data and secrets: what a tool may be given and may answer with, and that nothing of it is ever logged.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::{Answer, Browser, Caller, Era, Server, Setup, log, packed, run, toml_of};

const LEAK: &str = "data_leak";
/// Each test has an address of its own, so that it can look for it in the log that all share.
const PLACE: [&str; 3] = ["reply", "error", "log"];

/// A server with the guest, which asks for these classes, needed or not.
async fn setup(classes: &[&str], optional: bool) -> Setup {
    let need = format!(
        "id = \"people\"\nkind = \"data\"\nclasses = {classes:?}\noptional = {optional}\nreason = \"The probe uses it.\"\n"
    );
    let needs: Vec<_> = match classes {
        [] => vec![],
        _ => vec![toml::from_str(&need).unwrap()],
    };
    let package = packed(LEAK, &toml_of(LEAK, &needs)).await;
    Setup::new().package(LEAK, &package)
}

fn say(text: &str, place: &str) -> Value {
    json!({"say": [text], "place": place})
}

/// The same in pieces in which nothing is recognized, so that it reaches any tool.
fn smuggle(text: &str, place: &str) -> Value {
    let pieces: Vec<_> = text.chars().map(String::from).collect();
    json!({"say": pieces, "place": place})
}

async fn call(caller: &Caller, arguments: Value) -> Answer {
    caller.call(LEAK, arguments).await
}

/// Asserts that a call did not reach its tool, for this class, and that the answer says where and what to do.
fn check_refused(answer: &Answer, class: &str) {
    assert!(answer.is_tool_error(), "{answer:?}");
    let text = answer.text();
    for part in [
        "not called",
        "`/say/0`",
        &format!("`{class}`"),
        "[[data.rule]]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Asserts that a value stands neither in the log nor in the audit nor in the state.
pub async fn check_silent(server: &Server, secret: &str) {
    for stored in server.records().await {
        assert!(!stored.json.contains(secret), "{}", stored.json);
    }
    assert!(!log::text().contains(secret), "the log holds `{secret}`");
    for file in files(server.dir()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{} holds `{secret}`", file.display());
    }
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_none_or(|ext| ext != "wasm"))
        .collect()
}

#[test]
fn a_tool_that_asks_for_nothing_is_given_no_personal_data_and_answers_with_none() {
    run(async {
        let server = setup(&[], false).await.start().await;
        let address = "nobody.asked@example.com";
        for era in [Era::Modern, Era::Legacy] {
            let alice = server.caller("alice").in_era(era);
            check_refused(&call(&alice, say(address, "reply")).await, "email");
            assert!(call(&alice, say("no address", "reply")).await.is_reply());

            let masked = call(&alice, smuggle(address, "reply")).await;
            assert!(masked.is_reply(), "{masked:?}");
            assert!(!masked.body.contains(address), "{masked:?}");
            let meta = &masked.result()["_meta"]["bailiwick/masked"];
            assert_eq!(meta["email"], 2, "text and structured: {masked:?}");

            let failed = call(&alice, smuggle(address, "error")).await;
            assert!(
                failed.is_tool_error() && !failed.body.contains(address),
                "{failed:?}"
            );
        }
        let refused = &server.outcomes(LEAK).await[0];
        let result = refused.result.clone().unwrap();
        assert_eq!(result.reason.unwrap(), "data-ungranted");
        assert_eq!(refused.facts["data_in"], json!({"email": {"reject": 1}}));
        server.stop().await;
    });
}

#[test]
fn what_the_rules_permit_and_the_user_agrees_to_reaches_the_tool_and_comes_back() {
    run(async {
        let server = setup(&["email"], false).await.start().await;
        let alice = server.caller("alice");
        let address = "agreed.to@example.com";
        let asked = call(&alice, say(address, "reply")).await;
        let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
        let mut browser = Browser::default();
        let page = browser.open(&link, "alice").await;
        assert!(page.html.contains("Be given e-mail addresses"), "{page:?}");
        browser.decide(&link, "alice", "allow-until").await;

        let given = call(&alice, say(address, "reply")).await;
        assert_eq!(given.structured()["said"], address, "{given:?}");
        assert!(given.result()["_meta"].get("bailiwick/masked").is_none());
        // Another class is another capability.
        let card = "card 4012 8888 8888 1881";
        check_refused(&call(&alice, say(card, "reply")).await, "card");
        // Another user agreed to nothing, and is asked.
        let root = server.caller("root");
        assert!(call(&root, say(address, "reply")).await.link().is_some());

        let intents = server.intents(LEAK).await;
        assert_eq!(intents[0].granted, ["data email"]);
        server.stop().await;
    });
}

#[test]
fn what_the_user_denied_is_neither_given_nor_shown() {
    run(async {
        let server = setup(&["email"], true).await.start().await;
        let alice = server.caller("alice");
        let address = "denied.to@example.com";
        let link = call(&alice, say(address, "reply")).await.link().unwrap();
        Browser::default().decide(&link, "alice", "deny").await;
        check_refused(&call(&alice, say(address, "reply")).await, "email");
        let masked = call(&alice, smuggle(address, "reply")).await;
        assert!(
            masked.is_reply() && !masked.body.contains(address),
            "{masked:?}"
        );
        server.stop().await;
    });
}

#[test]
fn what_no_rule_permits_is_refused_and_its_user_is_not_asked() {
    run(async {
        let rules = r#"
            permit (principal, action in [Action::"list", Action::"call"], resource);
            permit (principal, action == Action::"use", resource) when { resource has class && resource.class == "phone" };
        "#;
        let setup = setup(&["email", "phone"], true).await.only_rules(rules);
        let server = setup.start().await;
        let alice = server.caller("alice");
        check_refused(
            &call(&alice, say("no.rule@example.com", "reply")).await,
            "email",
        );
        // The one that a rule permits is asked about.
        let asked = call(&alice, say("nothing", "reply")).await;
        assert!(
            asked.body.contains("phone numbers") && !asked.body.contains("e-mail"),
            "{asked:?}"
        );
        server.stop().await;
    });
}

#[test]
fn the_annotation_data_on_the_rule_that_permits_the_call_bounds_what_it_is_given() {
    run(async {
        let rules = |data: &str| {
            format!(
                r#"@data("{data}") permit (principal, action in [Action::"list", Action::"call"], resource);
                   permit (principal, action == Action::"use", resource);"#
            )
        };
        let address = "bounded.by@example.com";
        // The operator lets the class through by configuration; the rule counts all the same.
        let allow = "[[data.rule]]\nclass = \"email\"\naction = \"allow\"\n";
        for (data, config, given) in [
            ("email,phone", "", true),
            ("phone", "", false),
            ("none", "", false),
            ("phone", allow, false),
            ("email", allow, true),
        ] {
            let setup = setup(&["email"], true).await.only_rules(&rules(data));
            let server = setup.config(config).start().await;
            let alice = server.caller("alice");
            let answer = alice
                .call_allowed(&server, LEAK, say(address, "reply"))
                .await;
            match given {
                true => assert_eq!(answer.structured()["said"], address, "{answer:?}"),
                false => check_refused(&answer, "email"),
            }
            server.stop().await;
        }
        // Where the tool must be given it, the call is not permitted at all.
        let setup = setup(&["email"], false).await.only_rules(&rules("phone"));
        let server = setup.start().await;
        let alice = server.caller("alice");
        assert!(alice.list().await.is_empty());
        server.stop().await;
    });
}

#[test]
fn the_operator_says_what_becomes_of_a_class_by_tool_field_and_direction() {
    run(async {
        let config = r#"
            [[data.class]]
            name = "employee-no"
            pattern = "EMP-[0-9]{6}"
            [[data.rule]]
            class = "employee-no"
            tool = "data_*"
            field = "/say/*"
            direction = "arguments"
            action = "mask"
            [[data.rule]]
            class = "email"
            direction = "reply"
            action = "reject"
            [[data.rule]]
            class = "email"
            action = "allow"
        "#;
        let server = setup(&[], false).await.config(config).start().await;
        let alice = server.caller("alice");
        let masked = call(&alice, say("EMP-123456", "reply")).await;
        assert!(
            masked.is_reply() && !masked.body.contains("123456"),
            "{masked:?}"
        );
        let withheld = call(&alice, say("goes.in@example.com", "reply")).await;
        assert!(withheld.is_tool_error(), "{withheld:?}");
        assert!(
            withheld.text().contains("its reply is not shown"),
            "{withheld:?}"
        );
        assert!(!withheld.body.contains("goes.in"), "{withheld:?}");
        let outcome = server.outcomes(LEAK).await.pop().unwrap();
        assert_eq!(outcome.result.unwrap().status, "reply-withheld");
        server.stop().await;
    });
}

#[test]
fn a_number_that_cannot_be_masked_withholds_the_reply() {
    run(async {
        let config = "[data]\nact_on = \"likely\"\n";
        let server = setup(&[], false).await.config(config).start().await;
        let alice = server.caller("alice");
        let answer = call(&alice, smuggle("4012888888881881", "number")).await;
        assert!(answer.is_tool_error(), "{answer:?}");
        assert!(!answer.body.contains("4012888888881881"), "{answer:?}");
        let plain = call(&alice, smuggle("12", "number")).await;
        assert_eq!(plain.structured()["number"], 12, "{plain:?}");
        server.stop().await;
    });
}

#[test]
fn nothing_of_a_detected_class_is_logged_whatever_the_tool_may_be_given() {
    run(async {
        for (classes, user) in [(&[][..], "alice"), (&["email"][..], "bob")] {
            let server = setup(classes, false).await.start().await;
            let caller = server.caller(user);
            let address = format!("silent.{user}@example.com");
            for place in PLACE {
                for arguments in [say(&address, place), smuggle(&address, place)] {
                    caller.call_allowed(&server, LEAK, arguments).await;
                }
            }
            check_silent(&server, &address).await;
            assert!(log::text().contains("data_leak"), "it did log");
            server.stop().await;
        }
    });
}

#[test]
fn a_revocation_takes_the_data_from_the_next_call() {
    run(async {
        let server = setup(&["email"], true).await.start().await;
        let alice = server.caller("alice");
        let arguments = || say("taken.back@example.com", "reply");
        let given = alice.call_allowed(&server, LEAK, arguments()).await;
        assert!(given.is_reply(), "{given:?}");
        server.write_config();
        let revoke = [
            "consent",
            "revoke",
            "--config",
            "bailiwick.toml",
            "--user",
            "alice",
            "--tool",
            LEAK,
        ];
        bailiwick(server.dir(), &revoke).ends(0);
        let asked = call(&alice, arguments()).await;
        assert!(asked.link().is_some(), "{asked:?}");
        server.stop().await;
    });
}
