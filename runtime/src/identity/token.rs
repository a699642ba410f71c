//! An access token becomes a [`Caller`], or does not (RFC 9068 §4).
//!
//! Never reads a clock, a file or the network: keys and the time are parameters.

mod caller;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::bearer::BearerToken;
use super::claims::{ClaimValue, Claims, Times};
use super::error::{IdentityError, shown};
use super::jws::Unverified;
use super::keys::KeySet;
use super::sender::Binding;
use crate::capability::ClaimName;
use crate::clock::Timestamp;
use crate::config::IssuerConfig;
use crate::ids::{ClientId, Digest, User};
pub use caller::{Caller, TokenFacts};
use caller::{Profile, acr_reached};

/// Verifies an access token of one issuer with its keys, at a given time. One that is bound to its sender is none here: it counts
/// only together with a request.
pub fn verify(
    token: &BearerToken,
    issuer: &IssuerConfig,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Caller, IdentityError> {
    let (caller, binding) = verify_read(token, &Unverified::read(token)?, issuer, keys, now)?;
    match binding.is_none() {
        true => Ok(caller),
        false => Err(IdentityError::SenderConstrained),
    }
}

/// As [`verify`], of a token that was already taken apart to find its issuer; with what it is bound to, which is yet to be shown.
pub(super) fn verify_read(
    token: &BearerToken,
    read: &Unverified,
    issuer: &IssuerConfig,
    keys: &KeySet,
    now: Timestamp,
) -> Result<(Caller, Binding), IdentityError> {
    check_type(read)?;
    // Byte by byte: no case, slash or host is normalised (RFC 8725 §3.8).
    if read.issuer()? != issuer.issuer.as_str() {
        return Err(IdentityError::UnknownIssuer {
            found: shown(read.issuer()?),
        });
    }
    let second = match read.verify(
        token,
        &issuer.issuer,
        &issuer.audience,
        &issuer.algorithms,
        keys,
    ) {
        Ok(second) => second,
        // Ours may say better what is wrong with the claims; the refusal stands in any case.
        Err(vague @ (IdentityError::Disagreement | IdentityError::WrongAudience { .. })) => {
            return Err(signed(read, issuer, now).err().unwrap_or(vague));
        }
        Err(error) => return Err(error),
    };
    Claims(&read.payload).agree(&second)?;
    signed(read, issuer, now)
}

fn signed(
    read: &Unverified,
    issuer: &IssuerConfig,
    now: Timestamp,
) -> Result<(Caller, Binding), IdentityError> {
    let proven = Proven {
        algorithm: &read.header.algorithm,
        key_id: &read.header.key_id,
        name: None,
    };
    caller(Claims(&read.payload), &proven, issuer, now)
}

/// Reads what an issuer said at `at` of an active token that is known as `name` (RFC 7662 §2.2), as the claims of a JWT are read.
pub(super) fn of_answer(
    answer: &Map<String, Value>,
    issuer: &IssuerConfig,
    name: Digest,
    at: Timestamp,
    now: Timestamp,
) -> Result<(Caller, Binding), IdentityError> {
    let ours = issuer.issuer.as_str();
    let mut claims = answer.clone();
    // It was asked by its own name, and may leave out what a JWT cannot: who it is, and when and as what the token was issued.
    let said = claims.entry("iss").or_insert_with(|| ours.into());
    if said != ours {
        return Err(IdentityError::claim(
            "iss",
            "is not that of whoever was asked",
        ));
    }
    claims.entry("iat").or_insert_with(|| at.secs().into());
    let proven = Proven {
        algorithm: "introspection",
        key_id: "none",
        name: Some(name),
    };
    let (caller, binding) = caller(Claims(&claims), &proven, issuer, now)?;
    // RFC 6749 §7.1: a token of a type that we do not know is not used.
    let kind = Claims(&claims).text_if_any("token_type")?;
    let fits = kind.is_none_or(|kind| {
        let is_dpop = kind.eq_ignore_ascii_case("dpop");
        (is_dpop && binding.key.is_some()) || kind.eq_ignore_ascii_case("bearer")
    });
    match fits {
        true => Ok((caller, binding)),
        false => Err(IdentityError::claim(
            "token_type",
            "is not one that we know, or binds to no key",
        )),
    }
}

/// By what the claims are known to be those of the issuer.
struct Proven<'a> {
    algorithm: &'a str,
    key_id: &'a str,
    /// What the token is known by where it has no `jti`; a JWT has one.
    name: Option<Digest>,
}

/// RFC 9068 §4: only what says that it is an access token is one; ID, logout and refresh tokens and assertions are not.
pub(super) fn check_type(read: &Unverified) -> Result<(), IdentityError> {
    let is_access_token = |kind: &str| {
        kind.eq_ignore_ascii_case("at+jwt") || kind.eq_ignore_ascii_case("application/at+jwt")
    };
    match &read.header.kind {
        Some(kind) if is_access_token(kind) => Ok(()),
        other => Err(IdentityError::Type {
            found: other.as_deref().map_or("none".to_owned(), shown),
            wanted: "`at+jwt`",
        }),
    }
}

