//! One token that must be accepted and one that must not, before anything is served.
//!
//! A build without its signature algorithms, or with others than it was tested with, ends here and not at the first call.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::bearer::BearerToken;
use super::error::IdentityError;
use super::keys::{KeyError, KeySet};
use super::token::verify;
use crate::clock::Timestamp;
use crate::config::{ClaimMap, IssuerConfig, KeySource};
use crate::ids::NameError;

const HEADER: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"self-test"}"#;
const PAYLOAD: &str = r#"{"iss":"https://self-test.invalid","sub":"self-test","aud":"self-test","client_id":"client","iat":1700000000,"exp":1700000600,"jti":"1"}"#;
/// Over `HEADER` and `PAYLOAD`, by a key of which only the public half was kept.
const SIGNATURE: &str =
    "9wXQ3IdftSgAI6cXTXfhd3Y5VdpP7cPSI4Wboje6FdzDkY7Vjiy2Nz75B1mzRV35uen-xRUi1r3LOif3q8zGFA";
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"vBvd77c36OTpkjPDJhdhRiSWysXGInr9K17TXljn8sU","y":"GEhpmK2SzO260wX49BhdE5np8IqAI4yLf17rsHNfALs","kid":"self-test","alg":"ES256","use":"sig"}]}"#;
/// Within the token's time.
const THEN: Timestamp = Timestamp(1_700_000_001_000);

/// Why nothing must be served.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The test itself is broken.
    #[error("the self-test token cannot be set up")]
    Name(#[from] NameError),
    /// Its key is not read.
    #[error("the self-test key is not read")]
    Keys(#[from] KeyError),
    /// A good token is refused.
    #[error("a good token is refused")]
    RefusesGood(#[source] IdentityError),
    /// A token with another signature is accepted.
    #[error("a token that nobody signed is accepted")]
    AcceptsForged,
}

/// Chooses the cryptography for tokens and tries it. To be called once, before the first token.
pub fn self_test() -> Result<(), SelfTestError> {
    // A second installation is refused; what was installed first is then what is tried.
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER
        .install_default()
        .ok();
    let issuer = IssuerConfig {
        issuer: "https://self-test.invalid".parse()?,
        keys: KeySource::Discovery,
        audience: vec!["self-test".to_owned()],
        other_audiences: false,
        algorithms: vec![Algorithm::ES256],
        required_scopes: Vec::new(),
        client_claim: "client_id".to_owned(),
        claims: ClaimMap {
            role_prefix: String::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            tenant: Vec::new(),
            default_tenant: "self-test".parse()?,
            extra: Default::default(),
        },
        acr: Vec::new(),
        scopes: Default::default(),
        allow_without_user: false,
        proof: Default::default(),
        introspection: None,
    };
    let keys = KeySet::parse(KEYS.as_bytes(), &issuer.algorithms)?;
    let judge = |payload: &str| {
        let (header, payload) = (
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(payload),
        );
        let token = BearerToken::new(format!("{header}.{payload}.{SIGNATURE}"));
        verify(&token, &issuer, &keys, THEN)
    };
    judge(PAYLOAD).map_err(SelfTestError::RefusesGood)?;
    match judge(&PAYLOAD.replace(r#""jti":"1""#, r#""jti":"2""#)) {
        Err(IdentityError::Signature) => Ok(()),
        Ok(_) | Err(_) => Err(SelfTestError::AcceptsForged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_passes_however_often_it_is_run() {
        self_test().unwrap();
        self_test().unwrap();
    }
}
