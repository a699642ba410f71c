//! Answers that came compressed, as the guest gets them: decompressed, and counted as what they become.
//!
//! We say ourselves what may be compressed and undo it ourselves, so that a guest needs no decompressor, and so that whoever looks
//! at an answer on its way sees what the guest will see. A few bytes that become many end at the same budget as many bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, RANGE};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::io::{StreamReader, poll_read_buf};

use super::body::{Budget, ResponseBody};
use super::error::EgressError;
use crate::revocation::Live;

/// What is decompressed at a time: so much a guest that stops reading leaves in memory.
const INFLATED_CHUNK_BYTES: usize = 16 * 1024;

/// Says what may be compressed, whatever the guest said. Part of a compressed document is of no use to anybody.
pub(super) fn offer(fields: &mut HeaderMap) {
    let coding = match fields.contains_key(RANGE) {
        true => "identity",
        false => "gzip",
    };
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
}

/// The answer as the guest gets it. What nobody asked to be compressed in another way is not accepted.
pub(super) fn inflated(
    response: Response<ResponseBody>,
    budget: &Budget,
    live: &Live,
) -> Result<Response<AnswerBody>, EgressError> {
    let codings = response.headers().get_all(CONTENT_ENCODING).iter();
    let codings: Vec<_> = codings
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .collect();
    match codings.as_slice() {
        [] => Ok(response.map(|body| AnswerBody::Plain(Box::new(body)))),
        [coding] if is_gzip(coding) => {
            let mut response = response.map(|body| {
                // An answer without contents, such as one to HEAD, has nothing to be undone.
                if body.is_end_stream() {
                    return AnswerBody::Plain(Box::new(body));
                }
                let reader = StreamReader::new(Contents(body));
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                AnswerBody::Gzip(Box::new(Inflating {
                    decoder,
                    budget: budget.quiet(),
                    live: live.clone(),
                    ended: false,
                }))
            });
            let fields = response.headers_mut();
            fields.remove(CONTENT_ENCODING);
            fields.remove(CONTENT_LENGTH);
            Ok(response)
        }
        _ => Err(EgressError::ResponseMalformed(
            "it is compressed in a way that was not offered",
        )),
    }
}

/// RFC 9110 §8.4.1.3: `x-gzip` means the same.
fn is_gzip(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

/// The body of an answer to a guest.
#[derive(Debug)]
pub enum AnswerBody {
    /// As it came.
    Plain(Box<ResponseBody>),
    /// Decompressed on the way.
    Gzip(Box<Inflating>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        match self.get_mut() {
            Self::Plain(body) => Pin::new(&mut **body).poll_frame(context),
            Self::Gzip(body) => Pin::new(&mut **body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Gzip(body) => body.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Gzip(_) => SizeHint::default(),
        }
    }
}

/// A body that is decompressed.
pub struct Inflating {
    decoder: GzipDecoder<StreamReader<Contents, Bytes>>,
    budget: Budget,
    live: Live,
    ended: bool,
}

impl Inflating {
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let outcome = ready!(self.poll(context));
        // What was received before is passed on inside the gate as well. The body below has passed it already, and nobody may
        // pass twice at once: whoever revokes would wait for the first, and the second for them.
        let outcome = match self.live.pass(|| outcome) {
            Ok(outcome) => outcome,
            Err(revoked) => Some(Err(revoked.into())),
        };
        self.ended = !matches!(outcome, Some(Ok(_)));
        Poll::Ready(outcome)
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let mut buffer = BytesMut::with_capacity(INFLATED_CHUNK_BYTES);
        let read = ready!(poll_read_buf(
            Pin::new(&mut self.decoder),
            context,
            &mut buffer
        ));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(_) if !self.budget.take_len(buffer.len()) => {
                Some(Err(EgressError::ResponseTooLarge))
            }
            Ok(_) => Some(Ok(Frame::data(buffer.freeze()))),
            Err(error) => Some(Err(cause(error))),
        })
    }
}

impl std::fmt::Debug for Inflating {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Inflating(…)")
    }
}

/// What went wrong below the decompressor, or that it could not go on.
fn cause(error: std::io::Error) -> EgressError {
    let inner = error.into_inner();
    let known = inner.and_then(|inner| inner.downcast::<EgressError>().ok());
    known.map_or(
        EgressError::ResponseMalformed("its contents cannot be decompressed"),
        |error| *error,
    )
}

/// The contents of a body without its trailers, which say nothing of what is decompressed.
pub struct Contents(ResponseBody);

impl Stream for Contents {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(std::io::Error::other(error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}
