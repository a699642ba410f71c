//! `wasi:http` for a guest: requests to the web hosts of its grant, and to no other, for as long as the consent lives.
//!
//! Scope, limit, act, record. The guest learns that a request was refused, never why; the meter learns host and sizes, never a
//! path, a field or a byte of a body.

mod allowance;
mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, Method, Request, Response};
use http_body_util::Empty;
use hyper::body::Body;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::deliver::{Filled, Parcel};
use super::meter::Meter;
use super::secret::{BodyDigest, Lender, Loan};
use crate::capability::{Capability, Http};
use crate::egress::{
    Admitted, AnswerBody, Attempt, Bounds, Egress, EgressError, Reason, Whose, is_forbidden,
};
use crate::limits::{HTTP_BODY_CHUNK_BYTES, HTTP_BODY_CHUNK_DENIED_BYTES};
use crate::revocation::Live;
use crate::sandbox::Effect;
pub use allowance::Allowance;
use allowance::{Going, Scope, Whole, covering, slots, take_one};
use answer::{Answer, Processed, answered};

/// The requests of one call, under its grants.
pub struct Hooks {
    egress: Arc<Egress>,
    scopes: Vec<Arc<Scope>>,
    meter: Meter,
    deadline: Instant,
    whole: Whole,
    lender: Lender,
}

impl Hooks {
    /// Hooks for one call, each grant with the consent behind it. The budgets of `limits` are the call's, however many grants it
    /// has; each grant has its own within them.
    pub fn new(
        egress: Arc<Egress>,
        scopes: Vec<(Http, Live)>,
        whose: &Whose,
        meter: Meter,
        deadline: Instant,
    ) -> Self {
        let alone = Allowance::default();
        Self::within(egress, scopes, whose, meter, deadline, &alone)
    }

    /// The same for a call that shares what it may use with others.
    pub fn within(
        egress: Arc<Egress>,
        scopes: Vec<(Http, Live)>,
        whose: &Whose,
        meter: Meter,
        deadline: Instant,
        allowance: &Allowance,
    ) -> Self {
        let Allowance { whole, around, own } = allowance;
        let scope = |(http, live): (Http, Live)| {
            let around = match around {
                Some(scopes) => Some(covering(scopes, &http)?),
                None => None,
            };
            let budget = *http.budget;
            let (sent, received) = match &around {
                Some(around) => (&around.sent, &around.received),
                None => (&whole.sent, &whole.received),
            };
            Some(Arc::new(Scope {
                whose: whose.and(&Capability::Http(http.clone()).to_string()),
                http,
                live,
                requests: AtomicU64::new(budget.requests()),
                sent: sent.part(budget.send()),
                received: received.part(budget.receive()),
                slots: slots(budget.parallel()),
                around,
            }))
        };
        let scopes: Vec<_> = scopes.into_iter().filter_map(scope).collect();
        // An allowance is one call's, and a call opens the way out once.
        own.get_or_init(|| scopes.clone());
        Self {
            egress,
            scopes,
            meter,
            deadline,
            whole: whole.clone(),
            lender: Lender::default(),
        }
    }

    /// The same, with what `lender` attaches to requests.
    pub fn lending(mut self, lender: Lender) -> Self {
        self.lender = lender;
        self
    }

