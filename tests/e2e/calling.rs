//! Tools that call tools: each call passes the whole line, within the grant of the call that it is made in, and all of them are
//! bounded together.

mod ends;
mod users;

use std::time::Duration;

use bailiwick::consent::Choice;
use bailiwick::limits::CALL_TREE_MAX;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Caller, Era, Server, Setup, Stopwatch, Upstream, for_an_hour, packed, run, toml_of,
};

const EACH: &str = "call_each";
/// Consents that one call may take before it goes through.
const QUESTIONS_MAX: usize = 8;

fn need(text: &str) -> toml::Table {
    let text = format!("id = \"n\"\nreason = \"The test needs it.\"\n{text}");
    toml::from_str(&text).unwrap()
}

fn calls(tools: &[&str]) -> String {
    format!("kind = \"call\"\ntools = {tools:?}\noptional = false")
}

/// A package of this guest with these needs.
async fn with(setup: Setup, guest: &str, needs: &[&str]) -> Setup {
    let needs = needs.iter().enumerate().map(|(number, text)| {
        let mut need = need(text);
        need.insert("id".to_owned(), format!("n{number}").into());
        need
    });
    let toml = toml_of(guest, &needs.collect::<Vec<_>>());
    setup.package(guest, &packed(guest, &toml).await)
}

fn steps(steps: &[(&str, Value)]) -> Value {
    let steps = steps.iter();
    let steps =
        steps.map(|(tool, arguments)| json!({"tool": tool, "arguments": arguments.to_string()}));
    json!({"steps": steps.collect::<Vec<_>>()})
}

/// What came of each call.
fn done(answer: &Answer) -> Vec<String> {
    serde_json::from_value(answer.structured()["done"].clone())
        .unwrap_or_else(|_| panic!("{answer:?}"))
}

/// Calls until nothing is asked any more; the user allows everything. Also what was asked, in its order.
async fn allowed(
    server: &Server,
    caller: &Caller,
    tool: &str,
    arguments: &Value,
) -> (Answer, Vec<Vec<String>>) {
    let mut asked = Vec::new();
    for _ in 0..QUESTIONS_MAX {
        let answer = caller.call(tool, arguments.clone()).await;
        let Some(link) = answer.link() else {
            return (answer, asked);
        };
        asked.push(server.asked(&link, "alice").await);
        server.decide(&link, "alice", for_an_hour()).await;
    }
    panic!("it asks for ever: {asked:?}")
}

fn hello() -> (&'static str, Value) {
    ("hello", json!({"name": "Ada"}))
}

fn remember(name: &str) -> (&'static str, Value) {
    (
        "memory_remember",
        json!({"name": name, "text": "canary-51c7"}),
    )
}

fn recall(name: &str) -> (&'static str, Value) {
    ("memory_recall", json!({"name": name}))
}

const READ: &str = "kind = \"kv\"\nstore = \"memory\"\naccess = \"read\"\noptional = true";
const WRITE: &str = "kind = \"kv\"\nstore = \"memory\"\naccess = \"write\"\noptional = true";

#[test]
fn a_tool_calls_another_for_its_user_and_the_log_shows_one_tree() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let server = with(setup, EACH, &[&calls(&["hello"])]).await.start().await;
        let alice = server.caller("alice");
        let (answer, asked) = allowed(&server, &alice, EACH, &steps(&[hello()])).await;
        assert_eq!(done(&answer), ["Hello, Ada!"]);
        assert_eq!(asked, [["call hello"]]);

        let outer = server.outcomes(EACH).await.pop().unwrap();
        let inner = server.outcomes("hello").await.pop().unwrap();
        assert_eq!((outer.parent, outer.root), (None, None));
        assert_eq!(inner.parent, Some(outer.event_id));
        assert_eq!(inner.root, Some(outer.event_id));
        let intent = server.intents("hello").await.pop().unwrap();
        assert_eq!(intent.parent, Some(outer.event_id));
        // The evidence of each stands in its own records.
        assert!(
            intent.decision.is_some() && intent.token.is_some(),
            "{intent:?}"
        );
        assert_eq!(inner.result.unwrap().status, "replied");
        let used = outer.result.unwrap().used.unwrap();
        assert_eq!(used.effects["call hello"].count, 1);
        for stored in server.records().await {
            assert!(!stored.json.contains("Ada"), "{}", stored.json);
        }
        server.stop().await;
    });
}

