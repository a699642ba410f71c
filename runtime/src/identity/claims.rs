//! Claims read from a payload, each with its one form.
//!
//! A claim of the wrong type is refused; it never counts as absent. Nothing here trusts the payload: that is `jws`.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{IdentityError, shown};
use super::jws::{Audience, Registered};
use crate::clock::Timestamp;
use crate::config::{ClaimType, ExtraClaim};
use crate::ids::{ClientId, IDENTIFIER_BYTES_MAX, Issuer, NameError, Subject, User};
use crate::limits::{CLAIM_STRINGS_MAX, CLAIM_VALUE_BYTES_MAX, TOKEN_LEEWAY_SECS};

/// Most actors of a delegation chain (RFC 8693 §4.1). Chains of two are usual; each one is stored with every call.
pub(super) const ACTORS_MAX: usize = 10;
/// Latest time that a token may name, in seconds: the end of the year 9999, past which RFC 3339 cannot write it.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Who acts for the user, if it is not the user's own client (RFC 8693 §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The actor: its issuer is the token's, unless the actor names another.
    pub who: User,
    /// The actor's OAuth client, if named.
    pub client: Option<ClientId>,
}

/// The value of a further claim, of the type that the operator gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum ClaimValue {
    /// One string.
    String(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A set of strings.
    Strings(BTreeSet<String>),
}

/// When a token holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) expires: Timestamp,
    pub(super) issued: Timestamp,
    pub(super) not_before: Option<Timestamp>,
}

impl Times {
    /// RFC 7519 §4.1.4 to §4.1.6, with the clocks of issuer and server apart by at most the leeway.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), IdentityError> {
        let leeway = Duration::from_secs(u64::try_from(TOKEN_LEEWAY_SECS).unwrap_or(0));
        if now >= self.expires.plus(leeway) {
            return Err(IdentityError::Expired { at: self.expires });
        }
        let latest = now.plus(leeway);
        if self.issued > latest {
            return Err(IdentityError::Ahead {
                claim: "iat",
                at: self.issued,
            });
        }
        match self.not_before {
            Some(at) if at > latest => Err(IdentityError::Ahead { claim: "nbf", at }),
            _ => Ok(()),
        }
    }
}