    fn bounds(
        &self,
        effect: &str,
        options: Option<RequestOptions>,
        scope: &Scope,
        (loan, parcel): (&Loan, Option<&Parcel>),
    ) -> Bounds {
        let options = options.unwrap_or_default();
        let tell = |change: fn(u64) -> Effect| {
            let (meter, effect) = (self.meter.clone(), effect.to_owned());
            move |bytes| meter.record(effect.clone(), change(bytes))
        };
        Bounds {
            deadline: self
                .deadline
                .min(Instant::now() + Duration::from_millis(scope.http.budget.millis())),
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
            sent: scope.sent.telling(tell(|bytes_out| Effect {
                bytes_out,
                ..Effect::default()
            })),
            received: scope.received.telling(tell(|bytes_in| Effect {
                bytes_in,
                ..Effect::default()
            })),
            live: loan.live(match parcel {
                Some(parcel) => parcel.live(scope.live.clone()),
                None => scope.live.clone(),
            }),
        }
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

    /// The first grant that allows it and whose consent still is, with a request left if any of those has one.
    fn admit(&self, method: &Method, url: &str) -> Result<(Admitted, Arc<Scope>), EgressError> {
        let mut refused = EgressError::from(Reason::NotGranted);
        let mut spent = None;
        for scope in self.scopes.iter().filter(|one| !one.live.is_revoked()) {
            let granted = std::slice::from_ref(&scope.http);
            match self.egress.admit(granted, method, url) {
                Ok(admitted) if !scope.has_requests() => {
                    spent = Some((admitted, Arc::clone(scope)));
                }
                Ok(admitted) => return Ok((admitted, Arc::clone(scope))),
                Err(EgressError::Denied(Reason::NotGranted)) => {}
                Err(error) => refused = error,
            }
        }
        spent.ok_or(refused)
    }

    /// A place among the requests that are under way, and a request of the grant; none when either is used up.
    fn go(&self, scope: Arc<Scope>) -> Option<Going> {
        let slot = |slots: &Arc<Semaphore>| Arc::clone(slots).try_acquire_owned().ok();
        let mut _slots = vec![slot(&self.whole.slots)?];
        let mut around = Some(&scope);
        while let Some(one) = around {
            _slots.push(slot(&one.slots)?);
            around = one.around.as_ref();
        }
        scope.take().then(|| Going {
            scope,
            requests: Arc::clone(&self.whole.requests),
            _slots,
        })
    }

    /// Acts on an admitted request and records it: that it was made before it is made, the rest as it happens.
    fn send(
        &self,
        admitted: Admitted,
        (going, loan, parcel): (Going, Loan, Option<Parcel>),
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Answer {
        let effect = format!("http {} {}", word(request.method()), admitted.host());
        let sending = Sending {
            bounds: self.bounds(&effect, options, &going.scope, (&loan, parcel.as_ref())),
            url: request.uri().to_string(),
            method: request.method().clone(),
            egress: Arc::clone(&self.egress),
            meter: self.meter.clone(),
            effect,
            going,
            loan,
            parcel,
        };
        sending.made();
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let live = sending.bounds.live.clone();
            let sent = sending.attempts(admitted, parts.headers, body);
            let sent = live
                .guard(sent)
                .await
                .unwrap_or_else(|revoked| Err(revoked.into()));
            if sent.as_ref().is_err_and(EgressError::is_denied) {
                sending.refused();
            }
            let answer = sending.loan.veil(answered(sent, sending.going));
            match &sending.parcel {
                Some(parcel) => parcel.veil(answer),
                None => answer,
            }
        })
    }

    fn deny(&self, reason: EgressError) -> Answer {
        let began = Instant::now();
        let (egress, deadline) = (self.egress.clone(), self.deadline);
        Box::new(async move {
            reason.log_refusal();
            egress.settle(began, deadline).await;
            Err(answer::code(reason))
        })
    }
}

/// A request that is being made.
struct Sending {
    egress: Arc<Egress>,
    meter: Meter,
    effect: String,
    bounds: Bounds,
    method: Method,
    url: String,
    going: Going,
    loan: Loan,
    parcel: Option<Parcel>,
}

impl Sending {
    fn made(&self) {
        let once = Effect {
            count: 1,
            ..Effect::default()
        };
        self.meter.record(self.effect.clone(), once);
    }

    fn refused(&self) {
        let refused = Effect {
            refused: 1,
            ..Effect::default()
        };
        self.meter.record(self.effect.clone(), refused);
    }

    /// Puts in what it carries, in the time of the request: a vault may be slow.
    async fn attach(
        &self,
        admitted: Admitted,
        headers: HeaderMap,
        body: Option<&BodyDigest>,
    ) -> Result<(Admitted, HeaderMap), EgressError> {
        let attached = self.loan.attach(admitted, headers, body);
        timeout_at(self.bounds.deadline, attached)
            .await
            .unwrap_or(Err(EgressError::OutOfTime))
    }

