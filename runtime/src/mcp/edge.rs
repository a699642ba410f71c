//! Judges every request before the SDK sees it, and remembers nothing of it afterwards but a session, if it has one.
//!
//! [`Edge::admit`] names the checks in their order. What is admitted has a verified caller, one readable message of a revision that
//! is served, and the scopes that it needs; the token itself goes no further. Never decides about a tool.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rmcp::model::RequestId;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use url::Url;
use uuid::Uuid;

use super::front::{self, Attempt};
use super::line::{EdgeRefusal, Line, Listed, NotScoped, NotVerified, RequestFacts};
use super::listing;
use super::message::Message;
use super::router::Settings;
use super::sessions::{Entrance, InUse, OfSession, SessionId, Sessions, Within};
use crate::config::Dpop;
use crate::identity::{Caller, Credentials, PublicError};
use crate::ids::Digest;
use crate::limits::{BODY_WAIT_MAX, REQUEST_BODY_BYTES_MAX};
use crate::listen;

/// What is answered without a token, where the operator opened the door: all that a listing needs, and no call.
const ANONYMOUS_METHODS: [&str; 5] = [
    "initialize",
    "notifications/initialized",
    "ping",
    "server/discover",
    "tools/list",
];

/// What the edge found out about an admitted request; handlers read it from the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    /// Who calls; none without a token, and then nothing but a listing is asked.
    pub caller: Option<Arc<Caller>>,
    /// What is known of the request.
    pub facts: RequestFacts,
    /// Where a handler leaves a refusal that needs a status of its own (trap R11).
    pub verdict: Arc<OnceLock<EdgeRefusal>>,
    /// For a subscription, what the caller could see before it was acknowledged: the SDK acknowledges before it asks us, and no
    /// change after that may be missed.
    pub known: Option<Arc<[Listed]>>,
    /// The session of the request, where it can ask.
    pub within: Option<Within>,
    /// Where `initialize` leaves the id of the session that it began.
    pub began: Arc<OnceLock<SessionId>>,
}

/// What was admitted.
pub(super) enum Entry {
    /// A message for the SDK.
    Message(Box<Ready>),
    /// Something of a session.
    OfSession(OfSession),
}

/// A refused request: why, and the JSON-RPC id if it was read.
pub(super) type Refused = (EdgeRefusal, Option<RequestId>);

/// An admitted request, ready for the SDK.
pub(super) struct Ready {
    /// The request, its body read and its token gone.
    pub request: http::Request<Full<Bytes>>,
    /// Who sent it, unless it came without a token.
    pub caller: Option<Arc<Caller>>,
    /// Its JSON-RPC id.
    pub id: Option<RequestId>,
    /// The request that it cancels.
    pub cancels: Option<RequestId>,
    /// Where a late refusal stands.
    pub verdict: Arc<OnceLock<EdgeRefusal>>,
    /// Where the id of a new session stands.
    pub began: Arc<OnceLock<SessionId>>,
    /// What the server says in its session before it answers.
    pub said: Option<mpsc::Receiver<Value>>,
    /// What the calls of its client are told apart by (see [`super::running`]).
    pub whose: Option<Digest>,
}

/// The checks before the SDK.
pub(super) struct Edge {
    line: Arc<dyn Line>,
    sessions: Option<Arc<Sessions>>,
    hosts: BTreeSet<String>,
    origins: BTreeSet<String>,
    /// What proofs of senders name, with the path of their request.
    public_url: Url,
    dpop: Dpop,
}

