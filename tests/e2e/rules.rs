//! The rules folder: what is written there is in force without a restart, and what cannot be is refused by name while the
//! rules before stay in force.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::{
    Answer, Caller, Server, Setup, Stream, guests, http, log, packed, run, toml_of, until,
};

const NOBODY: &str = r#"@id("nobody") forbid (principal, action, resource);"#;
/// Shown on purpose, for a tool that cannot be called is not listed otherwise.
const NO_HELLO: &str = r#"
@id("no-hello") forbid (principal, action == Action::"call:hello", resource);
@id("show-hello") permit (principal, action == Action::"list", resource == Tool::"hello");
"#;

fn path(server: &Server, file: &str) -> PathBuf {
    server.dir().join("policy.d").join(file)
}

fn write(server: &Server, file: &str, text: &str) {
    std::fs::write(path(server, file), text).unwrap();
}

async fn serve() -> (Server, Caller) {
    let server = Setup::new().tools(&["hello"]).await.start().await;
    let alice = server.caller("alice");
    assert!(is_allowed(&alice).await);
    (server, alice)
}

async fn is_allowed(caller: &Caller) -> bool {
    let answer = caller.call("hello", json!({"name": "Ada"})).await;
    let text = answer.body.clone();
    let allowed = text.contains("Hello, Ada!");
    assert!(
        allowed || text.contains("not allowed") || text.contains("unknown tool"),
        "{answer:?}"
    );
    allowed
}

async fn becomes_allowed(caller: &Caller, allowed: bool) {
    until("the rules are followed", async || {
        (is_allowed(caller).await == allowed).then_some(())
    })
    .await;
}

async fn becomes_ready(server: &Server, ready: bool) {
    until("readiness", async || {
        let answer = Answer::read(http().get(format!("{}/readyz", server.url))).await;
        ((answer.status == 200) == ready).then_some(())
    })
    .await;
}

async fn count(server: &Server, kind: &str) -> usize {
    let all = server.records().await.into_iter();
    all.filter(|stored| stored.record.kind == kind).count()
}

#[test]
fn rules_come_change_and_go_without_a_restart_and_clients_hear_of_it() {
    run(async {
        let (server, alice) = serve().await;
        let mut stream = Stream::open(&alice).await;
        write(&server, "more.cedar", NOBODY);
        stream.changed().await;
        becomes_allowed(&alice, false).await;
        assert_eq!(alice.list().await, [""; 0]);

        write(&server, "more.cedar", NO_HELLO);
        stream.changed().await;
        assert_eq!(alice.list().await, ["hello"]);
        assert!(!is_allowed(&alice).await);

        std::fs::remove_file(path(&server, "more.cedar")).unwrap();
        becomes_allowed(&alice, true).await;
        becomes_ready(&server, true).await;
        // No file is a set of rules as well: the one that allows nothing.
        std::fs::remove_file(path(&server, "rules.cedar")).unwrap();
        becomes_allowed(&alice, false).await;
        becomes_ready(&server, true).await;
        server.stop().await;
    });
}

#[test]
fn rules_that_cannot_be_used_are_refused_by_name_and_those_before_stay_in_force() {
    run(async {
        let (server, alice) = serve().await;
        for (n, (text, told)) in [
            ("permit (principal, action, resource)", "broken.cedar:1"),
            (
                "@no_such_word(\"x\") permit (principal, action, resource);",
                "no_such_word",
            ),
            (
                "permit (principal, action, resource) when { context.no_such_fact };",
                "no_such_fact",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            // Beside what cannot be used stands what would change the decision: it does not count either.
            write(&server, "nobody.cedar", NOBODY);
            write(&server, "broken.cedar", text);
            becomes_ready(&server, false).await;
            assert!(is_allowed(&alice).await);
            let log = log::text();
            let line = log
                .lines()
                .find(|line| line.contains("the rules are refused") && line.contains(told));
            assert!(
                line.is_some_and(|line| line.contains("broken.cedar")),
                "{told}"
            );
            assert!(count(&server, "policy.refused").await > n);

            std::fs::remove_file(path(&server, "broken.cedar")).unwrap();
            becomes_allowed(&alice, false).await;
            becomes_ready(&server, true).await;
            std::fs::remove_file(path(&server, "nobody.cedar")).unwrap();
            becomes_allowed(&alice, true).await;
        }
        server.stop().await;
    });
}

#[test]
fn a_file_that_cannot_be_read_refuses_the_whole_folder() {
    run(async {
        let (server, alice) = serve().await;
        // It may be the one that forbids.
        std::fs::create_dir(path(&server, "unreadable.cedar")).unwrap();
        becomes_ready(&server, false).await;
        assert!(is_allowed(&alice).await);
        assert!(log::text().contains("unreadable.cedar: cannot be read"));
        std::fs::remove_dir(path(&server, "unreadable.cedar")).unwrap();
        becomes_ready(&server, true).await;

        // The folder itself is gone: that is not the same as a folder without rules.
        std::fs::rename(
            server.dir().join("policy.d"),
            server.dir().join("policy.gone"),
        )
        .unwrap();
        becomes_ready(&server, false).await;
        assert!(is_allowed(&alice).await);
        server.stop().await;
    });
}

#[test]
fn a_storm_of_writes_ends_in_what_stands_there_at_its_end() {
    run(async {
        let (server, alice) = serve().await;
        for n in 0..300 {
            let text = match n % 3 {
                0 => NO_HELLO,
                1 => "forbid (principal",
                _ => "",
            };
            write(&server, "storm.cedar", text);
            if n % 10 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        write(&server, "storm.cedar", NOBODY);
        becomes_allowed(&alice, false).await;
        becomes_ready(&server, true).await;
        let judged =
            count(&server, "policy.changed").await + count(&server, "policy.refused").await;
        assert!(judged < 30, "{judged} sets were judged");
        server.stop().await;
    });
}

#[test]
fn a_call_ends_under_the_rules_with_which_it_began() {
    run(async {
        let needs = &guests()["sleep_poll"].needs;
        let toml = toml_of("sleep_poll", needs) + "[limits]\ntimeout_ms = 5000\n";
        let setup = Setup::new().tools(&["hello"]).await;
        let setup = setup.package("sleep_poll", &packed("sleep_poll", &toml).await);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let before = server.running.stages.rules.load_full().digest().to_string();
        let caller = alice.clone();
        let called = tokio::spawn(async move { caller.call("sleep_poll", json!({})).await });
        let intent = until("the intent", async || {
            server.intents("sleep_poll").await.pop()
        })
        .await;
        write(&server, "more.cedar", NOBODY);
        becomes_allowed(&alice, false).await;
        assert!(!called.is_finished(), "it is still running");
        let answer = called.await.unwrap();
        assert!(answer.text().contains("in time"), "{answer:?}");
        let outcome = server.outcomes("sleep_poll").await.pop().unwrap();
        assert_eq!(outcome.event_id, intent.event_id);
        assert_eq!(outcome.result.unwrap().status, "out-of-time");
        let after = server.running.stages.rules.load_full().digest().to_string();
        assert_ne!(before, after);
        let again = alice.call("sleep_poll", json!({})).await;
        assert_eq!(again.error().1, "unknown tool");
        server.stop().await;
    });
}
