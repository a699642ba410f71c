//! Sessions of older clients, through the running server: a call asks its user in the middle and goes on, and nobody gets
//! anywhere with the session of another.

use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Caller, Era, Server, Setup, Stream, http, log, run, until};

const HEADER: &str = "mcp-session-id";

/// A server that gives sessions, with the notes.
async fn serve() -> Server {
    setup().start().await
}

fn setup() -> Setup {
    Setup::new().server("sessions = true\n")
}

/// A client with a session.
struct Client {
    caller: Caller,
    session: String,
}

impl Client {
    /// A client that can show links.
    async fn of(caller: Caller) -> Self {
        let caller = caller.in_era(Era::Legacy);
        let answer = initialize(&caller).await;
        let session = answer
            .header(HEADER)
            .unwrap_or_else(|| panic!("{answer:?}"));
        Self {
            session: session.to_owned(),
            caller,
        }
    }

    fn request(&self, method: &str, params: Value) -> reqwest::RequestBuilder {
        self.caller
            .request(method, params)
            .header(HEADER, &self.session)
    }

    /// GET or DELETE.
    fn bare(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        http()
            .request(method, self.caller.endpoint())
            .bearer_auth(&self.caller.token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header(HEADER, &self.session)
    }

    async fn list(&self) -> Answer {
        Answer::read(self.request("tools/list", json!({}))).await
    }

    async fn end(&self) -> Answer {
        Answer::read(self.bare(reqwest::Method::DELETE)).await
    }

    /// Calls `notes_write`, which asks, up to its question.
    async fn asked(&self) -> (Stream, Value) {
        let request = self.request("tools/call", write());
        let mut stream = Stream::of(request).await;
        let question = stream.next().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["mode"], "url");
        (stream, question)
    }

    /// Answers a question.
    async fn says(&self, question: &Value, action: &str) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": action}});
        let request = self.request("", json!({})).json(&body);
        Answer::read(request).await
    }
}

async fn initialize(caller: &Caller) -> Answer {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {"url": {}, "form": {}}},
        "clientInfo": {"name": "e2e", "version": "1"},
    });
    caller.send("initialize", params).await
}

fn write() -> Value {
    json!({"name": "notes_write", "arguments": {"name": "ada", "text": "first"}})
}

fn link(question: &Value) -> &str {
    question["params"]["url"].as_str().unwrap()
}

