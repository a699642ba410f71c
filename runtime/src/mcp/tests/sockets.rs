//! What only a real connection shows: R12 (kept-alive calls), P17, slow readers.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The bytes of a request on the wire.
async fn raw(request: Request<Body>) -> Vec<u8> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [text.into_bytes(), body.to_vec()].concat()
}

#[tokio::test]
async fn the_peer_of_a_connection_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route(
        "/",
        axum::routing::get(|request: axum::extract::Request| async move {
            let peer = super::super::edge::Edge::facts(&request).peer;
            peer.unwrap().to_string()
        }),
    );
    let shutdown = CancellationToken::new();
    let inlet = crate::listen::Inlet::plain();
    tokio::spawn(crate::listen::serve(listener, router, inlet, shutdown));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn p17_a_caller_that_goes_away_cancels_its_call() {
    let rig = Rig::new();
    let address = rig.serve().await;
    for make in [modern, legacy] {
        for meta in [json!({}), json!({"progressToken": 1})] {
            let params = json!({"name": "waits", "arguments": {}, "_meta": meta});
            let mut stream = TcpStream::connect(address).await.unwrap();
            let bytes = raw(make("tools/call", params)).await;
            stream.write_all(&bytes).await.unwrap();
            rig.line.started.notified().await;
            drop(stream);
            let cancelled = rig.line.cancelled.notified();
            tokio::time::timeout(Duration::from_secs(10), cancelled)
                .await
                .expect("the call hears of it");
        }
    }
}

#[tokio::test]
async fn a_caller_that_reads_nothing_does_not_hold_its_call() {
    let rig = Rig::new();
    let address = rig.serve().await;
    let params = json!({"name": "flood", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut stalled = TcpStream::connect(address).await.unwrap();
    let bytes = raw(modern("tools/call", params)).await;
    stalled.write_all(&bytes).await.unwrap();
    let flooded = rig.line.flooded.notified();
    tokio::time::timeout(Duration::from_secs(10), flooded)
        .await
        .expect("the call runs to its end");
    drop(stalled);
}

#[tokio::test]
async fn kept_alive_calls_come_one_after_the_other_without_delay() {
    let rig = Rig::new();
    let address = rig.serve().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let bytes = raw(modern(
        "tools/call",
        json!({"name": "echo", "arguments": {}}),
    ))
    .await;
    let mut buffer = vec![0; 64 * 1024];
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        stream.write_all(&bytes).await.unwrap();
        let mut seen = 0;
        while !buffer[..seen].ends_with(b"}}") {
            seen += stream.read(&mut buffer[seen..]).await.unwrap();
        }
        times.push(begun.elapsed());
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
    }
    // A delayed acknowledgement costs 40 ms each time; a machine that is busy with others, some of them.
    times.sort();
    assert!(times[10] < Duration::from_millis(40), "{times:?}");
}

#[tokio::test]
async fn w7_a_request_that_names_two_hosts_is_told_so() {
    let rig = Rig::new();
    let address = rig.serve().await;
    let params = json!({"name": "echo", "arguments": {}});
    for (target, status, says) in [
        ("/mcp", "200", "jsonrpc"),
        ("http://mcp.test/mcp", "200", "jsonrpc"),
        ("http://evil.test/mcp", "400", "the request names two hosts"),
    ] {
        let mut request = modern("tools/call", params.clone());
        *request.uri_mut() = target.parse().unwrap();
        let bytes = raw(with(request, "connection", "close")).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{target}: {answer}");
        assert!(answer.contains(says), "{target}: {answer}");
    }
    assert_eq!(rig.line.ran().len(), 2);
}
