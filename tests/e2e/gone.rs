//! Callers that go away, at each moment of a call in turn: nothing of it is left but its records.
//!
//! Here in this process, poll by poll; below, over HTTP, while the call waits for something that does not come.

mod effects;
mod guests;
mod keys;
mod leaving;
mod stages;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bailiwick::audit::Phase;
use bailiwick::identity::{BearerToken, Caller as Verified, Credentials};
use bailiwick::mcp::{Answer, Call, Era, Line, RequestFacts};
use bailiwick::protect::Sensitive;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Server, Setup, for_an_hour, packed, run, toml_of, until};

/// Polls after which no further moment is looked for: a guest that computes has one at every tick.
const POLLS_MAX: usize = 60;
/// Longest until whoever is told ends: a call that hears nothing could go on for ever.
const TOLD_MAX: Duration = Duration::from_secs(30);
/// Two calls at once of the tenant, one within the other: what is not given back refuses those after it.
const FEW_AT_ONCE: &str = "[[limit]]\nname = \"few\"\nper = \"tenant\"\nat_once = 2\n";

/// How somebody goes.
#[derive(Debug, Clone, Copy)]
enum Goes {
    /// The request is dropped where it stands, as when the server ends its connection.
    Dropped,
    /// It is told that nobody waits for it any more, as when the client closes its connection.
    Told,
}

async fn verified(server: &Server, user: &str) -> Arc<Verified> {
    let stages = &server.running.stages;
    let token = Credentials::bearer(BearerToken::new(server.token(user, json!({}))));
    stages
        .identity
        .verify(token, stages.clock.now())
        .await
        .unwrap()
}

fn call(tool: &str, arguments: &Value, cancel: &CancellationToken) -> Call {
    Call {
        tool: tool.parse().unwrap(),
        arguments: Sensitive::new(arguments.as_object().unwrap().clone()),
        request: RequestFacts {
            began: Instant::now(),
            id: Uuid::now_v7(),
            peer: None,
        },
        era: Era::Modern,
        can_open_urls: false,
        can_show_forms: false,
        request_state: None,
        said: None,
        replied: None,
        traceparent: None,
        progress: None,
        cancel: cancel.clone(),
    }
}

/// The call until it has been polled so often; what came of it, if it came to its end before.
async fn polled<F: Future + Unpin>(call: &mut F, most: usize) -> Option<F::Output> {
    let mut polls = 0;
    poll_fn(|context| {
        if polls == most {
            return Poll::Ready(None);
        }
        polls += 1;
        match std::pin::Pin::new(&mut *call).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if polls == most => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes the call again and again; its caller goes a poll later each time. Says how many moments there were.
async fn gone_everywhere(server: &Server, tool: &str, arguments: &Value, goes: Goes) -> usize {
    let stages = &server.running.stages;
    let caller = verified(server, "alice").await;
    for polls in 0..POLLS_MAX {
        let cancel = CancellationToken::new();
        let mut call = stages.call(call(tool, arguments, &cancel), Arc::clone(&caller));
        let ended = polled(&mut call, polls).await;
        let whole = ended.is_some();
        let answer = match (ended, goes) {
            (Some(answer), _) => Some(answer),
            (None, Goes::Dropped) => None,
            (None, Goes::Told) => {
                cancel.cancel();
                let left = tokio::time::timeout(TOLD_MAX, &mut call);
                Some(left.await.expect("whoever is told ends"))
            }
        };
        drop(call);
        let throttled = matches!(answer, Some(Answer::Throttled(_) | Answer::Busy));
        assert!(!throttled, "{tool}, {polls} polls: {answer:?}");
        until("nothing is left of the call", async || {
            let places = stages.sandbox.places().0;
            let left = (places, stages.sandbox.turns(), stages.running.len());
            (left == (0, (0, 0), 0)).then_some(())
        })
        .await;
        if whole {
            return polls;
        }
    }
    POLLS_MAX
}

/// How often calls ended in which way, once every intent has its outcome.
async fn endings(server: &Server) -> Option<BTreeMap<String, usize>> {
    let mut open = BTreeMap::new();
    let mut endings = BTreeMap::<String, usize>::new();
    for stored in server.records().await {
        let record = stored.record;
        if record.method.as_deref() != Some("tools/call") {
            continue;
        }
        match record.phase {
            Phase::Event => {}
            Phase::Intent => assert!(open.insert(record.event_id, record.kind).is_none()),
            Phase::Outcome => {
                // Whoever asks for records of one kind finds both of a call or none.
                if let Some(kind) = open.remove(&record.event_id) {
                    assert_eq!(record.kind, kind, "{:?}", record.result);
                }
                let status = record.result.map(|result| result.status);
                *endings.entry(status.unwrap_or_default()).or_default() += 1;
            }
        }
    }
    open.is_empty().then_some(endings)
}

#[test]
fn a_caller_who_goes_at_any_moment_leaves_no_place_taken_and_no_intent_open() {
    run(async {
        let toml = toml_of("call_each", &[need()]) + "[limits]\ntimeout_ms = 4000\n";
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        let setup = setup.hurried(&["spin"]).await;
        let server = setup
            .package("call_each", &packed("call_each", &toml).await)
            .limits(FEW_AT_ONCE)
            .start()
            .await;
        let alice = server.caller("alice");
        let note = json!({"name": "mine", "text": "one's own"});
        let within = json!({"steps": [{"tool": "hello", "arguments": "{\"name\": \"Ada\"}"}]});
        for (tool, arguments) in [("notes_write", &note), ("call_each", &within)] {
            let asked = alice.call(tool, arguments.clone()).await;
            let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
            server.decide(&link, "alice", for_an_hour()).await;
        }
        for goes in [Goes::Dropped, Goes::Told] {
            for (tool, arguments) in [
                ("hello", &json!({"name": "Ada"})),
                ("notes_write", &note),
                ("call_each", &within),
                ("spin", &json!({})),
            ] {
                let moments = gone_everywhere(&server, tool, arguments, goes).await;
                // What has no grant and computes for no tick may come to its end in one go.
                let least = if tool == "hello" { 1 } else { 2 };
                assert!(moments >= least, "{tool} has a moment to go at");
                // It is as ever for whoever comes next.
                let answer = alice.call("hello", json!({"name": "Ada"})).await;
                assert_eq!(answer.text(), "Hello, Ada!", "after {tool}, {goes:?}");
            }
        }
        let endings = until("every intent has its outcome", async || {
            endings(&server).await
        })
        .await;
        for ending in ["aborted", "cancelled", "replied"] {
            assert!(endings.contains_key(ending), "{endings:?}");
        }
        server.stop().await;
    });
}

fn need() -> toml::Table {
    toml::from_str(
        "id = \"n\"\nreason = \"The test needs it.\"\nkind = \"call\"\ntools = [\"hello\"]\noptional = false\n",
    )
    .unwrap()
}
