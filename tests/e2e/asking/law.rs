//! What a form does not do: give consent, bring data past what is granted, or make anything happen twice.

use bailiwick::consent::Choice;
use serde_json::json;

use super::{
    ASK, DATA, MAY_ASK, PROBE, READ, WRITE, done, is_stopped, one, said, serve, setup, steps,
};
use crate::harness::{log, run};

#[test]
fn who_is_not_permitted_to_ask_is_denied() {
    run(async {
        let rule = r#"
            @id("nobody-asks")
            forbid (principal, action == Action::"use", resource) when { resource.kind == "ask" };
        "#;
        let setup = setup(&[MAY_ASK]).await.more_rules(rule);
        let server = setup.start().await;
        let answer = server.caller("alice").call(PROBE, one()).await;
        assert_eq!(done(&answer), ["Denied"]);
        server.stop().await;
        let server = serve(&[MAY_ASK]).await;
        let asked = server.caller("alice").call(PROBE, one()).await;
        assert!(asked.form().is_some(), "{asked:?}");
        server.stop().await;
    });
}

#[test]
fn whoever_acted_cannot_ask_and_what_follows_an_answer_happens_once() {
    run(async {
        let server = serve(&[ASK, WRITE]).await;
        let alice = server.caller("alice");
        let file = |name: &str| server.notes_of("alice").join(name);
        let late = steps(json!([{"write": "early"}, {"ask": "Which?"}]));
        let answer = alice.call_allowed(&server, PROBE, late).await;
        assert_eq!(done(&answer), ["written", "Unavailable"]);
        // Looking around in a folder that may be written counts as well.
        let looks = steps(json!([{"read": "early"}, {"ask": "Which?"}]));
        let answer = alice.call(PROBE, looks.clone()).await;
        assert_eq!(done(&answer), ["x", "Unavailable"]);
        let first = steps(json!([{"ask": "Which?"}, {"write": "late"}, {"ask": "And?"}]));
        let asked = alice.call(PROBE, first.clone()).await;
        assert!(asked.form().is_some(), "{asked:?}");
        assert!(!file("late").exists(), "the run ended before it");
        let answer = alice.fill(PROBE, first, &asked, said("x")).await;
        assert_eq!(done(&answer), [r#"{"a":"x"}"#, "written", "Unavailable"]);
        assert!(file("late").exists());
        server.stop().await;

        let server = serve(&[ASK, READ]).await;
        let alice = server.caller("alice");
        std::fs::create_dir_all(server.notes_of("alice")).unwrap();
        std::fs::write(server.notes_of("alice").join("early"), "mine").unwrap();
        let asked = alice.call_allowed(&server, PROBE, looks.clone()).await;
        assert!(asked.form().is_some(), "{asked:?}");
        let answer = alice.fill(PROBE, looks, &asked, said("x")).await;
        assert_eq!(done(&answer), ["mine", r#"{"a":"x"}"#]);
        server.stop().await;
    });
}

#[test]
fn consent_comes_first_and_one_consent_serves_one_call_with_its_questions() {
    run(async {
        let server = serve(&[ASK, WRITE]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "Which?"}, {"ask": "Sure?"}, {"write": "note"}]));
        let consent = alice.call(PROBE, arguments.clone()).await;
        assert!(consent.form().is_none());
        let link = consent.link().unwrap();
        // The word of the client is no consent, whatever it looks like.
        let both = json!({"consent": {"action": "accept"}, "form": said("x")});
        let state = consent.state();
        let again = alice
            .fill_with(PROBE, arguments.clone(), &state, both)
            .await;
        assert_eq!(again.link().as_ref(), Some(&link), "{again:?}");
        assert!(server.decide(&link, "alice", Choice::Once).await);
        let asked = alice
            .retry(PROBE, arguments.clone(), &again, "accept")
            .await;
        assert!(asked.form().unwrap().contains("Which?"), "{asked:?}");
        // Another call finds the consent used up, while the first waits for its user.
        let other = alice.call(PROBE, arguments.clone()).await;
        assert!(other.link().is_some(), "{other:?}");
        let asked = alice
            .fill(PROBE, arguments.clone(), &asked, said("1"))
            .await;
        assert!(asked.form().unwrap().contains("Sure?"), "{asked:?}");
        let answer = alice
            .fill(PROBE, arguments.clone(), &asked, said("2"))
            .await;
        assert_eq!(done(&answer)[2], "written");
        let other = alice.call(PROBE, arguments).await;
        assert!(other.link().is_some(), "{other:?}");
        let used = server.records().await.into_iter();
        let used = used.filter(|stored| stored.record.kind.as_str() == "consent.used");
        assert_eq!(used.count(), 1);
        server.stop().await;
    });
}

#[test]
fn what_is_taken_back_while_the_user_is_asked_is_not_used_by_the_next_run() {
    run(async {
        let server = serve(&[ASK, WRITE]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "Which?"}, {"write": "note"}]));
        let once = |_: &str| Choice::Once;
        let asked = alice.call_deciding(&server, PROBE, arguments.clone(), once);
        let asked = asked.await;
        assert!(asked.form().is_some(), "{asked:?}");
        let stages = &server.running.stages;
        let user = server.user("alice");
        for row in server.decisions(&user).await {
            let now = stages.clock.now();
            assert!(stages.consents.revoke(&user, row.id, now).await.unwrap());
        }
        let answer = alice.fill(PROBE, arguments, &asked, said("x")).await;
        assert!(answer.link().is_some(), "it asks anew: {answer:?}");
        assert!(!server.notes_of("alice").join("note").exists());
        server.stop().await;
    });
}