#[test]
fn a_call_waits_in_its_session_and_goes_on_after_its_user_decided() {
    run(async {
        let server = setup().tools(&["notes"]).await.start().await;
        let alice = Client::of(server.caller("alice")).await;
        let (mut stream, question) = alice.asked().await;
        // What the client says makes no consent.
        let told = alice.says(&question, "accept").await;
        assert_eq!(told.status, 202, "{told:?}");
        assert_eq!(server.intents("notes_write").await.len(), 0);
        let page = Browser::default();
        let page = { page }
            .decide(link(&question), "alice", "allow-until")
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        let complete = stream.next().await;
        assert_eq!(complete["method"], "notifications/elicitation/complete");
        let named = question["params"]["elicitationId"].clone();
        assert_eq!(complete["params"]["elicitationId"], named);
        let result = stream.next().await;
        assert!(result["result"]["content"].is_array(), "{result}");
        assert_ne!(result["result"]["isError"], true, "{result}");
        // Question, page and log bear one name.
        let records = server.records().await;
        let asked = records.iter().filter_map(|stored| stored.record.ticket);
        assert!(asked.into_iter().any(|ticket| ticket.to_string() == named));
        assert_eq!(server.intents("notes_write").await.len(), 1);
        // Whoever has decided is not asked again, and the end of the session takes nothing back.
        assert_eq!(alice.end().await.status, 204);
        assert_eq!(alice.list().await.status, 404);
        let again = Client::of(server.caller("alice")).await;
        let answer = Answer::read(again.request("tools/call", write())).await;
        assert!(answer.is_reply(), "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn who_denies_declines_or_cancels_gets_no_effect() {
    run(async {
        let server = setup().tools(&["notes"]).await.start().await;
        let root = Client::of(server.caller("root")).await;
        for action in ["decline", "cancel"] {
            let (mut stream, question) = root.asked().await;
            assert_eq!(root.says(&question, action).await.status, 202);
            let result = stream.next().await;
            assert_eq!(result["result"]["isError"], true, "{result}");
            assert!(result.to_string().contains("did not open"), "{result}");
        }
        let (mut stream, question) = root.asked().await;
        let mut browser = Browser::default();
        browser.decide(link(&question), "root", "deny").await;
        stream.next().await;
        let result = stream.next().await;
        assert_eq!(result["result"]["isError"], true, "{result}");
        assert!(result.to_string().contains("did not allow"), "{result}");
        assert_eq!(server.intents("notes_write").await.len(), 0);
        server.stop().await;
    });
}

#[test]
fn a_client_that_never_comes_back_leaves_no_call_behind() {
    run(async {
        let server = setup().tools(&["notes"]).await.start().await;
        let alice = Client::of(server.caller("alice")).await;
        let (stream, question) = alice.asked().await;
        drop(stream);
        // The question can still be answered; nothing waits for it.
        let mut browser = Browser::default();
        browser
            .decide(link(&question), "alice", "allow-until")
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(server.intents("notes_write").await.len(), 0);
        let answer = Answer::read(alice.request("tools/call", write())).await;
        assert!(answer.is_reply(), "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn d7_6_s4_4_two_users_cross_their_ids_and_get_the_answer_of_an_unknown_session() {
    run(async {
        let server = setup().tools(&["notes"]).await.start().await;
        let alice = Client::of(server.caller("alice")).await;
        let (mut waiting, question) = alice.asked().await;
        for other in [
            server.caller("bob"),
            server.caller("alice").via(&server, "other-client"),
        ] {
            let caller = other.in_era(Era::Legacy);
            let foreign = Client {
                caller: caller.clone(),
                session: alice.session.clone(),
            };
            let unknown = Client {
                caller,
                session: "A".repeat(43),
            };
            let mut seen = Vec::new();
            for client in [&foreign, &unknown] {
                let answers = [
                    client.list().await,
                    Answer::read(client.request("tools/call", write())).await,
                    client.says(&question, "decline").await,
                    Answer::read(client.bare(reqwest::Method::GET)).await,
                    client.end().await,
                ];
                seen.push(answers.map(|mut answer| {
                    assert_eq!(answer.status, 404, "{answer:?}");
                    answer.headers.remove("x-request-id");
                    answer.headers.remove("date");
                    (answer.headers, answer.body)
                }));
            }
            assert_eq!(seen[0], seen[1]);
        }
        // Nobody answered for alice, and nobody ended her session.
        let mut browser = Browser::default();
        browser
            .decide(link(&question), "alice", "allow-until")
            .await;
        waiting.next().await;
        let result = waiting.next().await;
        assert_ne!(result["result"]["isError"], true, "{result}");
        assert_eq!(alice.list().await.status, 200);
        server.stop().await;
    });
}

#[test]
fn a_token_that_expired_is_refused_in_a_living_session() {
    run(async {
        let server = serve().await;
        let mut alice = Client::of(server.caller("alice")).await;
        let fresh = alice.caller.token.clone();
        alice.caller = alice
            .caller
            .with(&server, json!({"iat": 1_000, "exp": 2_000}));
        for answer in [
            alice.list().await,
            Answer::read(alice.bare(reqwest::Method::GET)).await,
            alice.end().await,
        ] {
            assert_eq!(answer.status, 401, "{answer:?}");
        }
        alice.caller.token = fresh;
        assert_eq!(alice.list().await.status, 200);
        server.stop().await;
    });
}

#[test]
fn after_a_restart_every_id_is_unknown_and_a_client_begins_anew() {
    run(async {
        let server = serve().await;
        let alice = Client::of(server.caller("alice")).await;
        assert_eq!(alice.list().await.status, 200);
        let server = server.restart("").await;
        assert_eq!(alice.list().await.status, 404);
        let anew = Client::of(server.caller("alice")).await;
        assert_eq!(anew.list().await.status, 200);
        server.stop().await;
    });
}

#[test]
fn a_session_hears_of_new_tools_on_its_stream() {
    run(async {
        let server = setup().tools(&["hello"]).await.start().await;
        let alice = Client::of(server.caller("alice")).await;
        let mut stream = Stream::of(alice.bare(reqwest::Method::GET)).await;
        server.take("hello");
        stream.changed().await;
        assert!(!alice.list().await.body.contains("\"hello\""));
        server.stop().await;
    });
}

#[test]
fn ids_stand_in_no_log_and_in_no_record() {
    run(async {
        let server = setup().tools(&["notes"]).await.start().await;
        let alice = Client::of(server.caller("alice")).await;
        let (stream, question) = alice.asked().await;
        alice.says(&question, "decline").await;
        drop(stream);
        assert_eq!(alice.end().await.status, 204);
        let foreign = Client {
            caller: server.caller("bob").in_era(Era::Legacy),
            session: alice.session.clone(),
        };
        assert_eq!(foreign.list().await.status, 404);
        until("the log tells of it", async || {
            log::text().contains("a session ended").then_some(())
        })
        .await;
        assert!(!log::text().contains(&alice.session));
        for stored in server.records().await {
            assert!(!format!("{stored:?}").contains(&alice.session));
        }
        server.stop().await;
    });
}

#[test]
fn off_by_default_no_id_is_given_and_none_is_looked_at() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.start().await;
        let alice = server.caller("alice").in_era(Era::Legacy);
        let begun = initialize(&alice).await;
        assert_eq!((begun.status.as_u16(), begun.header(HEADER)), (200, None));
        let client = Client {
            caller: alice,
            session: "A".repeat(43),
        };
        assert_eq!(client.list().await.status, 200);
        let asked = Answer::read(client.request("tools/call", write())).await;
        assert!(asked.is_tool_error() && asked.link().is_some(), "{asked:?}");
        for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
            assert_eq!(Answer::read(client.bare(method)).await.status, 405);
        }
        server.stop().await;
    });
}
