//! What users hold in their hands of calls within calls: they are asked in a session, take back, and keep what is theirs.

use std::time::Duration;

use bailiwick::consent::Choice;
use bailiwick::ids::Digest;
use serde_json::{Value, json};

use super::{EACH, READ, allowed, calls, done, hello, need, recall, steps, with};
use crate::harness::{
    Browser, Caller, Era, Server, Setup, Stream, Upstream, for_an_hour, http, log, packed, run,
    settled, toml_of, until,
};

const SESSION: &str = "mcp-session-id";
const WEB: &str =
    "kind = \"http\"\nhosts = [\"*\"]\nmethods = [\"GET\"]\npath = \"/\"\noptional = false";
const NOTES: &str = "kind = \"files\"\nmount = \"notes\"\naccess = \"write\"\noptional = false";
const ASK: &str = "kind = \"ask\"\noptional = false";
const EMAIL: &str = "kind = \"data\"\nclasses = [\"email\"]\noptional = true";
/// How long the upstream thinks, so that a call goes on for longer than a test looks at it.
const THINKS: Duration = Duration::from_millis(80);
/// Several times as long as a guest takes from one request to the next.
const LONG: Duration = Duration::from_millis(400);

/// A call of an older client in a session of its own, up to its first message.
async fn in_session(caller: &Caller, tool: &str, arguments: &Value) -> Stream {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {"url": {}, "form": {}}},
        "clientInfo": {"name": "e2e", "version": "1"},
    });
    let begun = caller.send("initialize", params).await;
    let session = begun.header(SESSION).unwrap_or_else(|| panic!("{begun:?}"));
    let call = json!({"name": tool, "arguments": arguments});
    Stream::of(caller.request("tools/call", call).header(SESSION, session)).await
}

/// The next message asks for consent: what it asks about, decided so.
async fn consents(server: &Server, stream: &mut Stream, user: &str, choice: Choice) -> Vec<String> {
    let question = stream.next().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert_eq!(question["params"]["mode"], "url", "{question}");
    let link = question["params"]["url"].as_str().unwrap();
    let asked = server.asked(link, user).await;
    server.decide(link, user, choice).await;
    let complete = stream.next().await;
    assert_eq!(complete["method"], "notifications/elicitation/complete");
    asked
}

