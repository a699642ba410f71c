//! Stores and settings: what is kept is its user's own, what is not granted cannot be told from what is not there, and nobody
//! pays for what another keeps.

use std::time::Duration;

use bailiwick::audit::Record;
use bailiwick::clock::{Clock, SystemClock, Timestamp};
use bailiwick::consent::Choice;
use bailiwick::ids::User;
use bailiwick::limits::KV_BYTES_MAX;
use bailiwick::store::SqliteKeyValues;
use bailiwick::store::kv::{KeyValues, Space, Writing};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Browser, Caller, Server, Setup, Stopwatch, for_an_hour, run, settled, until};

/// Longest answer for a neighbour while another fills a store by several calls at once.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(5);
/// What was handed to the database when a revocation came may still be committed: it is, once nothing has changed for so long.
const COMMITTED: Duration = Duration::from_millis(500);

fn milk(text: &str) -> Value {
    json!({"name": "milk", "text": text})
}

/// The file of the stores, as another process would open it.
async fn values(server: &Server) -> SqliteKeyValues {
    let file = SqliteKeyValues::beside(&server.dir().join("state.db"));
    SqliteKeyValues::open(&file).await.unwrap()
}

fn space(server: &Server, store: &str, tenant: &str, user: Option<&str>) -> Space {
    Space {
        store: store.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        user: user.map(|user| User {
            issuer: server.issuer.parse().unwrap(),
            subject: user.parse().unwrap(),
        }),
    }
}

async fn keep(server: &Server, space: &Space, keys: &[&str]) {
    let pairs: Vec<(&str, &[u8])> = keys.iter().map(|key| (*key, &b"kept"[..])).collect();
    let writing = Writing {
        bytes_max: u64::MAX,
        keys_max: u64::MAX,
        now: SystemClock.now(),
        sure: SystemClock.now(),
        expires_at: None,
    };
    let values = values(server).await;
    values.set(space, &pairs, &writing).await.unwrap();
    values.close().await;
}

/// The keys of a space, but for what is beyond its first thousand.
async fn keys(values: &SqliteKeyValues, space: &Space) -> Vec<String> {
    let keys = values.keys(space, "", "", 1_000, Timestamp(0));
    keys.await.unwrap()
}

fn effects(record: &Record) -> Value {
    serde_json::to_value(record.result.as_ref().unwrap()).unwrap()
}

#[test]
fn what_a_tool_remembers_is_kept_for_its_user_once_its_user_agreed() {
    run(async {
        let server = Setup::new().tools(&["memory"]).await.start().await;
        let alice = server.caller("alice");
        let asked = alice.call("memory_remember", milk("canary-7d20")).await;
        let link = asked.link().unwrap();
        assert_eq!(server.asked(&link, "alice").await, ["kv write memory"]);
        let page = Browser::default().open(&link, "alice").await;
        let sentence = "Read, add, change and delete what is kept in the store “memory”";
        assert!(page.html.contains(sentence), "{page:?}");
        let kept = values(&server).await;
        let own = space(&server, "memory", "dev", Some("alice"));
        assert_eq!(keys(&kept, &own).await, [""; 0]);

        server.decide(&link, "alice", for_an_hour()).await;
        let answer = alice.call("memory_remember", milk("canary-7d20")).await;
        assert!(answer.is_reply(), "{answer:?}");
        assert_eq!(keys(&kept, &own).await, ["milk"]);
        let name = json!({"name": "milk"});
        let recalled = alice.call_allowed(&server, "memory_recall", name.clone());
        assert_eq!(recalled.await.text(), "canary-7d20");
        let more = json!({"name": "milk", "text": "and bread", "add": true});
        assert!(alice.call("memory_remember", more).await.is_reply());
        let listed = alice.call_allowed(&server, "memory_list", json!({})).await;
        assert_eq!(listed.structured()["names"], json!(["milk"]));

        // Records tell of stores and sizes, and of nothing that is kept.
        let outcome = server.outcomes("memory_recall").await.pop().unwrap();
        let told = effects(&outcome)["used"]["effects"]["kv read memory"].clone();
        assert_eq!((&told["count"], &told["bytes_in"]), (&json!(1), &json!(11)));
        for stored in server.records().await {
            assert!(!stored.json.contains("canary-7d20"), "{}", stored.json);
            assert!(!stored.json.contains("milk"), "{}", stored.json);
        }
        assert!(!crate::harness::log::text().contains("canary-7d20"));

        // It outlives the server, and its user can have it forgotten.
        kept.close().await;
        let server = server.restart("").await;
        let alice = server.caller("alice");
        let recalled = alice.call("memory_recall", name.clone()).await;
        assert_eq!(recalled.text(), "canary-7d20\nand bread");
        let forgot = alice.call_allowed(&server, "memory_forget", name.clone());
        assert!(forgot.await.is_reply());
        let gone = alice.call("memory_recall", name).await;
        assert!(gone.text().contains("nothing is remembered"), "{gone:?}");
        server.stop().await;
    });
}

