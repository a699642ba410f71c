//! Where `wasi:http` is plugged in.
//!
//! The sandbox does not know how requests leave: it asks for hooks, once for each call that has the grant.

use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::Http;
use crate::egress::Egress;
use crate::host::http::Hooks;
use crate::host::meter::Meter;
use crate::limits::HTTP_BODY_CHUNK_DENIED_BYTES;
use crate::revocation::Live;

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
    /// Hooks that let through what these scopes allow until the deadline, and count it. Each scope ends with its consent.
    fn open(
        &self,
        scopes: Vec<(Http, Live)>,
        meter: Meter,
        deadline: Instant,
    ) -> Box<dyn WasiHttpHooks>;
}

impl OpenHttp for Arc<Egress> {
    fn open(
        &self,
        scopes: Vec<(Http, Live)>,
        meter: Meter,
        deadline: Instant,
    ) -> Box<dyn WasiHttpHooks> {
        Box::new(Hooks::new(self.clone(), scopes, meter, deadline.into()))
    }
}

/// No way out: for building packages, and for servers without one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed;

impl OpenHttp for Closed {
    fn open(
        &self,
        _scopes: Vec<(Http, Live)>,
        _meter: Meter,
        _deadline: Instant,
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
