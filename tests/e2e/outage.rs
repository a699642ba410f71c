//! The disk is full, or the store is gone: calls with effects fail closed and say so, and nothing that was
//! acknowledged is lost.

use bailiwick::audit;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::harness::{Answer, Server, Setup, http, run, until};

pub const FULL: &str = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
pub const FREE: &str = "DROP TRIGGER full";

/// Does something to the state behind the server's back.
pub async fn behind(server: &Server, statement: &'static str) {
    let file = server.dir().join("state.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

fn note(text: &str) -> serde_json::Value {
    json!({"name": "milk", "text": text})
}

/// Asserts that an answer says that the call was not made, and answers its id.
fn unavailable(answer: &Answer) -> String {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "the call could not be made");
    assert!(
        !answer.body.contains("disk"),
        "the detail is for the log: {answer:?}"
    );
    error["data"]["id"].as_str().unwrap().to_owned()
}

async fn is_ready(server: &Server) -> bool {
    let answer = Answer::read(http().get(format!("{}/readyz", server.url))).await;
    answer.status == 200
}

#[test]
fn with_a_full_disk_no_effect_happens_and_afterwards_nothing_is_missing() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let alice = server.caller("alice");
        let first = alice
            .call_allowed(&server, "notes_write", note("old"))
            .await;
        assert!(first.is_reply(), "{first:?}");

        behind(&server, FULL).await;
        let refused = alice.call("notes_write", note("new")).await;
        let id = unavailable(&refused);
        let kept = std::fs::read_to_string(server.notes_of("alice").join("milk.md"));
        assert_eq!(kept.unwrap(), "old");
        assert!(!is_ready(&server).await);
        assert!(crate::harness::log::text().contains(&id));
        // Nobody is asked either: a question that is not recorded is not put.
        unavailable(&server.caller("bob").call("notes_write", note("b")).await);
        // What has no effect goes on, and its record waits.
        let harmless = alice.call("hello", json!({"name": "Ada"})).await;
        assert!(harmless.is_reply(), "{harmless:?}");

        behind(&server, FREE).await;
        until("the log is written again", async || {
            is_ready(&server).await.then_some(())
        })
        .await;
        let written = alice.call("notes_write", note("new")).await;
        assert!(written.is_reply(), "{written:?}");
        assert_eq!(server.outcomes("hello").await.len(), 1);
        assert_eq!(server.intents("hello").await.len(), 1);
        let failed = server.outcomes("notes_write").await;
        let failed = failed
            .iter()
            .find(|record| record.event_id.to_string() == id);
        assert_eq!(failed.unwrap().result.as_ref().unwrap().status, "failed");
        let records = server.records().await;
        assert!(
            records
                .iter()
                .any(|stored| stored.record.kind == "audit.recovered")
        );
        audit::verify(server.running.store.as_ref()).await.unwrap();
        server.stop().await;
    });
}

#[test]
fn an_effect_whose_outcome_cannot_be_recorded_is_not_called_a_success() {
    run(async {
        // It waits for an hour, and its time runs out after a second: enough to fill the disk meanwhile.
        let server = Setup::new().hurried(&["sleep_poll"]).await.start().await;
        let alice = server.caller("alice");
        let called = tokio::spawn(async move { alice.call("sleep_poll", json!({})).await });
        until("the intent", async || {
            server.intents("sleep_poll").await.pop()
        })
        .await;
        behind(&server, FULL).await;
        let id = unavailable(&called.await.unwrap());
        behind(&server, FREE).await;
        let outcome = until("the outcome", async || {
            server.outcomes("sleep_poll").await.pop()
        });
        let outcome = outcome.await;
        assert_eq!(outcome.event_id.to_string(), id);
        assert_eq!(outcome.result.unwrap().status, "out-of-time");
        server.stop().await;
    });
}

#[test]
fn without_the_consents_nothing_that_needs_one_runs() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let alice = server.caller("alice");
        let first = alice
            .call_allowed(&server, "notes_write", note("old"))
            .await;
        assert!(first.is_reply(), "{first:?}");
        behind(&server, "ALTER TABLE consent RENAME TO gone").await;
        unavailable(&alice.call("notes_write", note("new")).await);
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        behind(&server, "ALTER TABLE gone RENAME TO consent").await;
        assert!(alice.call("notes_write", note("new")).await.is_reply());
        server.stop().await;
    });
}
