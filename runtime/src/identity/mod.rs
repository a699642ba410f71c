//! Bearer token to [`Caller`]: an OAuth 2.1 resource server.
//!
//! In reading order: `bearer` takes the token from the request, `sender` what else proves who sent it, `jws` takes it apart and verifies its signature with a key of
//! `keys`, `claims` reads what it says, and `token` decides. `source` keeps the keys fresh. `id_token` does for the browser's
//! sign-in what `token` does for calls.
//!
//! Never passes a token on; past this stage there is none.

mod bearer;
mod claims;
mod client_assertion;
mod client_secret;
mod discovery;
mod error;
pub mod id_token;
mod introspect;
mod jws;
mod keys;
mod self_test;
mod sender;
mod source;
mod strict;
pub mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{HeaderMap, Response};
use jsonwebtoken::AlgorithmFamily;
use moka::sync::Cache;
use url::Url;

pub use bearer::BearerToken;
pub use claims::{Actor, ClaimValue};
pub use client_assertion::client_assertion;
pub(crate) use client_secret::basic;
pub use client_secret::{ClientSecretError, client_secret, client_secret_file};
pub use discovery::{Metadata, discover};
pub use error::{IdentityError, PublicError};
pub use id_token::SignedIn;
pub use introspect::IntrospectionError;
pub use keys::{KeyError, KeySet, Skip};
pub use self_test::{SelfTestError, self_test};
pub(crate) use sender::ALGORITHMS as PROOF_ALGORITHMS;
pub use sender::{Credentials, PeerCertificate, ProofError};
pub use strict::StrictError;
pub(crate) use strict::object as strict_object;
pub use token::{Caller, TokenFacts};

pub use crate::config::{ClaimType, ExtraClaim, ScopeMap};

use error::shown;
use introspect::Introspector;
use jws::Unverified;
use sender::{Binding, Senders};
use source::{IssuerKeys, Loaded};

use crate::clock::Timestamp;
pub use crate::config::IssuerConfig;
use crate::config::{Dpop, KeySource};
use crate::ids::{Digest, Issuer};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(any(test, fuzzing))]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what makes values for tests panics where it cannot"
)]
pub(crate) mod testing;

/// Verified tokens that are remembered, so that a session's calls pay for one signature. About 1 KiB each; one that is forgotten is
/// verified again.
const VERIFIED_TOKENS_MAX: u64 = 10_000;

/// Carries documents of issuers: over the judged way out in production, from memory in tests.
///
/// An implementation follows no redirect, takes `https` alone (or a loopback address that the operator named), and reads no more
/// than [`JWKS_BYTES_MAX`](crate::limits::JWKS_BYTES_MAX).
pub trait FetchKeys: Send + Sync + 'static {
    /// The body of a successful answer.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>>;

    /// The answer to a form, whatever its status, of at most
    /// [`INTROSPECTION_BYTES_MAX`](crate::limits::INTROSPECTION_BYTES_MAX). What only reads documents sends none.
    fn post<'a>(
        &'a self,
        _url: &'a Url,
        _headers: HeaderMap,
        _form: Bytes,
    ) -> BoxFuture<'a, Result<Response<Bytes>, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::new(
            "nothing is asked by this command",
        ))))
    }
}

/// Why a URL gave no answer that counts.
#[derive(Debug)]
pub struct FetchError {
    cause: Box<dyn std::error::Error + Send + Sync>,
    of_answer: bool,
}

impl FetchError {
    /// With the error of whatever carried the request, or with a text.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into(),
            of_answer: false,
        }
    }

    /// The same where the other side was reached, and what it answered to this request cannot be used.
    pub fn of_answer(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            of_answer: true,
            ..Self::new(cause)
        }
    }

    /// Whether the other side could not be reached, so that other requests fare no better.
    pub fn is_outage(&self) -> bool {
        !self.of_answer
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(out)
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// Why issuers cannot be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Two configurations for one issuer: which would decide?
    #[error("the issuer `{0}` is configured twice")]
    Twice(Issuer),
    /// Nobody's tokens would be for us.
    #[error("the issuer `{0}` has no audience; set `audience`")]
    NoAudience(Issuer),
    /// No signature would count.
    #[error("the issuer `{0}` has no algorithm; set `algorithms`")]
    NoAlgorithm(Issuer),
    /// A public key could be shown as an HMAC secret (RFC 8725 §2.1).
    #[error("the issuer `{0}` allows HMAC beside public keys; configure HMAC alone, or not at all")]
    MixedAlgorithms(Issuer),
    /// A secret does not travel.
    #[error("the issuer `{0}` has HMAC keys that are not in a file; set `jwks_file`")]
    SecretFromNetwork(Issuer),
    /// An opaque token does not say which of two would know it.
    #[error("beside `{0}` another issuer is asked about opaque tokens; keep one `introspection`")]
    TwoAsked(Issuer),
    /// Nothing to make keys with.
    #[error("the cryptographic library gave no random bytes")]
    Random,
    /// A claim in which no issuer names the client.
    #[error(
        "the client of issuer `{0}` stands in `client_id` or in `azp`; set `client_claim` to one of them"
    )]
    ClientClaim(Issuer),
}

