//! `wasi:http` for a guest: requests to the web hosts of its grant, and to no other, for as long as the consent lives.
//!
//! Scope, limit, act, record. The guest learns that a request was refused, never why; the meter learns host and sizes, never a
//! path, a field or a byte of a body.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ::http::{Method, Request};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::meter::Meter;
use crate::capability::Http;
use crate::egress::{Admitted, Bounds, Budget, Egress, EgressError, Reason, is_forbidden};
use crate::limits::{
    HTTP_BODY_CHUNK_BYTES, HTTP_BODY_CHUNK_DENIED_BYTES, HTTP_BYTES_IN_MAX, HTTP_BYTES_OUT_MAX,
    HTTP_REQUESTS_MAX, HTTP_TOTAL_MAX,
};
use crate::revocation::Live;
use crate::sandbox::Effect;
use answer::{Answer, Processed, answered};

/// The requests of one call, under its grant.
pub struct Hooks {
    egress: Arc<Egress>,
    scopes: Vec<(Http, Live)>,
    meter: Meter,
    deadline: Instant,
    requests_left: u32,
    sent: Budget,
    received: Budget,
}

impl Hooks {
    /// Hooks for one call, each scope with the consent behind it. The budgets of `limits` are the call's, however many requests it makes.
    pub fn new(
        egress: Arc<Egress>,
        scopes: Vec<(Http, Live)>,
        meter: Meter,
        deadline: Instant,
    ) -> Self {
        Self {
            egress,
            scopes,
            meter,
            deadline,
            requests_left: HTTP_REQUESTS_MAX,
            sent: Budget::of(HTTP_BYTES_OUT_MAX),
            received: Budget::of(HTTP_BYTES_IN_MAX),
        }
    }

    fn bounds(&self, effect: &str, options: Option<RequestOptions>, live: Live) -> Bounds {
        let options = options.unwrap_or_default();
        let tell = |change: fn(u64) -> Effect| {
            let (meter, effect) = (self.meter.clone(), effect.to_owned());
            move |bytes| meter.record(effect.clone(), change(bytes))
        };
        Bounds {
            deadline: self.request_deadline(),
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
            sent: self.sent.telling(tell(|bytes_out| Effect {
                bytes_out,
                ..Effect::default()
            })),
            received: self.received.telling(tell(|bytes_in| Effect {
                bytes_in,
                ..Effect::default()
            })),
            live,
        }
    }

    fn request_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + HTTP_TOTAL_MAX)
    }

    fn refuse(&self, method: &Method) {
        let refused = Effect {
            count: 1,
            refused: 1,
            ..Effect::default()
        };
        self.meter
            .record(format!("http {} (refused)", word(method)), refused);
    }

    /// The first scope that allows it and whose consent still is.
    fn admit(&self, method: &Method, url: &str) -> Result<(Admitted, Live), EgressError> {
        let mut refused = EgressError::from(Reason::NotGranted);
        for (scope, live) in self.scopes.iter().filter(|(_, live)| !live.is_revoked()) {
            match self.egress.admit(std::slice::from_ref(scope), method, url) {
                Ok(admitted) => return Ok((admitted, live.clone())),
                Err(EgressError::Denied(Reason::NotGranted)) => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Acts on an admitted request and records it: that it was made before it is made, the rest as it happens.
    fn send(
        &self,
        (admitted, live): (Admitted, Live),
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Answer {
        let effect = format!("http {} {}", word(request.method()), admitted.host());
        let bounds = self.bounds(&effect, options, live.clone());
        let (egress, meter) = (self.egress.clone(), self.meter.clone());
        let once = Effect {
            count: 1,
            ..Effect::default()
        };
        meter.record(effect.clone(), once);
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let sent = egress.send(admitted, parts.headers, body, bounds);
            let sent = live
                .guard(sent)
                .await
                .unwrap_or_else(|revoked| Err(revoked.into()));
            if sent.as_ref().is_err_and(EgressError::is_denied) {
                let refused = Effect {
                    refused: 1,
                    ..Effect::default()
                };
                meter.record(effect, refused);
            }
            answered(sent)
        })
    }

    fn deny(&self, reason: EgressError) -> Answer {
        let (egress, began, deadline) =
            (self.egress.clone(), Instant::now(), self.request_deadline());
        Box::new(async move {
            reason.log_refusal();
            egress.settle(began, deadline).await;
            answered(Err(reason))
        })
    }
}

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Processed,
    ) -> Answer {
        // Limit before scope here: a refused request costs as much as another, so it counts as well.
        let Some(left) = self.requests_left.checked_sub(1) else {
            self.refuse(request.method());
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        self.requests_left = left;
        let url = request.uri().to_string();
        match self.admit(request.method(), &url) {
            Ok(admitted) => self.send(admitted, request, options),
            Err(reason) => {
                self.refuse(request.method());
                self.deny(reason)
            }
        }
    }
}

/// Hooks of a guest without a grant: every request is refused, without a look at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Denied;

impl WasiHttpHooks for Denied {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BODY_CHUNK_DENIED_BYTES
    }

    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Processed,
    ) -> Answer {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

/// A method as the meter names it. A guest may invent methods; none of its inventions gets into a record.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}
