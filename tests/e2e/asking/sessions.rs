//! Older clients, which are asked on the stream of their call.

use bailiwick::consent::Choice;
use serde_json::{Value, json};

use super::{ASK, PROBE, WRITE, done, one, said, setup, steps};
use crate::harness::{Answer, Caller, Era, Stream, run};

const HEADER: &str = "mcp-session-id";

/// A client of an older revision with a session.
struct Client {
    caller: Caller,
    session: String,
}

impl Client {
    async fn of(caller: Caller, elicitation: Value) -> Self {
        let caller = caller.in_era(Era::Legacy);
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": elicitation},
            "clientInfo": {"name": "e2e", "version": "1"},
        });
        let answer = caller.send("initialize", params).await;
        let session = answer
            .header(HEADER)
            .unwrap_or_else(|| panic!("{answer:?}"));
        Self {
            session: session.to_owned(),
            caller,
        }
    }

    fn call(&self, arguments: Value) -> reqwest::RequestBuilder {
        let params = json!({"name": PROBE, "arguments": arguments});
        let request = self.caller.request("tools/call", params);
        request.header(HEADER, &self.session)
    }

    async fn says(&self, question: &Value, result: Value) {
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        let request = self.caller.request("", json!({})).json(&body);
        let told = Answer::read(request.header(HEADER, &self.session)).await;
        assert_eq!(told.status, 202, "{told:?}");
    }
}

#[test]
fn c5_in_a_session_the_call_waits_for_each_answer_and_holds_no_place() {
    run(async {
        let setup = setup(&[ASK]).await.server("sessions = true\n");
        // One call at a time, so a call that waited in the sandbox would keep out every other.
        let server = setup.calls(1).start().await;
        let alice = Client::of(server.caller("alice"), json!({})).await;
        let arguments = steps(json!([{"ask": "First?"}, {"ask": "Second?"}]));
        let mut stream = Stream::of(alice.call(arguments)).await;
        let question = stream.next().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["mode"], "form");
        let other = server.caller("bob").call(PROBE, steps(json!([]))).await;
        assert!(other.is_reply(), "{other:?}");
        // What does not fit is asked for again.
        let wrong = json!({"action": "accept", "content": {"a": 7}});
        alice.says(&question, wrong).await;
        let again = stream.next().await;
        let message = again["params"]["message"].as_str().unwrap();
        assert!(message.contains("does not fit"), "{message}");
        alice.says(&again, said("1")).await;
        let second = stream.next().await;
        let message = second["params"]["message"].as_str().unwrap();
        assert!(message.contains("Second?"), "{message}");
        alice.says(&second, json!({"action": "decline"})).await;
        let result = stream.next().await["result"].clone();
        let done = result["structuredContent"]["done"].clone();
        assert_eq!(done, json!([r#"{"a":"1"}"#, "declined"]), "{result}");
        // Who never said that it shows forms is not asked, in a session or without.
        let other = Client::of(server.caller("alice"), json!({"url": {}})).await;
        let answer = Answer::read(other.call(one())).await;
        assert_eq!(self::done(&answer), ["Unavailable"]);
        server.stop().await;
    });
}

#[test]
fn in_a_session_consent_comes_first_and_then_the_form() {
    run(async {
        let setup = setup(&[ASK, WRITE]).await.server("sessions = true\n");
        let server = setup.start().await;
        let both = json!({"url": {}, "form": {}});
        let alice = Client::of(server.caller("alice"), both).await;
        let arguments = steps(json!([{"ask": "Which?"}, {"write": "note"}]));
        let mut stream = Stream::of(alice.call(arguments)).await;
        let consent = stream.next().await;
        assert_eq!(consent["params"]["mode"], "url", "{consent}");
        let link = consent["params"]["url"].as_str().unwrap();
        assert!(server.decide(link, "alice", Choice::Once).await);
        let complete = stream.next().await;
        assert_eq!(complete["method"], "notifications/elicitation/complete");
        let form = stream.next().await;
        assert_eq!(form["params"]["mode"], "form", "{form}");
        alice.says(&form, said("x")).await;
        let result = stream.next().await["result"].clone();
        assert_eq!(
            result["structuredContent"]["done"][1], "written",
            "{result}"
        );
        server.stop().await;
    });
}
