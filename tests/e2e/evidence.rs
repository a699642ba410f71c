//! The audit log as evidence: checkpoints of a running server outside, and the commands that prove, hand on, prune and erase.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::cli::{Ran, bailiwick};
use crate::harness::{Server, Setup, program, run};
use crate::outage::behind;

const AUDIT: &str = "[audit]\ncheckpoint_records = 3\ncheckpoint_seconds = 1\n[[audit.copy]]\nfile = \"outside.txt\"\n";

async fn server() -> Server {
    let server = Setup::new().tools(&["hello"]).await.config(AUDIT);
    let server = server.start().await;
    server.write_config();
    for user in ["alice", "bob", "alice"] {
        let caller = server.caller(user);
        assert!(
            caller
                .call("hello", json!({"name": "Ada"}))
                .await
                .is_reply()
        );
    }
    server.records().await;
    server
}

fn audit(server: &Server, arguments: &[&str]) -> Ran {
    // The folder is that of a development server, whose identity provider is added.
    bailiwick(
        server.dir(),
        &[&["audit"], arguments, &["--dir", "."]].concat(),
    )
}

#[test]
fn a_server_copies_its_checkpoints_outside_and_they_show_what_was_done_to_the_log() {
    run(async {
        let server = server().await;
        let key = audit(&server, &["key"]).ends(0).trim().to_owned();
        let made = audit(&server, &["checkpoint", "--now"]).ends(0);
        let outside = server.dir().join("outside.txt");
        let copied = async {
            while !std::fs::read_to_string(&outside).is_ok_and(|text| text.contains(&made)) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), copied)
            .await
            .unwrap();
        let anchors = ["verify", "--checkpoint", "outside.txt", "--key", &key];
        let whole = audit(&server, &anchors).ends(0);
        assert!(whole.contains("the log is whole"), "{whole}");

        // Another key, no checkpoint, no file: a wrong question is not a damaged log.
        let wrong = key.replace("bailiwick/", "other/");
        audit(&server, &["verify", "--key", &wrong]).ends(2);
        audit(&server, &["verify", "--checkpoint", "none.txt"]).ends(1);
        audit(&server, &["verify", "--checkpoint", "bailiwick.toml"]).ends(1);
        let text = std::fs::read_to_string(&outside).unwrap();
        let forged = text.replacen("\nat 1", "\nat 2", 1);
        std::fs::write(server.dir().join("forged.txt"), forged).unwrap();
        let broken = audit(&server, &["verify", "--checkpoint", "forged.txt"]).ends(3);
        assert!(broken.contains("not signed by the key"), "{broken}");

        // A log that is older than what is outside.
        let size = made.lines().nth(1).unwrap().parse::<u64>().unwrap() + 1_000;
        let proof = audit(&server, &["prove", "inclusion", "2"]).ends(0);
        std::fs::write(server.dir().join("proof.json"), &proof).unwrap();
        let shown = audit(&server, &["check-proof", "proof.json", "--key", &key]).ends(0);
        assert!(shown.contains("record 2 is in the log"), "{shown}");
        let other = proof.replace("\"seq\": 2", "\"seq\": 3");
        std::fs::write(server.dir().join("other.json"), other).unwrap();
        let shown = audit(&server, &["check-proof", "other.json", "--key", &key]).ends(3);
        assert!(shown.contains("NOTHING"), "{shown}");
        audit(&server, &["check-proof", "bailiwick.toml"]).ends(1);
        audit(&server, &["prove", "inclusion", &size.to_string()]).ends(1);
        server.stop().await;
    });
}

