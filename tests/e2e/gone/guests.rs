//! Clients that leave while a guest waits: for another tool, for its turn, or for nothing at all.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::leaving::{Holds, ONE, Slow, agreed, cancelled, is_idle, left};
use crate::harness::{Answer, Setup, packed, run, settled, toml_of, until};

const EACH: &str = "call_each";
/// Calls that compute at once, at most.
const SPINNERS_MAX: usize = 24;
/// Long enough that nothing ends a call but that its client leaves.
const LONG: &str = "[limits]\ntimeout_ms = 30000\n";
/// The outer one and the one within.
const TWO: &str =
    "requests_in_flight_max = 1\n[[limit]]\nname = \"two\"\nper = \"tenant\"\nat_once = 2\n";

fn need(id: &str, text: &str) -> toml::Table {
    let text = format!("id = \"{id}\"\nreason = \"The test needs it.\"\noptional = false\n{text}");
    toml::from_str(&text).unwrap()
}

#[test]
fn a_call_within_a_call_ends_with_the_client_of_the_outer_one() {
    run(async {
        let host = Slow::start(|_, _| "seen".to_owned()).await;
        let web = "kind = \"http\"\nhosts = [\"*\"]\nmethods = [\"GET\"]\npath = \"/\"\n";
        let calls = "kind = \"call\"\ntools = [\"fetch\"]\n";
        let toml = toml_of(EACH, &[need("calls", calls), need("web", web)]) + LONG;
        let setup = Setup::new().tools(&["fetch"]).await.limits(TWO);
        let setup = setup.package(EACH, &packed(EACH, &toml).await);
        let server = setup.host("pages.test", host.port, true).start().await;
        let alice = server.caller("alice");
        let page = json!({"url": "http://pages.test/"}).to_string();
        let within = json!({"steps": [{"tool": "fetch", "arguments": page}]});
        let read = agreed(&server, &alice, EACH, &within).await;
        assert!(read.text().contains("seen"), "{read:?}");
        for holds in [Holds::Answer, Holds::Body] {
            host.hold(holds);
            let before = host.seen();
            let waits = async || {
                let places = server.running.stages.sandbox.places().0;
                host.seen().waited > before.waited && places == 2
            };
            let inner_before = server.outcomes("fetch").await.len();
            let outer = left(&server, &alice, (EACH, &within), waits).await;
            cancelled(&outer);
            host.is_left(before).await;
            let mut inner = server.outcomes("fetch").await;
            assert_eq!(inner.len(), inner_before + 1, "one call, one outcome");
            let inner = inner.pop().unwrap();
            let effects = cancelled(&inner);
            assert_eq!(effects["http GET pages.test"]["count"], 1, "{effects}");
            assert_eq!(inner.parent, Some(outer.event_id));
            host.hold(Holds::Nothing);
            let read = alice.call(EACH, within.clone()).await;
            assert!(read.text().contains("seen"), "{read:?}");
        }
        server.stop().await;
    });
}

#[test]
fn a_guest_that_waits_for_its_turn_ends_with_its_client_and_the_others_go_on() {
    run(async {
        let spin = packed("spin", &(toml_of("spin", &[]) + LONG)).await;
        let setup = Setup::new().tools(&["hello"]).await.package("spin", &spin);
        let server = setup.start().await;
        let stages = &server.running.stages;
        let alice = server.caller("alice");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        let spins = || -> JoinHandle<Answer> {
            let caller = alice.clone();
            tokio::spawn(async move { caller.call("spin", json!({})).await })
        };
        // More than there are turns.
        let workers = Handle::current().metrics().num_workers();
        let spinners = (workers + 2).min(SPINNERS_MAX);
        let calls: Vec<_> = (0..spinners).map(|_| spins()).collect();
        until("all of them compute by turns", async || {
            (stages.sandbox.turns().1 == spinners).then_some(())
        })
        .await;
        for (gone, call) in calls.into_iter().enumerate() {
            call.abort();
            // Whoever has a turn and whoever waits for one: each leaves by himself, and nobody else.
            let left = spinners - gone - 1;
            until("its place is free", async || {
                let now = (stages.sandbox.places().0, stages.running.len());
                (now == (left, left)).then_some(())
            })
            .await;
            let still = Duration::from_millis(100);
            let now = async || {
                (
                    stages.sandbox.turns().1,
                    server.outcomes("spin").await.len(),
                )
            };
            assert_eq!(settled(still, now).await, (left, gone + 1));
        }
        for record in server.outcomes("spin").await {
            cancelled(&record);
        }
        assert!(is_idle(&server));
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        server.stop().await;
    });
}

#[test]
fn a_guest_that_sleeps_in_the_host_ends_with_its_client() {
    run(async {
        let sleep = packed("sleep_poll", &(toml_of("sleep_poll", &[]) + LONG)).await;
        let setup = Setup::new().tools(&["hello"]).await.limits(ONE);
        let server = setup.package("sleep_poll", &sleep).start().await;
        let alice = server.caller("alice");
        let waits = async || {
            let sleeps = server.running.stages.sandbox.places().0 == 1;
            // It has slept for a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
            sleeps
        };
        let record = left(&server, &alice, ("sleep_poll", &json!({})), waits).await;
        cancelled(&record);
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        server.stop().await;
    });
}