impl Edge {
    /// Hosts and origins are the public URL's; on a loopback address also those of loopback.
    pub fn new(line: Arc<dyn Line>, sessions: Option<Arc<Sessions>>, settings: &Settings) -> Self {
        let mut hosts: BTreeSet<String> = settings
            .public_url
            .host_str()
            .map(|host| host.trim_matches(['[', ']']).to_owned())
            .into_iter()
            .collect();
        let mut origins: BTreeSet<String> = settings
            .allowed_origins
            .iter()
            .filter_map(|origin| {
                let url = Url::parse(origin);
                if url.is_err() {
                    tracing::warn!(origin, "an allowed origin is no URL and allows nobody");
                }
                url.ok()
            })
            .chain([settings.public_url.clone()])
            .map(|url| url.origin().ascii_serialization())
            .collect();
        if settings.listen.ip().is_loopback() {
            let port = settings.listen.port();
            for host in ["localhost", "127.0.0.1", "::1"] {
                hosts.insert(host.to_owned());
                let host = if host.contains(':') { "[::1]" } else { host };
                origins.insert(format!("http://{host}:{port}"));
            }
        }
        // What no origin can be: the serialisation of one that is opaque, which every sandboxed frame sends.
        origins.remove("null");
        Self {
            line,
            sessions,
            hosts,
            origins,
            public_url: settings.public_url.clone(),
            dpop: settings.dpop,
        }
    }

    /// What is known of a request before anything in it is believed.
    pub fn facts(request: &Request) -> RequestFacts {
        RequestFacts {
            id: Uuid::now_v7(),
            began: Instant::now(),
            peer: front::address(request),
        }
    }

    /// All checks, in order. Each request passes all of them; none counts for the next (`tokens.md` W10).
    pub async fn admit(&self, request: Request, facts: &RequestFacts) -> Result<Entry, Refused> {
        let (mut parts, body) = request.into_parts();
        self.check_host(&parts).map_err(|e| self.note(facts, e))?;
        self.check_origin(&parts.headers)
            .map_err(|e| self.note(facts, e))?;
        check_length(&parts.headers).map_err(|e| self.note(facts, e))?;
        let caller = match self.is_anonymous(&parts) {
            true => None,
            false => Some(self.authenticate(&mut parts, facts).await?),
        };
        // Nothing behind the edge sees a cookie of the consent page (A10), nor the token, which `authenticate` takes.
        parts.headers.remove(COOKIE);
        if let Some(of_session) = self
            .at_door(&parts, caller.as_ref(), |door| {
                door.without_body(&parts.method)
            })
            .map_err(|e| self.note(facts, e))?
        {
            return Ok(Entry::OfSession(of_session));
        }
        check_shape(&parts).map_err(|e| self.note(facts, e))?;
        let body = read_body(body).await.map_err(|e| self.note(facts, e))?;
        let message = match Message::read(&body) {
            Ok(message) => message,
            Err((refusal, id)) => {
                let reply = self.at_door(&parts, caller.as_ref(), |door| match refusal {
                    EdgeRefusal::NotARequest => door.reply(&body),
                    _ => Ok(None),
                });
                return match reply {
                    Ok(Some(reply)) => Ok(Entry::OfSession(reply)),
                    Ok(None) => Err((self.note(facts, refusal).0, id)),
                    Err(refusal) => Err(self.note(facts, refusal)),
                };
            }
        };
        // Whoever asks too much costs as little as may be, which leaves the more to those who are answered.
        let turns_away = |caller: &Arc<Caller>| self.line.turns_away(caller);
        if message.operation.method == "tools/call" && caller.as_ref().is_some_and(turns_away) {
            return Err((EdgeRefusal::Busy, message.id));
        }
        let session = self
            .check_message(&message, &parts, caller.as_ref())
            .map_err(|e| (self.note(facts, e).0, message.id.clone()))?;
        let whose = match (&session, &caller) {
            (Some(session), _) => Some(session.name()),
            (None, caller) => caller.as_ref().map(|caller| caller.fingerprint()),
        };
        let (within, said) = self.within(session).unzip();
        let began = Arc::new(OnceLock::new());

        let verdict = Arc::new(OnceLock::new());
        let listens = message.operation.method == "subscriptions/listen";
        let known = caller.as_ref().filter(|_| listens);
        let known = known.map(|caller| listing::ordered(self.line.list(caller)).into());
        parts.extensions.insert(Admitted {
            caller: caller.clone(),
            facts: facts.clone(),
            verdict: Arc::clone(&verdict),
            known,
            within,
            began: Arc::clone(&began),
        });
        Ok(Entry::Message(Box::new(Ready {
            request: http::Request::from_parts(parts, Full::new(body)),
            caller,
            id: message.id,
            cancels: message.cancels,
            verdict,
            began,
            said,
            whose,
        })))
    }