#[test]
fn p30_a_form_answered_with_accept_grants_nothing() {
    run(async {
        let optional = format!("{WRITE}optional = true\n");
        let server = serve(&[ASK, &optional]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "May I write?"}, {"write": "note"}]));
        // The user refuses the folder on our page, and then agrees to whatever the tool asks.
        let deny = |_: &str| Choice::Deny;
        let asked = alice.call_deciding(&server, PROBE, arguments.clone(), deny);
        let asked = asked.await;
        assert!(asked.form().is_some(), "{asked:?}");
        let user = server.user("alice");
        let before = server.decisions(&user).await.len();
        let answer = alice.fill(PROBE, arguments, &asked, said("yes")).await;
        assert_ne!(done(&answer)[1], "written", "{answer:?}");
        assert!(!server.notes_of("alice").join("note").exists());
        assert_eq!(server.decisions(&user).await.len(), before);
        for intent in server.intents(PROBE).await {
            assert_eq!(intent.granted, ["ask"]);
        }
        server.stop().await;
    });
}

#[test]
fn a_call_that_asks_counts_once_for_its_rate_class() {
    run(async {
        let rules = r#"@rate("few") permit (principal, action, resource);"#;
        let setup = setup(&[ASK]).await.only_rules(rules);
        let setup = setup.config("[rate.few]\ncalls = 1\nseconds = 86400\n");
        let server = setup.start().await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "First?"}, {"ask": "Second?"}]));
        let asked = alice.call(PROBE, arguments.clone()).await;
        let asked = alice
            .fill(PROBE, arguments.clone(), &asked, said("1"))
            .await;
        let answer = alice
            .fill(PROBE, arguments.clone(), &asked, said("2"))
            .await;
        assert_eq!(done(&answer).len(), 2, "{answer:?}");
        let refused = alice.call(PROBE, arguments).await;
        assert!(is_stopped(&refused, "the limit `few`"), "{refused:?}");
        server.stop().await;
    });
}

