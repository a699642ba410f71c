//! An issuer's key set (RFC 7517), reduced to the keys that may verify a token.
//!
//! A key that is not understood is skipped, so that one odd key does not cost the others; a symmetric or private key in a public
//! set is never taken, and said aloud.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::error::shown;
use super::strict::{self, StrictError};
use crate::ids::Digest;
use crate::limits::{JWKS_BYTES_MAX, JWKS_KEYS_MAX};

/// Longest key id, in bytes. A SHA-256 thumbprint has 43; ids are matched, never used as a path or a query.
pub(super) const KEY_ID_BYTES_MAX: usize = 128;
/// Least size of an RSA modulus, in bits: NIST SP 800-131A, RFC 7518 §3.3.
const RSA_BITS_MIN: usize = 2048;

/// Why there is no key set to judge by.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nothing was read yet.
    #[error("no key set was read yet")]
    NotYet,
    /// The file cannot be read.
    #[error("the file `{file}` cannot be read")]
    File {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// The URL gave no answer that counts.
    #[error("`{url}` could not be fetched")]
    Fetch {
        url: String,
        #[source]
        source: super::FetchError,
    },
    /// The whole fetch took too long.
    #[error("the keys were not fetched within {limit:?}")]
    Deadline { limit: Duration },
    /// Larger than any set we read.
    #[error("the document has more than {max} bytes")]
    TooLarge { max: usize },
    /// More keys than any set we read.
    #[error("the set has more than {max} keys")]
    TooMany { max: usize },
    /// Not a JSON object, strictly.
    #[error("the document cannot be read")]
    Json(#[source] StrictError),
    /// A member is missing or of the wrong type.
    #[error("the member `{name}` {problem}")]
    Member {
        name: &'static str,
        problem: &'static str,
    },
    /// RFC 8414 §3.3: metadata of somebody else.
    #[error("the metadata is that of {found}, not of the issuer that was asked")]
    OtherIssuer { found: String },
    /// The last good set is too old to judge by.
    #[error("the last good key set is older than {max:?} and no newer one could be read")]
    Stale { max: Duration },
}

/// Why one key of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// `kid` is missing, empty, too long or no string.
    #[error("it has no usable `kid`")]
    NoId,
    /// Two keys of one id: a token could mean either.
    #[error("its `kid` is that of another key as well")]
    DuplicateId,
    /// `kty` or `crv` is unknown to us.
    #[error("its type or curve is not known")]
    UnknownType,
    /// `use` or `key_ops` is for something else.
    #[error("it is not meant for verifying signatures")]
    OtherUse,
    /// No one algorithm that both the key and the issuer's configuration name.
    #[error("it has no one algorithm that is also allowed for the issuer")]
    Algorithm,
    /// A public set that holds a secret.
    #[error("it is a symmetric key")]
    Symmetric,
    /// A public set that holds a private key.
    #[error("it is a private key")]
    Private,
    /// Too small, or a point that is not on its curve.
    #[error("it is too weak, or no key at all")]
    Weak,
    /// A parameter is missing or cannot be decoded.
    #[error("a parameter is missing or cannot be decoded")]
    Malformed,
}

impl Skip {
    /// Whether the issuer has published what it should have kept.
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::Symmetric | Self::Private)
    }
}

/// The usable keys of one issuer, by `kid`.
#[derive(Debug)]
pub struct KeySet {
    keys: BTreeMap<String, Key>,
    skipped: Vec<(String, Skip)>,
    digest: Digest,
}

/// One key and the one algorithm it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl KeySet {
    /// Reads a JWK Set and keeps the keys that fit one of `algorithms`.
    ///
    /// Symmetric keys are taken only when every one of `algorithms` is HMAC.
    pub fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(KeyError::TooLarge {
                max: JWKS_BYTES_MAX,
            });
        }
        let document = strict::object(bytes).map_err(KeyError::Json)?;
        let Some(Value::Array(entries)) = document.get("keys") else {
            return Err(KeyError::Member {
                name: "keys",
                problem: "is not an array",
            });
        };
        if entries.len() > JWKS_KEYS_MAX {
            return Err(KeyError::TooMany { max: JWKS_KEYS_MAX });
        }

        let mut by_id: BTreeMap<&str, Vec<&Map<String, Value>>> = BTreeMap::new();
        let mut skipped = Vec::new();
        for entry in entries {
            let named = entry
                .as_object()
                .and_then(|jwk| key_id(jwk).map(|id| (id, jwk)));
            match named {
                Some((id, jwk)) => by_id.entry(id).or_default().push(jwk),
                None => skipped.push(("(none)".to_owned(), Skip::NoId)),
            }
        }
        let mut keys = BTreeMap::new();
        for (id, jwks) in by_id {
            let read = match jwks.as_slice() {
                [jwk] => read(jwk, algorithms),
                _ => Err(Skip::DuplicateId),
            };
            match read {
                Ok(key) => {
                    keys.insert(id.to_owned(), key);
                }
                Err(skip) => skipped.push((shown(id), skip)),
            }
        }
        Ok(Self {
            keys,
            skipped,
            digest: Digest::of(bytes),
        })
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that are not used, by id as the log may show it.
    pub fn skipped(&self) -> &[(String, Skip)] {
        &self.skipped
    }

    /// What the set was read from.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The key of exactly this id.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }
}