    /// The same checks for what is no MCP: host, origin, size and token. Never without a token, wherever the door for
    /// listing is open.
    pub async fn admit_other(
        &self,
        request: Request,
        facts: &RequestFacts,
    ) -> Result<(Parts, Bytes, Arc<Caller>), EdgeRefusal> {
        let (mut parts, body) = request.into_parts();
        let noted = |refusal| self.note(facts, refusal).0;
        self.check_host(&parts).map_err(noted)?;
        self.check_origin(&parts.headers).map_err(noted)?;
        check_length(&parts.headers).map_err(noted)?;
        let caller = self.authenticate(&mut parts, facts).await;
        let caller = caller.map_err(|(refusal, _)| refusal)?;
        parts.headers.remove(COOKIE);
        let body = read_body(body).await.map_err(noted)?;
        Ok((parts, body, caller))
    }

    /// Whether the request is for one of our hosts, against DNS rebinding.
    pub fn check_host(&self, parts: &Parts) -> Result<(), EdgeRefusal> {
        let host = listen::host(&parts.headers, &parts.uri).ok().flatten();
        host.map(|authority| {
            let host = authority.host().trim_matches(['[', ']']);
            host.to_ascii_lowercase()
        })
        .filter(|host| self.hosts.contains(host))
        .map(|_| ())
        .ok_or(EdgeRefusal::Host)
    }

    /// Whether this is an origin from which a browser may call.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), EdgeRefusal> {
        let all_allowed = headers.get_all(ORIGIN).iter().all(|origin| {
            origin
                .to_str()
                .is_ok_and(|origin| self.allows_origin(origin))
        });
        all_allowed.then_some(()).ok_or(EdgeRefusal::Origin)
    }

    /// Whether a request shows no sign of a token, where such requests are answered. A token that is bad, in the wrong
    /// place or of another scheme is refused as ever.
    fn is_anonymous(&self, parts: &Parts) -> bool {
        !parts.headers.contains_key(AUTHORIZATION)
            && parts.uri.query().is_none()
            && self.line.is_open()
    }

    async fn authenticate(
        &self,
        parts: &mut Parts,
        facts: &RequestFacts,
    ) -> Result<Arc<Caller>, Refused> {
        let attempt = parts.extensions.remove::<Attempt>();
        let dpop = self.dpop != Dpop::Off;
        let shown = Credentials::from_request(parts, &self.public_url, dpop);
        parts.headers.remove(AUTHORIZATION);
        parts.headers.remove("dpop");
        let shown = shown.map_err(|error| {
            let refusal = unreadable(error.public());
            count(attempt.as_ref(), &refusal);
            self.note(facts, refusal)
        })?;
        let shown = shown.sent_from(attempt.as_ref().and_then(Attempt::counted));
        let (line, of) = (Arc::clone(&self.line), facts.clone());
        let verified = to_its_end(async move {
            // The line has recorded its own failures, with their reasons.
            let verified = line.verify(shown, of).await.map_err(not_verified);
            if let Err(refusal) = &verified {
                count(attempt.as_ref(), refusal);
            }
            verified
        });
        let verified = verified.await.unwrap_or_else(|error| {
            tracing::error!(%error, request = %facts.id, "judging a token ended before its end");
            Err(EdgeRefusal::Fault { id: facts.id })
        });
        verified.map_err(|refusal| (refusal, None))
    }

    fn check_message(
        &self,
        message: &Message,
        parts: &Parts,
        caller: Option<&Arc<Caller>>,
    ) -> Result<Option<InUse>, EdgeRefusal> {
        let headers = &parts.headers;
        let Some(caller) = caller else {
            // Without a token nothing else is answered, not even that the message is bad.
            return match ANONYMOUS_METHODS.contains(&message.operation.method.as_str()) {
                true => message.check_version(headers).map(|()| None),
                false => Err(EdgeRefusal::NoToken),
            };
        };
        message.check_version(headers)?;
        let session = self.at_door(parts, Some(caller), |door| {
            door.of_message(&message.operation.method)
        })?;
        self.line
            .check_scopes(caller, &message.operation)
            .map_err(EdgeRefusal::NotScoped)?;
        Ok(session)
    }

    /// Asks the entrance of sessions about a request with a token, where there are sessions.
    fn at_door<T>(
        &self,
        parts: &Parts,
        caller: Option<&Arc<Caller>>,
        ask: impl FnOnce(Entrance<'_>) -> Result<Option<T>, EdgeRefusal>,
    ) -> Result<Option<T>, EdgeRefusal> {
        let (Some(sessions), Some(caller)) = (self.sessions.as_deref(), caller) else {
            return Ok(None);
        };
        ask(Entrance {
            sessions,
            caller,
            headers: &parts.headers,
        })
    }

    fn within(&self, session: Option<InUse>) -> Option<(Within, mpsc::Receiver<Value>)> {
        let sessions = self.sessions.as_deref()?;
        session.map(|session| Within::new(sessions, session))
    }

    fn note(&self, facts: &RequestFacts, refusal: EdgeRefusal) -> Refused {
        self.line.refused_at_edge(facts, &refusal);
        (refusal, None)
    }
}

