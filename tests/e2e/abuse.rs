//! Clients that are slow, forge, or stay: a whole server goes on, and somebody else's call is answered. Frame by frame it is
//! tested beside the code, in `runtime/src/listen/tests`.

use std::time::Duration;

use bailiwick::audit::{self, Filter, Phase};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Server, Setup, Stopwatch, http, log, run, until};

/// Short bounds of time.
const SHORT: &str = "[server.connections]\nheader_wait_ms = 400\nbody_wait_ms = 400\nanswer_wait_ms = 400\nidle_ms = 2000\n";

async fn raw(server: &Server, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Everything until the end of the connection, however it ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    let _ = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn connections_that_are_slow_end_and_a_neighbour_is_answered_meanwhile() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.config(SHORT).start().await;
        let alice = server.caller("alice");
        let heads = "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ";
        let bodies = format!(
            "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{",
            alice.token
        );
        let mut slow = Vec::new();
        for _ in 0..100 {
            slow.push(raw(&server, heads).await);
            slow.push(raw(&server, &bodies).await);
        }
        let watch = Stopwatch::start();
        let answer = alice.call("hello", json!({"name": "Alice"})).await;
        assert!(answer.is_reply(), "{answer:?}");
        assert!(watch.took() < Duration::from_secs(5), "{:?}", watch.took());
        let mut told = 0;
        for stream in slow {
            let answer = rest(stream).await;
            told += usize::from(answer.starts_with("HTTP/1.1 4"));
        }
        assert_eq!(told, 100, "whoever was slow with a body is told");
        server.stop().await;
    });
}

#[test]
fn a_forged_address_is_told_to_nobody_and_a_declared_proxys_word_is() {
    run(async {
        let refused = async |server: &Server, address: &str| {
            let asked = http()
                .post(format!("{}/mcp", server.url))
                .header("x-forwarded-for", format!("198.51.100.250, {address}"))
                .header("x-forwarded-host", "127.0.0.1")
                .header("forwarded", format!("for={address}"));
            assert_eq!(Answer::read(asked).await.status, 401);
        };
        let server = Setup::new().start().await;
        refused(&server, "192.0.2.201").await;
        server.stop().await;
        let proxied = "trusted_proxies = [\"127.0.0.1/32\"]\n";
        let server = Setup::new().server(proxied).start().await;
        refused(&server, "192.0.2.202").await;
        // Its word about the host is held against our own hosts like any other.
        let asked = http()
            .get(format!("{}/consents", server.url))
            .header("x-forwarded-host", "evil.test");
        assert_eq!(Answer::read(asked).await.status, 403);
        server.stop().await;
        let text = log::text();
        assert!(
            text.contains("192.0.2.202"),
            "the client of a declared proxy"
        );
        assert!(
            !text.contains("192.0.2.201"),
            "what a client said of itself"
        );
        assert!(
            !text.contains("198.51.100.250"),
            "what a client said to its proxy"
        );
    });
}

#[test]
fn an_oversized_trace_is_no_trace_and_an_oversized_head_no_request() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.config(SHORT).start().await;
        let alice = server.caller("alice");
        let call = json!({"name": "hello", "arguments": {"name": "Alice"}});
        for (size, status) in [(100, 200), (20 * 1024, 200), (40 * 1024, 431)] {
            let trace = format!("00-{}-01", "a".repeat(size));
            let request = alice.request("tools/call", call.clone());
            let answer = Answer::read(request.header("traceparent", trace)).await;
            assert_eq!(answer.status, status, "{size}: {answer:?}");
        }
        assert!(
            alice
                .call("hello", json!({"name": "Alice"}))
                .await
                .is_reply()
        );
        server.stop().await;
    });
}

/// How the calls of a tool ended, after the server has.
async fn endings(server: Server, tool: &str) -> Vec<(Phase, Option<String>)> {
    let store = std::sync::Arc::clone(&server.running.store);
    server.stop().await;
    let mut all = Vec::new();
    audit::show(store.as_ref(), 1, &Filter::default(), |stored| {
        let record = &stored.record;
        let is = record
            .tool
            .as_ref()
            .is_some_and(|facts| facts.name.as_str() == tool);
        if is && record.method.as_deref() == Some("tools/call") {
            let status = record
                .result
                .as_ref()
                .map(|result| result.status.to_string());
            all.push((record.phase, status));
        }
    })
    .await
    .unwrap();
    all
}

#[test]
fn a_call_that_runs_when_the_server_ends_may_finish() {
    run(async {
        let server = Setup::new().hurried(&["spin"]).await.start().await;
        let alice = server.caller("alice");
        let call = tokio::spawn(async move { alice.call("spin", json!({})).await });
        begun(&server, "spin").await;
        let all = endings(server, "spin").await;
        assert_eq!(
            all.last().unwrap().1.as_deref(),
            Some("out-of-time"),
            "{all:?}"
        );
        assert!(call.await.unwrap().is_tool_error());
    });
}

#[test]
fn a_call_that_runs_for_longer_is_ended_with_its_record() {
    run(async {
        let setup = Setup::new().guests(&["spin"]).await;
        let server = setup
            .config("[server.connections]\ndrain_ms = 300\n")
            .start()
            .await;
        let alice = server.caller("alice");
        let request = alice.request("tools/call", json!({"name": "spin", "arguments": {}}));
        let call = tokio::spawn(request.send());
        begun(&server, "spin").await;
        let watch = Stopwatch::start();
        let all = endings(server, "spin").await;
        assert!(watch.took() < Duration::from_secs(6), "{:?}", watch.took());
        assert_eq!(
            all.last().unwrap().1.as_deref(),
            Some("cancelled"),
            "{all:?}"
        );
        assert!(call.await.unwrap().is_err(), "its connection has ended");
    });
}

/// Waits until a call of this tool runs.
async fn begun(server: &Server, tool: &str) {
    until("a call runs", async || {
        let running = !server.running.stages.running.is_empty();
        let begun = running && !server.running.stages.catalog.snapshot().tools.is_empty();
        begun.then_some(())
    })
    .await;
    // A moment for what comes before the guest itself.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!server.running.stages.running.is_empty(), "{tool} runs");
}