/// Reads claims that are known to be those of the issuer.
fn caller(
    claims: Claims<'_>,
    proven: &Proven<'_>,
    issuer: &IssuerConfig,
    now: Timestamp,
) -> Result<(Caller, Binding), IdentityError> {
    claims.check_audience(&issuer.audience, issuer.other_audiences)?;
    let times: Times = claims.times()?;
    times.check(now)?;
    let binding = Binding::of(claims)?;
    let user = claims.user()?;
    let client: ClientId = claims.name(&issuer.client_claim)?;
    for name in ["client_id", "azp"] {
        claims.text_if_any(name)?;
    }
    let has_user = has_user(claims, &user, &client);
    if !has_user && !issuer.allow_without_user {
        return Err(IdentityError::WithoutUser);
    }
    let scopes = issuer.scopes.expand(claims.scopes()?);
    let acr = claims.text_if_any("acr")?.map(str::to_owned);
    let mut caller = Caller {
        tenant: claims
            .name_at(&issuer.claims.tenant)?
            .unwrap_or_else(|| issuer.claims.default_tenant.clone()),
        roles: prefixed(issuer, claims.strings_at(&issuer.claims.roles)?),
        groups: prefixed(issuer, claims.strings_at(&issuer.claims.groups)?),
        claims: extra(claims, issuer)?,
        profile: Profile(profile(claims, issuer)),
        acr_reached: acr_reached(&issuer.acr, acr.as_deref()),
        acr_order: issuer.acr.clone(),
        scopes_always: issuer.required_scopes.clone(),
        actors: claims.actors(&user.issuer)?,
        token: TokenFacts {
            jti_hash: match (claims.text_if_any("jti")?, proven.name) {
                (Some(id), _) => Digest::of(id.as_bytes()),
                (None, Some(name)) => name,
                (None, None) => return Err(IdentityError::claim("jti", "is missing")),
            },
            algorithm: proven.algorithm.to_owned(),
            key_id: proven.key_id.to_owned(),
            expires: times.expires,
            acr,
            amr: claims.amr()?,
            auth_time: claims.time_if_any("auth_time")?,
        },
        not_before: times.not_before,
        user,
        client,
        scopes,
        has_user,
        fingerprint: Digest::of(b""),
    };
    caller.fingerprint = caller.digest_of_all();
    require_scopes(&caller, &issuer.required_scopes)?;
    Ok((caller, binding))
}

/// Roles or groups by the names that they have here.
fn prefixed(issuer: &IssuerConfig, names: BTreeSet<String>) -> BTreeSet<String> {
    let prefix = &issuer.claims.role_prefix;
    if prefix.is_empty() {
        return names;
    }
    names
        .into_iter()
        .map(|name| format!("{prefix}{name}"))
        .collect()
}

/// The further claims that are there.
fn extra(
    claims: Claims<'_>,
    issuer: &IssuerConfig,
) -> Result<BTreeMap<String, ClaimValue>, IdentityError> {
    let read = issuer.claims.extra.iter();
    let read = read.filter_map(|(name, claim)| {
        let value = claims.extra(claim).transpose()?;
        Some(value.map(|value| (name.clone(), value)))
    });
    read.collect()
}

/// What tools can be told. A value that is too large is not there for them; nothing of it decides.
fn profile(claims: Claims<'_>, issuer: &IssuerConfig) -> BTreeMap<ClaimName, String> {
    let standard = ClaimName::standard().filter_map(|name| {
        let value = claims.json_at(std::slice::from_ref(&name.as_str().to_owned()))?;
        Some((name, value))
    });
    let extra = issuer.claims.extra.iter().filter(|(_, claim)| claim.told);
    let named = extra.filter_map(|(name, claim)| {
        let value = claims.json_at(&claim.path)?;
        Some((name.parse().ok()?, value))
    });
    standard.chain(named).collect()
}

/// A token of the client itself says so: by `sub` (RFC 9068 §2.2), or by the mark of an issuer that names the client otherwise there.
/// Every mark can only take the user away, never add one.
fn has_user(claims: Claims<'_>, user: &User, client: &ClientId) -> bool {
    user.subject.as_str() != client.as_str()
        && !["client-credentials", "client_credentials"]
            .into_iter()
            .any(|grant| claims.says("gty", grant))
        && !claims.says("idtyp", "app")
}

/// The last check: everything else about the token is good, so that the answer may say what is missing.
fn require_scopes(caller: &Caller, required: &[String]) -> Result<(), IdentityError> {
    let missing: Vec<&str> = required
        .iter()
        .map(String::as_str)
        .filter(|scope| !caller.scopes.contains(*scope))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(IdentityError::InsufficientScope {
        required: required.to_vec(),
        missing: shown(&missing.join(" ")),
    })
}

#[cfg(test)]
mod tests;
