//! Clients that leave while a stage of the line waits: for their issuer, for what describes them, for their user, for locks of others.

use std::time::Duration;

use bailiwick::config::{About, ClientProof, ClientSecret, IntrospectionConfig};
use bailiwick::limits::{CLIENT_READ_MAX, INTROSPECTION_MAX, SESSION_QUESTIONS_MAX};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::leaving::{
    Holds, LOCK_WAIT, Leaving, Lock, ONE, Slow, agreed, asked, is_idle, left, never_began,
    never_ran,
};
use crate::harness::described::http;
use crate::harness::{
    Answer, Caller, Described, Era, Issuer, Server, Setup, Stream, for_an_hour, packed, played,
    run, settled, toml_of, until,
};

const HEADER: &str = "mcp-session-id";
/// How long the issuer is watched for an end of what it was asked.
const STILL: Duration = Duration::from_millis(300);
/// How long the host of a client thinks about its description.
const THINKS: Duration = Duration::from_secs(3);

fn note() -> Value {
    json!({"name": "left", "text": "one's own"})
}

fn call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

#[test]
fn a_token_is_judged_to_its_end_and_its_request_goes_no_further_when_its_client_left() {
    run(played(INTROSPECTION_MAX, async || {
        let issuer = Issuer::start().await;
        let endpoint = format!("{}/introspect", issuer.url);
        let setup = Setup::new().tools(&["hello"]).await.limits(ONE);
        let setup = setup.secret_file("client-secret", "kumquat-of-the-client");
        let secret = setup.dir().join("client-secret").display().to_string();
        let server = setup
            .issuer(move |config| {
                config.introspection = Some(IntrospectionConfig {
                    url: endpoint.parse().unwrap(),
                    client_id: "bailiwick".to_owned(),
                    proof: ClientProof::Secret(ClientSecret::File(secret.clone())),
                    about: About::Opaque,
                    ttl: Duration::from_secs(30),
                });
            })
            .start()
            .await;
        issuer.says(Some(active(&server)));
        issuer.hold(true);
        let alice = server.caller("alice").bearing("opaque-of-who-leaves");
        let hello = json!({"name": "Ada"});
        let called = tokio::spawn(Answer::read(
            alice.request("tools/call", call("hello", &hello)),
        ));
        until("the issuer is asked", async || {
            (issuer.asked().len() == 1).then_some(())
        })
        .await;
        called.abort();
        // Who leaves before the verdict counts as who stays, and so its place stays taken: else a guess would cost nothing.
        let busy = async || {
            server
                .caller("alice")
                .call("hello", hello.clone())
                .await
                .status
        };
        assert_eq!(settled(STILL, &busy).await, StatusCode::SERVICE_UNAVAILABLE);
        issuer.hold(false);
        until("its place is free", async || {
            (busy().await == StatusCode::OK).then_some(())
        })
        .await;
        // What was said of it is known, and no call was begun for nobody.
        let answer = alice.call("hello", hello.clone()).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        assert_eq!(issuer.asked().len(), 1);
        let intents = server.intents("hello").await.into_iter();
        let opaque = intents.filter(|one| {
            let token = one.token.as_ref();
            token.is_some_and(|token| token.alg == "introspection")
        });
        assert_eq!(opaque.count(), 1, "of the second call alone");
        assert!(is_idle(&server));
        server.stop().await;
    }));
}

/// What the issuer says of a good token.
fn active(server: &Server) -> Value {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "active": true,
        "sub": "alice",
        "aud": format!("{}/mcp", server.url),
        "client_id": "dev-client",
        "scope": "tools:call",
        "roles": ["user"],
        "exp": now + 3600,
        "token_type": "Bearer",
    })
}

