//! What a server does that is killed, starved or told to end: the real program, as a process of its own.

mod cache;
mod clock;
mod descriptors;
mod disk;
mod kill;
mod signals;

use bailiwick::audit::{Phase, Record};
use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::{Answer, Caller, Process, run, until};

/// Whoever may ask as an administrator.
const ADMINS: &str =
    "permit (principal in Role::\"admin\", action in Action::\"admin\", resource);\n";

/// A note of this name.
fn note(name: &str, text: &str) -> Value {
    json!({"name": name, "text": text})
}

/// What the log says of how the calls of a tool ended, in order.
fn endings(records: &[Record], tool: &str) -> Vec<String> {
    let of = |record: &&Record| {
        record.phase == Phase::Outcome
            && record
                .tool
                .as_ref()
                .is_some_and(|facts| facts.name.as_str() == tool)
    };
    let outcomes = records.iter().filter(of);
    outcomes
        .map(|record| record.result.as_ref().unwrap().status.clone())
        .collect()
}

/// Asserts that each intent has one outcome, however its call ended.
#[track_caller]
fn assert_closed(records: &[Record]) {
    for intent in records.iter().filter(|one| one.phase == Phase::Intent) {
        let outcome =
            |one: &&Record| one.phase == Phase::Outcome && one.event_id == intent.event_id;
        assert_eq!(records.iter().filter(outcome).count(), 1, "{intent:?}");
    }
}

/// Asserts that the log is whole, with these words behind `audit verify`.
#[track_caller]
fn assert_whole(server: &Process, anchors: &[&str]) {
    let words = [&["audit", "verify", "--dir", "."], anchors].concat();
    bailiwick(server.dir(), &words).ends(0);
}

/// Asserts that a call with an effect was refused since it could not be recorded, and answers its id.
#[track_caller]
fn unavailable(answer: &Answer) -> String {
    assert_eq!(answer.status, 503, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "the call could not be made");
    error["data"]["id"].as_str().unwrap().to_owned()
}

/// Calls until the call is made: a server that has just what it needs again looks for it a few times a second.
async fn made(alice: &Caller, name: &str) {
    until("calls are made again", async || {
        let answer = alice.call("notes_write", note(name, "after")).await;
        (answer.status == 200 && answer.is_reply()).then_some(())
    })
    .await;
}
