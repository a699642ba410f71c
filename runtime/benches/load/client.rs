//! The load: requests of revision 2026-07-28 over kept-alive connections, every reply read and checked.
//!
//! Speaks just enough HTTP/1.1 by itself: client and servers share the processors, so what the client takes is taken
//! from both, and a heavier client would hide the difference between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::servers::Ready;

/// Largest reply that is read, in bytes.
const REPLY_MAX: usize = 64 * 1024;

/// One connection to a server.
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    token: Option<String>,
    buffer: Vec<u8>,
    calls: u64,
}

impl Connection {
    /// Connects, with `TCP_NODELAY`.
    pub async fn open(ready: &Ready) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(ready.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address: ready.address,
            token: ready.token.clone(),
            buffer: Vec::with_capacity(4096),
            calls: 0,
        })
    }

    /// Calls `echo` with a text of sixty bytes that no other call of this connection has, and checks what comes back.
    pub async fn echo(&mut self) -> anyhow::Result<()> {
        self.calls += 1;
        let text = format!(
            "the quick brown fox jumps over the lazy dog, time {:010}",
            self.calls
        );
        let reply = self.call("echo", json!({ "text": text })).await?;
        let shown = reply
            .pointer("/result/content/0/text")
            .and_then(Value::as_str);
        let is_error = reply.pointer("/result/isError").and_then(Value::as_bool);
        ensure!(
            shown == Some(&text)
                && is_error != Some(true)
                && reply.get("id") == Some(&self.calls.into()),
            "the reply is another: {reply}"
        );
        Ok(())
    }

    /// Calls a tool and reads its answer.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let body = json!({
            "jsonrpc": "2.0",
            "id": self.calls,
            "method": "tools/call",
            "params": {
                "name": tool,
                "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
                },
            },
        })
        .to_string();
        let authorization = match &self.token {
            Some(token) => format!("authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: tools/call\r\nmcp-name: {tool}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        self.stream.write_all(request.as_bytes()).await?;
        let body = self.reply().await?;
        serde_json::from_slice(&body).context("the reply is no JSON")
    }

    async fn reply(&mut self) -> anyhow::Result<Vec<u8>> {
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(found) = head(&self.buffer)? {
                break found;
            }
            self.read().await?;
        };
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        ensure!(
            self.buffer.len() == head + length,
            "more came than the reply"
        );
        Ok(self.buffer.split_off(head))
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.buffer.len() < REPLY_MAX, "the reply has no end");
        ensure!(
            self.stream.read_buf(&mut self.buffer).await? > 0,
            "the server closed the connection"
        );
        Ok(())
    }
}

/// Where the head ends and how long the body is, once the head is here.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status != "HTTP/1.1 200 OK" {
        bail!("the server answered `{status}`");
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Ok(Some((end + 4, length.context("the reply has no length")?)))
}

/// What one measurement found.
pub struct Measured {
    /// Calls that began and ended in it, each one's time in microseconds, in order.
    pub micros: Vec<u32>,
    /// How long it took.
    pub span: Duration,
}

impl Measured {
    /// Calls per second.
    pub fn rate(&self) -> f64 {
        self.micros.len() as f64 / self.span.as_secs_f64()
    }

    /// The time below which this share of the calls stayed, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.micros.get(place).copied().unwrap_or_default().into()
    }
}

/// Calls as fast as the answers come, over so many connections at once.
pub async fn load(ready: &Ready, connections: usize, span: Duration) -> anyhow::Result<Measured> {
    let began = Instant::now();
    load_until(ready, connections, move || began.elapsed() >= span).await
}

/// The same until something has happened.
pub async fn load_until(
    ready: &Ready,
    connections: usize,
    over: impl Fn() -> bool + Clone + Send + 'static,
) -> anyhow::Result<Measured> {
    let mut all = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(ready).await?;
        // The first call of a connection is not counted.
        connection.echo().await?;
        all.push(connection);
    }
    let began = Instant::now();
    let calling = all.into_iter().map(|mut connection| {
        let over = over.clone();
        async move {
            let mut micros = Vec::with_capacity(100_000);
            while !over() {
                let called = Instant::now();
                connection.echo().await?;
                micros.push(u32::try_from(called.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Ok::<_, anyhow::Error>(micros)
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for one in calling {
        tasks.spawn(one);
    }
    let mut micros = Vec::new();
    while let Some(one) = tasks.join_next().await {
        micros.append(&mut one??);
    }
    let span = began.elapsed();
    micros.sort_unstable();
    Ok(Measured { micros, span })
}