fn key_id(jwk: &Map<String, Value>) -> Option<&str> {
    jwk.get("kid")?
        .as_str()
        .filter(|id| !id.is_empty() && id.len() <= KEY_ID_BYTES_MAX)
}

/// One key, if it may verify with one of `algorithms`.
pub(super) fn read(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Result<Key, Skip> {
    let kind = text(jwk, "kty")?;
    let symmetric = kind == "oct" || jwk.contains_key("k");
    let hmac_alone = algorithms
        .iter()
        .all(|algorithm| algorithm.family() == AlgorithmFamily::Hmac);
    if symmetric && !hmac_alone {
        return Err(Skip::Symmetric);
    }
    // RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2: the members of private keys.
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"]
        .iter()
        .any(|member| jwk.contains_key(*member))
    {
        return Err(Skip::Private);
    }
    verifies(jwk)?;

    let fitting: &[Algorithm] = match (kind, jwk.get("crv").and_then(Value::as_str)) {
        ("RSA", _) => AlgorithmFamily::Rsa.algorithms(),
        ("EC", Some("P-256")) => &[Algorithm::ES256],
        ("EC", Some("P-384")) => &[Algorithm::ES384],
        ("OKP", Some("Ed25519")) => &[Algorithm::EdDSA],
        ("oct", _) => AlgorithmFamily::Hmac.algorithms(),
        _ => return Err(Skip::UnknownType),
    };
    let algorithm = one_algorithm(jwk, fitting, algorithms)?;
    let decoding = match kind {
        "RSA" => rsa(jwk)?,
        "EC" => elliptic(jwk, algorithm)?,
        "OKP" => edwards(jwk)?,
        _ => secret(jwk, algorithm)?,
    };
    Ok(Key {
        algorithm,
        decoding,
    })
}

/// RFC 7517 §4.2, §4.3: what a key is not meant for, it is not used for.
fn verifies(jwk: &Map<String, Value>) -> Result<(), Skip> {
    let used = match jwk.get("use") {
        None => true,
        Some(Value::String(for_what)) => for_what == "sig",
        Some(_) => false,
    };
    let may = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => {
            operations.iter().all(Value::is_string)
                && operations.iter().any(|operation| operation == "verify")
        }
        Some(_) => false,
    };
    if used && may {
        Ok(())
    } else {
        Err(Skip::OtherUse)
    }
}

/// The one algorithm of a key: the one it names, or the only one that it fits and the issuer may use.
fn one_algorithm(
    jwk: &Map<String, Value>,
    fitting: &[Algorithm],
    allowed: &[Algorithm],
) -> Result<Algorithm, Skip> {
    let mut candidates = fitting
        .iter()
        .copied()
        .filter(|algorithm| allowed.contains(algorithm));
    match jwk.get("alg") {
        // RFC 8725 §3.1: each key is used with exactly one algorithm.
        None => match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Skip::Algorithm),
        },
        Some(Value::String(named)) => candidates
            .find(|algorithm| named.parse::<Algorithm>().ok() == Some(*algorithm))
            .ok_or(Skip::Algorithm),
        Some(_) => Err(Skip::Algorithm),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, Skip> {
    let modulus = octets(jwk, "n")?;
    let exponent = octets(jwk, "e")?;
    let n = without_leading_zeros(&modulus);
    let e = without_leading_zeros(&exponent);
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if bits(n) < RSA_BITS_MIN || !odd(n) || !odd(e) || e == [1] {
        return Err(Skip::Weak);
    }
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| Skip::Weak)?;
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

fn elliptic(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<DecodingKey, Skip> {
    let (verifier, bytes) = match algorithm {
        Algorithm::ES256 => (&ECDSA_P256_SHA256_FIXED, 32),
        _ => (&ECDSA_P384_SHA384_FIXED, 48),
    };
    // RFC 7518 §6.2.1.2: the coordinates have the full size of the curve.
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != bytes || y.len() != bytes {
        return Err(Skip::Malformed);
    }
    let point = [&[4][..], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(verifier, &point).map_err(|_| Skip::Weak)?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn edwards(jwk: &Map<String, Value>) -> Result<DecodingKey, Skip> {
    let x = octets(jwk, "x")?;
    if x.len() != 32 {
        return Err(Skip::Malformed);
    }
    ParsedPublicKey::new(&ED25519, x.as_slice()).map_err(|_| Skip::Weak)?;
    Ok(DecodingKey::from_ed_der(&x))
}

fn secret(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<DecodingKey, Skip> {
    let key = octets(jwk, "k")?;
    // RFC 7518 §3.2: a key as long as the hash, or longer.
    let least = match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        _ => 64,
    };
    if key.len() < least {
        return Err(Skip::Weak);
    }
    Ok(DecodingKey::from_secret(&key))
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, Skip> {
    jwk.get(name).and_then(Value::as_str).ok_or(Skip::Malformed)
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, Skip> {
    strict::base64url(text(jwk, name)?).map_err(|_| Skip::Malformed)
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn bits(number: &[u8]) -> usize {
    match number.split_first() {
        None => 0,
        Some((first, rest)) => {
            let unused = usize::try_from(first.leading_zeros()).unwrap_or(0);
            rest.len() * 8 + 8 - unused
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
