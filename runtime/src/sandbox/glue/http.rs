//! Where `wasi:http` is plugged in.
//!
//! The sandbox does not know how requests leave: it asks for hooks, once for each call that has the grant.

use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, IoError};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::Http;
use crate::egress::{Egress, Whose};
use crate::host::http::{Allowance, Hooks};
use crate::host::meter::Meter;
use crate::host::secret::Lender;
use crate::limits::HTTP_BODY_CHUNK_DENIED_BYTES;
use crate::revocation::Live;
use crate::sandbox::state::State;

/// What a request becomes: the response, and what keeps its connection going.
type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// Opens the way out for the calls that are granted one.
pub trait OpenHttp: Send + Sync + 'static {
    /// Hooks that let through what these scopes allow until the deadline, with what `lender` attaches, and count it. Each scope
    /// ends with its consent; connections are kept for nobody else. What is used is taken from `allowance`, which a call shares
    /// with those around it and within it.
    fn open(
        &self,
        scopes: Vec<(Http, Live)>,
        whose: &Whose,
        lender: Lender,
        meter: Meter,
        deadline: Instant,
        allowance: &Allowance,
    ) -> Box<dyn WasiHttpHooks>;
}

impl OpenHttp for Arc<Egress> {
    fn open(
        &self,
        scopes: Vec<(Http, Live)>,
        whose: &Whose,
        lender: Lender,
        meter: Meter,
        deadline: Instant,
        allowance: &Allowance,
    ) -> Box<dyn WasiHttpHooks> {
        let hooks = Hooks::within(
            self.clone(),
            scopes,
            whose,
            meter,
            deadline.into(),
            allowance,
        );
        Box::new(hooks.lending(lender))
    }
}

/// No way out: for building packages, and for servers without one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed;

impl OpenHttp for Closed {
    fn open(
        &self,
        _scopes: Vec<(Http, Live)>,
        _whose: &Whose,
        _lender: Lender,
        _meter: Meter,
        _deadline: Instant,
        _allowance: &Allowance,
    ) -> Box<dyn WasiHttpHooks> {
        Box::new(Self)
    }
}

impl WasiHttpHooks for Closed {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BODY_CHUNK_DENIED_BYTES
    }

    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _received: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

/// The interface at the version of the library, whatever version of 0.2 a component was made for.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Links `http-error-code` anew. The library keeps an error in the midst of a body as one type and looks for another, so that no
/// guest would ever learn why a body ended.
pub(in crate::sandbox) fn link_error_code(l: &mut Linker<State>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    let linked = l.instance(TYPES).and_then(|mut types| {
        types.func_wrap(
            "http-error-code",
            |mut store: StoreContextMut<'_, State>, (error,): (Resource<IoError>,)| {
                let error = store.data_mut().entered().table.get(&error)?;
                let known = error.downcast_ref::<ErrorCode>().cloned();
                Ok((known.or_else(|| error.downcast_ref().and_then(told)),))
            },
        )
    });
    l.allow_shadowing(false);
    linked
}

/// The codes that end a body.
fn told(error: &Error) -> Option<ErrorCode> {
    Some(match error {
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseHeaderSectionSize(size) => {
            ErrorCode::HttpResponseHeaderSectionSize(*size)
        }
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        _ => return None,
    })
}
