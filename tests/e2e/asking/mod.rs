//! Tools that ask their user, through the running server: a question ends the run, its answer is data for the next one and
//! nothing else, and it belongs to one call of one caller.

mod law;
mod sessions;

use bailiwick::limits::{ASK_ANSWER_BYTES_MAX, ASK_QUESTIONS_MAX, ASK_RUNS_MAX};
use serde_json::{Value, json};

use crate::harness::{Answer, Era, Server, Setup, packed, run, toml_of};

const PROBE: &str = "ask_each";

/// A server with the probe, which needs these kinds.
async fn serve(needs: &[&str]) -> Server {
    setup(needs).await.start().await
}

async fn setup(needs: &[&str]) -> Setup {
    let needs: Vec<_> = needs
        .iter()
        .map(|need| toml::from_str(need).unwrap())
        .collect();
    let package = packed(PROBE, &toml_of(PROBE, &needs)).await;
    Setup::new().package(PROBE, &package)
}

const ASK: &str = "id = \"ask\"\nkind = \"ask\"\nreason = \"It asks.\"\n";
const MAY_ASK: &str = "id = \"ask\"\nkind = \"ask\"\nreason = \"It asks.\"\noptional = true\n";
const WRITE: &str = "id = \"notes\"\nkind = \"files\"\nmount = \"notes\"\naccess = \"write\"\nreason = \"It acts.\"\n";
const DATA: &str =
    "id = \"mail\"\nkind = \"data\"\nclasses = [\"email\"]\nreason = \"It writes to people.\"\n";
const READ: &str = "id = \"notes\"\nkind = \"files\"\nmount = \"notes\"\naccess = \"read\"\nreason = \"It looks.\"\n";

fn steps(steps: Value) -> Value {
    json!({"steps": steps})
}

fn one() -> Value {
    steps(json!([{"ask": "Which?"}]))
}

fn said(text: &str) -> Value {
    json!({"action": "accept", "content": {"a": text}})
}

/// What came of each step.
fn done(answer: &Answer) -> Vec<String> {
    serde_json::from_value(answer.structured()["done"].clone()).unwrap()
}

/// The call is stopped with this in its text.
fn is_stopped(answer: &Answer, why: &str) -> bool {
    answer.is_tool_error() && answer.text().contains(why)
}

#[test]
fn a_question_ends_the_run_and_the_answer_is_handed_to_the_next() {
    run(async {
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let asked = alice.call(PROBE, one()).await;
        // It names who asks.
        let message = "“The guest ask_each” (ask_each) asks: Which?";
        assert_eq!(asked.form().as_deref(), Some(message), "{asked:?}");
        let params = &asked.result()["inputRequests"]["form"]["params"];
        assert_eq!(params["mode"], "form");
        assert_eq!(params["requestedSchema"]["required"], json!(["a"]));
        let answer = alice.fill(PROBE, one(), &asked, said("ada")).await;
        assert_eq!(done(&answer), [r#"{"a":"ada"}"#]);
        for (action, told) in [("decline", "declined"), ("cancel", "cancelled")] {
            let asked = alice.call(PROBE, one()).await;
            let action = json!({"action": action});
            let answer = alice.fill(PROBE, one(), &asked, action).await;
            assert_eq!(done(&answer), [told]);
        }
        server.stop().await;
    });
}

#[test]
fn p21_an_answer_that_is_missing_too_large_or_does_not_fit_is_asked_for_again_so_often() {
    run(async {
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"long": "Which?"}]));
        let mut asked = alice.call(PROBE, arguments.clone()).await;
        let large = "x".repeat(ASK_ANSWER_BYTES_MAX);
        for wrong in [
            json!({"form": {"action": "accept", "content": {"a": 7}}}),
            json!({"form": {"action": "accept", "content": {}}}),
            json!({"form": {"action": "accept", "content": "ada"}}),
            json!({"form": said(&large)}),
            json!({"form": {"action": "accept"}}),
            json!({}),
        ] {
            let state = asked.state();
            asked = alice
                .fill_with(PROBE, arguments.clone(), &state, wrong)
                .await;
            let form = asked.form().unwrap_or_else(|| panic!("{asked:?}"));
            assert!(form.contains("asks: Which?"), "{form}");
        }
        let answer = alice.fill(PROBE, arguments.clone(), &asked, said("ada"));
        assert_eq!(done(&answer.await), [r#"{"a":"ada"}"#]);

        let mut asked = alice.call(PROBE, one()).await;
        for _ in 1..ASK_RUNS_MAX {
            assert!(asked.form().is_some(), "{asked:?}");
            asked = alice.fill(PROBE, one(), &asked, json!({})).await;
        }
        assert!(is_stopped(&asked, "not answered in time"), "{asked:?}");
        server.stop().await;
    });
}

