//! Asks an issuer about a token (RFC 7662): what an opaque one says, and whether one of ours was taken back.
//!
//! What it answers is read by the same code as the claims of a JWT. An answer is kept for a short while under a keyed hash of the
//! token; nothing is kept of a failure but that there was one. Nobody waits for a place to ask: there is one, or the request is refused and may
//! come again. Tokens that somebody may have made up have places apart. Signed answers (RFC 9701) are not asked for: the answer comes
//! over TLS from where the operator said.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::bearer::BearerToken;
use super::claims::Claims;
use super::client_assertion::{ASSERTION_TYPE, client_assertion};
use super::client_secret::{ClientSecretError, basic, client_secret};
use super::error::IdentityError;
use super::sender::Binding;
use super::source::IssuerKeys;
use super::strict::{self, StrictError};
use super::token;
use super::{Caller, FetchError, FetchKeys};
use crate::clock::Timestamp;
use crate::config::{About, ClientProof, IntrospectionConfig};
use crate::ids::Digest;
use crate::limits::{
    INTROSPECTION_ANSWERS_BYTES_MAX, INTROSPECTION_MAX, INTROSPECTION_NEGATIVE_TTL,
    INTROSPECTION_REFUSALS_MAX, INTROSPECTION_RETRY_MIN, INTROSPECTION_TTL_MAX,
    INTROSPECTION_WAIT_MAX,
};
use crate::throttle::Places;

/// An issuer said nothing about a token. No text here holds one.
#[derive(Debug, thiserror::Error)]
pub enum IntrospectionError {
    /// We cannot prove who asks.
    #[error("our secret at the endpoint cannot be used: {0}")]
    Secret(#[from] ClientSecretError),
    /// The endpoint gave no answer that counts.
    #[error("the endpoint cannot be reached")]
    Fetch(#[source] FetchError),
    /// It took too long.
    #[error("the endpoint did not answer within {limit:?}")]
    Deadline { limit: Duration },
    /// It was out of reach just now.
    #[error("the endpoint was out of reach a moment ago; it is asked again soon")]
    TriedJustNow,
    /// Every place is taken, or those of this address are, or others wait too long for the same answer.
    #[error("too many tokens are being asked about; this one may come again in a moment")]
    Busy,
    /// It refused.
    #[error("the endpoint answered with status {0}; check `client_id` and the secret")]
    Status(u16),
    /// Its answer is no JSON by its own account.
    #[error("the answer is not `application/json`")]
    ContentType,
    /// Its answer is not JSON, strictly.
    #[error("the answer cannot be read")]
    Json(#[from] StrictError),
    /// It says that the token does not count.
    #[error("the endpoint says that the token is not active")]
    Inactive,
    /// RFC 7662 §2.2: `active` is true or false.
    #[error("the answer does not say whether the token is active")]
    NoAnswer,
}

/// Asks one issuer.
pub(super) struct Introspector {
    pub(super) issuer: Arc<IssuerKeys>,
    config: IntrospectionConfig,
    fetch: Arc<dyn FetchKeys>,
    /// Names tokens where they must not be kept, in this process alone.
    key: hmac::Key,
    /// What was said of tokens that count.
    answers: Cache<Digest, Arc<Answer>>,
    /// What was said of others, apart: nobody who makes some up takes the room of those that count.
    refusals: moka::sync::Cache<Digest, Refusal>,
    /// For tokens that anybody may have made up.
    any: Desk,
    /// For those that nobody can have: their signature held, or they counted a moment ago.
    good: Desk,
}

/// Where questions of one kind are asked.
struct Desk {
    places: Places,
    /// When the endpoint was last out of reach, in milliseconds since 1970.
    failed_at: AtomicI64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            places: Places::default(),
            failed_at: AtomicI64::new(i64::MIN),
        }
    }
}

/// Which token is asked about, and from where it came.
#[derive(Clone, Copy)]
struct Asked<'a> {
    name: Digest,
    token: &'a BearerToken,
    from: Option<IpAddr>,
    /// Whether its signature held.
    signed: bool,
    now: Timestamp,
}

/// What an issuer said of an active token.
struct Answer {
    serving: Serving,
    claims: Map<String, Value>,
}

/// What an answer takes beside its claims, in bytes: its entry, and what the cache knows of it.
const ANSWER_BYTES: usize = 512;

/// What a member of an answer takes in memory, in bytes: many times more than in its text, where a list of numbers has two for each.
fn member((name, value): (&String, &Value)) -> usize {
    size_of::<String>() + name.len() + weight(value)
}

fn weight(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(weight).sum(),
        Value::Object(all) => all.iter().map(member).sum(),
    };
    size_of::<Value>() + inner
}

/// That a token does not count.
#[derive(Clone, Copy)]
struct Refusal {
    serving: Serving,
    /// By which status its issuer refused to answer; none where it said that the token is not active.
    status: Option<u16>,
}

