//! The law: policy ∩ needs ∩ consent, as a caller meets it.

use bailiwick::consent::Choice;
use serde_json::json;

use crate::harness::{Answer, Browser, Era, Setup, for_an_hour, http, run};

const NOTE: &str = "milk";

fn note() -> serde_json::Value {
    json!({"name": NOTE, "text": "Buy some."})
}

#[test]
fn a_tool_without_capability_answers_in_both_eras_and_nobody_is_asked() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        for era in [Era::Modern, Era::Legacy] {
            let alice = server.caller("alice").in_era(era);
            assert_eq!(alice.list().await, ["hello"]);
            let answer = alice.call("hello", json!({"name": "Ada"})).await;
            assert!(answer.is_reply(), "{answer:?}");
            assert_eq!(answer.text(), "Hello, Ada!");
        }
        let outcomes = server.outcomes("hello").await;
        assert_eq!(outcomes.len(), 2);
        assert!(outcomes.iter().all(|record| record.consents.is_empty()));
        server.stop().await;
    });
}

#[test]
fn p26_p30_s1_2_a_capability_is_used_only_after_its_user_allowed_it_on_our_page() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");

        let asked = alice.call("notes_write", note()).await;
        assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
        let link = asked.link().unwrap();
        assert!(!server.notes_of("alice").exists());

        // The word of the client alone changes nothing: it is asked again.
        let again = alice.retry("notes_write", note(), &asked, "accept").await;
        assert_eq!(again.link(), Some(link.clone()));
        assert!(!server.notes_of("alice").exists());

        let done = Browser::default()
            .decide(&link, "alice", "allow-until")
            .await;
        assert_eq!(done.status, 200, "{done:?}");
        let answer = alice.retry("notes_write", note(), &again, "accept").await;
        assert!(answer.is_reply(), "{answer:?}");
        let kept = std::fs::read_to_string(server.notes_of("alice").join("milk.md"));
        assert_eq!(kept.unwrap(), "Buy some.");

        let intents = server.intents("notes_write").await;
        assert_eq!(intents.len(), 1);
        assert_eq!(intents[0].granted, ["files write notes"]);
        assert_eq!(intents[0].consents.len(), 1);
        server.stop().await;
    });
}

#[test]
fn d6_d7_an_older_client_gets_the_link_as_an_error_that_it_can_show() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice").in_era(Era::Legacy);
        let asked = alice.call("notes_write", note()).await;
        assert!(asked.is_tool_error(), "{asked:?}");
        let link = asked.link().unwrap();
        Browser::default()
            .decide(&link, "alice", "allow-until")
            .await;
        let answer = alice.call("notes_write", note()).await;
        assert!(answer.is_reply(), "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn p27_o7_nobody_else_can_answer_the_question() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let page = Browser::default().open(&link, "root").await;
        assert_eq!(page.status, 404, "{page:?}");
        assert!(!page.html.contains("notes_write"), "{page:?}");
        assert_eq!(alice.call("notes_write", note()).await.link(), Some(link));
        let foreign = server.records().await.into_iter();
        let foreign = foreign.filter(|stored| stored.record.kind == "consent.foreign-user");
        assert_eq!(foreign.count(), 1);
        server.stop().await;
    });
}

#[test]
fn w7_a_page_answers_under_no_name_but_ours() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let mut links = vec![link];
        links.extend(
            ["/consents", "/sign-in", "/sign-in/callback"]
                .map(|path| format!("{}{path}", server.url)),
        );
        for link in links {
            let foreign = http().get(&link).header("host", "rebound.test");
            let refused = Answer::read(foreign).await;
            assert_eq!(refused.status, 403, "{link}: {refused:?}");
            assert!(
                refused.header("set-cookie").is_none(),
                "{link}: {refused:?}"
            );
            assert!(refused.header("location").is_none(), "{link}: {refused:?}");
            assert!(refused.header("content-security-policy").is_some());
            let ours = Answer::read(http().get(&link)).await;
            assert_ne!(ours.status, 403, "{link}: {ours:?}");
        }
        let form = http().post(format!("{}/consents/revoke-all", server.url));
        let foreign = form
            .header("host", "rebound.test")
            .header("origin", "http://rebound.test")
            .header("sec-fetch-site", "same-origin");
        assert_eq!(Answer::read(foreign).await.status, 403);
        server.stop().await;
    });
}

