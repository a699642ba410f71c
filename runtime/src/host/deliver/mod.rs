//! Puts encrypted values into requests to hosts that were granted them: the guest writes handles, the host of the request gets the
//! values, and what that host answers is searched for them.
//!
//! Scope, limit, act, record, as for `reveal`. A handle that may not be delivered there is refused with its request, whether it is
//! known or not. The meter learns host, class, field and sizes, never a value nor its handle.

mod answer;
mod hidden;
mod letter;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::http::header::{CONTENT_LENGTH, IF_RANGE, RANGE};
use ::http::{HeaderMap, HeaderValue, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use wasmtime_wasi_http::{Error, WasiBody};
use zeroize::Zeroizing;

use super::meter::Meter;
use super::reveal::Kept;
use crate::capability::{Deliver, HostName};
use crate::clock::SharedClock;
use crate::egress::{Admitted, Budget, EgressError, Reason, gathered};
use crate::limits::{DELIVERED_BODY_BYTES_MAX, DELIVERED_BYTES_MAX, DELIVERIES_MAX};
use crate::problem::caused;
use crate::protect::{Handle, Lent, SecretValue};
use crate::revocation::Live;
use crate::sandbox::Effect;
use crate::seal::SealError;
use letter::{Look, Unread, Writing};

/// What a refusal is recorded as, whatever was asked for.
const NAMELESS: &str = "deliver (refused)";
/// The same where a guest wrote a value itself that it only had a handle of.
const GUESSED: &str = "deliver (guessed)";

/// Why a request is refused whose trailers nobody would search.
const TRAILERS: &str = "values are delivered to its host and it has trailers";

/// What a call may deliver. Cheap to clone: every clone is the same call.
#[derive(Clone)]
pub struct Courier(Arc<Trusted>);

struct Trusted {
    scopes: Vec<(Deliver, Live)>,
    kept: Kept,
    /// What every host was given. Its answers are searched for that and for nothing else: in an answer of another host the marks
    /// would say which of the guesses that a guest sends there is right.
    hosts: BTreeMap<HostName, Arc<Known>>,
    values_left: Budget,
    bytes_left: Budget,
    begun: AtomicBool,
    meter: Meter,
    clock: SharedClock,
}

/// What one host was given in this call.
#[derive(Default)]
struct Known {
    lent: Lent,
    /// Whether the guest sent it a value that it should not know. Then nothing goes there any more: the next guess would be better.
    closed: AtomicBool,
}

impl fmt::Debug for Courier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Courier({} scopes)", self.0.scopes.len())
    }
}

/// What one admitted request to a host may carry.
pub struct Parcel {
    trusted: Arc<Trusted>,
    known: Arc<Known>,
    scopes: Vec<(Deliver, Live)>,
    /// How many values the host had been given when this request was sent.
    given: AtomicUsize,
}

/// A request as it is sent.
pub struct Filled {
    /// With values in its query.
    pub admitted: Admitted,
    /// With values in them.
    pub fields: HeaderMap,
    /// With values in it.
    pub body: WasiBody,
    /// Whether there are any.
    pub carries: bool,
}

impl Courier {
    /// For these scopes, each with the consent behind it.
    pub fn new(scopes: Vec<(Deliver, Live)>, kept: Kept, meter: Meter, clock: SharedClock) -> Self {
        let hosts = scopes.iter().map(|(scope, _)| scope.at.host.clone());
        Self(Arc::new(Trusted {
            hosts: hosts.map(|host| (host, Arc::default())).collect(),
            scopes,
            kept,
            values_left: Budget::of(DELIVERIES_MAX),
            bytes_left: Budget::of(DELIVERED_BYTES_MAX),
            begun: AtomicBool::new(false),
            meter,
            clock,
        }))
    }

