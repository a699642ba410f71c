//! A signed JWT in compact form (RFC 7515 §3.1): taken apart strictly, then its signature verified by jsonwebtoken.
//!
//! The crate verifies signatures, issuer and audience. What it leaves open is read here and in `claims`, from the same bytes.

use jsonwebtoken::{Algorithm, Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bearer::BearerToken;
use super::error::{IdentityError, shown};
use super::keys::{KEY_ID_BYTES_MAX, Key, KeySet};
use super::strict;
use crate::ids::Issuer;
use crate::limits::TOKEN_BYTES_MAX;

/// A token that was read and not yet verified: good for choosing the issuer and the key, for nothing else.
pub(super) struct Unverified {
    pub(super) header: Header,
    pub(super) payload: Map<String, Value>,
}

/// What we use of a header. `jwk`, `jku`, `x5u` and `x5c` are not among it: a token does not bring its own key (RFC 8725 §3.10).
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) kind: Option<String>,
    pub(super) key_id: String,
}

/// RFC 7515 §4.1.11: an extension that must be understood, and we understand none. Nested (`cty`), compressed (`zip`) and
/// unencoded (`b64`, RFC 7797) payloads could be read in two ways.
pub(super) const UNKNOWN_HEADERS: [&str; 5] = ["crit", "cty", "zip", "b64", "enc"];

impl Unverified {
    /// Takes a token apart.
    pub(super) fn read(token: &BearerToken) -> Result<Self, IdentityError> {
        let text = token.reveal();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(IdentityError::TooLong {
                bytes: text.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdentityError::Shape(
                "it has not three parts between two dots",
            ));
        };
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(IdentityError::Shape("one of its three parts is empty"));
        }
        part(signature, "signature", strict::base64url)?;
        let header = part(header, "header", object)?;
        let payload = part(payload, "payload", object)?;
        Ok(Self {
            header: Header::read(&header)?,
            payload,
        })
    }

    /// `iss`, to find the issuer by; it counts as true only after the signature.
    pub(super) fn issuer(&self) -> Result<&str, IdentityError> {
        match self.payload.get("iss") {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(IdentityError::claim("iss", "is not one string")),
            None => Err(IdentityError::claim("iss", "is missing")),
        }
    }

    /// Finds the key and verifies the signature, `iss` and `aud` with it.
    pub(super) fn verify(
        &self,
        token: &BearerToken,
        issuer: &Issuer,
        audience: &[String],
        algorithms: &[Algorithm],
        keys: &KeySet,
    ) -> Result<Registered, IdentityError> {
        let key = keys
            .find(&self.header.key_id)
            .ok_or_else(|| IdentityError::UnknownKey {
                issuer: issuer.clone(),
            })?;
        // RFC 8725 §3.1: the algorithm is the key's and the issuer's; the header only has to agree, in exact case.
        let agrees = self.header.algorithm.parse::<Algorithm>().ok() == Some(key.algorithm);
        if !agrees || !algorithms.contains(&key.algorithm) {
            return Err(IdentityError::Algorithm {
                found: shown(&self.header.algorithm),
                wanted: key.algorithm,
            });
        }
        signed(token, key, issuer, audience)
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, IdentityError> {
        for name in UNKNOWN_HEADERS {
            if header.contains_key(name) {
                return Err(IdentityError::Header {
                    name,
                    problem: "is not understood",
                });
            }
        }
        let kind = match header.get("typ") {
            None => None,
            Some(_) => Some(text(header, "typ")?.to_owned()),
        };
        let key_id = text(header, "kid")?;
        if key_id.is_empty() || key_id.len() > KEY_ID_BYTES_MAX {
            return Err(IdentityError::Header {
                name: "kid",
                problem: "is empty or too long",
            });
        }
        Ok(Self {
            algorithm: text(header, "alg")?.to_owned(),
            kind,
            key_id: key_id.to_owned(),
        })
    }
}

/// The registered claims as jsonwebtoken's reader understands them: a second opinion, beside `claims`.
#[derive(Deserialize)]
pub(super) struct Registered {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: f64,
    pub(super) iat: f64,
}

/// `aud`: one string, or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

fn signed(
    token: &BearerToken,
    key: &Key,
    issuer: &Issuer,
    audience: &[String],
) -> Result<Registered, IdentityError> {
    use jsonwebtoken::errors::ErrorKind;

    let mut validation = Validation::new(key.algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(audience);
    // The crate compares times with the system clock alone; `Times::check` compares them with the `now` that we are given.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    decode::<Registered>(token.reveal(), &key.decoding, &validation)
        .map(|decoded| decoded.claims)
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidAudience => IdentityError::WrongAudience {
                found: "somebody else".to_owned(),
            },
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => IdentityError::Disagreement,
            _ => IdentityError::Signature,
        })
}

fn part<T>(
    text: &str,
    part: &'static str,
    read: impl Fn(&str) -> Result<T, strict::StrictError>,
) -> Result<T, IdentityError> {
    read(text).map_err(|source| IdentityError::Part { part, source })
}

fn object(text: &str) -> Result<Map<String, Value>, strict::StrictError> {
    strict::object(&strict::base64url(text)?)
}

fn text<'a>(header: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, IdentityError> {
    let problem = match header.get(name) {
        Some(Value::String(text)) => return Ok(text),
        Some(_) => "is not a string",
        None => "is missing",
    };
    Err(IdentityError::Header { name, problem })
}
