//! One answer on its way out: what of it is in memory, and what of it its client has taken.
//!
//! An HTTP/2 client says how much it wants, and may want one byte. The library then takes a whole piece over, is done with the
//! body, and keeps the piece for as long as the client likes. So it is the piece itself that tells what becomes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::watch::InFlight;

/// An answer that is not at its end yet.
pub(super) struct Answer {
    body: axum::body::Body,
    /// What of it is in memory and was not handed on.
    left: Held,
}

impl Answer {
    pub fn new(body: axum::body::Body, flight: InFlight) -> Self {
        // A body that knows its length is whole. Of a stream, what comes next is made when it is asked for.
        let whole = body.size_hint().exact().unwrap_or(0);
        let whole = usize::try_from(whole).unwrap_or(usize::MAX);
        Self {
            body,
            left: Held::new(Arc::new(flight), whole),
        }
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        frame.map_ok(|frame| frame.map_data(|bytes| this.left.piece(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer that are counted, until this is dropped.
struct Held {
    flight: Arc<InFlight>,
    bytes: usize,
}

impl Held {
    fn new(flight: Arc<InFlight>, bytes: usize) -> Self {
        flight.holds(bytes);
        Self { flight, bytes }
    }

    /// A piece out of it. What of the piece was not counted is counted now.
    fn piece(&mut self, bytes: Bytes) -> Piece {
        let counted = self.bytes.min(bytes.len());
        self.bytes -= counted;
        self.flight.holds(bytes.len() - counted);
        self.flight.hands(bytes.len(), Instant::now());
        let held = Self {
            flight: Arc::clone(&self.flight),
            bytes: bytes.len(),
        };
        Piece { bytes, held }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.flight.lets_go(self.bytes);
    }
}

/// A piece of an answer, from when it was handed on until all of it is written, or its stream is no more.
pub(super) struct Piece {
    bytes: Bytes,
    held: Held,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.held.flight.takes(count, Instant::now());
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Of a stream that was reset, nobody takes the rest.
        self.held.flight.takes(self.bytes.len(), Instant::now());
    }
}
