//! Sign-in: OpenID Connect, code flow with PKCE, as a client of the configured issuer.
//!
//! A sign-in can be finished once, by the browser that began it, with the answer of the issuer to which it was sent. Anything
//! else makes no session.

use std::time::Duration;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::form::{Fields, Purpose};
use super::issuer::{Begin, IssuerClient, IssuerFault, error_code};
use super::language::Language;
use super::next::{self, Next, NotOurs};
use super::page::{self, Message};
use super::secret::Secret;
use super::words::{Notice, SignInFailed, Words};
use super::{WebState, cookie, session};
use crate::audit::EventKind;
use crate::clock::Timestamp;
use crate::identity::{IdentityError, Metadata, PublicError, SignedIn};
use crate::ids::Issuer;
use crate::limits::SIGN_IN_FLOW_TTL;

/// Sign-ins that one browser may have begun at once: as many links as a client opens together.
const FLOWS_PER_BROWSER_MAX: usize = 4;

/// A sign-in that was begun, as the store keeps it under the hash of its `state`.
#[derive(Serialize, Deserialize)]
struct Flow {
    issuer: Issuer,
    verifier: String,
    nonce: String,
    next: Next,
}

/// Why a sign-in was not finished.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// The answer names no sign-in.
    #[error("the answer has no `state` of ours")]
    State,
    /// Another browser began it: the link was forwarded, or somebody wants to sign this browser in as himself.
    #[error("this browser did not begin the sign-in")]
    OtherBrowser,
    /// It was finished before, or took too long.
    #[error("the sign-in was finished before, or took longer than {} s", SIGN_IN_FLOW_TTL.as_secs())]
    Gone,
    /// Another issuer answers (RFC 9207).
    #[error("the answer is not from the issuer that was asked")]
    OtherIssuer,
    /// The issuer signs nobody in.
    #[error("the issuer answered with the error `{0}`")]
    Declined(String),
    /// Neither code nor error.
    #[error("the answer has no code")]
    NoCode,
    /// The issuer does not do its part.
    #[error("the issuer does not do its part")]
    Issuer(#[from] IssuerFault),
    /// The ID token does not count.
    #[error("the ID token is refused")]
    IdToken(#[from] IdentityError),
}

/// What a browser asks for when it comes to sign in.
#[derive(Deserialize)]
pub(super) struct Start {
    next: Option<String>,
    fresh: Option<String>,
}

/// `GET /sign-in`: sends the browser to the issuer.
pub(super) async fn start(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    query: Result<Query<Start>, QueryRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let Some(client) = &web.issuer else {
        return Ok(unconfigured(w));
    };
    let wanted = query.map_err(|_| NotOurs).and_then(|Query(start)| {
        let next = start.next.as_deref().unwrap_or("/consents").parse()?;
        Ok((next, start.fresh.is_some()))
    });
    let Ok((next, fresh)) = wanted else {
        let message = Message::of(w, &w.notices.link_incomplete);
        return Ok(page::show(StatusCode::BAD_REQUEST, &message));
    };
    let now = web.clock.now();
    let metadata = match client.metadata(now).await {
        Ok(metadata) => metadata,
        Err(fault) => return Ok(unavailable(w, &fault, &next)),
    };
    if !web.pace.one_more(now) {
        tracing::warn!("too many sign-ins begin at once");
        return Ok(later(w, &w.notices.too_many, &next));
    }
    let (state, nonce, verifier) = (Secret::make()?, Secret::make()?, Secret::make()?);
    let begin = Begin {
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        fresh,
    };
    let url = match client.authorization_url(&metadata, &begin) {
        Ok(url) => url,
        Err(fault) => return Ok(unavailable(w, &fault, &next)),
    };
    let flow = Flow {
        issuer: client.issuer().clone(),
        verifier: verifier.as_str().to_owned(),
        nonce: nonce.as_str().to_owned(),
        next,
    };
    let data = serde_json::to_string(&flow).unwrap_or_default();
    web.store
        .insert_flow(state.hash(), &data, now.plus(SIGN_IN_FLOW_TTL))
        .await?;
    let cookie = flows(&headers, Some(&state), None);
    Ok((
        AppendHeaders([(header::SET_COOKIE, cookie)]),
        Redirect::to(url.as_str()),
    )
        .into_response())
}

/// What the issuer answers through the browser.
#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// `GET /sign-in/callback`: the browser comes back from the issuer.
pub(super) async fn finish(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    query: Result<Query<Answer>, QueryRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let Some(client) = &web.issuer else {
        return Ok(unconfigured(w));
    };
    let now = web.clock.now();
    let state = query
        .as_ref()
        .ok()
        .and_then(|Query(answer)| answer.state.as_deref())
        .and_then(Secret::parse);
    let (Ok(Query(answer)), Some(state)) = (query, state) else {
        return Ok(refuse(&web, w, &Refused::State, None));
    };
    if !began(&headers, &state) {
        return Ok(refuse(&web, w, &Refused::OtherBrowser, None));
    }
    let Some(flow) = taken(&web, &state, now).await? else {
        return Ok(refuse(&web, w, &Refused::Gone, None));
    };
    let who = match identified(&web, client, &flow, &answer, now).await {
        Ok(who) => who,
        Err(refused) => return Ok(refuse(&web, w, &refused, Some(&flow.next))),
    };
    let session = session::begin(&web, &headers, &who, now).await?;
    let cookies = [session, flows(&headers, None, Some(&state))];
    Ok((
        AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie))),
        Redirect::to(&flow.next.to_string()),
    )
        .into_response())
}