#[test]
fn in_a_session_the_user_of_a_call_within_is_asked_for_consent_and_never_by_a_form() {
    run(async {
        let setup = Setup::new().server("sessions = true\n");
        let setup = with(setup, "ask_each", &[ASK, NOTES]).await;
        let setup = with(setup, EACH, &[&calls(&["ask_each"]), NOTES]).await;
        let server = setup.start().await;
        let inner = json!({"steps": [{"ask": "Which?"}, {"write": "asked"}]});
        let arguments = steps(&[("ask_each", inner)]);
        let own = ["files write notes", "call ask_each"];

        let alice = server.caller("alice").in_era(Era::Legacy);
        let mut stream = in_session(&alice, EACH, &arguments).await;
        let asked = consents(&server, &mut stream, "alice", for_an_hour()).await;
        assert_eq!(asked, own);
        let asked = consents(&server, &mut stream, "alice", for_an_hour()).await;
        assert_eq!(asked, ["files write notes"]);
        // What the other tool would ask is asked of nobody: the next message is the reply.
        let said = stream.next().await["result"]["structuredContent"]["done"].clone();
        assert_eq!(said, json!([r#"{"done":["Unavailable","written"]}"#]));
        assert!(server.notes_of("alice").join("asked").exists());

        // Who allows the one and not the other has nothing done.
        let bob = server.caller("bob").in_era(Era::Legacy);
        let mut stream = in_session(&bob, EACH, &arguments).await;
        assert_eq!(
            consents(&server, &mut stream, "bob", for_an_hour()).await,
            own
        );
        consents(&server, &mut stream, "bob", Choice::Deny).await;
        let said = stream.next().await["result"]["structuredContent"]["done"].clone();
        assert_eq!(said, json!(["denied"]));
        assert!(!server.notes_of("bob").join("asked").exists());
        assert_eq!(
            server.intents("ask_each").await.len(),
            1,
            "bob's did not run"
        );
        server.stop().await;
    });
}

#[test]
fn what_is_taken_back_from_either_call_is_taken_from_the_call_within_while_it_runs() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let setup = Setup::new().guests(&["http_flood"]).await;
        let setup = setup.host("example.com", upstream.port, true);
        let setup = with(setup, EACH, &[&calls(&["http_flood"]), WEB]).await;
        let server = setup.start().await;
        let flood = steps(&[("http_flood", json!({"url": "http://example.com/"}))]);
        for (user, tool) in [("alice", EACH), ("bob", "http_flood")] {
            let caller = server.caller(user);
            let first = caller.call(EACH, flood.clone()).await;
            let link = first.link().unwrap();
            server.decide(&link, user, for_an_hour()).await;
            let second = caller.call(EACH, flood.clone()).await;
            let link = second.link().unwrap();
            server.decide(&link, user, for_an_hour()).await;

            let before = upstream.count();
            let call = {
                let (caller, flood) = (caller.clone(), flood.clone());
                tokio::spawn(async move { caller.call(EACH, flood).await })
            };
            until("the flood has begun", async || {
                (upstream.count() > before).then_some(())
            })
            .await;
            server.take_back_of(user, tool, "http").await;
            let by_then = upstream.count();
            let answer = call.await.unwrap();
            assert!(!answer.body.contains("\"probes\""), "{answer:?}");
            // What the kernel still held is one request.
            let after = settled(LONG, async || upstream.count()).await;
            assert!(after <= by_then + 1, "{by_then} and then {after}");
            let inner = server.outcomes("http_flood").await.pop().unwrap();
            assert_eq!(inner.result.unwrap().status, "revoked", "{tool}");
            // The next call asks anew, before anything is sent.
            let asked = caller.call(EACH, flood.clone()).await;
            assert!(asked.link().is_some(), "{asked:?}");
            assert_eq!(upstream.count(), after);
        }
        server.stop().await;
    });
}

/// The outer tool may be given addresses; the one called `hello` may as its needs say.
async fn greeting(needs: &[&str]) -> Server {
    let mut setup = Setup::new();
    let tables: Vec<_> = needs.iter().map(|text| need(text)).collect();
    setup = setup.package("hello", &packed("hello", &toml_of("hello", &tables)).await);
    let setup = with(setup, EACH, &[&calls(&["hello"]), EMAIL]).await;
    setup.start().await
}

#[test]
fn personal_data_reaches_a_called_tool_only_where_that_tool_may_be_given_it() {
    run(async {
        let address = "canary.7f21@example.com";
        let arguments = steps(&[("hello", json!({"name": address}))]);
        let server = greeting(&[]).await;
        let alice = server.caller("alice");
        let (answer, asked) = allowed(&server, &alice, EACH, &arguments).await;
        assert_eq!(asked, [["data email", "call hello"]]);
        let said = done(&answer);
        assert!(said[0].starts_with("invalid-arguments: "), "{said:?}");
        for part in ["`/name`", "`email`"] {
            assert!(said[0].contains(part), "{part}: {said:?}");
        }
        assert!(!answer.body.contains(address), "{answer:?}");
        let inner = server.outcomes("hello").await.pop().unwrap();
        assert_eq!(
            inner.result.unwrap().reason.as_deref(),
            Some("data-ungranted")
        );
        assert_eq!(inner.facts["data_in"], json!({"email": {"reject": 1}}));
        assert_eq!(server.intents("hello").await.len(), 0, "it did not run");
        silent(&server, address).await;
        server.stop().await;

        // Where its own manifest asks for it and its user agrees, it is given it, and answers with it.
        let server = greeting(&[EMAIL]).await;
        let alice = server.caller("alice");
        let (answer, asked) = allowed(&server, &alice, EACH, &arguments).await;
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!(asked[1], ["data email"]);
        assert_eq!(done(&answer), [format!("Hello, {address}!")]);
        silent(&server, address).await;
        server.stop().await;
    });
}

