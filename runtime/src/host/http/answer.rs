//! What a guest is told of an answer or of an error: a closed set of codes, no text of ours.

use std::future::Future;

use ::http::Response;
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use super::Going;
use crate::egress::{AnswerBody, EgressError};

/// How the processing of an answer ended; the second version of the interface has no use for it.
pub(super) type Processed = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// An answer on its way to the guest, and the work that goes on behind it.
pub(super) type Answer =
    Box<dyn Future<Output = Result<(Response<WasiBody>, Processed), Error>> + Send>;

/// The answer as the guest gets it. The connection lives in the body, so nothing is left to do behind it; and so do its places
/// among the requests that are under way.
pub(super) fn answered(
    sent: Result<Response<AnswerBody>, EgressError>,
    going: Going,
) -> Result<(Response<WasiBody>, Processed), Error> {
    let response = sent.map_err(code)?;
    let response = response.map(|body| {
        let counted = body.map_err(move |error| {
            let _while_it_is_read = &going;
            code(error)
        });
        counted.boxed_unsync()
    });
    let nothing: Processed = Box::new(async { Ok(()) });
    Ok((response, nothing))
}

pub(super) fn code(error: EgressError) -> Error {
    match error {
        EgressError::Denied(_) | EgressError::Revoked(_) => Error::HttpRequestDenied,
        EgressError::OutOfTime => Error::HttpResponseTimeout,
        EgressError::RequestTooLarge => Error::HttpRequestBodySize(None),
        EgressError::ResponseTooLarge => Error::HttpResponseBodySize(None),
        EgressError::HeadersTooLarge => Error::HttpResponseHeaderSectionSize(None),
        EgressError::Tls(error) if is_certificate(&error) => Error::TlsCertificateError,
        EgressError::Tls(_) => Error::TlsProtocolError,
        EgressError::Broken(_) => Error::HttpResponseIncomplete,
        // Which one is for the log alone.
        EgressError::SecretUnavailable => Error::InternalError(Some(error.to_string())),
        EgressError::RequestMalformed(_)
        | EgressError::ResponseMalformed(_)
        | EgressError::Status(_) => Error::HttpProtocolError,
    }
}

fn is_certificate(error: &std::io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}
