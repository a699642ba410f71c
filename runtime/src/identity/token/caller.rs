//! Who calls: what a verified token says, and nothing that anybody could write into it later.

use std::collections::{BTreeMap, BTreeSet};

use super::super::claims::{Actor, ClaimValue};
use crate::audit::CallerFacts;
use crate::capability::ClaimName;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant, TenantUser, User};

/// A caller whose token passed every check of [`verify`](super::verify), which is its only maker.
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
    pub(super) user: User,
    pub(super) client: ClientId,
    pub(super) tenant: Tenant,
    pub(super) roles: BTreeSet<String>,
    pub(super) scopes: BTreeSet<String>,
    pub(super) groups: BTreeSet<String>,
    pub(super) claims: BTreeMap<String, ClaimValue>,
    pub(super) profile: Profile,
    pub(super) acr_reached: BTreeSet<String>,
    pub(super) acr_order: Vec<String>,
    pub(super) scopes_always: Vec<String>,
    pub(super) actors: Vec<Actor>,
    pub(super) has_user: bool,
    pub(super) token: TokenFacts,
    pub(super) not_before: Option<Timestamp>,
    pub(super) fingerprint: Digest,
}

/// What tools may be told of the user: names can be printed, values never.
pub(super) struct Profile(pub(super) BTreeMap<ClaimName, String>);

impl std::fmt::Debug for Profile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
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

    /// What a tool can be told of the user where that is granted, as JSON texts: standard claims that are there, and further ones
    /// that the operator lists for it. Nothing that is about the token itself.
    pub fn profile(&self) -> &BTreeMap<ClaimName, String> {
        &self.profile.0
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
    pub(super) fn digest_of_all(&self) -> Digest {
        let Self {
            user,
            client,
            tenant,
            roles,
            scopes,
            groups,
            claims,
            profile,
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
            (
                claims,
                &profile.0,
                acr_reached,
                acr_order,
                scopes_always,
                amr,
            ),
        );
        #[expect(
            clippy::expect_used,
            reason = "JSON can say every name, set of names and number"
        )]
        let all = serde_json::to_vec(&all).expect("names and numbers");
        Digest::of(&all)
    }

    /// Whether the token still holds without any leeway, so that it may be answered for without verifying it again.
    pub(in crate::identity) fn holds(&self, now: Timestamp) -> bool {
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

/// What a sign-in of this `acr` is good for: its own value, and the weaker ones of the issuer's order.
pub(super) fn acr_reached(order: &[String], acr: Option<&str>) -> BTreeSet<String> {
    let Some(acr) = acr else {
        return BTreeSet::new();
    };
    let up_to = order.iter().position(|one| one == acr).unwrap_or(0);
    let weaker = order.iter().take(up_to).cloned();
    weaker.chain([acr.to_owned()]).collect()
}