#[test]
fn a_consent_to_one_call_writes_once() {
    run(async {
        let server = Setup::new().tools(&["memory"]).await.start().await;
        let alice = server.caller("alice");
        let first = alice.call_deciding(&server, "memory_remember", milk("1"), |_| Choice::Once);
        assert!(first.await.is_reply());
        let second = alice.call("memory_remember", milk("2")).await;
        assert!(second.link().is_some(), "{second:?}");
        let denied = alice.call_deciding(&server, "memory_remember", milk("3"), |_| Choice::Deny);
        assert!(denied.await.is_tool_error());
        let name = json!({"name": "milk"});
        let held = alice.call_allowed(&server, "memory_recall", name).await;
        assert_eq!(held.text(), "1");
        server.stop().await;
    });
}

#[test]
fn rules_decide_by_store_access_and_prefix() {
    run(async {
        let rules = r#"
            @id("no-writing")
            forbid (principal, action == Action::"use", resource)
            when { resource has store && resource.store == "memory" && resource has access && resource.access == "write"
                   && resource has prefix && !(resource.prefix like "mine/*") && context.client == "reader" };
            @id("no-region")
            forbid (principal, action == Action::"use", resource)
            when { resource has key && resource.key == "region" && context.client == "reader" };
        "#;
        let setup = Setup::new().tools(&["memory"]).await.more_rules(rules);
        let setup = setup.guests(&["config_probe", "kv_escape"]).await;
        let setup = setup.config("[tools.config.config_probe]\nregion = \"eu\"\n");
        let server = setup.start().await;
        let alice = server.caller("alice");
        let reader = alice.clone().via(&server, "reader");
        assert_eq!(reader.list().await, ["config_probe", "kv_escape"]);
        let refused = reader.call("memory_remember", milk("1")).await;
        assert_eq!(refused.error().1, "unknown tool");
        let asked = json!({"keys": ["region"]});
        let none = reader
            .call("config_probe", asked.clone())
            .await
            .structured();
        assert_eq!(none["values"], json!([null]));
        let some = alice.call("config_probe", asked).await.structured();
        assert_eq!(some["values"], json!(["eu"]));
        let answer = alice.call_allowed(&server, "memory_remember", milk("1"));
        assert!(answer.await.is_reply());
        server.stop().await;
    });
}