impl Refusal {
    fn error(self) -> IntrospectionError {
        self.status
            .map_or(IntrospectionError::Inactive, IntrospectionError::Status)
    }
}

/// For how long what was said serves.
#[derive(Clone, Copy)]
struct Serving {
    at: Timestamp,
    until: Timestamp,
}

impl Serving {
    fn holds(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep an old answer.
        self.at <= now && now < self.until
    }
}

impl Introspector {
    pub(super) fn new(
        issuer: Arc<IssuerKeys>,
        config: IntrospectionConfig,
        fetch: Arc<dyn FetchKeys>,
    ) -> Result<Self, Unspecified> {
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(key.as_mut())?;
        Ok(Self {
            issuer,
            config,
            fetch,
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            answers: Cache::builder()
                .weigher(|_, answer: &Arc<Answer>| {
                    let weight = answer.claims.iter().map(member).sum::<usize>();
                    u32::try_from(weight.saturating_add(ANSWER_BYTES)).unwrap_or(u32::MAX)
                })
                .max_capacity(INTROSPECTION_ANSWERS_BYTES_MAX)
                .time_to_live(INTROSPECTION_TTL_MAX)
                .build(),
            refusals: moka::sync::Cache::builder()
                .max_capacity(INTROSPECTION_REFUSALS_MAX)
                .time_to_live(INTROSPECTION_NEGATIVE_TTL)
                .build(),
            any: Desk::default(),
            good: Desk::default(),
        })
    }

    /// Whether it is also asked about tokens whose signature held.
    pub(super) fn is_about_all(&self) -> bool {
        match self.config.about {
            About::Opaque => false,
            About::All => true,
        }
    }

