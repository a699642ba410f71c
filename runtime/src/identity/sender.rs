//! Whether whoever shows a token is the one it was issued to: a key that signs a proof (RFC 9449), a certificate (RFC 8705).
//!
//! [`Credentials`] is what a request shows, [`Binding`] what its token asks for. Judged for every request anew: nothing here is
//! remembered but which proofs were used. Never looks at the `Host` of a request.

mod nonce;
mod proof;
mod replay;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use http::request::Parts;
use serde_json::Value;
use url::Url;

use super::bearer::{BearerToken, Scheme};
use super::claims::Claims;
use super::error::IdentityError;
use super::strict;
use crate::clock::Timestamp;
use crate::config::{Dpop, ProofConfig};
use crate::ids::Digest;
use crate::limits::{DPOP_AGE_MAX, DPOP_AHEAD_MAX};

pub(crate) use proof::ALGORITHMS;
pub use proof::ProofError;

use nonce::Nonces;
use proof::{Proof, Sent};
use replay::Replays;

/// The certificate by which the peer of a TLS connection proved itself, as the listener says it in the extensions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate {
    thumbprint: Digest,
}

impl PeerCertificate {
    /// Of a certificate in DER (RFC 8705 §3.1).
    pub fn of_der(certificate: &[u8]) -> Self {
        Self {
            thumbprint: Digest::of(certificate),
        }
    }

    /// SHA-256 of the certificate in DER: what `cnf` of a bound token names as `x5t#S256`, before it is written in base64url.
    pub fn thumbprint(&self) -> &[u8; 32] {
        self.thumbprint.as_bytes()
    }
}

/// What a request shows to prove who asks. Never printed.
pub struct Credentials {
    token: BearerToken,
    shown: Shown,
    certificate: Option<PeerCertificate>,
    from: Option<IpAddr>,
}

/// How the token is shown.
enum Shown {
    Bearer,
    WithProof(Sent),
}

impl Credentials {
    /// A bearer token without any proof of its sender, from elsewhere than a request.
    pub fn bearer(token: BearerToken) -> Self {
        Self {
            token,
            shown: Shown::Bearer,
            certificate: None,
            from: None,
        }
    }

    /// Those of one request, for which proofs must name `public` with the path of the request. Where `dpop` is not taken, its
    /// scheme is as any other that we do not know.
    pub fn from_request(parts: &Parts, public: &Url, dpop: bool) -> Result<Self, IdentityError> {
        let (scheme, token) = BearerToken::from_headers(&parts.headers, parts.uri.query())?;
        let shown = match (scheme, dpop) {
            (Scheme::Bearer, _) => Shown::Bearer,
            (Scheme::Dpop, true) => Shown::WithProof(Sent::of(parts, public)?),
            (Scheme::Dpop, false) => return Err(IdentityError::OtherScheme),
        };
        let certificate = parts.extensions.get::<PeerCertificate>().copied();
        Ok(Self {
            token,
            shown,
            certificate,
            from: None,
        })
    }

    /// The same from an address that has a share of what there is for all; none where addresses are not told apart.
    pub fn sent_from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    pub(super) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// The token.
    pub fn token(&self) -> &BearerToken {
        &self.token
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials(…)")
    }
}

/// What a token is bound to, by its claim `cnf` (RFC 7800).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Binding {
    /// RFC 9449 §6.1: the thumbprint of the key that signs proofs.
    pub(super) key: Option<Digest>,
    /// RFC 8705 §3.1: the thumbprint of the certificate of the connection.
    pub(super) certificate: Option<Digest>,
}