/// `POST /sign-out`.
pub(super) async fn end(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let fields = Fields(form.map(|Form(fields)| fields).unwrap_or_default());
    let mut notice = &w.notices.signed_out;
    // Also of a session that was not used for too long: what was agreed to until its user signs out ends with it.
    if let Some(open) = session::known(&web, &headers, web.clock.now()).await? {
        if !web
            .forms
            .holds(fields.one("token"), open.id_hash, &Purpose::SignOut)
        {
            let message = Message::of(w, &w.notices.page_too_old);
            return Ok(page::show(StatusCode::FORBIDDEN, &message));
        }
        let everywhere = fields.one("everywhere").is_some();
        notice = match everywhere {
            true => &w.notices.signed_out_everywhere,
            false => &w.notices.signed_out_here,
        };
        session::end(&web, &open, everywhere).await?;
    }
    let message = Message::of(w, notice).link("/consents", w.ways.sign_in);
    let cookies =
        [cookie::SESSION, cookie::FLOW].map(|name| (header::SET_COOKIE, cookie::clear(name)));
    Ok((AppendHeaders(cookies), page::show(StatusCode::OK, &message)).into_response())
}

/// The way to the issuer and back.
pub(super) fn redirect(next: &Next) -> Response {
    Redirect::to(&next::sign_in(next, false)).into_response()
}

/// Who signed in, by the issuer's answer.
async fn identified(
    web: &WebState,
    client: &IssuerClient,
    flow: &Flow,
    answer: &Answer,
    now: Timestamp,
) -> Result<SignedIn, Refused> {
    if flow.issuer != *client.issuer() {
        return Err(Refused::OtherIssuer);
    }
    let metadata = client.metadata(now).await?;
    check_issuer(client.issuer(), &metadata, answer.iss.as_deref())?;
    if let Some(error) = &answer.error {
        return Err(Refused::Declined(
            error_code(error).unwrap_or("unreadable").to_owned(),
        ));
    }
    let code = answer.code.as_deref().ok_or(Refused::NoCode)?;
    let verifier = Secret::parse(&flow.verifier).ok_or(Refused::Gone)?;
    let token = client.redeem(&metadata, code, &verifier).await?;
    Ok(web
        .identity
        .verify_id_token(token, client.issuer(), client.client_id(), &flow.nonce, now)
        .await?)
}

/// RFC 9207 §2.4: `iss` is compared as a plain string; it may be missing only if the issuer does not promise it.
fn check_issuer(ours: &Issuer, metadata: &Metadata, found: Option<&str>) -> Result<(), Refused> {
    match found {
        Some(found) if found == ours.as_str() => Ok(()),
        None if !metadata.names_issuer_in_response => Ok(()),
        Some(_) | None => Err(Refused::OtherIssuer),
    }
}

async fn taken(web: &WebState, state: &Secret, now: Timestamp) -> Result<Option<Flow>, Fault> {
    let data = web.store.take_flow(state.hash(), now).await?;
    // What cannot be read was begun by another version of us: as good as none.
    Ok(data.and_then(|data| serde_json::from_str(&data).ok()))
}

/// Whether this browser began the sign-in with this state.
fn began(headers: &HeaderMap, state: &Secret) -> bool {
    open_flows(headers).any(|open| state.is(open))
}

