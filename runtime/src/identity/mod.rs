//! Bearer token to [`Caller`]: an OAuth 2.1 resource server.
//!
//! Never passes a token on; past this stage there is none.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant, User};

/// A bearer token as it came, not yet verified. Zeroed when dropped, never printed.
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// Takes the token from the `Authorization` header.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BearerToken(…)")
    }
}

/// A caller whose token passed every check.
#[derive(Debug)]
pub struct Caller {
    user: User,
    client: ClientId,
    tenant: Tenant,
    roles: BTreeSet<String>,
    scopes: BTreeSet<String>,
    groups: BTreeSet<String>,
    has_user: bool,
    token: TokenFacts,
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
    /// `auth_time`, if the token has one.
    pub auth_time: Option<Timestamp>,
}

impl Caller {
    /// The user for whom the caller acts: issuer and subject.
    pub fn user(&self) -> &User {
        &self.user
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

    /// OAuth scopes.
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.scopes
    }

    /// Groups, by the issuer's claim mapping.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// Whether a person stands behind the token; client-credentials tokens have none, so nobody could consent.
    pub fn has_user(&self) -> bool {
        self.has_user
    }

    /// What is kept of the token.
    pub fn token(&self) -> &TokenFacts {
        &self.token
    }
}