#[test]
fn who_leaves_while_its_own_description_is_read_ends_its_call_and_not_the_reading() {
    run(played(CLIENT_READ_MAX, async || {
        let described = Described::start("clients.test").await;
        let document = described.document("/meta.json", "Paint", &["https://paint.example/cb"]);
        let slow = http("200 OK", "", &document.to_string());
        described.put("/meta.json", THINKS, slow);
        let more = "[client_metadata]\nprivate_origins = [\"https://clients.test\"]\nca_file = \"ca.pem\"\n";
        let server = Setup::new()
            .tools(&["notes"])
            .await
            .host("clients.test", described.port, false)
            .config(more)
            .file("ca.pem", described.root())
            .limits(ONE)
            .start()
            .await;
        let alice = server
            .caller("alice")
            .via(&server, &described.id("/meta.json"));
        let waits = async || described.seen().len() == 1;
        let record = left(&server, &alice, ("notes_write", &note()), waits).await;
        never_began(&record);
        // The next one waits for the same reading, and is asked with what it found.
        let asked = alice.call("notes_write", note()).await;
        let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
        let ticket = crate::harness::ticket(&link);
        let ticket = server.running.store.ticket(ticket.hash()).await.unwrap();
        assert!(ticket.unwrap().shown.contains("paint.example"));
        assert_eq!(described.seen().len(), 1);
        server.decide(&link, "alice", for_an_hour()).await;
        assert!(alice.call("notes_write", note()).await.is_reply());
        server.stop().await;
    }));
}

/// A client of an older revision, in a session.
async fn in_session(server: &Server) -> (Caller, String) {
    let caller = server.caller("alice").in_era(Era::Legacy);
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {"url": {}, "form": {}}},
        "clientInfo": {"name": "e2e", "version": "1"},
    });
    let begun = caller.send("initialize", params).await;
    let session = begun.header(HEADER).unwrap_or_else(|| panic!("{begun:?}"));
    (caller, session.to_owned())
}

/// Calls and leaves when the user is asked, once more than a session may ask at once. Each leaves the record of its run, which ended
/// with the question.
async fn leaves_questions(
    server: &Server,
    tool: &str,
    arguments: &Value,
    mode: &str,
    status: &str,
) {
    let (caller, session) = in_session(server).await;
    for gone in 1..=SESSION_QUESTIONS_MAX + 1 {
        let request = caller.request("tools/call", call(tool, arguments));
        let mut stream = Stream::of(request.header(HEADER, &session)).await;
        let question = stream.next().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["mode"], mode, "{question}");
        // The run is over: who waits for its user has no place.
        until("it waits outside", async || is_idle(server).then_some(())).await;
        drop(stream);
        let outcomes = server.outcomes(tool).await;
        assert_eq!(outcomes.len(), gone, "one call, one outcome");
        for outcome in outcomes {
            assert_eq!(outcome.result.unwrap().status, status);
        }
    }
    // Nothing asks on for nobody.
    let still = async || server.outcomes(tool).await.len();
    assert_eq!(settled(STILL, still).await, SESSION_QUESTIONS_MAX + 1);
}

#[test]
fn a_question_in_a_session_ends_with_its_client_and_makes_room_for_the_next() {
    run(async {
        let ask = "id = \"ask\"\nkind = \"ask\"\nreason = \"It asks.\"\noptional = false\n";
        let asks = packed(
            "ask_each",
            &toml_of("ask_each", &[toml::from_str(ask).unwrap()]),
        )
        .await;
        let setup = Setup::new().tools(&["notes"]).await.limits(ONE).calls(1);
        let setup = setup.package("ask_each", &asks).server("sessions = true\n");
        let server = setup.start().await;
        leaves_questions(&server, "notes_write", &note(), "url", "asked").await;
        let form = json!({"steps": [{"ask": "Which?"}]});
        leaves_questions(&server, "ask_each", &form, "form", "asked-user").await;
        assert!(server.intents("notes_write").await.is_empty());
        let alice = server.caller("alice");
        let written = agreed(&server, &alice, "notes_write", &note()).await;
        assert!(written.is_reply(), "{written:?}");
        server.stop().await;
    });
}