impl Binding {
    /// Reads `cnf`. RFC 7800 §3.1 lets members be ignored that are not understood; then a token would count for whoever has it.
    pub(super) fn of(claims: Claims<'_>) -> Result<Self, IdentityError> {
        let wrong = |problem| IdentityError::claim("cnf", problem);
        let members = match claims.0.get("cnf") {
            None => return Ok(Self::default()),
            Some(Value::Object(members)) if !members.is_empty() => members,
            Some(_) => return Err(wrong("is not an object that names a key or a certificate")),
        };
        let mut binding = Self::default();
        for (name, value) in members {
            let place = match name.as_str() {
                "jkt" => &mut binding.key,
                "x5t#S256" => &mut binding.certificate,
                _ => return Err(wrong("binds the token in a way that is not understood")),
            };
            let thumbprint = value
                .as_str()
                .and_then(|text| strict::base64url(text).ok())
                .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
            *place = Some(Digest::from(thumbprint.ok_or_else(|| {
                wrong("holds something else than a SHA-256 thumbprint")
            })?));
        }
        Ok(binding)
    }

    /// Whether it binds to nothing.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Judges senders.
pub(super) struct Senders {
    nonces: Nonces,
    replays: Replays,
    /// When this process began to remember proofs, in milliseconds since 1970.
    since: AtomicI64,
}

impl Senders {
    pub(super) fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self {
            nonces: Nonces::new()?,
            replays: Replays::default(),
            since: AtomicI64::new(i64::MIN),
        })
    }

    /// From here on proofs are taken: which were used before is not known.
    pub(super) fn begin(&self, now: Timestamp) {
        self.since.fetch_max(now.0, Ordering::SeqCst);
    }

    /// The last time that a proof can bear which was used before this process began: it was not further ahead then than any may be.
    fn used_until(&self) -> Timestamp {
        Timestamp(self.since.load(Ordering::SeqCst)).plus(DPOP_AHEAD_MAX)
    }

    /// Whether a proof from before this process could still count, so that a nonce is asked for.
    pub(super) fn settles(&self, now: Timestamp) -> bool {
        now <= self.used_until().plus(DPOP_AGE_MAX)
    }

    /// A nonce for the next proof.
    pub(super) fn nonce(&self, now: Timestamp) -> String {
        self.nonces.make(now)
    }

    /// Whether these credentials show all that their token asks for, and all that its issuer's tokens must.
    pub(super) fn check(
        &self,
        credentials: &Credentials,
        binding: &Binding,
        config: &ProofConfig,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        // The certificate first: it costs nothing, and a proof that is looked at is used up.
        if let Some(thumbprint) = binding.certificate {
            let shown = credentials.certificate.map(|one| one.thumbprint);
            if shown != Some(thumbprint) {
                return Err(IdentityError::OtherCertificate);
            }
        }
        match (&credentials.shown, binding.key, config.dpop) {
            // RFC 9449 §7.2: a bound token is never taken without its proof, whatever is configured.
            (Shown::Bearer, Some(_), Dpop::Off | Dpop::Allowed | Dpop::Required) => {
                Err(IdentityError::SenderConstrained)
            }
            (Shown::Bearer, None, Dpop::Off | Dpop::Allowed) => Ok(()),
            (Shown::Bearer | Shown::WithProof(_), None, Dpop::Required)
            | (Shown::WithProof(_), None, Dpop::Allowed) => Err(IdentityError::Unbound),
            (Shown::WithProof(_), Some(_) | None, Dpop::Off) => Err(IdentityError::OtherScheme),
            (Shown::WithProof(sent), Some(key), Dpop::Allowed | Dpop::Required) => self
                .check_proof(sent, &credentials.token, key, config.nonce, now)
                .map_err(IdentityError::Proof),
        }
    }

    fn check_proof(
        &self,
        sent: &Sent,
        token: &BearerToken,
        key: Digest,
        nonce: bool,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let proof = Proof::verify(sent, token, key)?;
        proof.check_time(now)?;
        // RFC 9449 §8: only a nonce of this process shows that the proof was made since it began, whatever time it bears.
        if nonce || proof.made <= self.used_until() {
            let shown = proof.nonce.as_deref().ok_or(ProofError::NoNonce)?;
            if !self.nonces.is_ours(shown, now) {
                return Err(ProofError::OldNonce);
            }
        }
        // Last, so that only a proof that would have counted takes room.
        self.replays.take(key, &proof.id, now)
    }
}

#[cfg(test)]
mod tests;
