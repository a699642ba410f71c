//! An access token becomes a [`Caller`], or does not (RFC 9068 §4).
//!
//! Never reads a clock, a file or the network: keys and the time are parameters.

use std::collections::{BTreeMap, BTreeSet};

use super::bearer::BearerToken;
use super::claims::{Actor, ClaimValue, Claims, Times};
use super::error::{IdentityError, shown};
use super::jws::Unverified;
use super::keys::KeySet;
use crate::audit::CallerFacts;
use crate::clock::Timestamp;
use crate::config::IssuerConfig;
use crate::ids::{ClientId, Digest, Tenant, TenantUser, User};

/// A caller whose token passed every check of [`verify`], which is its only maker.
///
/// It cannot be written down:
///
/// ```compile_fail,E0451
/// use bailiwick::identity::Caller;
/// fn forge(honest: Caller) -> Caller {
///     Caller { has_user: true, ..honest }
/// }
/// ```
///
/// copied:
///
/// ```compile_fail,E0277
/// fn copy<T: Clone>() {}
/// copy::<bailiwick::identity::Caller>();
/// ```
///
/// made from nothing:
///
/// ```compile_fail,E0277
/// fn nothing<T: Default>() {}
/// nothing::<bailiwick::identity::Caller>();
/// ```
///
/// or read from a text:
///
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<bailiwick::identity::Caller>();
/// ```
#[derive(Debug)]
pub struct Caller {
    user: User,
    client: ClientId,
    tenant: Tenant,
    roles: BTreeSet<String>,
    scopes: BTreeSet<String>,
    groups: BTreeSet<String>,
    claims: BTreeMap<String, ClaimValue>,
    acr_reached: BTreeSet<String>,
    acr_order: Vec<String>,
    scopes_always: Vec<String>,
    actors: Vec<Actor>,
    has_user: bool,
    token: TokenFacts,
    not_before: Option<Timestamp>,
    fingerprint: Digest,
}

/// What is kept of a token: facts for the audit log and for policy, never its bytes.
#[derive(Debug, Clone)]
pub struct TokenFacts {
    /// SHA-256 of `jti`.
    pub jti_hash: Digest,
    /// Signature algorithm.
    pub algorithm: String,
    /// Key that verified it.
    pub key_id: String,
    /// When it expires.
    pub expires: Timestamp,
    /// `acr`, if the token has one.
    pub acr: Option<String>,
    /// `amr`: how the user signed in (RFC 8176).
    pub amr: BTreeSet<String>,
    /// `auth_time`, if the token has one.
    pub auth_time: Option<Timestamp>,
}

impl Caller {
    /// The user for whom the caller acts: issuer and subject.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The user in their tenant: whose records are.
    pub fn who(&self) -> TenantUser {
        TenantUser {
            tenant: self.tenant.clone(),
            user: self.user.clone(),
        }
    }

    /// The OAuth client.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// The isolation key.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Roles, by the issuer's claim mapping.
    pub fn roles(&self) -> &BTreeSet<String> {
        &self.roles
    }

