//! Nothing passes from one call to another, from one user to another, or from a token to anywhere.

use std::collections::BTreeSet;

use bailiwick::ids::IDENTIFIER_BYTES_MAX;
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::harness::{Setup, Upstream, run};

/// How often memory is searched for what an earlier call left: more than there are places in the pool.
const ROUNDS: usize = 200;

#[test]
fn no_call_finds_in_memory_what_another_left_there() {
    run(async {
        let server = Setup::new().guests(&["residue_memory"]).await.start().await;
        let callers = ["alice", "bob", "carol"].map(|user| server.caller(user));
        stream::iter(callers.iter().cycle().take(ROUNDS))
            .for_each_concurrent(4, |caller| async {
                let answer = caller.call("residue_memory", json!({})).await;
                let text = answer.text();
                assert!(text.starts_with("found 0 marks in "), "{answer:?}");
            })
            .await;
        assert_eq!(server.outcomes("residue_memory").await.len(), ROUNDS);
        server.stop().await;
    });
}

#[test]
fn no_two_users_meet_in_a_folder_whatever_they_are_called() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let long = "a".repeat(IDENTIFIER_BYTES_MAX - 1);
        let users = [
            "alice",
            "Alice",
            "../alice",
            "%2e%2e%2falice",
            "%2E%2E%2Falice",
            "..",
            ".",
            "a/b",
            "a%2Fb",
            "a\\b",
            "~",
            "älice",
            "a\u{308}lice",
            "{sub}",
            "{tenant}",
            "$(id)",
            "-rf",
            &format!("{long}1"),
            &format!("{long}2"),
        ];
        for user in users {
            let caller = server.caller(user);
            let note = json!({"name": "mine", "text": user});
            let answer = caller.call_allowed(&server, "notes_write", note).await;
            assert!(answer.is_reply(), "{user}: {answer:?}");
        }
        for user in users {
            let caller = server.caller(user);
            let mine = caller
                .call_allowed(&server, "notes_read", json!({"name": "mine"}))
                .await;
            assert_eq!(mine.text(), user);
            let all = caller.call_allowed(&server, "notes_list", json!({})).await;
            assert_eq!(all.structured()["notes"], json!(["mine"]), "{user}");
        }
        // Each has a folder of their own, all of them side by side, and none anywhere else.
        let folders = std::fs::read_dir(server.dir().join("notes/dev")).unwrap();
        let folders: BTreeSet<_> = folders.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(folders.len(), users.len(), "{folders:?}");
        let above: Vec<_> = std::fs::read_dir(server.dir().join("notes"))
            .unwrap()
            .collect();
        assert_eq!(above.len(), 1, "{above:?}");
        server.stop().await;
    });
}

#[test]
fn the_same_name_in_another_tenant_is_another_user() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let here = server.caller("alice");
        let there = server
            .caller("alice")
            .with(&server, json!({"tenant": "other"}));
        for (caller, text) in [(&here, "here"), (&there, "there")] {
            let note = json!({"name": "mine", "text": text});
            assert!(
                caller
                    .call_allowed(&server, "notes_write", note)
                    .await
                    .is_reply()
            );
        }
        for (caller, text) in [(&here, "here"), (&there, "there")] {
            let read = caller
                .call_allowed(&server, "notes_read", json!({"name": "mine"}))
                .await;
            assert_eq!(read.text(), text);
        }
        server.stop().await;
    });
}

#[test]
fn a10_o8_t22_a_token_is_seen_by_no_tool_no_log_no_record_and_no_upstream() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        let setup = setup
            .guests(&["env_probe", "http_any", "reach_all", "trap"])
            .await;
        let server = setup.host("up.test", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let expired = alice.clone().with(&server, json!({"exp": 1_000_000_000}));
        let stranger = alice
            .clone()
            .with(&server, json!({"aud": "https://other.test/mcp"}));

        let mut bodies = Vec::new();
        for (tool, arguments) in [
            ("hello", json!({"name": "Ada"})),
            ("hello", json!({"name": 7})),
            ("notes_write", json!({"name": "a", "text": "b"})),
            ("env_probe", json!({})),
            ("reach_all", json!({"url": "http://up.test/"})),
            (
                "http_any",
                json!({"url": "http://up.test/", "headers": [["authorization", "Bearer of-the-tool"]]}),
            ),
            ("trap", json!({})),
            ("no-such-tool", json!({})),
        ] {
            bodies.push(
                alice
                    .call_allowed(&server, tool, arguments.clone())
                    .await
                    .body,
            );
            bodies.push(expired.call(tool, arguments.clone()).await.body);
            bodies.push(stranger.call(tool, arguments).await.body);
        }
        let heads = upstream.seen();
        assert!(!heads.is_empty());
        let records = server.records().await;
        let state: Vec<_> = ["state.db", "state.db-wal"]
            .iter()
            .filter_map(|name| std::fs::read(server.dir().join(name)).ok())
            .collect();
        let log = crate::harness::log::text();
        assert!(log.contains("a token was refused"), "the log was looked at");

        for token in [&alice.token, &expired.token, &stranger.token] {
            // The claims and the signature by themselves are not for others either.
            for part in token.split('.').skip(1).chain([token.as_str()]) {
                assert!(!log.contains(part), "in the log");
                assert!(
                    bodies.iter().all(|body| !body.contains(part)),
                    "in an answer"
                );
                assert!(
                    heads.iter().all(|head| !head.contains(part)),
                    "in a request"
                );
                assert!(
                    records.iter().all(|stored| !stored.json.contains(part)),
                    "in a record"
                );
                let is_part = |bytes: &[u8]| {
                    bytes
                        .windows(part.len())
                        .any(|some| some == part.as_bytes())
                };
                assert!(!state.iter().any(|file| is_part(file)), "in the state");
            }
        }
        server.stop().await;
    });
}

#[test]
fn arguments_and_replies_are_in_no_record_and_in_no_log() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let alice = server.caller("alice");
        let secret = "canary-5e1f0b";
        let note = json!({"name": "a", "text": secret});
        assert!(
            alice
                .call_allowed(&server, "notes_write", note)
                .await
                .is_reply()
        );
        let read = alice
            .call_allowed(&server, "notes_read", json!({"name": "a"}))
            .await;
        assert_eq!(read.text(), secret);
        alice.call("hello", json!({"name": secret})).await;
        alice.call("hello", json!({secret: 1})).await;
        for stored in server.records().await {
            assert!(!stored.json.contains(secret), "{}", stored.json);
            assert!(
                !stored.json.contains("alice"),
                "a user stands under a pseudonym: {}",
                stored.json
            );
        }
        let log = crate::harness::log::text();
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
        server.stop().await;
    });
}
