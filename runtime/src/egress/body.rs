//! Bodies with an end: by bytes, by time, and by the length that was declared.
//!
//! Contents are passed on as they come and never kept.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::client::{Bounds, Connection};
use super::error::EgressError;
use super::headers;
use super::pool::Home;
use crate::limits::HTTP_FIELDS_BYTES_MAX;
use crate::revocation::Live;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that may still pass, shared by all requests under one bound.
#[derive(Clone)]
pub struct Budget {
    left: Arc<AtomicU64>,
    /// What it is a part of: it passes there as well, or not at all.
    within: Option<Arc<Budget>>,
    seen: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn of(bytes: u64) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(bytes)),
            within: None,
            seen: None,
        }
    }

    /// A budget of so many bytes of this one.
    pub fn part(&self, bytes: u64) -> Self {
        Self {
            within: Some(Arc::new(self.clone())),
            ..Self::of(bytes)
        }
    }

    /// The same budget, which also tells `seen` what passes.
    pub fn telling(&self, seen: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            seen: Some(Arc::new(seen)),
            ..self.clone()
        }
    }

    /// The same budget, which tells nobody.
    pub(super) fn quiet(&self) -> Self {
        Self {
            seen: None,
            ..self.clone()
        }
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        let own = self.left.load(Ordering::Relaxed);
        self.within
            .as_ref()
            .map_or(own, |within| own.min(within.left()))
    }

    /// Takes bytes from the budget, all or none.
    pub fn take(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        let own = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if own.is_err() {
            return false;
        }
        if self
            .within
            .as_ref()
            .is_some_and(|within| !within.take(bytes))
        {
            self.left.fetch_add(bytes, Ordering::Relaxed);
            return false;
        }
        if let Some(seen) = &self.seen {
            seen(bytes);
        }
        true
    }

    pub(super) fn take_len(&self, bytes: usize) -> bool {
        u64::try_from(bytes).is_ok_and(|bytes| self.take(bytes))
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Budget({} bytes left)", self.left())
    }
}

/// What is wrong with a body that is being sent.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Fault {
    #[error("the body is larger than what may still be sent")]
    TooLarge,
    #[error("the body has another length than declared")]
    Length,
    #[error("the body was given up")]
    GivenUp,
}

/// Where a sent body leaves what went wrong, for whoever waits for the answer.
pub(super) type FaultCell = Arc<OnceLock<Fault>>;

/// The body of a request.
pub(super) struct RequestBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    budget: Budget,
    declared: Option<u64>,
    fault: FaultCell,
}

impl RequestBody {
    pub(super) fn new(
        inner: UnsyncBoxBody<Bytes, BoxError>,
        budget: Budget,
        declared: Option<u64>,
        fault: FaultCell,
    ) -> Self {
        Self {
            inner,
            budget,
            declared,
            fault,
        }
    }

    fn frame(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        if let Some(data) = frame.data_ref() {
            if let Some(declared) = &mut self.declared {
                *declared = u64::try_from(data.len())
                    .ok()
                    .and_then(|length| declared.checked_sub(length))
                    .ok_or(Fault::Length)?;
            }
            if !self.budget.take_len(data.len()) {
                return Err(Fault::TooLarge);
            }
        } else if let Some(trailers) = frame.trailers_mut() {
            headers::strip_trailers(trailers);
            if !self.budget.take(headers::size(trailers)) {
                return Err(Fault::TooLarge);
            }
        }
        Ok(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let outcome = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => Some(self.frame(frame)),
            Some(Err(_)) => Some(Err(Fault::GivenUp)),
            None if self.declared.is_some_and(|missing| missing > 0) => Some(Err(Fault::Length)),
            None => None,
        };
        if let Some(Err(fault)) = &outcome {
            // The first fault is the cause of the others.
            let _ = self.fault.set(*fault);
        }
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.declared.is_none_or(|missing| missing == 0)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection in use, and where it waits afterwards.
pub(super) struct Lent {
    connection: Connection,
    home: Option<Home>,
}

impl Lent {
    pub(super) fn new(connection: Connection, home: Option<Home>) -> Self {
        Self { connection, home }
    }

    fn give_back(self) {
        if let Some(home) = self.home {
            home.give_back(self.connection);
        }
    }
}

/// The body of an answer. It ends at the deadline whatever the other side does; dropping it before its end closes the
/// connection.
pub struct ResponseBody {
    inner: Incoming,
    budget: Budget,
    deadline: Pin<Box<Sleep>>,
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
    live: Live,
    ended: bool,
    lent: Option<Lent>,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, bounds: Bounds, lent: Lent) -> Self {
        let silence = bounds.between_bytes;
        let silence = silence.map(|limit| (limit, Box::pin(tokio::time::sleep(limit))));
        Self {
            inner,
            budget: bounds.received,
            deadline: Box::pin(sleep_until(bounds.deadline)),
            silence,
            live: bounds.live,
            ended: false,
            lent: Some(lent),
        }
    }

    /// Its end was seen: the connection can serve the next request.
    fn give_back(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
    }

    fn frame(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, EgressError> {
        if let Some((limit, silence)) = &mut self.silence {
            // A limit beyond what the clock can hold is the deadline's business.
            if let Some(at) = Instant::now().checked_add(*limit) {
                silence.as_mut().reset(at);
            }
        }
        if let Some(data) = frame.data_ref() {
            if !self.budget.take_len(data.len()) {
                return Err(EgressError::ResponseTooLarge);
            }
        } else if let Some(trailers) = frame.trailers_mut() {
            let size = headers::size(trailers);
            if usize::try_from(size).map_or(true, |size| size > HTTP_FIELDS_BYTES_MAX) {
                return Err(EgressError::HeadersTooLarge);
            }
            if !self.budget.take(size) {
                return Err(EgressError::ResponseTooLarge);
            }
            headers::strip_trailers(trailers);
        }
        Ok(frame)
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(EgressError::OutOfTime)));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.frame(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match &mut self.silence {
                Some((_, silence)) => {
                    ready!(silence.as_mut().poll(context));
                    Poll::Ready(Some(Err(EgressError::OutOfTime)))
                }
                None => Poll::Pending,
            },
        }
    }

    fn broken(&self, error: hyper::Error) -> EgressError {
        // The connection ends at the same deadline; whichever is seen first, the cause is the same.
        if Instant::now() >= self.deadline.deadline() {
            EgressError::OutOfTime
        } else if error.is_parse_too_large() {
            EgressError::HeadersTooLarge
        } else {
            EgressError::Broken(error)
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Whoever sees that it is over need not ask for its end.
        if self.inner.is_end_stream() {
            self.give_back();
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ResponseBody(…)")
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // What was received and not yet read is the guest's no more, either.
        let live = self.live.clone();
        let outcome = match live.pass(|| self.poll(context)) {
            Ok(polled) => ready!(polled),
            Err(revoked) => Some(Err(revoked.into())),
        };
        self.ended = !matches!(outcome, Some(Ok(_)));
        match &outcome {
            None => self.give_back(),
            Some(Err(_)) => drop(self.lent.take()),
            Some(Ok(_)) => {}
        }
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