#[test]
fn records_are_searched_handed_on_and_freed_of_who_they_are_about() {
    run(async {
        let server = server().await;
        let lines = |arguments: &[&str]| -> Vec<Value> {
            let out = audit(&server, arguments).ends(0);
            out.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        let all = lines(&["export"]);
        let calls = |user: &str| lines(&["export", "--user", user, "--tool", "hello"]).len();
        assert_eq!((calls("alice"), calls("bob"), calls("nobody")), (4, 2, 0));
        let replied = lines(&["export", "--decision", "replied"]);
        assert_eq!(replied.len(), 3);
        assert!(lines(&["export", "--decision", "policy"]).is_empty());
        assert!(lines(&["export", "--since", "2999-01-01T00:00:00Z"]).is_empty());
        assert!(lines(&["export", "--until", "1999-01-01T00:00:00Z"]).is_empty());
        let now = lines(&["show", "--json", "--until", "2999-01-01T00:00:00Z"]);
        assert!(now.len() >= all.len());
        // Its calls, and that it was admitted.
        let about = lines(&["export", "--tool", "hello"]).len();
        assert!(about > 6, "{about}");
        for format in ["ocsf", "cloudevents"] {
            let events = lines(&["export", "--format", format, "--tool", "hello"]);
            assert_eq!(events.len(), about, "{format}");
        }
        audit(&server, &["export", "--since", "yesterday"]).ends(2);

        let erased = audit(&server, &["erase", "--user", "alice"]).ends(0);
        assert!(erased.contains("is destroyed"), "{erased}");
        let again = audit(&server, &["erase", "--user", "alice"]).ends(0);
        assert!(again.contains("no key"), "{again}");
        assert_eq!((calls("alice"), calls("bob")), (0, 2));
        assert_eq!(lines(&["export", "--kind", "audit.erased"]).len(), 2);
        audit(&server, &["verify"]).ends(0);
        server.stop().await;
    });
}

#[test]
fn who_follows_sees_each_record_as_it_is_written_and_those_of_a_user_from_the_first() {
    run(async {
        let server = server().await;
        let mut following = Command::new(program())
            .args(["audit", "show", "--follow", "--json", "--user", "carol"])
            .args(["--kind", "tool.call", "--dir", "."])
            .current_dir(server.dir())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
            let line = line.await.expect("a record in time").unwrap().unwrap();
            serde_json::from_str::<Value>(&line).unwrap()
        };
        let carol = server.caller("carol");
        let mut last = 0;
        // She is nobody before the first, and her next ones are told as they come.
        for _ in 0..2 {
            let answer = carol.call("hello", json!({"name": "Ada"})).await;
            assert!(answer.is_reply(), "{answer:?}");
            for phase in ["intent", "outcome"] {
                let record = next().await;
                assert_eq!(record["phase"], phase, "{record}");
                let seq = record["seq"].as_u64().unwrap();
                assert!(seq > last, "{seq} after {last}");
                last = seq;
            }
        }
        following.kill().await.unwrap();
        server.stop().await;
    });
}

#[test]
fn an_index_that_somebody_wrote_is_told_and_made_anew() {
    run(async {
        let server = server().await;
        let of_alice = ["export", "--user", "alice", "--kind", "tool.call"];
        let expected = audit(&server, &of_alice).ends(0);
        assert_eq!(expected.lines().count(), 4);
        behind(&server, "INSERT INTO audit_block VALUES (0, 0, 0, x'')").await;
        let told = audit(&server, &["verify"]).ends(3);
        assert!(told.contains("the log is whole"), "{told}");
        assert!(told.contains("the index is NOT"), "{told}");
        assert!(told.contains("records 1 to 64"), "{told}");
        let everywhere = [&of_alice[..], &["--unindexed"]].concat();
        assert_eq!(audit(&server, &everywhere).ends(0), expected);
        audit(&server, &["reindex"]).ends(0);
        audit(&server, &["verify"]).ends(0);
        assert_eq!(audit(&server, &of_alice).ends(0), expected);
        let told = audit(&server, &["export", "--kind", "audit.reindexed"]).ends(0);
        assert_eq!(told.lines().count(), 1);
        server.stop().await;
    });
}
