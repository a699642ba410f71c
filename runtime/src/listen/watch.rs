//! What goes on on one connection, and whether it has gone on for too long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::ConnectionBounds;

/// Why a connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    /// The head of a request did not come in time.
    #[error("the head of a request did not come in time")]
    Head,
    /// Nothing of an answer was taken.
    #[error("nothing of an answer was taken in time")]
    Answer,
    /// Nothing was asked.
    #[error("nothing was asked for a while")]
    Idle,
    /// It has had its share of requests.
    #[error("it has had its share of requests")]
    Worn,
}

/// What goes on on one connection.
#[derive(Debug)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Whether the bytes of a head come one after the other; on HTTP/2 they are mixed with others.
    heads: bool,
    /// Requests that are answered.
    in_flight: usize,
    requests: u64,
    /// Since when a head comes.
    head_since: Option<Instant>,
    /// Since when nothing is answered.
    idle_since: Instant,
    /// Since when bytes wait to be taken.
    stuck_since: Option<Instant>,
    /// Answers that have something to be taken.
    waiting: usize,
    /// When something of an answer was taken, or began to wait.
    moved: Instant,
}

impl Watch {
    /// Of a connection that begins now. The first head is waited for from here on.
    pub fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            heads: true,
            in_flight: 0,
            requests: 0,
            head_since: Some(now),
            idle_since: now,
            stuck_since: None,
            waiting: 0,
            moved: now,
        })))
    }

    /// From here on frames come, and the protocol has its own ways.
    pub fn frames(&self) {
        let mut state = self.state();
        state.heads = false;
        state.head_since = None;
    }

    /// Why the connection shall end, if it shall.
    pub fn over(&self, bounds: &ConnectionBounds, now: Instant) -> Option<Over> {
        let state = self.state();
        let waited = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        if state
            .head_since
            .is_some_and(|since| waited(since, bounds.header_wait))
        {
            return Some(Over::Head);
        }
        let stuck = state
            .stuck_since
            .is_some_and(|since| waited(since, bounds.answer_wait));
        if stuck || state.waiting > 0 && waited(state.moved, bounds.answer_wait) {
            return Some(Over::Answer);
        }
        if state.in_flight == 0 && waited(state.idle_since, bounds.idle) {
            return Some(Over::Idle);
        }
        (state.requests >= bounds.requests).then_some(Over::Worn)
    }

    /// Whether nothing is answered, and nothing comes, on a connection that knows no way of saying goodbye.
    pub fn is_quiet(&self) -> bool {
        let state = self.state();
        let comes = state.head_since.is_some() && state.requests > 0;
        state.heads && state.in_flight == 0 && !comes
    }

    /// Whether nothing is answered.
    pub fn is_idle(&self) -> bool {
        self.state().in_flight == 0
    }

    /// A request was read.
    pub fn asked(self: &Arc<Self>, now: Instant) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.requests = state.requests.saturating_add(1);
        state.head_since = None;
        state.idle_since = now;
        drop(state);
        InFlight {
            watch: Arc::clone(self),
            waits: false,
        }
    }

    fn came(&self, now: Instant) {
        let mut state = self.state();
        if state.heads && state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(now);
        }
    }

    fn stuck(&self, now: Instant) {
        self.state().stuck_since.get_or_insert(now);
    }

    fn taken(&self) {
        self.state().stuck_since = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is answered, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    watch: Arc<Watch>,
    /// Whether there is something of an answer that its client has not taken.
    waits: bool,
}

impl InFlight {
    /// There is something for the client: an answer, or a part of it that was handed on. Over HTTP/2 nothing more is asked for
    /// until that is taken.
    pub fn waits(&mut self, now: Instant) {
        let mut state = self.watch.state();
        if !self.waits {
            self.waits = true;
            state.waiting += 1;
        }
        state.moved = now;
    }

    /// The client waits for us.
    pub fn owes(&mut self) {
        if self.waits {
            self.waits = false;
            let mut state = self.watch.state();
            state.waiting = state.waiting.saturating_sub(1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = Instant::now();
        self.owes();
        let mut state = self.watch.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.idle_since = now;
    }
}

/// A stream that tells what goes on on it. What was read of it before comes first.
pub(super) struct Watched<S> {
    stream: S,
    before: Vec<u8>,
    watch: Arc<Watch>,
}

impl<S> Watched<S> {
    pub fn new(stream: S, before: Vec<u8>, watch: Arc<Watch>) -> Self {
        Self {
            stream,
            before,
            watch,
        }
    }

    fn wrote<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Pending => self.watch.stuck(Instant::now()),
            Poll::Ready(_) => self.watch.taken(),
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buffer.filled().len();
        if self.before.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let part = self.before.len().min(buffer.remaining());
            let part: Vec<u8> = self.before.drain(..part).collect();
            buffer.put_slice(&part);
        }
        if buffer.filled().len() > had {
            self.watch.came(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounds() -> ConnectionBounds {
        ConnectionBounds {
            header_wait: 2 * SECOND,
            answer_wait: 3 * SECOND,
            idle: 10 * SECOND,
            requests: 3,
            ..ConnectionBounds::default()
        }
    }

    #[test]
    fn a_head_comes_in_time_from_its_first_byte_and_the_first_one_from_the_connection_on() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = Watch::new(start);
        assert!(watch.is_quiet());
        assert_eq!(watch.over(&bounds, start + SECOND), None);
        assert_eq!(watch.over(&bounds, start + 2 * SECOND), Some(Over::Head));
        let asked = watch.asked(start + SECOND);
        assert!(!watch.is_quiet());
        assert_eq!(
            watch.over(&bounds, start + 60 * SECOND),
            None,
            "it is answered"
        );
        drop(asked);
        // Between two requests nothing comes for a while.
        let end = Instant::now();
        assert_eq!(watch.over(&bounds, end + 5 * SECOND), None);
        assert_eq!(watch.over(&bounds, end + 10 * SECOND), Some(Over::Idle));
        watch.came(end + 5 * SECOND);
        watch.came(end + 6 * SECOND);
        assert!(!watch.is_quiet());
        assert_eq!(watch.over(&bounds, end + 7 * SECOND), Some(Over::Head));
    }

    #[test]
    fn frames_are_no_heads() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = Watch::new(start);
        assert!(watch.is_quiet());
        watch.frames();
        watch.came(start);
        assert!(!watch.is_quiet() && watch.is_idle());
        assert_eq!(watch.over(&bounds, start + 9 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 10 * SECOND), Some(Over::Idle));
    }

    #[test]
    fn an_answer_that_nobody_takes_ends_the_connection() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = Watch::new(start);
        let mut one = watch.asked(start);
        one.waits(start);
        assert_eq!(watch.over(&bounds, start + 2 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), Some(Over::Answer));
        // A part was taken, then another.
        one.waits(start + 2 * SECOND);
        assert_eq!(watch.over(&bounds, start + 4 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 5 * SECOND), Some(Over::Answer));
        one.owes();
        assert_eq!(watch.over(&bounds, start + 60 * SECOND), None);
        watch.stuck(start);
        watch.stuck(start + 2 * SECOND);
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), Some(Over::Answer));
        watch.taken();
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), None);
    }

    #[test]
    fn a_connection_has_its_share_of_requests() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = Watch::new(start);
        for _ in 0..2 {
            drop(watch.asked(start));
        }
        assert_eq!(watch.over(&bounds, start), None);
        drop(watch.asked(start));
        assert_eq!(watch.over(&bounds, start), Some(Over::Worn));
    }
}