    /// OAuth scopes, and those that they imply at their issuer.
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.scopes
    }

    /// Groups, by the issuer's claim mapping.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// Further claims that are there, by the names that the operator gave them.
    pub fn claims(&self) -> &BTreeMap<String, ClaimValue> {
        &self.claims
    }

    /// Whether the sign-in was of this `acr` or, by the issuer's order, a stronger one.
    pub fn reaches_acr(&self, wanted: &str) -> bool {
        self.acr_reached.contains(wanted)
    }

    /// Whether a sign-in of the value `acr` would be of this one or a stronger one, at the caller's issuer.
    pub fn would_reach_acr(&self, acr: &str, wanted: &str) -> bool {
        acr_reached(&self.acr_order, Some(acr)).contains(wanted)
    }

    /// The values of `acr` that the issuer is configured with, the weakest first.
    pub fn acr_order(&self) -> &[String] {
        &self.acr_order
    }

    /// Scopes without which the issuer's tokens are good for nothing here; this token has them.
    pub fn scopes_always(&self) -> &[String] {
        &self.scopes_always
    }

    /// Who acts for the user; none when the client acts itself. The only actor that counts for decisions (RFC 8693 §4.1).
    pub fn actor(&self) -> Option<&Actor> {
        self.actors.first()
    }

    /// The whole chain, the one who acts now first; the others are information for the audit log.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// Whether a person stands behind the token; client-credentials tokens have none, so nobody could consent.
    pub fn has_user(&self) -> bool {
        self.has_user
    }

    /// What is kept of the token.
    pub fn token(&self) -> &TokenFacts {
        &self.token
    }

    /// A digest of everything that is known of the caller, its token included: whoever has the same is the same to every decision.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Names every field, so that a new one stops the build here.
    fn digest_of_all(&self) -> Digest {
        let Self {
            user,
            client,
            tenant,
            roles,
            scopes,
            groups,
            claims,
            acr_reached,
            acr_order,
            scopes_always,
            actors,
            has_user,
            token,
            not_before,
            fingerprint: _,
        } = self;
        let TokenFacts {
            jti_hash,
            algorithm,
            key_id,
            expires,
            acr,
            amr,
            auth_time,
        } = token;
        let all = (
            (
                user, client, tenant, roles, scopes, groups, actors, has_user,
            ),
            (
                jti_hash, algorithm, key_id, expires, acr, auth_time, not_before,
            ),
            (claims, acr_reached, acr_order, scopes_always, amr),
        );
        #[expect(
            clippy::expect_used,
            reason = "JSON can say every name, set of names and number"
        )]
        let all = serde_json::to_vec(&all).expect("names and numbers");
        Digest::of(&all)
    }

    /// Whether the token still holds without any leeway, so that it may be answered for without verifying it again.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        now < self.token.expires && self.not_before.is_none_or(|start| start <= now)
    }
}

/// The caller as the log names it.
impl From<&Caller> for CallerFacts {
    fn from(caller: &Caller) -> Self {
        let token = caller.token();
        Self {
            tenant: caller.tenant().clone(),
            user: caller.user().clone(),
            client: caller.client().clone(),
            jti_hash: token.jti_hash,
            algorithm: token.algorithm.clone(),
            key_id: token.key_id.clone(),
            expires: token.expires,
        }
    }
}

/// Verifies an access token of one issuer with its keys, at a given time.
pub fn verify(
    token: &BearerToken,
    issuer: &IssuerConfig,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Caller, IdentityError> {
    verify_read(token, &Unverified::read(token)?, issuer, keys, now)
}

/// As [`verify`], of a token that was already taken apart to find its issuer.
pub(super) fn verify_read(
    token: &BearerToken,
    read: &Unverified,
    issuer: &IssuerConfig,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Caller, IdentityError> {
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
            return Err(caller(read, issuer, now).err().unwrap_or(vague));
        }
        Err(error) => return Err(error),
    };
    Claims(&read.payload).agree(&second)?;
    caller(read, issuer, now)
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

/// Reads the claims of a payload whose signature holds.
fn caller(
    read: &Unverified,
    issuer: &IssuerConfig,
    now: Timestamp,
) -> Result<Caller, IdentityError> {
    let claims = Claims(&read.payload);
    claims.check_audience(&issuer.audience, issuer.other_audiences)?;
    let times: Times = claims.times()?;
    times.check(now)?;
    // RFC 9449 §7.2, RFC 8705 §3: a bound token counts only with its proof.
    if claims.has("cnf") {
        return Err(IdentityError::SenderConstrained);
    }
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
        acr_reached: acr_reached(&issuer.acr, acr.as_deref()),
        acr_order: issuer.acr.clone(),
        scopes_always: issuer.required_scopes.clone(),
        actors: claims.actors(&user.issuer)?,
        token: TokenFacts {
            jti_hash: Digest::of(claims.text("jti")?.as_bytes()),
            algorithm: read.header.algorithm.clone(),
            key_id: read.header.key_id.clone(),
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
    Ok(caller)
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

/// What a sign-in of this `acr` is good for: its own value, and the weaker ones of the issuer's order.
fn acr_reached(order: &[String], acr: Option<&str>) -> BTreeSet<String> {
    let Some(acr) = acr else {
        return BTreeSet::new();
    };
    let up_to = order.iter().position(|one| one == acr).unwrap_or(0);
    let weaker = order.iter().take(up_to).cloned();
    weaker.chain([acr.to_owned()]).collect()
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