#[test]
fn no_key_no_name_and_no_cursor_leads_to_what_others_keep() {
    run(async {
        let board = "[[kv]]\nname = \"board\"\nshare = \"tenant\"\n";
        let setup = Setup::new().guests(&["kv_escape"]).await.config(board);
        let server = setup.start().await;
        let canaries = ["canary", "mine/canary", "mine/other"];
        for other in [
            space(&server, "memory", "dev", Some("bob")),
            space(&server, "memory", "dev", None),
            space(&server, "memory", "other", Some("alice")),
            space(&server, "board", "dev", None),
        ] {
            keep(&server, &other, &canaries).await;
        }
        // Of her own, what lies outside of the prefix.
        let own = space(&server, "memory", "dev", Some("alice"));
        keep(&server, &own, &["canary", "min", "mine", "minf/x"]).await;

        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "kv_escape", json!({})).await;
        let report = answer.structured();
        for nothing in ["stores", "found", "listed", "written"] {
            assert_eq!(report[nothing], json!([]), "{nothing} in {report}");
        }
        assert_eq!(report["own"], "own");
        assert!(report["refused"].as_u64().unwrap() > 100, "{report}");
        let kept = values(&server).await;
        let held = keys(&kept, &own).await;
        assert_eq!(held, ["canary", "min", "mine", "mine/own", "minf/x"]);
        let of_bob = space(&server, "memory", "dev", Some("bob"));
        assert_eq!(keys(&kept, &of_bob).await, canaries);
        let outcome = server.outcomes("kv_escape").await.pop().unwrap();
        let told = effects(&outcome)["used"]["effects"].to_string();
        assert!(
            !told.contains("canary") && told.contains("refused"),
            "{told}"
        );
        kept.close().await;
        server.stop().await;
    });
}

#[test]
fn what_is_denied_cannot_be_told_from_what_is_not_there() {
    run(async {
        let board = "[[kv]]\nname = \"board\"\n";
        let setup = Setup::new()
            .guests(&["kv_denied_exists"])
            .await
            .config(board);
        let server = setup.start().await;
        let own = space(&server, "memory", "dev", Some("alice"));
        keep(&server, &own, &["secret/there"]).await;
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "kv_denied_exists", json!({}));
        let report = answer.await.structured();
        let attempts = report["attempts"].as_array().unwrap();
        let answer = |what: String| {
            let found = attempts.iter().find(|attempt| attempt["what"] == *what);
            found.unwrap_or_else(|| panic!("{what} in {report}"))["answer"].clone()
        };
        for store in ["board", "unbound", "nowhere"] {
            assert_eq!(answer(format!("open {store}")), "access-denied", "{report}");
        }
        for act in [
            "get",
            "exists",
            "delete",
            "increment",
            "cas",
            "get-many",
            "delete-many",
        ] {
            let there = answer(format!("{act} secret/there"));
            assert_eq!(there, "access-denied", "{act}: {report}");
            assert_eq!(there, answer(format!("{act} secret/absent")), "{act}");
        }
        assert_eq!(answer("list".to_owned()), "");
        assert_eq!(attempts.len(), 3 + 2 * 7 + 1);
        let kept = values(&server).await;
        assert_eq!(keys(&kept, &own).await, ["secret/there"]);
        kept.close().await;
        server.stop().await;
    });
}

/// Floods with values of this size, by several calls at once, until nothing more is taken.
async fn flooded(caller: &Caller, bytes: usize) -> String {
    loop {
        let calls = (0..4).map(|_| caller.call("kv_flood", json!({"bytes": bytes})));
        let reports = join_all(calls).await;
        let reports = reports.iter().map(|answer| answer.structured());
        let reports: Vec<_> = reports.collect();
        if reports.iter().all(|report| report["taken"] == 0) {
            return reports[0]["last"].as_str().unwrap().to_owned();
        }
    }
}