#[test]
fn what_the_user_must_agree_to_of_the_other_tool_is_asked_and_the_call_begins_again() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await;
        let server = with(setup, EACH, &[&calls(&["memory_recall"]), READ])
            .await
            .start()
            .await;
        let alice = server.caller("alice");
        let arguments = steps(&[recall("milk")]);
        let first = alice.call(EACH, arguments.clone()).await;
        server
            .decide(&first.link().unwrap(), "alice", for_an_hour())
            .await;
        // Its own consent is there; that of the other tool is not. The link goes to the client, never to the guest.
        let asked = alice.retry(EACH, arguments.clone(), &first, "accept").await;
        let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
        assert_eq!(server.asked(&link, "alice").await, ["kv write memory"]);
        let message = asked.result()["inputRequests"]["consent"]["params"]["message"].to_string();
        assert!(
            message.contains("“Memory” asks for your consent"),
            "{message}"
        );
        let ran = server.outcomes(EACH).await.pop().unwrap();
        assert_eq!(ran.result.unwrap().status, "callee-asks");
        let inner = server.outcomes("memory_recall").await.pop().unwrap();
        assert_eq!(inner.result.unwrap().status, "asked");

        // The state belongs to this call, and is good once.
        let other = alice
            .retry(EACH, steps(&[recall("bread")]), &asked, "accept")
            .await;
        assert!(
            other.text().contains("belongs to another call"),
            "{other:?}"
        );
        server.decide(&link, "alice", for_an_hour()).await;
        let answer = alice.retry(EACH, arguments.clone(), &asked, "accept").await;
        let said = done(&answer);
        assert!(
            said[0].starts_with("failed: nothing is remembered"),
            "{said:?}"
        );
        let again = alice.retry(EACH, arguments.clone(), &asked, "accept").await;
        assert!(again.text().contains("used before"), "{again:?}");

        // Nobody but alice agreed, and a denial is a denial.
        let bob = server.caller("bob").in_era(Era::Legacy);
        let first = bob.call(EACH, arguments.clone()).await;
        server
            .decide(&first.link().unwrap(), "bob", for_an_hour())
            .await;
        let asked = bob.call(EACH, arguments.clone()).await;
        assert!(asked.is_tool_error());
        server
            .decide(&asked.link().unwrap(), "bob", Choice::Deny)
            .await;
        assert_eq!(done(&bob.call(EACH, arguments).await), ["denied"]);
        server.stop().await;
    });
}

#[test]
fn no_tool_gains_an_effect_by_way_of_another() {
    run(async {
        let upstream = Upstream::start().await;
        let web = "kind = \"http\"\nhosts = [\"upstream.test\"]\nmethods = [\"GET\"]\npath = \"/\"\noptional = true";
        let notes = "kind = \"files\"\nmount = \"notes\"\naccess = \"write\"\noptional = true";
        let setup = Setup::new().host("upstream.test", upstream.port, false);
        let setup = with(
            setup,
            "reach_each",
            &[web, notes, "kind = \"clock\"\noptional = true"],
        )
        .await;
        let setup = with(setup, "call_widen", &[&calls(&["reach_each"])]).await;
        let server = with(setup, EACH, &[&calls(&["reach_each"]), web])
            .await
            .start()
            .await;
        let alice = server.caller("alice");
        let attempts = json!({
            "requests": [["GET", format!("http://upstream.test:{}/", upstream.port)], ["GET", "http://upstream.test/"]],
            "read": [], "write": ["notes/widened"], "level": 0,
        });
        let reached =
            |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text}"));
        let (alone, _) = allowed(&server, &alice, "reach_each", &attempts).await;
        assert_eq!(alone.structured()["write"], json!([true]), "{alone:?}");
        let sent = upstream.seen().len();
        assert!(sent > 0, "{alone:?}");
        std::fs::remove_file(server.notes_of("alice").join("widened")).unwrap();

        let arguments = json!({"arguments": attempts.to_string()});
        let (answer, _) = allowed(&server, &alice, "call_widen", &arguments).await;
        let inner = reached(&done(&answer)[0]);
        assert_eq!(inner["write"], json!([false]), "{inner}");
        assert_eq!(upstream.seen().len(), sent, "nothing was sent");
        // What is no effect is its own.
        assert_eq!(inner["clock"], true, "{inner}");
        let intent = server.intents("reach_each").await.pop().unwrap();
        assert_eq!(intent.granted, ["clock"]);

        // With the web alone, the web alone is reached.
        let (answer, _) = allowed(&server, &alice, EACH, &steps(&[("reach_each", attempts)])).await;
        let inner = reached(&done(&answer)[0]);
        assert_eq!(inner["write"], json!([false]), "{inner}");
        assert!(upstream.seen().len() > sent, "{inner}");
        assert!(!server.notes_of("alice").join("widened").exists());
        server.stop().await;
    });
}

