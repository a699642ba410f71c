//! The body of an answer, masked as it streams: as many bytes as came, and none held longer than it may begin a secret.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use super::loan::veil_fields;
use crate::protect::{Lent, LentStream};

/// A body under a veil.
pub(super) struct Veiled {
    inner: WasiBody,
    lent: Lent,
    stream: LentStream,
    /// What comes after the last data: trailers.
    last: Option<Frame<Bytes>>,
    ended: bool,
}

impl Veiled {
    pub(super) fn new(inner: WasiBody, lent: Lent) -> Self {
        Self {
            inner,
            stream: lent.stream(),
            lent,
            last: None,
            ended: false,
        }
    }

    /// What was held back, where anything was.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.stream.finish();
        (!rest.is_empty()).then(|| Frame::data(rest.into()))
    }
}

impl Body for Veiled {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if let Some(last) = self.last.take() {
                return Poll::Ready(Some(Ok(last)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let passed = self.stream.push(&data);
                        if !passed.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(passed.into()))));
                        }
                    }
                    Err(mut frame) => {
                        if let Some(trailers) = frame.trailers_mut() {
                            veil_fields(&self.lent, trailers);
                        }
                        self.last = Some(frame);
                        if let Some(rest) = self.rest() {
                            return Poll::Ready(Some(Ok(rest)));
                        }
                    }
                },
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.ended = true;
                    if let Some(rest) = self.rest() {
                        return Poll::Ready(Some(Ok(rest)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let nothing = self.stream.held() == 0 && self.last.is_none();
        nothing && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.stream.held()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