/// A payload, to be read claim by claim.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// Whether the claim is there, with whatever value.
    pub(super) fn has(self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether the claim is this word, or an array with it.
    pub(super) fn says(self, name: &str, word: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Array(several)) => several.iter().any(|value| value == word),
            Some(value) => value == word,
            None => false,
        }
    }

    /// A non-empty string that must be there.
    pub(super) fn text(self, name: &str) -> Result<&'a str, IdentityError> {
        self.text_if_any(name)?
            .ok_or_else(|| IdentityError::claim(name, "is missing"))
    }

    /// A non-empty string that may be missing.
    pub(super) fn text_if_any(self, name: &str) -> Result<Option<&'a str>, IdentityError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => {
                Err(IdentityError::claim(name, "is empty"))
            }
            Some(Value::String(text)) if text.len() > IDENTIFIER_BYTES_MAX => {
                Err(IdentityError::claim(name, "is too long"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(IdentityError::claim(name, "is not one string")),
        }
    }

    /// A name that must be there.
    pub(super) fn name<T: FromStr<Err = NameError>>(self, name: &str) -> Result<T, IdentityError> {
        parse(name, self.text(name)?)
    }

    /// Issuer and subject.
    pub(super) fn user(self) -> Result<User, IdentityError> {
        Ok(User {
            issuer: self.name("iss")?,
            subject: self.name("sub")?,
        })
    }

    /// A time that may be missing, to the millisecond before it.
    pub(super) fn time_if_any(self, name: &str) -> Result<Option<Timestamp>, IdentityError> {
        self.0.get(name).map(|value| time(name, value)).transpose()
    }

    /// `exp`, `iat` and, if there, `nbf`.
    pub(super) fn times(self) -> Result<Times, IdentityError> {
        let required = |name: &str| {
            self.time_if_any(name)?
                .ok_or_else(|| IdentityError::claim(name, "is missing"))
        };
        Ok(Times {
            expires: required("exp")?,
            issued: required("iat")?,
            not_before: self.time_if_any("nbf")?,
        })
    }

    /// `aud`: one string or a non-empty array of strings, none of them empty.
    pub(super) fn audience(self) -> Result<Vec<&'a str>, IdentityError> {
        let named: Option<Vec<&str>> = match self.0.get("aud") {
            None => return Err(IdentityError::claim("aud", "is missing")),
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        named
            .filter(|named| !named.is_empty() && !named.contains(&""))
            .ok_or_else(|| IdentityError::claim("aud", "is not one string or an array of strings"))
    }

    /// `aud` names one of `ours`, and nobody else unless `others` may stand beside us.
    pub(super) fn check_audience(self, ours: &[String], others: bool) -> Result<(), IdentityError> {
        let named = self.audience()?;
        let is_ours = |name: &&str| ours.iter().any(|our| our == name);
        // RFC 9068 §4: a token meant for another resource server is refused, however well it is signed.
        if named.iter().any(is_ours) && (others || named.iter().all(is_ours)) {
            return Ok(());
        }
        Err(IdentityError::WrongAudience {
            found: shown(&named.join(" ")),
        })
    }

    /// `scope` (RFC 6749 §3.3): scopes between single spaces. Missing means none.
    pub(super) fn scopes(self) -> Result<BTreeSet<String>, IdentityError> {
        match self.0.get("scope") {
            None => Ok(BTreeSet::new()),
            Some(Value::String(text)) => words(text, is_scope_byte)
                .ok_or_else(|| IdentityError::claim("scope", "is not a list of scopes"))
                .and_then(|scopes| bounded("scope", scopes)),
            Some(_) => Err(IdentityError::claim("scope", "is not one string")),
        }
    }

    /// The value at a path of member names; nothing when a member is missing, an error when something on the way is no object.
    fn at(self, path: &[String]) -> Result<Option<&'a Value>, IdentityError> {
        let Some((last, parents)) = path.split_last() else {
            return Ok(None);
        };
        let mut object = self.0;
        for name in parents {
            object = match object.get(name) {
                None => return Ok(None),
                Some(Value::Object(inner)) => inner,
                Some(_) => {
                    return Err(IdentityError::claim(
                        path.join("."),
                        "stands in a claim that is not an object",
                    ));
                }
            };
        }
        Ok(object.get(last))
    }

    /// The text of the JSON value at a path; nothing where it is missing, null, or larger than a tool can be told.
    pub(super) fn json_at(self, path: &[String]) -> Option<String> {
        let value = self.at(path).ok().flatten()?;
        let text = (!value.is_null()).then(|| value.to_string());
        text.filter(|text| text.len() <= CLAIM_VALUE_BYTES_MAX)
    }

    /// Strings at a path: an array of them, or one with single spaces between them.
    pub(super) fn strings_at(self, path: &[String]) -> Result<BTreeSet<String>, IdentityError> {
        let strings = match self.at(path)? {
            None => return Ok(BTreeSet::new()),
            Some(Value::String(text)) => words(text, |byte| !byte.is_ascii_control()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .filter(|text| {
                            !text.is_empty()
                                && text.len() <= IDENTIFIER_BYTES_MAX
                                && !text.chars().any(char::is_control)
                        })
                        .map(str::to_owned)
                })
                .collect(),
            Some(_) => None,
        };
        let strings = strings.ok_or_else(|| {
            IdentityError::claim(
                path.join("."),
                "is neither an array of strings nor a list of words",
            )
        })?;
        bounded(&path.join("."), strings)
    }

    /// `amr` (RFC 8176 §1): an array of strings. Missing means none.
    pub(super) fn amr(self) -> Result<BTreeSet<String>, IdentityError> {
        match self.0.get("amr") {
            Some(Value::Array(_)) => self.strings_at(&["amr".to_owned()]),
            Some(_) => Err(IdentityError::claim("amr", "is not an array of strings")),
            None => Ok(BTreeSet::new()),
        }
    }

    /// A further claim, of the one type that it may have. A value of another type never counts as absent.
    pub(super) fn extra(self, claim: &ExtraClaim) -> Result<Option<ClaimValue>, IdentityError> {
        let wrong = |problem| IdentityError::claim(claim.path.join("."), problem);
        let Some(value) = self.at(&claim.path)? else {
            return match claim.required {
                true => Err(wrong("is missing")),
                false => Ok(None),
            };
        };
        let value = match claim.kind {
            ClaimType::String => {
                let text = value.as_str().ok_or_else(|| wrong("is not one string"))?;
                if text.len() > IDENTIFIER_BYTES_MAX {
                    return Err(wrong("is too long"));
                }
                ClaimValue::String(text.to_owned())
            }
            ClaimType::Integer => {
                let number = value.as_i64();
                ClaimValue::Integer(number.ok_or_else(|| wrong("is not a whole number"))?)
            }
            ClaimType::Boolean => {
                let truth = value.as_bool();
                ClaimValue::Boolean(truth.ok_or_else(|| wrong("is neither true nor false"))?)
            }
            ClaimType::Strings => ClaimValue::Strings(self.strings_at(&claim.path)?),
        };
        Ok(Some(value))
    }

    /// One name at a path.
    pub(super) fn name_at<T: FromStr<Err = NameError>>(
        self,
        path: &[String],
    ) -> Result<Option<T>, IdentityError> {
        match self.at(path)? {
            None => Ok(None),
            Some(Value::String(text)) => parse(&path.join("."), text).map(Some),
            Some(_) => Err(IdentityError::claim(path.join("."), "is not one string")),
        }
    }

    /// The chain of `act`, the one who acts now first.
    pub(super) fn actors(self, token: &Issuer) -> Result<Vec<Actor>, IdentityError> {
        let mut actors = Vec::new();
        let mut next = self.0.get("act");
        while let Some(value) = next {
            if actors.len() == ACTORS_MAX {
                return Err(IdentityError::TooManyActors { max: ACTORS_MAX });
            }
            let Value::Object(members) = value else {
                return Err(IdentityError::claim("act", "is not an object"));
            };
            let actor = Claims(members);
            actors.push(Actor {
                who: User {
                    issuer: match actor.text_if_any("iss")? {
                        Some(issuer) => parse("act.iss", issuer)?,
                        None => token.clone(),
                    },
                    subject: parse::<Subject>("act.sub", actor.text("sub")?)?,
                },
                client: actor
                    .text_if_any("client_id")?
                    .map(|client| parse("act.client_id", client))
                    .transpose()?,
            });
            next = members.get("act");
        }
        Ok(actors)
    }

    /// Whether the second reader found the same.
    pub(super) fn agree(self, second: &Registered) -> Result<(), IdentityError> {
        let audience = match &second.aud {
            Audience::One(one) => vec![one.as_str()],
            Audience::Several(several) => several.iter().map(String::as_str).collect(),
        };
        let same = self.text("iss")? == second.iss
            && self.text("sub")? == second.sub
            && self.audience()? == audience
            && self.0.get("exp").and_then(Value::as_f64) == Some(second.exp)
            && self.0.get("iat").and_then(Value::as_f64) == Some(second.iat);
        if same {
            Ok(())
        } else {
            Err(IdentityError::Disagreement)
        }
    }
}