fn open_flows(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    cookie::read(headers, cookie::FLOW)
        .unwrap_or_default()
        .split('.')
        .filter(|open| Secret::parse(open).is_some())
}

/// The cookie of the sign-ins that this browser began, with one more or with one less.
fn flows(headers: &HeaderMap, begun: Option<&Secret>, ended: Option<&Secret>) -> String {
    let kept = open_flows(headers).filter(|open| ended.is_none_or(|ended| !ended.is(open)));
    let all: Vec<_> = begun
        .map(Secret::as_str)
        .into_iter()
        .chain(kept)
        .take(FLOWS_PER_BROWSER_MAX)
        .collect();
    match all.as_slice() {
        [] => cookie::clear(cookie::FLOW),
        some => cookie::set(cookie::FLOW, &some.join("."), SIGN_IN_FLOW_TTL),
    }
}

impl Refused {
    /// Why, as a word for the audit log.
    fn reason(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::OtherBrowser => "other-browser",
            Self::Gone => "finished-or-expired",
            Self::OtherIssuer => "other-issuer",
            Self::Declined(_) => "declined",
            Self::NoCode => "no-code",
            Self::Issuer(IssuerFault::Code) => "code",
            Self::Issuer(_) => "issuer",
            Self::IdToken(_) => "id-token",
        }
    }

    /// What the reader learns: status and text.
    fn public(&self, w: &SignInFailed) -> (StatusCode, &'static str) {
        match self {
            Self::State | Self::NoCode => (StatusCode::BAD_REQUEST, w.incomplete),
            Self::OtherBrowser => (StatusCode::FORBIDDEN, w.other_browser),
            Self::Gone => (StatusCode::BAD_REQUEST, w.gone),
            Self::OtherIssuer => (StatusCode::FORBIDDEN, w.other_issuer),
            Self::Declined(_) => (StatusCode::FORBIDDEN, w.declined),
            Self::Issuer(IssuerFault::Code) => (StatusCode::FORBIDDEN, w.code),
            Self::Issuer(_) => (StatusCode::BAD_GATEWAY, w.issuer),
            Self::IdToken(error) => match error.public() {
                PublicError::Busy | PublicError::Unavailable => (StatusCode::BAD_GATEWAY, w.keys),
                PublicError::MissingToken
                | PublicError::InvalidRequest
                | PublicError::InvalidToken
                | PublicError::InvalidProof
                | PublicError::UseNonce
                | PublicError::InsufficientScope { .. } => (StatusCode::FORBIDDEN, w.id_token),
            },
        }
    }
}

/// Records why a sign-in was not finished, and says so.
fn refuse(web: &WebState, w: &'static Words, refused: &Refused, next: Option<&Next>) -> Response {
    log(refused);
    // Anybody can open the callback, so these are sampled: a flood of them must not crowd out the records of calls.
    web.audit.sampled(EventKind::SignInFailed, refused.reason());
    let (status, text) = refused.public(&w.notices.sign_in);
    let again = next::sign_in(next.unwrap_or(&Next::Consents), false);
    let message = Message::new(w, w.notices.sign_in.title, text).link(&again, w.ways.sign_in);
    page::show(status, &message)
}

fn log(refused: &Refused) {
    let cause: &(dyn std::error::Error + 'static) = refused;
    match refused {
        // The operator's to mend: nobody gets in meanwhile.
        Refused::Issuer(fault) if !matches!(fault, IssuerFault::Code) => {
            tracing::warn!(error = cause, "a sign-in was not finished");
        }
        _ => tracing::info!(error = cause, "a sign-in was not finished"),
    }
}

fn unavailable(w: &'static Words, fault: &IssuerFault, next: &Next) -> Response {
    let cause: &(dyn std::error::Error + 'static) = fault;
    tracing::warn!(error = cause, "nobody can sign in");
    later(w, &w.notices.issuer_unavailable, next)
}

fn later(w: &'static Words, notice: &Notice, next: &Next) -> Response {
    let again = next::sign_in(next, false);
    let message = Message::of(w, notice).link(&again, w.ways.again);
    let wait = [(header::RETRY_AFTER, Duration::from_secs(60).as_secs())];
    (wait, page::show(StatusCode::SERVICE_UNAVAILABLE, &message)).into_response()
}

fn unconfigured(w: &'static Words) -> Response {
    let message = Message::of(w, &w.notices.no_sign_in);
    page::show(StatusCode::SERVICE_UNAVAILABLE, &message)
}