/// A value stands neither in the log nor in the audit.
async fn silent(server: &Server, value: &str) {
    for stored in server.records().await {
        assert!(!stored.json.contains(value), "{}", stored.json);
    }
    assert!(!log::text().contains(value), "the log holds it");
}

#[test]
fn when_the_outermost_call_runs_out_of_time_no_effect_of_a_grandchild_follows_or_is_missing() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let second = "[limits]\ntimeout_ms = 1000\n";
        let toml = |name: &str, tools: &[&str]| {
            let needs = [need(&calls(tools)), {
                let mut web = need(WEB);
                web.insert("id".to_owned(), "web".into());
                web
            }];
            toml_of(name, &needs)
        };
        // What the one between may call, the outermost must lend it.
        let outer = toml(EACH, &["b-call_each", "http_flood"]) + second;
        let between = toml("between", &["http_flood"]);
        let setup = Setup::new().guests(&["http_flood"]).await;
        let setup = setup.package(EACH, &packed(EACH, &outer).await);
        let setup = setup.package("between", &packed(EACH, &between).await);
        let setup = setup.config("[tools.prefix]\nbetween = \"b-\"\n");
        let server = setup.host("example.com", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let flood = steps(&[("http_flood", json!({"url": "http://example.com/"}))]);
        let arguments = steps(&[("b-call_each", flood)]);
        // Consents of all three; the last call runs until the outermost is out of time.
        let (answer, asked) = allowed(&server, &alice, EACH, &arguments).await;
        let at_answer = upstream.count();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(answer.is_tool_error(), "{answer:?}");
        assert!(at_answer > 0, "the grandchild had no effect at all");
        let after = settled(LONG, async || upstream.count()).await;
        assert!(after <= at_answer + 1, "{at_answer} and then {after}");

        // Each ends before the one that it lies in, and what was sent is in the record.
        let record = async |tool| server.outcomes(tool).await.pop().unwrap();
        let [top, middle, inner] = [
            record(EACH).await,
            record("b-call_each").await,
            record("http_flood").await,
        ];
        assert_eq!(inner.parent, Some(middle.event_id));
        assert_eq!(
            (middle.parent, inner.root),
            (Some(top.event_id), Some(top.event_id))
        );
        assert_eq!(top.result.unwrap().status, "out-of-time");
        for within in [&middle, &inner] {
            let status = within.result.as_ref().unwrap().status.as_str();
            assert!(["cancelled", "out-of-time"].contains(&status), "{status}");
        }
        let used = inner.result.unwrap().used.unwrap();
        let sent = usize::try_from(used.effects["http GET example.com"].count).unwrap();
        // The last one may have been given up before the upstream read it.
        assert!(sent == after || sent == after + 1, "{after}: {used:?}");
        server.stop().await;
    });
}

