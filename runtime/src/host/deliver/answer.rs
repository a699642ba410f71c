//! What comes back from a host that was given values: searched for them, and at its end where the host is given more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::host::secret;
use crate::protect::Lent;

/// An answer under a veil. `given` is how many values its host had been given when it was asked.
///
/// Where the host is given another one meanwhile, the answer ends: what the guest sent before was not searched for that one, and
/// marks in the answer would say whether it was in it.
pub(super) fn veil<P>(
    lent: &Lent,
    given: usize,
    answer: Result<(Response<WasiBody>, P), Error>,
) -> Result<(Response<WasiBody>, P), Error> {
    let (response, rest) = secret::veil(lent, answer)?;
    if lent.count() != given {
        return Err(Error::HttpResponseIncomplete);
    }
    let lent = lent.clone();
    let response = response.map(|inner| {
        let ends = Ends {
            inner,
            lent,
            given,
            ended: false,
        };
        ends.boxed_unsync()
    });
    Ok((response, rest))
}

/// A body that ends where its host is given more.
struct Ends {
    inner: WasiBody,
    lent: Lent,
    given: usize,
    ended: bool,
}

impl Body for Ends {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if self.lent.count() != self.given {
            self.ended = true;
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
