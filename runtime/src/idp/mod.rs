//! The embedded identity provider, for the demo, for `serve --dev` and for tests: two users, loopback only.
//!
//! OAuth 2.1 code flow with PKCE (RFC 7636) and OpenID Connect for one registered client, the consent page. It is an
//! authorization server like any other: the runtime reads its metadata and keys over HTTP and trusts it no further.

mod keys;
mod routes;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::clock::SharedClock;

pub use keys::{KeyError, SigningKey};
pub use routes::router;

/// Where OAuth metadata lies (RFC 8414 §3).
const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Where OpenID metadata lies (OpenID Connect Discovery §4).
const OPENID_METADATA: &str = "/.well-known/openid-configuration";
/// Where the key set lies.
const JWKS: &str = "/jwks";
/// How long an access token lives. Short, as a stolen one cannot be called back.
const ACCESS_TOKEN_TTL: Duration = Duration::from_secs(3600);
/// How long an authorization code lives. RFC 6749 §4.1.2 recommends at most ten minutes.
const CODE_TTL: Duration = Duration::from_secs(60);
/// Codes that may be open at once.
const CODES_MAX: usize = 1_000;

/// A user of the embedded identity provider.
#[derive(Debug, Clone, Copy)]
pub struct DevUser {
    /// Name, `sub` and password: these users guard nothing.
    pub name: &'static str,
    /// Roles in the tokens.
    pub roles: &'static [&'static str],
}

/// The users: one ordinary, one administrator.
pub const USERS: [DevUser; 2] = [
    DevUser {
        name: "alice",
        roles: &["user"],
    },
    DevUser {
        name: "root",
        roles: &["user", "admin"],
    },
];

/// The client under which the consent page signs its users in.
pub const WEB_CLIENT: &str = "bailiwick-web";

/// Scopes of a token when none are asked for.
pub const DEFAULT_SCOPE: &str = "tools:call";

/// A user who is not one of [`USERS`].
#[derive(Debug, thiserror::Error)]
#[error("the embedded identity provider knows `alice` and `root`, not `{0}`")]
pub struct UnknownUser(pub String);

/// The embedded identity provider.
pub struct DevIdp {
    issuer: String,
    /// The resource that access tokens are for.
    resource: String,
    /// Where the one registered client receives codes, compared as a plain string.
    redirect_uri: String,
    key: SigningKey,
    clock: SharedClock,
    codes: Mutex<HashMap<String, Code>>,
}

/// An authorization that waits to be exchanged, under the hash of its code.
struct Code {
    user: DevUser,
    challenge: String,
    nonce: Option<String>,
    expires: crate::clock::Timestamp,
}

impl DevIdp {
    /// An identity provider at `issuer` whose access tokens are for `resource`.
    pub fn new(
        issuer: String,
        resource: String,
        redirect_uri: String,
        key: SigningKey,
        clock: SharedClock,
    ) -> Self {
        Self {
            issuer,
            resource,
            redirect_uri,
            key,
            clock,
            codes: Mutex::default(),
        }
    }

    /// Its issuer URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The user of this name.
    pub fn user(name: &str) -> Result<DevUser, UnknownUser> {
        USERS
            .into_iter()
            .find(|user| user.name == name)
            .ok_or_else(|| UnknownUser(name.to_owned()))
    }

    /// An access token (RFC 9068) for a user through a client.
    pub fn access_token(
        &self,
        user: DevUser,
        client: &str,
        scope: &str,
    ) -> Result<String, KeyError> {
        self.access_token_for(user, client, scope, &self.resource)
    }

    /// An access token for another resource than ours, to show that it is refused.
    pub fn access_token_for(
        &self,
        user: DevUser,
        client: &str,
        scope: &str,
        resource: &str,
    ) -> Result<String, KeyError> {
        let now = self.clock.now();
        self.key.sign(
            "at+jwt",
            &json!({
                "iss": self.issuer,
                "sub": user.name,
                "aud": resource,
                "client_id": client,
                "scope": scope,
                "roles": user.roles,
                // For tools that ask for a claim of their user.
                "preferred_username": user.name,
                "iat": now.secs(),
                "exp": now.plus(ACCESS_TOKEN_TTL).secs(),
                "jti": uuid::Uuid::now_v7(),
            }),
        )
    }

