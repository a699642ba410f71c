//! The event streams of sessions: that of a call that asks, and that of GET.
//!
//! Events carry no id, so no stream can be resumed, by nobody. Each ends with the connection that carries it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at};
use tokio_util::sync::CancellationToken;

use super::{InUse, Sessions};
use crate::identity::Caller;
use crate::mcp::line::{EdgeRefusal, Line, Listed};
use crate::mcp::listing;

/// How often a stream that has nothing to say says so: less than proxies wait.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// A comment, which readers skip.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The answer of a request, and what the server says before it.
pub(in crate::mcp) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The answer of a request in a session: as it is, where nothing is said before it, else as the last event of a stream.
/// `streams` is set once that stream has begun. Dropping the answer drops the request.
pub(in crate::mcp) async fn interleaved(
    mut answering: Answering,
    mut said: mpsc::Receiver<Value>,
    streams: Arc<AtomicBool>,
) -> Response {
    let first = tokio::select! {
        biased;
        Some(first) = said.recv() => first,
        response = &mut answering => return response,
    };
    streams.store(true, Ordering::Release);
    let rest = Asking {
        part: Part::Answering(answering),
        said,
        alive: alive(),
    };
    let events = stream::unfold(rest, |mut rest| async move {
        rest.next()
            .await
            .map(|event| (Ok::<_, Infallible>(event), rest))
    });
    let first = stream::once(async move { Ok(event(&first)) });
    event_stream(Body::from_stream(first.chain(events)))
}

struct Asking {
    part: Part,
    said: mpsc::Receiver<Value>,
    alive: Interval,
}

enum Part {
    Answering(Answering),
    Passing(BodyDataStream),
    Done,
}

impl Asking {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.part {
                Part::Answering(answering) => tokio::select! {
                    biased;
                    Some(said) = self.said.recv() => return Some(event(&said)),
                    response = answering => {
                        if response.headers().get(CONTENT_TYPE) == Some(&EVENTS) {
                            self.part = Part::Passing(response.into_body().into_data_stream());
                            continue;
                        }
                        self.part = Part::Done;
                        // One JSON-RPC message, on one line as all that we write.
                        let body = response.into_body().collect().await.ok()?.to_bytes();
                        return (!body.is_empty()).then(|| framed(&body));
                    }
                    _ = self.alive.tick() => return Some(ALIVE),
                },
                Part::Passing(events) => tokio::select! {
                    biased;
                    Some(said) = self.said.recv() => return Some(event(&said)),
                    chunk = events.next() => return chunk?.ok(),
                },
                Part::Done => return None,
            }
        }
    }
}

/// The stream of a session, on which it hears that its caller's list of tools changed. A newer one takes its place; it
/// ends with the session, with the token that opened it, and with the server.
pub(in crate::mcp) fn listening(
    sessions: &Sessions,
    line: Arc<dyn Line>,
    caller: Arc<Caller>,
    session: InUse,
    shutdown: CancellationToken,
) -> Result<Response, EdgeRefusal> {
    let streams = Arc::clone(&sessions.streams);
    let place = streams.try_acquire_owned().map_err(|_| EdgeRefusal::Busy)?;
    let replaced = CancellationToken::new();
    let before = std::mem::replace(&mut session.state().stream, replaced.clone());
    before.cancel();
    let ends = caller.token().expires.min(session.ends_at());
    let left = ends.since(session.clock.now());
    let mut changed = line.changed();
    changed.mark_unchanged();
    let listening = Listening {
        known: listing::ordered(line.list(&caller)),
        ends: Box::pin(tokio::time::sleep(left)),
        alive: alive(),
        line,
        caller,
        session,
        changed,
        replaced,
        shutdown,
        _place: place,
    };
    let events = stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((Ok::<_, Infallible>(event), listening))
    });
    // So that the client hears at once that it is heard.
    let open = stream::once(async { Ok(ALIVE) });
    Ok(event_stream(Body::from_stream(open.chain(events))))
}

struct Listening {
    known: Vec<Listed>,
    ends: Pin<Box<Sleep>>,
    alive: Interval,
    line: Arc<dyn Line>,
    caller: Arc<Caller>,
    session: InUse,
    changed: watch::Receiver<u64>,
    replaced: CancellationToken,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                () = self.session.ended.cancelled() => return None,
                () = self.replaced.cancelled() => return None,
                () = self.shutdown.cancelled() => return None,
                () = &mut self.ends => return None,
                changed = self.changed.changed() => changed.ok()?,
                _ = self.alive.tick() => return Some(ALIVE),
            }
            let now = listing::ordered(self.line.list(&self.caller));
            // A change that this caller cannot see is not told to it.
            if now != self.known {
                self.known = now;
                let told = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                return Some(event(&told));
            }
        }
    }
}

fn alive() -> Interval {
    let mut alive = interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive
}

fn event(message: &Value) -> Bytes {
    framed(message.to_string().as_bytes())
}

/// HTML Living Standard §9.2.5; JSON of ours holds no line break.
fn framed(message: &[u8]) -> Bytes {
    [b"data: ", message, b"\n\n"].concat().into()
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