#[test]
fn what_could_never_suffice_is_not_asked_about() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await;
        let server = with(setup, EACH, &[&calls(&["memory_recall"])])
            .await
            .start()
            .await;
        let alice = server.caller("alice");
        let (answer, asked) = allowed(&server, &alice, EACH, &steps(&[recall("milk")])).await;
        assert_eq!(done(&answer), ["denied"]);
        assert_eq!(asked, [["call memory_recall"]]);
        let inner = server.outcomes("memory_recall").await.pop().unwrap();
        assert_eq!(
            inner.result.unwrap().reason.as_deref(),
            Some("beyond-caller")
        );
        server.stop().await;
    });
}

#[test]
fn a_hidden_tool_an_absent_one_and_one_that_was_not_granted_are_the_same() {
    run(async {
        let setup = Setup::new().tools(&["hello", "whoami-admin"]).await;
        let setup = setup.guests(&["call_hidden"]).await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let hidden = server.caller("root").list().await;
        let hidden = hidden
            .iter()
            .find(|name| name.starts_with("whoami"))
            .unwrap()
            .clone();
        assert!(!alice.list().await.contains(&hidden));
        let names = json!({"names": [hidden, "absent", "hello", "call_hidden", "", "../hello"]});
        let (answer, _) = allowed(&server, &alice, "call_hidden", &names).await;
        let found = answer.structured();
        for answers in found["answers"].as_array().unwrap() {
            assert_eq!(*answers, json!(["denied", "denied", "denied"]), "{found}");
        }
        server.stop().await;
    });
}

#[test]
fn rounds_depth_and_number_of_calls_are_bounded() {
    run(async {
        let names = ["a", "b", "c", "d", "e"];
        let mut prefixes = "[tools.prefix]\n".to_owned();
        let mut setup = Setup::new().tools(&["hello"]).await;
        setup = setup.guests(&["call_flood", "tool_call_loop"]).await;
        let all: Vec<_> = names.iter().map(|name| format!("{name}-{EACH}")).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let needs = [need(&calls(
            &[&all[..], &["tool_call_loop", "hello"]].concat(),
        ))];
        for name in names {
            prefixes.push_str(&format!("{name} = \"{name}-\"\n"));
            setup = setup.package(name, &packed(EACH, &toml_of(name, &needs)).await);
        }
        // It lends what the other one cannot do without.
        let looped = needs[0].clone();
        let looped = packed("tool_call_loop", &toml_of("tool_call_loop", &[looped])).await;
        let server = setup
            .package("tool_call_loop", &looped)
            .config(&prefixes)
            .start()
            .await;
        let alice = server.caller("alice");

        // Each within the one before: the fifth is one too many.
        let within = |inner: Value, tool: &'static str| steps(&[(tool, inner)]);
        let mut arguments = steps(&[hello()]);
        for tool in ["e-call_each", "d-call_each", "c-call_each", "b-call_each"] {
            arguments = within(arguments, tool);
        }
        let (answer, asked) = allowed(&server, &alice, "a-call_each", &arguments).await;
        assert!(done(&answer)[0].contains("too-deep"), "{answer:?}");
        assert_eq!(asked.len(), 4, "{asked:?}");

        // Itself, and itself by way of another.
        let round = json!({"by": "a-call_each"});
        let (answer, _) = allowed(&server, &alice, "tool_call_loop", &round).await;
        let said = done(&answer);
        assert_eq!(said[0], "cycle");
        assert!(said[1].contains("cycle"), "{said:?}");

        let (answer, _) = allowed(&server, &alice, "call_flood", &json!({})).await;
        let flood = answer.structured();
        assert_eq!(
            flood,
            json!({"made": CALL_TREE_MAX, "refused": ["too-many"]})
        );
        server.stop().await;
    });
}