    /// A public document: metadata (RFC 8414) or the key set.
    pub fn document(&self, path: &str) -> Option<serde_json::Value> {
        match path {
            METADATA | OPENID_METADATA => Some(self.metadata()),
            JWKS => Some(self.key.key_set()),
            _ => None,
        }
    }

    fn metadata(&self) -> serde_json::Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at(JWKS),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn id_token(&self, user: DevUser, nonce: Option<&str>) -> Result<String, KeyError> {
        let now = self.clock.now();
        self.key.sign(
            "JWT",
            &json!({
                "iss": self.issuer,
                "sub": user.name,
                "aud": WEB_CLIENT,
                "nonce": nonce,
                "auth_time": now.secs(),
                "acr": "dev",
                "amr": ["pwd"],
                "iat": now.secs(),
                "exp": now.plus(CODE_TTL).secs(),
            }),
        )
    }

    /// Keeps an authorization and gives out its code.
    fn issue(
        &self,
        user: DevUser,
        challenge: String,
        nonce: Option<String>,
    ) -> Result<String, KeyError> {
        let code = keys::random()?;
        let now = self.clock.now();
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, open| open.expires > now);
        if codes.len() < CODES_MAX {
            codes.insert(
                sha256(&code),
                Code {
                    user,
                    challenge,
                    nonce,
                    expires: now.plus(CODE_TTL),
                },
            );
        }
        Ok(code)
    }

    /// Takes a code back, once, if the verifier fits its challenge.
    fn redeem(&self, code: &str, verifier: &str) -> Option<(DevUser, Option<String>)> {
        let open = self
            .codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&sha256(code))?;
        let fits = open.challenge == sha256(verifier) && open.expires > self.clock.now();
        fits.then_some((open.user, open.nonce))
    }
}

/// SHA-256 in base64url without padding: the S256 of RFC 7636 §4.2.
fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Opens the signing key in `dir`, or makes one; only this user can read it.
pub fn key_in(dir: &Path) -> Result<SigningKey, KeyError> {
    SigningKey::open_or_create(&dir.join("idp-key.pkcs8"))
}

/// An identity provider that several tasks share.
pub type SharedIdp = Arc<DevIdp>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn idp(clock: &ManualClock) -> DevIdp {
        DevIdp::new(
            "http://127.0.0.1:1".to_owned(),
            "http://127.0.0.1:2/mcp".to_owned(),
            "http://127.0.0.1:2/sign-in/callback".to_owned(),
            SigningKey::generate().unwrap(),
            Arc::new(clock.clone()),
        )
    }

    fn code(idp: &DevIdp) -> String {
        let nonce = Some("n".to_owned());
        idp.issue(USERS[0], sha256("verifier"), nonce).unwrap()
    }

    #[test]
    fn a_code_is_redeemed_once_with_its_verifier() {
        let clock = ManualClock::new(Timestamp(0));
        let idp = idp(&clock);
        let first = code(&idp);
        let (user, nonce) = idp.redeem(&first, "verifier").unwrap();
        assert_eq!((user.name, nonce.as_deref()), ("alice", Some("n")));
        assert!(idp.redeem(&first, "verifier").is_none());
        assert!(idp.redeem("unknown", "verifier").is_none());
        // Whoever guesses has one guess.
        let second = code(&idp);
        assert!(idp.redeem(&second, "another").is_none());
        assert!(idp.redeem(&second, "verifier").is_none());
    }

    #[test]
    fn a_code_lives_a_minute() {
        let clock = ManualClock::new(Timestamp(0));
        let idp = idp(&clock);
        let code = code(&idp);
        clock.advance(CODE_TTL);
        assert!(idp.redeem(&code, "verifier").is_none());
    }

    #[test]
    fn a_key_is_made_once_and_readable_by_us_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let first = key_in(dir.path()).unwrap().key_set();
        assert_eq!(key_in(dir.path()).unwrap().key_set(), first);
        let file = std::fs::metadata(dir.path().join("idp-key.pkcs8")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}