/// Verifies tokens of the configured issuers.
pub struct Identity {
    issuers: BTreeMap<String, Arc<IssuerKeys>>,
    verified: Cache<Digest, Arc<Verified>>,
    senders: Senders,
    /// The one issuer that is asked about tokens.
    asked: Option<Introspector>,
}

/// A token that was verified: known by its digest, good for as long as its keys and its own time hold.
struct Verified {
    caller: Arc<Caller>,
    binding: Binding,
    issuer: Arc<IssuerKeys>,
    epoch: u64,
}

impl Identity {
    /// With these issuers, whose documents `fetch` carries. Nothing is read yet.
    pub fn new(issuers: Vec<IssuerConfig>, fetch: Arc<dyn FetchKeys>) -> Result<Self, IssuerError> {
        let mut by_name = BTreeMap::new();
        let mut asked = None;
        for config in issuers {
            check(&config)?;
            let issuer = config.issuer.clone();
            let introspection = config.introspection.clone();
            let keys = Arc::new(IssuerKeys::new(config, Arc::clone(&fetch)));
            if let Some(config) = introspection {
                let one = Introspector::new(Arc::clone(&keys), config, Arc::clone(&fetch));
                let one = one.map_err(|_| IssuerError::Random)?;
                if asked.replace(one).is_some() {
                    return Err(IssuerError::TwoAsked(issuer));
                }
            }
            if by_name.insert(issuer.as_str().to_owned(), keys).is_some() {
                return Err(IssuerError::Twice(issuer));
            }
        }
        Ok(Self {
            issuers: by_name,
            verified: Cache::new(VERIFIED_TOKENS_MAX),
            asked,
            senders: Senders::new().map_err(|_| IssuerError::Random)?,
        })
    }

    /// Reads the keys of every issuer, and from now on takes proofs of senders; what could not be read is returned, and tried again when a token needs it.
    pub async fn load(&self, now: Timestamp) -> Vec<IdentityError> {
        self.senders.begin(now);
        let all = self.issuers.values().map(|issuer| async move {
            let read = issuer.current(None, now).await;
            read.err().map(|source| no_keys(issuer, source))
        });
        join_all(all).await.into_iter().flatten().collect()
    }

    /// Whether every issuer has keys to judge by. One that is asked about its tokens may have none.
    pub fn ready(&self) -> bool {
        let ready =
            |issuer: &Arc<IssuerKeys>| issuer.ready() || issuer.config.introspection.is_some();
        self.issuers.values().all(ready)
    }

