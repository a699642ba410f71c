//! One DPoP proof (RFC 9449 §4.2): a JWT that brings its own key and names the one request and the one token that it is for.
//!
//! All checks of RFC 9449 §4.3 but those that need memory. The key counts only if it is the one that the token names.

use http::request::Parts;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use url::{Position, Url};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::identity::bearer::BearerToken;
use crate::identity::jws::UNKNOWN_HEADERS;
use crate::identity::keys::{self, Key, Skip};
use crate::identity::strict::{self, StrictError};
use crate::ids::Digest;
use crate::limits::{DPOP_AGE_MAX, DPOP_AHEAD_MAX, DPOP_PROOF_BYTES_MAX};

/// The algorithms of proofs by their names (RFC 9449 §4.3: asymmetric ones). `Ed25519` is what RFC 9864 calls `EdDSA`.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("Ed25519", Algorithm::EdDSA),
    ("PS256", Algorithm::PS256),
    ("RS256", Algorithm::RS256),
];
/// Longest `jti`, in bytes. A UUID has 36.
const ID_BYTES_MAX: usize = 256;

/// Why a proof does not count. No text here holds one.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The scheme says that there is one.
    #[error("the request has no `DPoP` header")]
    Missing,
    /// Which would decide?
    #[error("the request has several `DPoP` headers")]
    Several,
    /// Longer than any proof.
    #[error("the proof has {bytes} bytes; at most {max} are read")]
    TooLong { bytes: usize, max: usize },
    /// Not header, payload and signature.
    #[error("the proof is not a signed JWT in compact form")]
    Shape,
    /// A part is not strict base64url or strict JSON.
    #[error("the proof cannot be read")]
    Part(#[from] StrictError),
    /// A header member that is missing, of the wrong type, or not understood.
    #[error("the proof's header member `{0}` is missing, of another form or not understood")]
    Header(&'static str),
    /// An algorithm that signs no proofs.
    #[error("the proof is signed with an algorithm that is not accepted")]
    Algorithm,
    /// The key in the proof is none.
    #[error("the key in the proof is not used: {0}")]
    Key(Skip),
    /// The token is bound to another key.
    #[error("the proof is by another key than the one that the token is bound to")]
    OtherKey,
    /// The signature is not that of the key.
    #[error("the proof's signature is not that of its key")]
    Signature,
    /// A claim that is missing or of the wrong form.
    #[error("the proof's claim `{0}` is missing or of another form")]
    Claim(&'static str),
    /// The proof is for another method.
    #[error("the proof is for another method")]
    Method,
    /// The proof is for another URL.
    #[error("the proof is for another URL than this one of `public_url`")]
    Url,
    /// The proof is for another token.
    #[error("the proof is for another token")]
    OtherToken,
    /// Made too long ago.
    #[error("the proof was made at {}, which is too long ago", .at.rfc3339())]
    Old { at: Timestamp },
    /// Made by a clock that is ahead.
    #[error("the proof was made at {}, which lies ahead", .at.rfc3339())]
    Ahead { at: Timestamp },
    /// Our nonce is not in it.
    #[error(
        "the proof has no nonce, and needs one: its issuer's tokens do, or it could be from before this server started"
    )]
    NoNonce,
    /// A nonce that is over, or not ours.
    #[error("the proof's nonce is not ours, or is over")]
    OldNonce,
    /// It was shown before.
    #[error("the proof was used before")]
    Used,
    /// So many proofs were used that no further one can be remembered.
    #[error("so many proofs were shown that no further one can be remembered")]
    NoRoom,
}

/// A proof as it came, with the request that it must be for.
pub(super) struct Sent {
    proof: Zeroizing<String>,
    method: String,
    url: Url,
}

impl Sent {
    /// The one proof of a request. Its URL is ours with the path of the request.
    pub(super) fn of(parts: &Parts, public: &Url) -> Result<Self, ProofError> {
        let mut shown = parts.headers.get_all("dpop").iter();
        let proof = match (shown.next(), shown.next()) {
            (None, _) => return Err(ProofError::Missing),
            (Some(_), Some(_)) => return Err(ProofError::Several),
            (Some(one), None) => one.to_str().map_err(|_| ProofError::Shape)?,
        };
        if proof.len() > DPOP_PROOF_BYTES_MAX {
            return Err(ProofError::TooLong {
                bytes: proof.len(),
                max: DPOP_PROOF_BYTES_MAX,
            });
        }
        let mut url = public.clone();
        url.set_path(parts.uri.path());
        Ok(Self {
            proof: Zeroizing::new(proof.to_owned()),
            method: parts.method.as_str().to_owned(),
            url,
        })
    }
}

/// A proof that is for its request, its token and the token's key. Its time is not judged yet.
pub(super) struct Proof {
    pub(super) id: String,
    pub(super) nonce: Option<String>,
    pub(super) made: Timestamp,
}