    /// With the encrypted values that it carries. What they are put into is waited for, and its guest may be slow.
    async fn fill(
        &self,
        admitted: Admitted,
        fields: HeaderMap,
        body: WasiBody,
    ) -> Result<Filled, EgressError> {
        let Some(parcel) = &self.parcel else {
            return Ok(Filled {
                admitted,
                fields,
                body,
                carries: false,
            });
        };
        let began = Instant::now();
        let filled = parcel.fill(admitted, fields, body, self.bounds.sent.left());
        let filled = timeout_at(self.bounds.deadline, filled)
            .await
            .unwrap_or(Err(EgressError::OutOfTime));
        if let Err(error @ EgressError::Denied(_)) = &filled {
            error.log_refusal();
            self.egress.settle(began, self.bounds.deadline).await;
        }
        filled
    }

    /// Makes it, and makes it again as the operator says, where no encrypted value goes out with it. Each attempt passes the filter
    /// anew and takes a request of the budget; what the last one brought is the answer.
    async fn attempts(
        &self,
        admitted: Admitted,
        headers: HeaderMap,
        body: WasiBody,
    ) -> Result<Response<AnswerBody>, EgressError> {
        let (whose, retry) = (&self.going.scope.whose, self.egress.retry());
        let Filled {
            admitted,
            fields: headers,
            body,
            carries,
        } = self.fill(admitted, headers, body).await?;
        // What is signed is waited for, and its guest may be slow.
        let (body, digest) = timeout_at(
            self.bounds.deadline,
            self.loan.body(body, self.bounds.sent.left()),
        )
        .await
        .unwrap_or(Err(EgressError::OutOfTime))?;
        let digest = digest.as_ref();
        if carries || !retry.covers(&self.method) || !body.is_end_stream() {
            let (admitted, fields) = self.attach(admitted, headers, digest).await?;
            let bounds = self.bounds.clone();
            return self
                .egress
                .send(whose, admitted, fields, body, bounds)
                .await;
        }
        let (mut admitted, mut made) = (admitted, 1);
        loop {
            let (empty, bounds) = (Empty::new(), self.bounds.clone());
            let (sealed, fields) = self.attach(admitted, headers.clone(), digest).await?;
            let sent = self.egress.send(whose, sealed, fields, empty, bounds);
            let sent = sent.await;
            let came = match &sent {
                Ok(answer) => Attempt::Answered(answer.status(), answer.headers()),
                Err(error) => Attempt::Failed(error),
            };
            let dice = crate::store::random().map_or(0, u64::from_le_bytes);
            let pause = retry.pause(made, came, dice, SystemTime::now());
            let fits = |pause: &_| {
                let next = Instant::now().checked_add(*pause);
                next.is_some_and(|next| next < self.bounds.deadline)
            };
            let Some(pause) = pause.filter(fits) else {
                return sent;
            };
            let granted = std::slice::from_ref(&self.going.scope.http);
            let next = self.egress.admit(granted, &self.method, &self.url);
            let (Ok(next), true) = (next, self.going.again()) else {
                return sent;
            };
            // The answer that is not wanted ends here, and with it its connection.
            drop(sent);
            sleep(pause).await;
            self.made();
            (admitted, made) = (next, made.saturating_add(1));
        }
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
        if !take_one(&self.whole.requests) {
            self.refuse(request.method());
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        }
        let url = request.uri().to_string();
        let admitted = self.admit(request.method(), &url);
        let admitted = admitted.and_then(|(admitted, scope)| {
            let loan = self
                .lender
                .loan(&admitted, &scope.http.path, request.headers())?;
            let parcel = self.lender.parcel(&admitted);
            Ok((admitted, scope, (loan, parcel)))
        });
        match admitted {
            Ok((admitted, scope, (loan, parcel))) => match self.go(scope) {
                Some(going) => self.send(admitted, (going, loan, parcel), request, options),
                None => {
                    self.refuse(request.method());
                    Box::new(async { Err(Error::ConnectionLimitReached) })
                }
            },
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
