//! Bearer token to [`Caller`]: an OAuth 2.1 resource server.
//!
//! In reading order: `bearer` takes the token from the request, `jws` takes it apart and verifies its signature with a key of
//! `keys`, `claims` reads what it says, and `token` decides. `source` keeps the keys fresh. `id_token` does for the browser's
//! sign-in what `token` does for calls.
//!
//! Never passes a token on; past this stage there is none.

mod bearer;
mod claims;
mod discovery;
mod error;
pub mod id_token;
mod jws;
mod keys;
mod self_test;
mod source;
mod strict;
pub mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use jsonwebtoken::AlgorithmFamily;
use moka::sync::Cache;
use url::Url;

pub use bearer::BearerToken;
pub use claims::{Actor, ClaimValue};
pub use discovery::{Metadata, discover};
pub use error::{IdentityError, PublicError};
pub use id_token::SignedIn;
pub use keys::{KeyError, KeySet, Skip};
pub use self_test::{SelfTestError, self_test};
pub use strict::StrictError;
pub(crate) use strict::object as strict_object;
pub use token::{Caller, TokenFacts};

pub use crate::config::{ClaimType, ExtraClaim, ScopeMap};

use error::shown;
use jws::Unverified;
use source::{IssuerKeys, Loaded};

use crate::clock::Timestamp;
pub use crate::config::IssuerConfig;
use crate::config::KeySource;
use crate::ids::{Digest, Issuer};

#[cfg(test)]
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
}

/// Why a URL gave no answer that counts.
#[derive(Debug)]
pub struct FetchError(Box<dyn std::error::Error + Send + Sync>);

impl FetchError {
    /// With the error of whatever carried the request, or with a text.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
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
}

/// A token that was verified: known by its digest, good for as long as its keys and its own time hold.
struct Verified {
    caller: Arc<Caller>,
    issuer: Arc<IssuerKeys>,
    epoch: u64,
}

impl Identity {
    /// With these issuers, whose documents `fetch` carries. Nothing is read yet.
    pub fn new(issuers: Vec<IssuerConfig>, fetch: Arc<dyn FetchKeys>) -> Result<Self, IssuerError> {
        let mut by_name = BTreeMap::new();
        for config in issuers {
            check(&config)?;
            let issuer = config.issuer.clone();
            let keys = Arc::new(IssuerKeys::new(config, Arc::clone(&fetch)));
            if by_name.insert(issuer.as_str().to_owned(), keys).is_some() {
                return Err(IssuerError::Twice(issuer));
            }
        }
        Ok(Self {
            issuers: by_name,
            verified: Cache::new(VERIFIED_TOKENS_MAX),
        })
    }

    /// Reads the keys of every issuer; what could not be read is returned, and tried again when a token needs it.
    pub async fn load(&self, now: Timestamp) -> Vec<IdentityError> {
        let all = self.issuers.values().map(|issuer| async move {
            let read = issuer.current(None, now).await;
            read.err().map(|source| no_keys(issuer, source))
        });
        join_all(all).await.into_iter().flatten().collect()
    }

    /// Whether every issuer has keys to judge by.
    pub fn ready(&self) -> bool {
        self.issuers.values().all(|issuer| issuer.ready())
    }

    /// The configured issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.issuers.values().map(|issuer| &issuer.config)
    }

    /// Every scope without which some issuer's callers may do nothing: what a challenge asks for before the caller is known.
    pub fn required_scopes(&self) -> BTreeSet<&str> {
        self.issuers()
            .flat_map(|issuer| issuer.required_scopes.iter().map(String::as_str))
            .collect()
    }

    /// Verifies the access token of one request.
    pub async fn verify(
        &self,
        token: BearerToken,
        now: Timestamp,
    ) -> Result<Arc<Caller>, IdentityError> {
        let digest = token.digest();
        if let Some(caller) = self.remembered(&digest, now).await? {
            return Ok(caller);
        }
        let read = Unverified::read(&token)?;
        token::check_type(&read)?;
        let issuer = self.issuer(read.issuer()?)?;
        let Loaded { set, epoch } = keys(issuer, &read.header.key_id, now).await?;
        let caller = Arc::new(token::verify_read(
            &token,
            &read,
            &issuer.config,
            &set,
            now,
        )?);
        let verified = Verified {
            caller: Arc::clone(&caller),
            issuer: Arc::clone(issuer),
            epoch,
        };
        self.verified.insert(digest, Arc::new(verified));
        Ok(caller)
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

    /// The caller of a token that was verified before, if the token still holds and its issuer's keys are those it was verified with.
    async fn remembered(
        &self,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<Arc<Caller>>, IdentityError> {
        let Some(known) = self.verified.get(digest) else {
            return Ok(None);
        };
        let loaded = keys(&known.issuer, &known.caller.token().key_id, now).await?;
        if known.caller.holds(now) && loaded.epoch == known.epoch {
            return Ok(Some(Arc::clone(&known.caller)));
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
