//! Guests in processes of their own: what holds in one process holds in two.
//!
//! `BAILIWICK_TEST_APART=1 cargo test -p bailiwick --test e2e` runs every other test in this mode.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{Server, Setup, run, until};

/// What the kernel says of a process that has not ended, behind its name, which may hold anything: its state, its parent and so on.
pub fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after.split_whitespace().map(str::to_owned).collect();
    // One that ended may wait for a parent that asks.
    (fields[0] != "Z").then_some(fields)
}

/// The processes that this one made.
pub fn made_by(maker: i32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let parent = |pid: i32| stat(pid)?[1].parse().ok();
    pids.filter(|pid| parent(*pid) == Some(maker)).collect()
}

/// For how long a process has computed, in hundredths of a second.
fn computed(pid: i32) -> u64 {
    stat(pid).map_or(0, |fields| fields[11].parse().unwrap())
}

/// A server whose guests run apart, and its executors.
async fn server(setup: Setup) -> (Server, impl Fn() -> Vec<i32>) {
    let server = setup.apart().start().await;
    let executors = server.running.stages.sandbox.executors().unwrap();
    let maker = executors.maker().unwrap().cast_signed();
    (server, move || made_by(maker))
}

#[test]
fn a_tool_answers_from_a_process_of_its_own_and_reaches_what_it_was_given() {
    run(async {
        let (server, executors) = server(Setup::new().tools(&["hello", "notes"]).await).await;
        let alice = server.caller("alice");
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        let note = json!({"name": "shopping", "text": "milk"});
        let answer = alice.call_allowed(&server, "notes_write", note).await;
        assert!(answer.is_reply(), "{answer:?}");
        let read = json!({"name": "shopping"});
        let answer = alice.call_allowed(&server, "notes_read", read).await;
        assert!(answer.text().contains("milk"), "{answer:?}");
        // The one who did not ask for files has none, in either way.
        let all = executors();
        assert!(all.len() >= 2);
        server.stop().await;
        until("the end of all of them", async || {
            all.iter().all(|pid| stat(*pid).is_none()).then_some(())
        })
        .await;
    });
}

#[test]
fn an_executor_that_ends_takes_its_own_call_with_it_and_is_replaced() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let (server, executors) = server(setup.hurried(&["sleep_poll"]).await).await;
        let alice = server.caller("alice");
        let asked = alice.call_allowed(&server, "sleep_poll", json!({})).await;
        assert!(asked.is_tool_error(), "its time ran out: {asked:?}");
        let mut answer = asked;
        for call in 2..7 {
            let caller = server.caller("alice");
            let called = tokio::spawn(async move { caller.call("sleep_poll", json!({})).await });
            until("the intent", async || {
                (server.intents("sleep_poll").await.len() == call).then_some(())
            })
            .await;
            // Whichever it is: all of them die until the call ends, and those that come after answer.
            while !called.is_finished() {
                for pid in executors() {
                    // One that ended by itself is as good.
                    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer = called.await.unwrap();
            // One that was killed before it began had no call yet; there was none for it.
            if answer.status != 500 {
                break;
            }
        }
        assert!(
            answer
                .text()
                .contains("the process in which the tool ran ended under it"),
            "{answer:?}"
        );
        let outcome = server.outcomes("sleep_poll").await.pop().unwrap();
        assert_eq!(outcome.result.unwrap().status, "lost");
        until("an executor that lives", async || {
            let answer = alice.call("hello", json!({"name": "Ada"})).await;
            (answer.status == 200 && answer.is_reply()).then_some(())
        })
        .await;
        server.stop().await;
    });
}

#[test]
fn whoever_goes_away_leaves_no_process_behind_that_runs_for_him() {
    run(async {
        // It has more time than this waits, so that nothing ends it but that its caller went.
        let setup = Setup::new().tools(&["hello"]).await;
        let (server, executors) = server(setup.guests(&["spin"]).await).await;
        let alice = server.caller("alice");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        let before: BTreeMap<_, _> = { executors().into_iter() }
            .map(|pid| (pid, computed(pid)))
            .collect();
        let caller = server.caller("alice");
        let called = tokio::spawn(async move { caller.call("spin", json!({})).await });
        let spins = until("an executor that computes", async || {
            let since = |pid| computed(pid) - before.get(&pid).unwrap_or(&0);
            executors().into_iter().find(|pid| since(*pid) >= 10)
        })
        .await;
        called.abort();
        until("its end", async || {
            (!executors().contains(&spins)).then_some(())
        })
        .await;
        let outcome = until("the outcome", async || server.outcomes("spin").await.pop()).await;
        assert_eq!(outcome.result.unwrap().status, "cancelled");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        server.stop().await;
    });
}

/// The middle and the slow end of these, in microseconds.
fn p50_p99(mut all: Vec<Duration>) -> (u128, u128) {
    all.sort_unstable();
    let at = |share: usize| all[(all.len() - 1) * share / 100].as_micros();
    (at(50), at(99))
}

#[test]
#[ignore = "a measurement of a minute, of docs/performance.md; `tests/long/run what_a_process_of_its_own_costs` runs it"]
fn what_a_process_of_its_own_costs() {
    run(async {
        let here = Setup::new().tools(&["hello", "notes"]).await.start().await;
        let apart = Setup::new().apart().tools(&["hello", "notes"]).await;
        let apart = apart.start().await;
        let callers = [here.caller("alice"), apart.caller("alice")];
        let note = json!({"name": "shopping", "text": "milk"});
        for (server, caller) in [&here, &apart].into_iter().zip(&callers) {
            let answer = caller
                .call_allowed(server, "notes_write", note.clone())
                .await;
            assert!(answer.is_reply(), "{answer:?}");
            let read = json!({"name": "shopping"});
            let answer = caller.call_allowed(server, "notes_read", read).await;
            assert!(answer.is_reply(), "{answer:?}");
        }
        for (tool, arguments) in [
            ("hello", json!({"name": "Ada"})),
            ("notes_read", json!({"name": "shopping"})),
        ] {
            let mut took = [Vec::new(), Vec::new()];
            for round in 0..550 {
                for (caller, took) in callers.iter().zip(&mut took) {
                    let began = Instant::now();
                    assert!(caller.call(tool, arguments.clone()).await.is_reply());
                    // The first ones find everything cold.
                    if round >= 50 {
                        took.push(began.elapsed());
                    }
                }
            }
            let [here, apart] = took.map(p50_p99);
            println!(
                "{tool}: in process p50 {} p99 {} µs; apart p50 {} p99 {} µs",
                here.0, here.1, apart.0, apart.1
            );
        }
        here.stop().await;
        apart.stop().await;
    });
}