#[test]
fn a_flood_fills_its_own_part_alone_and_its_neighbours_do_not_notice() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await;
        let server = setup.guests(&["kv_flood"]).await.start().await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        let answer = bob.call_allowed(&server, "memory_remember", milk("1"));
        assert!(answer.await.is_reply());
        let first = alice.call_allowed(&server, "kv_flood", json!({"bytes": 262_144}));
        assert!(first.await.structured()["taken"].as_u64().unwrap() > 0);

        let flood = flooded(&alice, 262_144);
        let neighbour = async {
            let mut slowest = Duration::ZERO;
            for number in 0..20 {
                let watch = Stopwatch::start();
                let answer = bob.call("memory_remember", milk(&number.to_string()));
                assert!(answer.await.is_reply());
                slowest = slowest.max(watch.took());
            }
            slowest
        };
        let (last, slowest) = tokio::join!(flood, neighbour);
        assert!(last.contains("full"), "{last}");
        assert!(slowest < NEIGHBOUR_MAX, "{slowest:?}");

        let kept = values(&server).await;
        let own = space(&server, "memory", "dev", Some("alice"));
        let held = keys(&kept, &own).await;
        let bytes: usize = held.iter().map(|key| key.len() + 262_144).sum();
        assert!(bytes as u64 <= KV_BYTES_MAX && held.len() > 60, "{held:?}");
        let of_bob = space(&server, "memory", "dev", Some("bob"));
        assert_eq!(keys(&kept, &of_bob).await, ["milk"]);
        kept.close().await;
        // What is left is less than this; and she can make room again.
        assert!(flooded(&alice, 16_000).await.contains("full"));
        let refused = alice.call_allowed(&server, "memory_remember", milk(&"x".repeat(16_000)));
        assert!(refused.await.text().contains("full"));
        let name = json!({"name": "0"});
        let forgot = alice.call_allowed(&server, "memory_forget", name);
        assert!(forgot.await.is_reply());
        assert!(alice.call("memory_remember", milk("1")).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn after_the_answer_to_a_revocation_nothing_more_is_written() {
    run(async {
        let server = Setup::new().guests(&["kv_flood"]).await.start().await;
        let alice = server.caller("alice");
        let small = json!({"bytes": 1});
        let link = alice.call("kv_flood", small.clone()).await.link().unwrap();
        server.decide(&link, "alice", for_an_hour()).await;
        let (kept, own) = (
            values(&server).await,
            space(&server, "memory", "dev", Some("alice")),
        );
        let call = tokio::spawn(async move { alice.call("kv_flood", small).await });
        until("it writes", async || {
            (keys(&kept, &own).await.len() > 10).then_some(())
        })
        .await;
        let consents = &server.running.stages.consents;
        let who = server.user("alice");
        let id = server.decisions(&who).await[0].id;
        assert!(consents.revoke(&who, id, SystemClock.now()).await.unwrap());
        let answer = call.await.unwrap();
        assert!(answer.text().contains("revoked"), "{answer:?}");
        let after = settled(COMMITTED, async || keys(&kept, &own).await.len()).await;
        assert!(after < 900, "it was stopped in the middle");
        kept.close().await;
        server.stop().await;
    });
}

#[test]
fn a_tool_sees_of_the_settings_what_is_granted_and_set_for_its_package() {
    run(async {
        let settings = "[tools.config.config_probe]\nregion = \"eu\"\nunits = \"metric\"\npassword = \"hunter2\"\n\
                        [tools.config.other]\nregion = \"us\"\n";
        let setup = Setup::new().guests(&["config_probe"]).await;
        let server = setup.config(settings).start().await;
        let alice = server.caller("alice");
        let asked = json!({"keys": ["region", "absent", "units", "password", "", "region\0", "*"]});
        // Nobody is asked: what the operator set is nothing of its user's.
        let found = alice.call("config_probe", asked).await;
        assert!(!found.body.contains("hunter2"), "{found:?}");
        let found = found.structured();
        let values = json!(["eu", null, null, null, null, null, null]);
        assert_eq!(found["values"], values, "{found}");
        assert_eq!(found["all"], json!(["region=eu"]), "{found}");
        let intent = server.intents("config_probe").await.pop().unwrap();
        assert_eq!(intent.granted, ["config absent", "config region"]);
        server.stop().await;
    });
}