#[test]
fn a_consent_serves_no_other_user_and_no_other_client() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "notes_write", note()).await;
        assert!(answer.is_reply(), "{answer:?}");

        let bob = server.caller("bob");
        assert!(bob.call("notes_write", note()).await.link().is_some());
        let other = server.caller("alice").via(&server, "other-client");
        assert!(other.call("notes_write", note()).await.link().is_some());
        let tenant = server
            .caller("alice")
            .with(&server, json!({"tenant": "other"}));
        assert!(tenant.call("notes_write", note()).await.link().is_some());
        // Each tool of a package is asked about by itself.
        assert!(alice.call("notes_list", json!({})).await.link().is_some());
        assert!(alice.call("notes_write", note()).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn once_is_once() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let first = alice.call_deciding(&server, "notes_write", note(), |_| Choice::Once);
        assert!(first.await.is_reply());
        let second = alice.call("notes_write", note()).await;
        assert!(second.link().is_some(), "{second:?}");
        server.stop().await;
    });
}

#[test]
fn of_many_calls_at_once_one_uses_up_a_consent_to_one_call() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        server.decide(&link, "alice", Choice::Once).await;
        let calls = (0..8).map(|_| alice.call("notes_write", note()));
        let answers = futures_util::future::join_all(calls).await;
        let replies = answers.iter().filter(|answer| answer.is_reply());
        assert_eq!(replies.count(), 1, "{answers:?}");
        server.stop().await;
    });
}

#[test]
fn what_was_taken_back_is_asked_again() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let mut browser = Browser::default();
        browser.decide(&link, "alice", "allow-until").await;
        assert!(alice.call("notes_write", note()).await.is_reply());

        let page = browser
            .open(&format!("{}/consents", server.url), "alice")
            .await;
        let revoke = page
            .form_actions()
            .iter()
            .position(|action| action.ends_with("/revoke"))
            .unwrap();
        let page = browser.fill(&page, revoke, &[]).await;
        assert_eq!(page.status, 200, "{page:?}");

        let asked = alice.call("notes_write", note()).await;
        assert_ne!(asked.link().unwrap(), link);
        server.stop().await;
    });
}

#[test]
fn what_its_user_denied_is_not_asked_again_at_once() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        Browser::default().decide(&link, "alice", "deny").await;
        let refused = alice.call("notes_write", note()).await;
        assert!(
            refused.is_tool_error() && refused.link().is_none(),
            "{refused:?}"
        );
        assert!(refused.text().contains("did not allow"), "{refused:?}");
        assert!(!server.notes_of("alice").exists());
        server.stop().await;
    });
}

#[test]
fn without_its_role_a_tool_is_neither_seen_nor_called() {
    run(async {
        let server = Setup::new().tools(&["hello", "whoami-admin"]).await;
        let server = server.start().await;
        let (alice, root) = (server.caller("alice"), server.caller("root"));
        assert_eq!(alice.list().await, ["hello"]);
        assert_eq!(root.list().await, ["hello", "whoami-admin"]);

        let hidden = alice.call("whoami-admin", json!({})).await;
        let unknown = alice.call("no-such-tool", json!({})).await;
        assert_eq!(hidden.status, unknown.status);
        assert_eq!(hidden.body, unknown.body);
        let answer = root.call("whoami-admin", json!({})).await;
        assert!(answer.text().contains("administrator"), "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn policy_denies_what_a_user_has_consented_to() {
    run(async {
        let by_client = r#"
            @id("not-by-that-client")
            forbid (principal, action == Action::"use", resource)
            when { resource.kind == "files" && context.client == "bad-client" };
        "#;
        let server = Setup::new().tools(&["notes"]).await.more_rules(by_client);
        let server = server.start().await;
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "notes_write", note()).await;
        assert!(answer.is_reply(), "{answer:?}");

        // What policy denies is never asked of the user.
        let bad = server.caller("alice").via(&server, "bad-client");
        assert_eq!(bad.list().await, [""; 0]);
        let refused = bad.call("notes_write", note()).await;
        assert_eq!(refused.error().1, "unknown tool");
        server.stop().await;
    });
}

#[test]
fn a_consent_given_before_the_rules_changed_does_not_outlive_them() {
    run(async {
        let setup = Setup::new().tools(&["notes"]).await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let answer = alice.call_deciding(&server, "notes_write", note(), |_| for_an_hour());
        assert!(answer.await.is_reply());
        let denied = r#"@id("no-files") forbid (principal, action == Action::"use", resource) when { resource.kind == "files" };"#;
        let server = server.restart(denied).await;
        let alice = server.caller("alice");
        let refused = alice.call("notes_write", note()).await;
        assert_eq!(refused.error().1, "unknown tool");
        // And with the rules as they were, the consent is still there.
        let server = server.restart("").await;
        let alice = server.caller("alice");
        assert!(alice.call("notes_write", note()).await.is_reply());
        server.stop().await;
    });
}