#[test]
fn who_leaves_while_the_state_is_locked_has_done_nothing() {
    run(async {
        let clock = "id = \"clock\"\nkind = \"clock\"\nreason = \"It looks.\"\noptional = false\n";
        let looks = toml_of("reach_each", &[toml::from_str(clock).unwrap()]);
        let looks = packed("reach_each", &looks).await;
        let setup = Setup::new().tools(&["notes"]).await.limits(ONE);
        let server = setup.package("reach_each", &looks).start().await;
        let alice = server.caller("alice");
        let nothing = json!({"requests": [], "read": [], "write": [], "level": 0});
        let looked = alice.call("reach_each", nothing.clone()).await;
        assert_eq!(looked.structured()["clock"], true, "{looked:?}");
        let file = server.notes_of("alice").join("left.md");

        // It brings back what it was asked to, which has to be noted as used.
        let question = asked(&server, &alice, "notes_write", &note()).await;
        played(LOCK_WAIT, async || {
            let leaving = Leaving::of(&server, "notes_write").await;
            let lock = Lock::of(&server, "").await;
            let mut again = call("notes_write", &note());
            again["requestState"] = json!(question.state());
            again["inputResponses"] = json!({"consent": {"action": "accept"}});
            let request = alice.request("tools/call", again);
            leaving.leave(request, begun(&server)).await;
            lock.open().await;
            never_began(&leaving.record().await);
        })
        .await;
        assert!(server.intents("notes_write").await.is_empty());
        assert!(!file.exists());
        // Whether its state was noted as used depends on who had the lock first. Nothing hangs on it.
        let written = alice.call("notes_write", note()).await;
        assert!(written.is_reply() && file.exists(), "{written:?}");

        // It has no consent, and what it may do has to be recorded before.
        played(LOCK_WAIT, async || {
            let leaving = Leaving::of(&server, "reach_each").await;
            let lock = Lock::of(&server, "").await;
            let request = alice.request("tools/call", call("reach_each", &nothing));
            leaving.leave(request, begun(&server)).await;
            lock.open().await;
            never_ran(&leaving.record().await);
            let looked = alice.call("reach_each", nothing.clone()).await;
            assert_eq!(looked.structured()["clock"], true, "{looked:?}");
        })
        .await;
        server.stop().await;
    });
}

/// Whether a call has been at work for a moment, outside of the sandbox.
fn begun(server: &Server) -> impl AsyncFnMut() -> bool {
    async move || {
        let stages = &server.running.stages;
        let before = stages.running.len();
        tokio::time::sleep(STILL).await;
        let after = (stages.running.len(), stages.sandbox.places().0);
        (before, after) == (1, (1, 0))
    }
}

#[test]
fn who_leaves_while_a_daily_budget_is_locked_is_counted_by_the_next_call() {
    run(async {
        let host = Slow::start(|_, _| "seen".to_owned()).await;
        // Every call takes more of it than is written down ahead.
        let day = format!("{ONE}[[limit]]\nname = \"day\"\nper = \"user\"\ndaily_ms = 100000\n");
        let setup = Setup::new().tools(&["fetch", "hello"]).await.limits(&day);
        let server = setup.host("pages.test", host.port, true).start().await;
        let alice = server.caller("alice");
        let hello = json!({"name": "Ada"});
        // Before it begins: the first one of a day writes down what it may take.
        played(LOCK_WAIT, async || {
            let user = server.caller("bob");
            let lock = Lock::of(&server, "budgets").await;
            let record = left(&server, &user, ("hello", &hello), begun(&server)).await;
            never_began(&record);
            lock.open().await;
        })
        .await;
        assert_eq!(
            server.caller("bob").call("hello", hello).await.text(),
            "Hello, Ada!"
        );

        // And after it ended.
        let page = json!({"url": "http://pages.test/"});
        let read = agreed(&server, &alice, "fetch", &page).await;
        assert!(read.is_reply(), "{read:?}");
        played(LOCK_WAIT, async || {
            host.hold(Holds::Answer);
            let before = host.seen();
            let mut lock = None;
            let waits = async || {
                if lock.is_none() && host.seen().waited > before.waited {
                    // Longer than what is written down for it.
                    tokio::time::sleep(Duration::from_millis(1_200)).await;
                    lock = Some(Lock::of(&server, "budgets").await);
                    host.hold(Holds::Nothing);
                }
                let stages = &server.running.stages;
                lock.is_some() && (stages.running.len(), stages.sandbox.places().0) == (1, 0)
            };
            let record = left(&server, &alice, ("fetch", &page), waits).await;
            let status = record.result.unwrap().status;
            assert_eq!(status, "replied", "its guest had ended");
            lock.take().unwrap().open().await;
            assert!(alice.call("fetch", page.clone()).await.is_reply());
        })
        .await;
        server.stop().await;
    });
}