/// Runs to its end, also when whoever waits goes away: who leaves before the verdict is counted as who stays. What is over at once
/// needs no task.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let mut work = Box::pin(work);
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::spawn(work).await,
    }
}

/// Counts a token, or a proof of its sender, that was refused for its address, when that is known and not when it is told. Without
/// our nonce a proof is asked for again, as clients expect.
fn count(attempt: Option<&Attempt>, refusal: &EdgeRefusal) {
    if let Some(attempt) = attempt
        && let EdgeRefusal::InvalidToken
        | EdgeRefusal::BadProof
        | EdgeRefusal::MalformedAuthorization = refusal
    {
        attempt.failed();
    }
}

fn not_verified(failure: NotVerified) -> EdgeRefusal {
    match failure {
        NotVerified::Invalid => EdgeRefusal::InvalidToken,
        NotVerified::BadProof => EdgeRefusal::BadProof,
        NotVerified::NoNonce => EdgeRefusal::NoNonce,
        NotVerified::NotScoped(missing) => EdgeRefusal::NotScoped(missing),
        NotVerified::Busy => EdgeRefusal::IdentityBusy,
        NotVerified::Unavailable => EdgeRefusal::IdentityUnavailable,
    }
}

/// Why no token could be taken out of a request.
fn unreadable(error: PublicError) -> EdgeRefusal {
    match error {
        PublicError::MissingToken => EdgeRefusal::NoToken,
        PublicError::InvalidRequest => EdgeRefusal::MalformedAuthorization,
        PublicError::InvalidToken => EdgeRefusal::InvalidToken,
        PublicError::InvalidProof => EdgeRefusal::BadProof,
        PublicError::UseNonce => EdgeRefusal::NoNonce,
        PublicError::InsufficientScope { scopes } => {
            EdgeRefusal::NotScoped(NotScoped { needed: scopes })
        }
        PublicError::Busy => EdgeRefusal::IdentityBusy,
        PublicError::Unavailable => EdgeRefusal::IdentityUnavailable,
    }
}

/// A body that says that it is too large is refused before anything of it is read.
fn check_length(headers: &HeaderMap) -> Result<(), EdgeRefusal> {
    let Some(length) = headers.get(CONTENT_LENGTH) else {
        return Ok(());
    };
    let length: Option<u64> = length.to_str().ok().and_then(|length| length.parse().ok());
    match length.map(usize::try_from) {
        Some(Ok(length)) if length <= REQUEST_BODY_BYTES_MAX => Ok(()),
        _ => Err(EdgeRefusal::BodyTooLarge),
    }
}

/// POST, of JSON.
fn check_shape(parts: &Parts) -> Result<(), EdgeRefusal> {
    if parts.method != Method::POST {
        return Err(EdgeRefusal::Method);
    }
    let is_json = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    is_json.then_some(()).ok_or(EdgeRefusal::ContentType)
}

async fn read_body(body: Body) -> Result<Bytes, EdgeRefusal> {
    let body = Limited::new(body, REQUEST_BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT_MAX, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(EdgeRefusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(EdgeRefusal::BodyLost),
    }
}
