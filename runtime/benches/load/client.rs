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
        let reply = self.done("echo", json!({ "text": text })).await?;
        let shown = reply
            .pointer("/result/content/0/text")
            .and_then(Value::as_str);
        ensure!(
            shown == Some(&text) && reply.get("id") == Some(&self.calls.into()),
            "the reply is another: {reply}"
        );
        Ok(())
    }

    /// From now on somebody else calls.
    pub fn bear(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// Calls a tool and reads its answer.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        match self.offer(tool, arguments).await? {
            Some(body) => serde_json::from_slice(&body).context("the reply is no JSON"),
            None => bail!("the server is busy"),
        }
    }

    /// The same of a tool that does what it is asked.
    pub async fn done(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let reply = self.call(tool, arguments).await?;
        ensure_done(&reply)?;
        Ok(reply)
    }

    /// The same of a server that may be busy: then there is no answer.
    pub async fn offer(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Option<Vec<u8>>> {
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
        self.reply().await
    }

    async fn reply(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        self.buffer.clear();
        let (head, length, busy) = loop {
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
        Ok((!busy).then(|| self.buffer.split_off(head)))
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

/// Whether a tool did what it was asked. That it did not is said in an answer as well.
pub fn ensure_done(reply: &Value) -> anyhow::Result<()> {
    let is_error = reply.pointer("/result/isError").and_then(Value::as_bool);
    ensure!(
        reply.pointer("/result/content").is_some() && is_error != Some(true),
        "the reply is another: {reply}"
    );
    Ok(())
}

/// Where the head ends, how long the body is, and whether the server is busy, once the head is here.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize, bool)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let busy = status == "HTTP/1.1 503 Service Unavailable";
    if status != "HTTP/1.1 200 OK" && !busy {
        bail!("the server answered `{status}`");
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let length = length.context("the reply has no length")?;
    Ok(Some((end + 4, length, busy)))
}

/// What is called in a measurement.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// `echo`, whose text is checked.
    Echo,
    /// Another tool, by its name, with these arguments.
    Tool(&'static str, &'static str),
    /// The first tools of so many packages of the many run, in an order that jumps.
    Spread(usize),
}

impl Connection {
    /// One call, whose reply is checked.
    pub async fn once(&mut self, what: What) -> anyhow::Result<()> {
        let (tool, arguments) = match what {
            What::Echo => return self.echo().await,
            What::Tool(tool, arguments) => (tool.to_owned(), serde_json::from_str(arguments)?),
            What::Spread(count) => {
                // Multiplied with a prime, so that neighbours are called at different times.
                let nth = self.calls.wrapping_mul(7_919) % count.max(1) as u64;
                (
                    format!("tool-{nth}-0"),
                    json!({"text": "the quick brown fox"}),
                )
            }
        };
        self.calls += 1;
        self.done(&tool, arguments).await?;
        Ok(())
    }
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

/// Calls of `echo` as fast as the answers come, over so many connections at once.
pub async fn load(ready: &Ready, connections: usize, span: Duration) -> anyhow::Result<Measured> {
    load_of(ready, What::Echo, connections, span).await
}

/// The same of another tool.
pub async fn load_of(
    ready: &Ready,
    what: What,
    connections: usize,
    span: Duration,
) -> anyhow::Result<Measured> {
    let all = opened(ready, what, connections).await?;
    measured_for(all, what, span).await
}

/// Calls over these connections for so long.
pub async fn measured_for(
    all: Vec<Connection>,
    what: What,
    span: Duration,
) -> anyhow::Result<Measured> {
    let began = Instant::now();
    measured(all, what, move || began.elapsed() >= span).await
}

/// Calls of `echo` until something has happened.
pub async fn load_until(
    ready: &Ready,
    connections: usize,
    over: impl Fn() -> bool + Clone + Send + 'static,
) -> anyhow::Result<Measured> {
    let all = opened(ready, What::Echo, connections).await?;
    measured(all, What::Echo, over).await
}

/// So many connections, each with a call behind it that is not counted.
pub async fn opened(
    ready: &Ready,
    what: What,
    connections: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut all = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(ready).await?;
        connection.once(what).await?;
        all.push(connection);
    }
    Ok(all)
}

async fn measured(
    all: Vec<Connection>,
    what: What,
    over: impl Fn() -> bool + Clone + Send + 'static,
) -> anyhow::Result<Measured> {
    let began = Instant::now();
    let calling = all.into_iter().map(|mut connection| {
        let over = over.clone();
        async move {
            let mut micros = Vec::with_capacity(100_000);
            while !over() {
                let called = Instant::now();
                connection.once(what).await?;
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