impl Proof {
    pub(super) fn verify(
        sent: &Sent,
        token: &BearerToken,
        key: Digest,
    ) -> Result<Self, ProofError> {
        let mut parts = sent.proof.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ProofError::Shape);
        };
        let (names, claims) = (object(header)?, object(payload)?);
        strict::base64url(signature)?;
        let (algorithm, jwk) = named(&names)?;
        let own = keys::read(jwk, &[algorithm]).map_err(ProofError::Key)?;
        if thumbprint(jwk)? != key {
            return Err(ProofError::OtherKey);
        }
        let signed = sent
            .proof
            .get(..header.len() + 1 + payload.len())
            .ok_or(ProofError::Shape)?;
        if !is_signature(signature, signed, &own) {
            return Err(ProofError::Signature);
        }
        let text = |name: &'static str| {
            let value = claims.get(name).and_then(Value::as_str);
            value.ok_or(ProofError::Claim(name))
        };
        // RFC 9110 §9.1: a method is case-sensitive.
        if text("htm")? != sent.method {
            return Err(ProofError::Method);
        }
        if !is_same(text("htu")?, &sent.url) {
            return Err(ProofError::Url);
        }
        let hash = strict::base64url(text("ath")?)?;
        if hash.as_slice() != token.digest().as_bytes() {
            return Err(ProofError::OtherToken);
        }
        let id = text("jti")?;
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(ProofError::Claim("jti"));
        }
        let nonce = match claims.contains_key("nonce") {
            true => Some(text("nonce")?.to_owned()),
            false => None,
        };
        Ok(Self {
            id: id.to_owned(),
            nonce,
            made: time(&claims)?,
        })
    }

    /// Whether it was made just now.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), ProofError> {
        let at = self.made;
        if at > now.plus(DPOP_AHEAD_MAX) {
            return Err(ProofError::Ahead { at });
        }
        if now.since(at) > DPOP_AGE_MAX {
            return Err(ProofError::Old { at });
        }
        Ok(())
    }
}

fn object(part: &str) -> Result<Map<String, Value>, StrictError> {
    strict::object(&strict::base64url(part)?)
}

/// The algorithm and the key that a header names.
fn named(header: &Map<String, Value>) -> Result<(Algorithm, &Map<String, Value>), ProofError> {
    for name in UNKNOWN_HEADERS {
        if header.contains_key(name) {
            return Err(ProofError::Header(name));
        }
    }
    let text = |name: &'static str| {
        let value = header.get(name).and_then(Value::as_str);
        value.ok_or(ProofError::Header(name))
    };
    if !text("typ")?.eq_ignore_ascii_case("dpop+jwt") {
        return Err(ProofError::Header("typ"));
    }
    let alg = text("alg")?;
    let known = ALGORITHMS.into_iter().find(|(name, _)| *name == alg);
    let (_, algorithm) = known.ok_or(ProofError::Algorithm)?;
    match header.get("jwk") {
        Some(Value::Object(jwk)) => Ok((algorithm, jwk)),
        Some(_) | None => Err(ProofError::Header("jwk")),
    }
}

/// RFC 7638 §3: SHA-256 of the members that make the key, in the order of their names. That they are strict base64url or names
/// of curves was seen to when the key was read, so nothing in them needs an escape.
fn thumbprint(jwk: &Map<String, Value>) -> Result<Digest, ProofError> {
    let names: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        Some("RSA") => &["e", "kty", "n"],
        _ => return Err(ProofError::Key(Skip::UnknownType)),
    };
    let mut members = Vec::new();
    for name in names {
        let value = jwk.get(*name).and_then(Value::as_str);
        let value = value.ok_or(ProofError::Key(Skip::Malformed))?;
        members.push(format!("\"{name}\":\"{value}\""));
    }
    Ok(Digest::of(format!("{{{}}}", members.join(",")).as_bytes()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the payload was decoded strictly before, and the key is the one that the token names"
)]
fn is_signature(signature: &str, signed: &str, key: &Key) -> bool {
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.decoding, key.algorithm)
        .unwrap_or(false)
}

/// RFC 9449 §4.3: `htu` without query and fragment, after the normalisation of RFC 3986 §6.2.2 and §6.2.3, is ours.
fn is_same(named: &str, ours: &Url) -> bool {
    // What the URL standard repairs and RFC 3986 does not know.
    if !named
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return false;
    }
    let Ok(named) = Url::parse(named) else {
        return false;
    };
    let is_plain = named.username().is_empty() && named.password().is_none();
    let origin = |url: &Url| url[..Position::BeforePath].to_owned();
    is_plain && origin(&named) == origin(ours) && path(&named) == path(ours)
}

/// A path with its percent-encodings in one form. Case of scheme and host, default ports and dots were settled in parsing.
fn path(url: &Url) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = url.path().bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits: Vec<u8> = rest.by_ref().take(2).collect();
        let mut decoded = [0];
        match hex::decode_to_slice(&digits, &mut decoded) {
            Ok(()) if is_unreserved(decoded) => out.extend(decoded),
            _ => {
                out.push(b'%');
                out.extend(digits.to_ascii_uppercase());
            }
        }
    }
    out
}

/// RFC 3986 §2.3.
fn is_unreserved([byte]: [u8; 1]) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `iat`: whole seconds, or with a fraction.
fn time(claims: &Map<String, Value>) -> Result<Timestamp, ProofError> {
    crate::identity::claims::Claims(claims)
        .time_if_any("iat")
        .ok()
        .flatten()
        .ok_or(ProofError::Claim("iat"))
}