    /// The configured issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.issuers.values().map(|issuer| &issuer.config)
    }

    /// Whether tokens that are bound to keys are taken: required only if every issuer's must be.
    pub fn dpop(&self) -> Dpop {
        let mut all = self.issuers().map(|issuer| issuer.proof.dpop);
        let Some(first) = all.next() else {
            return Dpop::Off;
        };
        match all.all(|other| other == first) {
            true => first,
            false => Dpop::Allowed,
        }
    }

    /// Every scope without which some issuer's callers may do nothing: what a challenge asks for before the caller is known.
    pub fn required_scopes(&self) -> BTreeSet<&str> {
        self.issuers()
            .flat_map(|issuer| issuer.required_scopes.iter().map(String::as_str))
            .collect()
    }

    /// A nonce for proofs of senders, where some issuer's need one (RFC 9449 §9), and for a while after the start wherever there are
    /// proofs.
    pub fn nonce(&self, now: Timestamp) -> Option<String> {
        let needed = |issuer: &IssuerConfig| match issuer.proof.dpop {
            Dpop::Off => false,
            Dpop::Allowed | Dpop::Required => issuer.proof.nonce || self.senders.settles(now),
        };
        let needed = self.issuers().any(needed);
        needed.then(|| self.senders.nonce(now))
    }

    /// Verifies the access token of one request, and that whoever shows it is who it was issued to.
    pub async fn verify(
        &self,
        credentials: Credentials,
        now: Timestamp,
    ) -> Result<Arc<Caller>, IdentityError> {
        let known = self.judged(&credentials, now).await?;
        let config = &known.issuer.config.proof;
        self.senders
            .check(&credentials, &known.binding, config, now)?;
        Ok(Arc::clone(&known.caller))
    }

    /// A token that is good, whoever shows it: by its signature, by what its issuer says of it, or by both.
    async fn judged(
        &self,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Arc<Verified>, IdentityError> {
        let (token, from) = (credentials.token(), credentials.from());
        let Some(asked) = &self.asked else {
            return self.known(token, now).await;
        };
        if !introspect::is_jwt(token) {
            let (caller, binding) = asked.caller(token, from, now).await?;
            return Ok(Arc::new(Verified {
                caller: Arc::new(caller),
                binding,
                issuer: Arc::clone(&asked.issuer),
                epoch: 0,
            }));
        }
        let known = self.known(token, now).await?;
        if asked.is_about_all() && Arc::ptr_eq(&asked.issuer, &known.issuer) {
            asked
                .confirm(token, from, (&known.caller, &known.binding), now)
                .await?;
        }
        Ok(known)
    }

    /// A JWT whose signature and claims are good.
    async fn known(
        &self,
        token: &BearerToken,
        now: Timestamp,
    ) -> Result<Arc<Verified>, IdentityError> {
        let digest = token.digest();
        if let Some(known) = self.remembered(&digest, now).await? {
            return Ok(known);
        }
        let read = Unverified::read(token)?;
        token::check_type(&read)?;
        let issuer = self.issuer(read.issuer()?)?;
        let Loaded { set, epoch } = keys(issuer, &read.header.key_id, now).await?;
        let (caller, binding) = token::verify_read(token, &read, &issuer.config, &set, now)?;
        let verified = Arc::new(Verified {
            caller: Arc::new(caller),
            binding,
            issuer: Arc::clone(issuer),
            epoch,
        });
        self.verified.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    /// Verifies the ID token that answers our sign-in at `issuer`.
    pub async fn verify_id_token(
        &self,
        token: BearerToken,
        issuer: &Issuer,
        client_id: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<SignedIn, IdentityError> {
        let read = Unverified::read(&token)?;
        let issuer = self.issuer(issuer.as_str())?;
        let Loaded { set, .. } = keys(issuer, &read.header.key_id, now).await?;
        id_token::verify_read(&token, &read, &issuer.config, client_id, nonce, &set, now)
    }

    /// A token that was verified before, if it still holds and its issuer's keys are those it was verified with.
    async fn remembered(
        &self,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<Arc<Verified>>, IdentityError> {
        let Some(known) = self.verified.get(digest) else {
            return Ok(None);
        };
        let loaded = keys(&known.issuer, &known.caller.token().key_id, now).await?;
        if known.caller.holds(now) && loaded.epoch == known.epoch {
            return Ok(Some(known));
        }
        self.verified.invalidate(digest);
        Ok(None)
    }

    fn issuer(&self, name: &str) -> Result<&Arc<IssuerKeys>, IdentityError> {
        self.issuers
            .get(name)
            .ok_or_else(|| IdentityError::UnknownIssuer { found: shown(name) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity")
            .field("issuers", &self.issuers.keys())
            .finish_non_exhaustive()
    }
}

async fn keys(
    issuer: &Arc<IssuerKeys>,
    key_id: &str,
    now: Timestamp,
) -> Result<Loaded, IdentityError> {
    issuer
        .current(Some(key_id), now)
        .await
        .map_err(|source| no_keys(issuer, source))
}

fn no_keys(issuer: &IssuerKeys, source: Arc<KeyError>) -> IdentityError {
    IdentityError::Keys {
        issuer: issuer.config.issuer.clone(),
        source,
    }
}

/// What a configuration must have, whoever made it.
fn check(config: &IssuerConfig) -> Result<(), IssuerError> {
    let issuer = || config.issuer.clone();
    let is_hmac = |algorithm: &jsonwebtoken::Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
    if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
        return Err(IssuerError::NoAudience(issuer()));
    }
    if config.algorithms.is_empty() {
        return Err(IssuerError::NoAlgorithm(issuer()));
    }
    if config.algorithms.iter().any(is_hmac) {
        if !config.algorithms.iter().all(is_hmac) {
            return Err(IssuerError::MixedAlgorithms(issuer()));
        }
        if !matches!(config.keys, KeySource::File(_)) {
            return Err(IssuerError::SecretFromNetwork(issuer()));
        }
    }
    match config.client_claim.as_str() {
        "client_id" | "azp" => Ok(()),
        _ => Err(IssuerError::ClientClaim(issuer())),
    }
}

#[cfg(test)]
mod tests;