    /// Whether any value was delivered up to now.
    pub fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    /// What this request may carry; none where nothing is delivered to its host.
    pub fn parcel(&self, admitted: &Admitted) -> Option<Parcel> {
        let known = self.0.hosts.get(admitted.host())?;
        let scopes = self.0.scopes.iter();
        let here = scopes.filter(|(scope, live)| admitted.is_at(&scope.at) && !live.is_revoked());
        Some(Parcel {
            trusted: Arc::clone(&self.0),
            known: Arc::clone(known),
            scopes: here.cloned().collect(),
            given: AtomicUsize::new(0),
        })
    }
}

impl Parcel {
    /// For how long the request may go on: as long as its own consent, and that of all that it may carry.
    pub fn live(&self, request: Live) -> Live {
        let scopes = self.scopes.iter().map(|(_, live)| live.clone());
        scopes.fold(request, Live::both)
    }

    /// The request with values in the place of handles. `left` is what it may still send. To be driven inside the gate of
    /// [`Parcel::live`].
    pub async fn fill(
        &self,
        admitted: Admitted,
        mut fields: HeaderMap,
        body: WasiBody,
        left: u64,
    ) -> Result<Filled, EgressError> {
        let known = &self.known;
        if known.closed.load(Ordering::Acquire) {
            return Err(self.refused(NAMELESS, "its host was sent a value that was guessed"));
        }
        // What comes back is searched, so it must come whole.
        fields.remove(RANGE);
        fields.remove(IF_RANGE);
        let unread = |why| self.refused(NAMELESS, why);
        let body = match body.is_end_stream() {
            true => Bytes::new(),
            false => gathered(body, DELIVERED_BODY_BYTES_MAX, left, TRAILERS).await?,
        };
        let letter = Letter {
            writing: Writing::of(&fields).map_err(unread)?,
            path: admitted.path().to_owned(),
            query: admitted.query().map(ToOwned::to_owned),
            fields,
            body,
        };
        let mut handles = Vec::new();
        let mut note = |handle: &Handle| {
            handles.push(*handle);
            Zeroizing::default()
        };
        letter.filled(&mut note).map_err(unread)?;
        let opened = self.open_all(&handles, &admitted).await?;
        let mut look = |handle: &Handle| {
            let opened = opened.get(handle);
            opened.map_or_else(Zeroizing::default, |opened| opened.value.clone())
        };
        let (query, fields, body) = letter.filled(&mut look).map_err(unread)?;
        let admitted = match query {
            Some(query) => admitted.with_whole_query(&query)?,
            None => admitted,
        };
        // Before anybody is told it, so that no answer is faster than the veil.
        for opened in opened.values() {
            known.lent.deliver(&opened.hidden);
        }
        // Before the text is searched: what another request brings after this is not in that search, and ends this answer.
        self.given.store(known.lent.count(), Ordering::Release);
        if letter.tells(&known.lent) {
            known.closed.store(true, Ordering::Release);
            return Err(self.refused(GUESSED, "it holds a value that its tool was not given"));
        }
        for opened in handles.iter().filter_map(|handle| opened.get(handle)) {
            self.trusted.begun.store(true, Ordering::Release);
            let once = Effect {
                count: 1,
                bytes_out: size(opened.value.len()),
                ..Effect::default()
            };
            self.trusted.meter.record(opened.effect.clone(), once);
        }
        let body = Full::new(body).map_err(|never| match never {});
        Ok(Filled {
            admitted,
            fields,
            body: body.boxed_unsync(),
            carries: !handles.is_empty(),
        })
    }

    /// The answer, in which nothing can be read that its host was given, and which ends where more is given to it meanwhile.
    pub fn veil<P>(
        &self,
        answer: Result<(Response<WasiBody>, P), Error>,
    ) -> Result<(Response<WasiBody>, P), Error> {
        let given = self.given.load(Ordering::Acquire);
        answer::veil(&self.known.lent, given, answer)
    }