#[test]
fn two_questions_are_asked_one_after_the_other_and_in_order() {
    run(async {
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let arguments = steps(json!([{"ask": "First?"}, {"ask": "Second?"}]));
        let first = alice.call(PROBE, arguments.clone()).await;
        assert!(first.form().unwrap().contains("First?"));
        let second = alice
            .fill(PROBE, arguments.clone(), &first, said("1"))
            .await;
        assert!(second.form().unwrap().contains("Second?"), "{second:?}");
        let answer = alice.fill(PROBE, arguments, &second, said("2")).await;
        assert_eq!(done(&answer), [r#"{"a":"1"}"#, r#"{"a":"2"}"#]);
        server.stop().await;
    });
}

#[test]
fn p22_p23_p29_a_state_belongs_to_one_call_of_one_caller_and_is_good_once() {
    run(async {
        let server = serve(&[ASK]).await;
        let alice = server.caller("alice");
        let asked = alice.call(PROBE, one()).await;
        let other = steps(json!([{"ask": "Which one?"}]));
        let foreign = "belongs to another call";
        for (who, arguments) in [
            (server.caller("bob"), one()),
            (server.caller("alice").via(&server, "other-client"), one()),
            (alice.clone(), other),
        ] {
            let refused = who.fill(PROBE, arguments, &asked, said("x")).await;
            assert!(is_stopped(&refused, foreign), "{refused:?}");
        }
        let state = asked.state();
        for forged in [
            format!("{state}-TAMPERED"),
            state[1..].to_owned(),
            "x".repeat(90_000),
        ] {
            let responses = json!({"form": said("x")});
            let refused = alice.fill_with(PROBE, one(), &forged, responses).await;
            let (code, message) = refused.error();
            assert_eq!(code, -32602, "{refused:?}");
            assert!(message.contains("changed or is not ours"), "{message}");
        }
        // Nobody used it up in vain, and it serves once, also where two come at the same moment.
        let (one_of, two) = tokio::join!(
            alice.fill(PROBE, one(), &asked, said("x")),
            alice.fill(PROBE, one(), &asked, said("x")),
        );
        let answered = [&one_of, &two].map(|answer| answer.is_reply());
        assert_eq!(answered.iter().filter(|answered| **answered).count(), 1);
        let late = alice.fill(PROBE, one(), &asked, said("x")).await;
        assert!(is_stopped(&late, "used before"), "{late:?}");
        server.stop().await;
    });
}

#[test]
fn a_state_is_worth_nothing_to_another_tool() {
    run(async {
        let server = setup(&[ASK]).await.guests(&["ask_otherwise"]).await;
        let server = server.start().await;
        let alice = server.caller("alice");
        let asked = alice.call(PROBE, json!({"steps": []})).await;
        assert_eq!(done(&asked), Vec::<String>::new());
        let asked = alice.call("ask_otherwise", json!({})).await;
        let refused = alice
            .fill(PROBE, json!({"steps": []}), &asked, said("x"))
            .await;
        assert!(
            is_stopped(&refused, "belongs to another call"),
            "{refused:?}"
        );
        server.stop().await;
    });
}

#[test]
fn p21_who_cannot_be_shown_a_form_is_not_asked() {
    run(async {
        let server = setup(&[ASK]).await.machines().start().await;
        let alice = server.caller("alice");
        for nobody in [
            alice.clone().without_forms(),
            alice.clone().without_forms().without_links(),
            // Without a session nobody remembers what an older client can do.
            alice.clone().in_era(Era::Legacy),
            // A machine has no user.
            server.caller("dev-client"),
        ] {
            let answer = nobody.call(PROBE, one()).await;
            assert_eq!(done(&answer), ["Unavailable"], "{answer:?}");
        }
        // It is looked at for each request: what was answered is told, and nothing more is asked.
        let arguments = steps(json!([{"ask": "First?"}, {"ask": "Second?"}]));
        let asked = alice.call(PROBE, arguments.clone()).await;
        let without = alice.without_forms();
        let answer = without.fill(PROBE, arguments, &asked, said("1")).await;
        assert_eq!(done(&answer), [r#"{"a":"1"}"#, "Unavailable"]);
        server.stop().await;
    });
}

#[test]
fn who_asks_something_else_the_second_time_is_ended() {
    run(async {
        let server = Setup::new().guests(&["ask_otherwise"]).await.start().await;
        let alice = server.caller("alice");
        let asked = alice.call("ask_otherwise", json!({})).await;
        assert!(asked.form().unwrap().contains("Do you want"), "{asked:?}");
        let yes = json!({"action": "accept", "content": {"yes": true}});
        let ended = alice.fill("ask_otherwise", json!({}), &asked, yes).await;
        assert!(
            is_stopped(&ended, "something else the second time"),
            "{ended:?}"
        );
        let last = server.outcomes("ask_otherwise").await.pop().unwrap();
        assert_eq!(last.result.unwrap().status, "asked-otherwise");
        server.stop().await;
    });
}

#[test]
fn who_asks_for_ever_asks_a_few_times_and_runs_out_of_time() {
    run(async {
        let server = Setup::new().hurried(&["ask_forever"]).await.start().await;
        let alice = server.caller("alice");
        let mut asked = alice.call("ask_forever", json!({})).await;
        let no = json!({"action": "decline"});
        for n in 1..=ASK_QUESTIONS_MAX {
            let form = asked.form().unwrap_or_else(|| panic!("{asked:?}"));
            assert!(form.contains(&format!("Question {n}: more?")), "{form}");
            asked = alice
                .fill("ask_forever", json!({}), &asked, no.clone())
                .await;
        }
        assert!(is_stopped(&asked, "in time"), "{asked:?}");
        let last = server.outcomes("ask_forever").await.pop().unwrap();
        assert_eq!(last.result.unwrap().status, "out-of-time");
        server.stop().await;
    });
}

#[test]
fn secrets_are_not_asked_for_and_acts_are_not_asked_about_afterwards() {
    run(async {
        let guests = ["ask_password", "ask_after_effect"];
        let server = Setup::new().guests(&guests).await.start().await;
        let alice = server.caller("alice");
        let answer = alice.call("ask_password", json!({})).await;
        assert!(answer.is_reply(), "{answer:?}");
        assert!(answer.text().contains("asks for a secret"), "{answer:?}");
        let answer = alice
            .call_allowed(&server, "ask_after_effect", json!({}))
            .await;
        assert_eq!(answer.text(), "the question came too late");
        server.stop().await;
    });
}