#[test]
fn each_run_is_recorded_with_counts_and_sizes_and_without_a_word_of_it() {
    run(async {
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "Quetzalcoatl?"}]));
        let asked = alice.call(PROBE, arguments.clone()).await;
        alice.fill(PROBE, arguments, &asked, said("Huitzil")).await;
        assert_eq!(server.intents(PROBE).await.len(), 2);
        let outcomes = server.outcomes(PROBE).await;
        let results: Vec<_> = outcomes
            .iter()
            .map(|one| one.result.as_ref().unwrap())
            .collect();
        let endings: Vec<_> = results
            .iter()
            .map(|result| result.status.as_str())
            .collect();
        assert_eq!(endings, ["asked-user", "replied"]);
        let uses = results
            .iter()
            .map(|result| result.used.as_ref().unwrap().effects["ask"]);
        let uses: Vec<_> = uses.collect();
        assert_eq!((uses[0].count, uses[1].count), (1, 1));
        assert!(uses[0].bytes_out > 0 && uses[0].bytes_in == 0, "{uses:?}");
        assert!(uses[1].bytes_in > 0 && uses[1].refused == 0, "{uses:?}");
        for stored in server.records().await {
            let text = format!("{stored:?}");
            assert!(!text.contains("Quetzal") && !text.contains("Huitzil"));
        }
        assert!(!log::text().contains("Quetzal") && !log::text().contains("Huitzil"));
        server.stop().await;
    });
}

const MAIL: &str = "ada@mail.example.org";

#[test]
fn what_the_user_answers_is_held_to_the_classes_that_the_tool_may_be_given() {
    run(async {
        let arguments = || steps(json!([{"long": "Whom?"}]));
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let asked = alice.call(PROBE, arguments()).await;
        let refused = alice.fill(PROBE, arguments(), &asked, said(MAIL)).await;
        assert!(
            is_stopped(&refused, "in the answer of the user, `/a` holds"),
            "{refused:?}"
        );
        assert!(!refused.body.contains(MAIL), "{refused:?}");
        let last = server.outcomes(PROBE).await.pop().unwrap();
        assert_eq!(last.result.unwrap().reason.unwrap(), "data-ungranted");
        assert_eq!(last.facts["data_answers"], json!({"email": {"reject": 1}}));
        // The question is still open, and the user can answer otherwise.
        let answer = alice.fill(PROBE, arguments(), &asked, said("Ada")).await;
        assert_eq!(done(&answer), [r#"{"a":"Ada"}"#]);
        server.stop().await;

        let server = serve(&[ASK, DATA]).await;
        let alice = server.caller("alice");
        let asked = alice.call_allowed(&server, PROBE, arguments()).await;
        let answer = alice.fill(PROBE, arguments(), &asked, said(MAIL)).await;
        assert!(done(&answer)[0].contains(MAIL), "{answer:?}");
        // What it may not be given any more it is not given from the runs before either.
        let two = || steps(json!([{"long": "Whom?"}, {"ask": "And?"}]));
        let asked = alice.call(PROBE, two()).await;
        let asked = alice.fill(PROBE, two(), &asked, said(MAIL)).await;
        assert!(asked.form().unwrap().contains("And?"), "{asked:?}");
        let stages = &server.running.stages;
        let user = server.user("alice");
        for row in server.decisions(&user).await {
            let now = stages.clock.now();
            assert!(stages.consents.revoke(&user, row.id, now).await.unwrap());
        }
        let refused = alice.fill(PROBE, two(), &asked, said("x")).await;
        assert!(refused.link().is_some() && !refused.body.contains(MAIL));
        server.stop().await;
    });
}

#[test]
fn a_question_shows_no_data_that_a_reply_would_not_show() {
    run(async {
        let arguments = || steps(json!([{"quote": "note"}]));
        for (needs, shown) in [(&[ASK, READ][..], false), (&[ASK, READ, DATA], true)] {
            let server = serve(needs).await;
            let alice = server.caller("alice");
            std::fs::create_dir_all(server.notes_of("alice")).unwrap();
            std::fs::write(server.notes_of("alice").join("note"), MAIL).unwrap();
            let asked = alice.call_allowed(&server, PROBE, arguments()).await;
            let form = asked.form().unwrap_or_else(|| panic!("{asked:?}"));
            assert_eq!(form.contains(MAIL), shown, "{form}");
            // What was masked is the same question all the same.
            let answer = alice.fill(PROBE, arguments(), &asked, said("x")).await;
            assert_eq!(done(&answer), [r#"{"a":"x"}"#]);
            server.stop().await;
        }
    });
}