    /// What is behind the handles of a request.
    async fn open_all(
        &self,
        handles: &[Handle],
        admitted: &Admitted,
    ) -> Result<HashMap<Handle, Opened>, EgressError> {
        let mut all = HashMap::new();
        if handles.is_empty() {
            return Ok(all);
        }
        let spent = || self.refused(NAMELESS, "the call has delivered all that it may");
        if !admitted.is_private() {
            return Err(self.refused(NAMELESS, "its host is asked in plain text"));
        }
        // Before anything is looked up, so that guessing ends as well.
        if !self.trusted.values_left.take(size(handles.len())) {
            return Err(spent());
        }
        for handle in handles {
            let opened = match all.entry(*handle) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.open(handle).await?),
            };
            if !self.trusted.bytes_left.take(size(opened.value.len())) {
                return Err(spent());
            }
        }
        Ok(all)
    }

    async fn open(&self, handle: &Handle) -> Result<Opened, EgressError> {
        let Trusted { kept, clock, .. } = &*self.trusted;
        let refused = |why| self.refused(NAMELESS, why);
        let failed = |error: SealError| match error {
            SealError::Unknown | SealError::NoKey => refused("no such value is kept for this tool"),
            SealError::Erased => refused("its key was destroyed"),
            error => {
                tracing::error!(error = %caused(&error), "an encrypted value cannot be opened, so a request is not sent");
                refused("it cannot be opened");
                EgressError::SecretUnavailable
            }
        };
        let sealed = kept.seals.look(&kept.owner, handle, clock.now()).await;
        let sealed = sealed.map_err(failed)?;
        // Their consents still hold: this runs inside their gates, and must not look at one again.
        let allows =
            |(scope, _): &&(Deliver, Live)| scope.what.allows(&sealed.class, &sealed.field);
        let Some((scope, _)) = self.scopes.iter().find(allows) else {
            return Err(refused("no grant has its class and field for this host"));
        };
        let effect = format!("deliver {} {} {}", scope.at, sealed.class, sealed.field);
        let value = kept.seals.open(sealed).await.map_err(failed)?;
        let hidden = SecretValue::delivered(&value)
            .map_err(|_| refused("it is too short or too long to be kept out of the answer"))?;
        Ok(Opened {
            value,
            hidden: Arc::new(hidden),
            effect,
        })
    }

    /// A refusal, which says the same to the guest whatever its reason.
    fn refused(&self, effect: &str, why: &'static str) -> EgressError {
        let refused = Effect {
            count: 1,
            refused: 1,
            ..Effect::default()
        };
        self.trusted.meter.note(effect.to_owned(), refused);
        Reason::Delivery(why).into()
    }
}

/// A value that is delivered.
struct Opened {
    value: Zeroizing<String>,
    /// The same, to be looked for.
    hidden: Arc<SecretValue>,
    effect: String,
}

/// A request as its guest wrote it.
struct Letter {
    writing: Writing,
    path: String,
    query: Option<String>,
    fields: HeaderMap,
    body: Bytes,
}

impl Letter {
    /// Query, fields and body with values in them.
    fn filled(
        &self,
        look: &mut Look<'_>,
    ) -> Result<(Option<Zeroizing<String>>, HeaderMap, Bytes), Unread> {
        letter::none_in(&self.path)?;
        let query = self.query.as_deref();
        let query = query.map_or(Ok(None), |query| letter::form(query, look))?;
        let mut fields = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            letter::none_in(name.as_str())?;
            let value = match letter::field(name, value, look)? {
                Some(filled) => filled,
                None => value.clone(),
            };
            fields.append(name, value);
        }
        let body = match letter::body(self.writing, &self.body, look)? {
            Some(filled) => Bytes::copy_from_slice(filled.as_bytes()),
            None => self.body.clone(),
        };
        if fields.contains_key(CONTENT_LENGTH) {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Ok((query, fields, body))
    }

    /// Whether the guest itself wrote what the host was given.
    fn tells(&self, lent: &Lent) -> bool {
        let names = self.fields.keys();
        let mut texts = vec![self.path.as_bytes(), &self.body];
        texts.extend(self.query.as_deref().map(str::as_bytes));
        texts.extend(self.fields.values().map(HeaderValue::as_bytes));
        texts.into_iter().any(|text| lent.bytes(text).is_some())
            || names
                .into_iter()
                .any(|name| lent.is_named_in(name.as_str()))
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