#[test]
fn the_question_about_a_called_tool_names_the_tool_that_calls_it() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await;
        let setup = with(setup, EACH, &[&calls(&["memory_recall"]), READ]).await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let arguments = steps(&[recall("milk")]);
        let mut browser = Browser::default();
        // The tool that the client calls is called by no other.
        let own = alice.call(EACH, arguments.clone()).await.link().unwrap();
        let page = browser.open(&own, "alice").await;
        assert!(page.html.contains("A client called this tool for you."));
        assert!(!page.html.contains("Asked by"), "{page:?}");
        server.decide(&own, "alice", for_an_hour()).await;

        let asked = alice.call(EACH, arguments.clone()).await;
        let message = asked.result()["inputRequests"]["consent"]["params"]["message"].to_string();
        assert!(
            message.contains("The tool `call_each` calls it."),
            "{message}"
        );
        let within = asked.link().unwrap();
        let page = browser.open(&within, "alice").await.html;
        assert!(page.contains("Another tool called this tool for you."));
        assert!(
            page.contains("<dt>Asked by</dt><dd><code>call_each</code>"),
            "{page}"
        );
        let japanese = http()
            .get(&within)
            .header("cookie", browser.cookie_header())
            .header("accept-language", "ja")
            .send();
        let japanese = japanese.await.unwrap().text().await.unwrap();
        assert!(
            japanese.contains("<dt>呼び出し元</dt><dd><code>call_each</code>"),
            "{japanese}"
        );
        // The log knows it as well.
        let records = server.records().await;
        let asked = records
            .iter()
            .filter(|stored| stored.json.contains("\"consent.asked\""));
        let by: Vec<_> = asked
            .map(|stored| stored.record.facts.get("called_by").cloned())
            .collect();
        assert_eq!(by, [None, Some(json!([EACH]))]);

        // Called by the client itself it is another question, which names nobody.
        let direct = alice
            .call("memory_recall", recall("milk").1)
            .await
            .link()
            .unwrap();
        assert_ne!(direct, within);
        let page = browser.open(&direct, "alice").await.html;
        assert!(!page.contains("Asked by"), "{page}");
        // Both are about the same consent; what is answered on the one page serves the other call too.
        let page = browser.decide(&within, "alice", "allow-until").await;
        assert_eq!(page.status, 200, "{page:?}");
        let row = server.decisions(&server.user("alice")).await.remove(0);
        // Of the page as it was sent; decisions of tests that open no page have another digest.
        assert_ne!(row.ui, Digest::of(b"a page"), "{row:?}");
        let recalled = alice.call("memory_recall", recall("milk").1).await;
        assert!(
            recalled.text().contains("nothing is remembered"),
            "{recalled:?}"
        );
        server.stop().await;
    });
}

#[test]
fn the_operator_lowers_how_deep_and_how_often_tools_call_tools() {
    run(async {
        let server = async |lines: &str| {
            let setup = Setup::new().tools(&["hello"]).await.server(lines);
            let setup = setup.guests(&["call_flood"]).await;
            let b = [need(&calls(&["hello"]))];
            let setup = setup.package("b", &packed(EACH, &toml_of("b", &b)).await);
            let setup = setup.config("[tools.prefix]\nb = \"b-\"\n");
            let setup = with(setup, EACH, &[&calls(&["b-call_each", "hello"])]).await;
            setup.start().await
        };
        let deep = steps(&[("b-call_each", steps(&[hello()])), hello()]);
        // As it is without these keys, one more is allowed each.
        for (lines, deepest, flat, made) in [
            (
                "call_depth_max = 3\ncall_tree_max = 4\n",
                "Hello, Ada!",
                "Hello, Ada!",
                4,
            ),
            (
                "call_depth_max = 2\ncall_tree_max = 3\n",
                "too-deep",
                "Hello, Ada!",
                3,
            ),
            ("call_depth_max = 1\n", "", "too-deep", 0),
        ] {
            let server = server(lines).await;
            let alice = server.caller("alice");
            let (answer, _) = allowed(&server, &alice, EACH, &deep).await;
            let said = done(&answer);
            assert!(said[0].contains(deepest), "{lines}: {said:?}");
            assert_eq!(said[1], flat, "{lines}");
            let (answer, _) = allowed(&server, &alice, "call_flood", &json!({})).await;
            let refused = if made == 0 { "too-deep" } else { "too-many" };
            let expected = json!({"made": made, "refused": [refused]});
            assert_eq!(answer.structured(), expected, "{lines}");
            server.stop().await;
        }
    });
}