#[test]
fn a_call_within_ends_with_the_one_around_it_and_says_so() {
    run(async {
        let limits = "[limits]\ntimeout_ms = 1000\n";
        let toml = toml_of(EACH, &[need(&calls(&["spin"]))]) + limits;
        let setup = Setup::new().guests(&["spin"]).await;
        let server = setup
            .package(EACH, &packed(EACH, &toml).await)
            .start()
            .await;
        let alice = server.caller("alice");
        let first = alice.call(EACH, steps(&[("spin", json!({}))])).await;
        server
            .decide(&first.link().unwrap(), "alice", for_an_hour())
            .await;
        let watch = Stopwatch::start();
        let answer = alice.call(EACH, steps(&[("spin", json!({}))])).await;
        assert!(watch.took() < Duration::from_secs(4), "{:?}", watch.took());
        assert!(
            answer.is_tool_error() || !done(&answer).is_empty(),
            "{answer:?}"
        );
        let inner = server.outcomes("spin").await.pop().unwrap();
        let status = inner.result.unwrap().status;
        assert!(
            ["cancelled", "out-of-time"].contains(&status.as_str()),
            "{status}"
        );
        server.stop().await;
    });
}

#[test]
fn without_a_place_in_the_pool_a_call_within_is_refused_and_never_waits() {
    run(async {
        let setup = Setup::new().calls(1).tools(&["hello"]).await;
        let server = with(setup, EACH, &[&calls(&["hello"])]).await.start().await;
        let alice = server.caller("alice");
        let (answer, _) = allowed(&server, &alice, EACH, &steps(&[hello()])).await;
        assert_eq!(done(&answer), ["unavailable"]);
        assert_eq!(
            alice.call("hello", json!({"name": "Ada"})).await.text(),
            "Hello, Ada!"
        );
        server.stop().await;
    });
}

#[test]
fn a_call_within_leaves_nothing_beyond_what_both_may_keep() {
    run(async {
        let setup = Setup::new()
            .tools(&["memory"])
            .await
            .guests(&["residue_kv"])
            .await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let (own, _) = allowed(&server, &alice, "memory_remember", &remember("left").1).await;
        assert!(own.is_reply(), "{own:?}");
        let arguments = steps(&[remember("left"), remember("mine/right"), recall("left")]);
        let (answer, _) = allowed(&server, &alice, "residue_kv", &arguments).await;
        let found = answer.structured();
        let said = done(&answer);
        assert!(
            said[0].contains("denied") || said[0].starts_with("failed"),
            "{said:?}"
        );
        assert_eq!(said[1], "Remembered under `mine/right`.");
        assert_eq!(
            (&found["keys"], &found["read"]),
            (&json!(["mine/right"]), &json!(false))
        );
        server.stop().await;
    });
}

#[test]
fn a_digest_reads_pages_and_keeps_them_for_its_user() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().tools(&["digest", "fetch", "memory"]).await;
        let server = setup.host("pages.test", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let arguments =
            json!({"urls": ["http://pages.test/one", "http://pages.test/two"], "name": "news"});
        let (answer, asked) = allowed(&server, &alice, "digest", &arguments).await;
        let own = [
            "http GET * /",
            "kv write memory",
            "call fetch",
            "call memory_remember",
        ];
        assert_eq!(asked, [own.to_vec(), vec!["http GET * /"]]);
        let digest = answer.structured();
        assert_eq!(digest["pages"][1]["beginning"], "seen", "{digest}");
        assert_eq!(digest["unread"], json!([]));
        // Reading is an effect, so nobody was asked about the memory. The user is asked where the tool is called by itself.
        assert_eq!(digest["kept"], false);
        assert!(
            digest["note"]
                .as_str()
                .unwrap()
                .contains("`memory_remember`"),
            "{digest}"
        );
        let (kept, _) = allowed(&server, &alice, "memory_remember", &remember("first").1).await;
        assert!(kept.is_reply());
        let digest = alice.call("digest", arguments).await.structured();
        assert_eq!(
            (&digest["kept"], &digest["note"]),
            (&json!(true), &Value::Null)
        );
        let (recalled, _) = allowed(&server, &alice, "memory_recall", &recall("news").1).await;
        assert!(
            recalled.text().contains("http://pages.test/two\nseen"),
            "{recalled:?}"
        );
        assert_eq!(upstream.seen().len(), 4);
        server.stop().await;
    });
}