    /// Whoever an opaque token makes that came from this address, and what it is bound to.
    pub(super) async fn caller(
        &self,
        token: &BearerToken,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(Caller, Binding), IdentityError> {
        let name = self.name(token);
        let signed = false;
        let answer = self
            .answer(Asked {
                name,
                token,
                from,
                signed,
                now,
            })
            .await?;
        token::of_answer(
            &answer.claims,
            &self.issuer.config,
            name,
            answer.serving.at,
            now,
        )
    }

    /// Whether the issuer still stands by a token whose signature held, and says nothing else of it.
    pub(super) async fn confirm(
        &self,
        token: &BearerToken,
        from: Option<IpAddr>,
        (caller, binding): (&Caller, &Binding),
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let (name, signed) = (self.name(token), true);
        let answer = self
            .answer(Asked {
                name,
                token,
                from,
                signed,
                now,
            })
            .await?;
        let claims = &answer.claims;
        let read = Claims(claims);
        let agrees = |name: &str, ours: &str| claims.get(name).is_none_or(|theirs| theirs == ours);
        let user = caller.user();
        let same = agrees("iss", user.issuer.as_str())
            && agrees("sub", user.subject.as_str())
            && agrees("client_id", caller.client().as_str())
            && (!read.has("cnf") || Binding::of(read)? == *binding);
        if !same {
            return Err(IdentityError::Disagreement);
        }
        match read.time_if_any("exp")? {
            Some(at) if at <= now => Err(IdentityError::Expired { at }),
            Some(_) | None => Ok(()),
        }
    }

    fn name(&self, token: &BearerToken) -> Digest {
        let tag = hmac::sign(&self.key, token.reveal().as_bytes());
        Digest::of(tag.as_ref())
    }

    /// What the issuer says, now or a short while ago. Of those who ask about one token at a time, one asks for all.
    async fn answer(&self, asked: Asked<'_>) -> Result<Arc<Answer>, IdentityError> {
        if let Some(known) = self.answers.get(&asked.name).await
            && known.serving.holds(asked.now)
        {
            return Ok(known);
        }
        let entry = self.answers.entry(asked.name);
        let answered = entry.and_try_compute_with(|before| async move {
            let before = before.map(moka::Entry::into_value);
            if before
                .as_ref()
                .is_some_and(|one| one.serving.holds(asked.now))
            {
                return Ok(Op::Nop);
            }
            let desk = match asked.signed || before.is_some() {
                true => &self.good,
                false => &self.any,
            };
            match self.look(desk, asked).await {
                Ok(answer) => Ok(Op::Put(Arc::new(answer))),
                Err(IntrospectionError::Inactive) => Ok(Op::Remove),
                Err(error) => Err(error),
            }
        });
        let failed = |source| IdentityError::Introspection {
            issuer: self.issuer.config.issuer.clone(),
            source,
        };
        let answered = tokio::time::timeout(INTROSPECTION_WAIT_MAX, answered).await;
        let answered = answered.unwrap_or(Err(IntrospectionError::Busy));
        match answered.map_err(failed)? {
            CompResult::Inserted(entry)
            | CompResult::ReplacedWith(entry)
            | CompResult::Unchanged(entry) => Ok(entry.into_value()),
            CompResult::Removed(_) | CompResult::StillNone(_) => Err(IdentityError::Inactive),
        }
    }

    /// Asks, unless the issuer said a moment ago that the token does not count.
    async fn look(&self, desk: &Desk, asked: Asked<'_>) -> Result<Answer, IntrospectionError> {
        let refused = self.refusals.get(&asked.name);
        if let Some(refused) = refused.filter(|one| one.serving.holds(asked.now)) {
            return Err(refused.error());
        }
        let error = match self.ask(desk, asked).await {
            Err(error) => error,
            answer => return answer,
        };
        let status = match error {
            IntrospectionError::Inactive => Some(None),
            IntrospectionError::Status(status) if is_refusal(status) => Some(Some(status)),
            _ => None,
        };
        if let Some(status) = status {
            let at = asked.now;
            let until = at.plus(INTROSPECTION_NEGATIVE_TTL);
            let serving = Serving { at, until };
            self.refusals
                .insert(asked.name, Refusal { serving, status });
        }
        Err(error)
    }

    async fn ask(&self, desk: &Desk, asked: Asked<'_>) -> Result<Answer, IntrospectionError> {
        let now = asked.now;
        let failed_at = Timestamp(desk.failed_at.load(Ordering::SeqCst));
        if failed_at <= now && now.since(failed_at) < INTROSPECTION_RETRY_MIN {
            return Err(IntrospectionError::TriedJustNow);
        }
        let place = desk.places.question(asked.from);
        let _place = place.ok_or(IntrospectionError::Busy)?;
        let answer = tokio::time::timeout(INTROSPECTION_MAX, self.exchange(asked.token, now)).await;
        let answer = answer.unwrap_or(Err(IntrospectionError::Deadline {
            limit: INTROSPECTION_MAX,
        }));
        let is_outage = match &answer {
            // An answer to one token that cannot be used says nothing of others.
            Err(IntrospectionError::Fetch(error)) => error.is_outage(),
            Err(IntrospectionError::Deadline { .. }) => true,
            Ok(_) | Err(_) => false,
        };
        if is_outage {
            desk.failed_at.store(now.0, Ordering::SeqCst);
        }
        let claims = read(&answer?)?;
        let latest = now.plus(self.config.ttl);
        let ends = Claims(&claims).time_if_any("exp").ok().flatten();
        Ok(Answer {
            serving: Serving {
                at: now,
                until: ends.map_or(latest, |ends| ends.min(latest)),
            },
            claims,
        })
    }

    async fn exchange(
        &self,
        token: &BearerToken,
        now: Timestamp,
    ) -> Result<Response<Bytes>, IntrospectionError> {
        let client_id = self.config.client_id.as_str();
        let mut headers = HeaderMap::new();
        let signed = match &self.config.proof {
            ClientProof::Secret(from) => {
                let secret = client_secret(from).await?;
                let basic = basic(client_id, &secret);
                let basic = basic.ok_or(IntrospectionError::Secret(ClientSecretError::Value))?;
                headers.insert(AUTHORIZATION, basic);
                None
            }
            ClientProof::Key(key) => {
                let issuer = self.issuer.config.issuer.as_str();
                Some(client_assertion(key, client_id, issuer, now).await?)
            }
        };
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        self.fetch
            .post(
                &self.config.url,
                headers,
                question(token, client_id, signed.as_deref().map(String::as_str)).into(),
            )
            .await
            .map_err(IntrospectionError::Fetch)
    }
}

/// The form of a question (RFC 7662 §2.1), with what we signed to show who asks (RFC 7523 §2.2).
fn question(token: &BearerToken, client_id: &str, signed: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("token", token.reveal()),
        ("token_type_hint", "access_token"),
    ]);
    if let Some(signed) = signed {
        form.extend_pairs([
            ("client_id", client_id),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", signed),
        ]);
    }
    form.finish()
}

impl fmt::Debug for Introspector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Introspector")
            .field("url", &self.config.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Whether a status says that this question will not be answered, and not that it shall come again (RFC 9110 §15.5).
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

/// The claims of an active token. Nothing else is an answer but that it is not.
fn read(answer: &Response<Bytes>) -> Result<Map<String, Value>, IntrospectionError> {
    if answer.status() != StatusCode::OK {
        return Err(IntrospectionError::Status(answer.status().as_u16()));
    }
    let kind = answer.headers().get(CONTENT_TYPE);
    let is_json = kind
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(IntrospectionError::ContentType);
    }
    let members = strict::object(answer.body())?;
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(members),
        Some(Value::Bool(false)) => Err(IntrospectionError::Inactive),
        Some(_) | None => Err(IntrospectionError::NoAnswer),
    }
}

/// Whether a token says of itself that it is a JWT. Such a one is judged by its signature, and never asked about where that fails.
pub(super) fn is_jwt(token: &BearerToken) -> bool {
    let parts: Vec<&str> = token.reveal().split('.').collect();
    let [header, _, _] = parts.as_slice() else {
        return false;
    };
    strict::base64url(header).is_ok_and(|bytes| strict::object(&bytes).is_ok())
}

#[cfg(test)]
mod tests;