/// At most as many strings as a decision can look at.
fn bounded(name: &str, strings: BTreeSet<String>) -> Result<BTreeSet<String>, IdentityError> {
    if strings.len() > CLAIM_STRINGS_MAX {
        return Err(IdentityError::claim(name, "holds too many strings"));
    }
    Ok(strings)
}

/// RFC 6749 §3.3 `NQCHAR`.
fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

fn words(text: &str, allowed: impl Fn(u8) -> bool) -> Option<BTreeSet<String>> {
    text.split(' ')
        .map(|word| {
            (!word.is_empty() && word.bytes().all(&allowed) && !word.chars().any(char::is_control))
                .then(|| word.to_owned())
        })
        .collect()
}

fn parse<T: FromStr<Err = NameError>>(name: &str, text: &str) -> Result<T, IdentityError> {
    text.parse().map_err(|source| IdentityError::ClaimName {
        name: name.to_owned(),
        source,
    })
}

/// A NumericDate (RFC 7519 §2): seconds since 1970, perhaps with a fraction.
fn time(name: &str, value: &Value) -> Result<Timestamp, IdentityError> {
    let refused = || IdentityError::claim(name, "is not a number of seconds since 1970");
    let Value::Number(number) = value else {
        return Err(refused());
    };
    let since_1970 = match number.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(refused)?,
    };
    if since_1970 > Duration::from_secs(SECONDS_MAX) {
        return Err(refused());
    }
    i64::try_from(since_1970.as_millis())
        .map(Timestamp)
        .map_err(|_| refused())
}
