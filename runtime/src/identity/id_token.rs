//! ID tokens: who signed in at the browser (OpenID Connect Core §3.1.3.7).
//!
//! Never makes a [`Caller`](super::Caller): an ID token says who somebody is, not what they may do.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::bearer::BearerToken;
use super::claims::Claims;
use super::error::{IdentityError, shown};
use super::jws::Unverified;
use super::keys::KeySet;
use crate::clock::Timestamp;
use crate::config::IssuerConfig;
use crate::ids::{Tenant, User};

/// A user who signed in, by an ID token that passed every check of [`verify`], which is its only maker.
#[derive(Debug)]
pub struct SignedIn {
    user: User,
    tenant: Tenant,
    auth_time: Option<Timestamp>,
    acr: Option<String>,
    amr: Vec<String>,
}

impl SignedIn {
    /// Who signed in.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The user's isolation key, by the same mapping as for access tokens.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// When the user last proved who they are, if the issuer says so.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// How, if the issuer says so.
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// The same in detail, if the issuer says so (RFC 8176).
    pub fn amr(&self) -> &[String] {
        &self.amr
    }
}

/// Verifies the ID token that answers the sign-in with this nonce, for us as the issuer's client `client_id`.
pub fn verify(
    token: &BearerToken,
    issuer: &IssuerConfig,
    client_id: &str,
    nonce: &str,
    keys: &KeySet,
    now: Timestamp,
) -> Result<SignedIn, IdentityError> {
    verify_read(
        token,
        &Unverified::read(token)?,
        issuer,
        client_id,
        nonce,
        keys,
        now,
    )
}

/// As [`verify`], of a token that was already taken apart to find its key.
pub(super) fn verify_read(
    token: &BearerToken,
    read: &Unverified,
    issuer: &IssuerConfig,
    client_id: &str,
    nonce: &str,
    keys: &KeySet,
    now: Timestamp,
) -> Result<SignedIn, IdentityError> {
    check_type(read)?;
    if read.issuer()? != issuer.issuer.as_str() {
        return Err(IdentityError::UnknownIssuer {
            found: shown(read.issuer()?),
        });
    }
    let ours = [client_id.to_owned()];
    let second = read.verify(token, &issuer.issuer, &ours, &issuer.algorithms, keys)?;

    let claims = Claims(&read.payload);
    claims.agree(&second)?;
    // OpenID Connect Core §3.1.3.7, 3 to 5: for us alone, and requested by us.
    claims.check_audience(&ours, false)?;
    if claims
        .text_if_any("azp")?
        .is_some_and(|azp| azp != client_id)
    {
        return Err(IdentityError::claim("azp", "names another client"));
    }
    claims.times()?.check(now)?;
    // OpenID Connect Back-Channel Logout §2.4: what tells a logout token from an ID token.
    if claims.has("events") {
        return Err(IdentityError::claim("events", "makes it a logout token"));
    }
    verify_slices_are_equal(claims.text("nonce")?.as_bytes(), nonce.as_bytes())
        .map_err(|_| IdentityError::WrongNonce)?;
    Ok(SignedIn {
        user: claims.user()?,
        tenant: claims
            .name_at(&issuer.claims.tenant)?
            .unwrap_or_else(|| issuer.claims.default_tenant.clone()),
        auth_time: claims.time_if_any("auth_time")?,
        acr: claims.text_if_any("acr")?.map(str::to_owned),
        amr: claims.amr()?.into_iter().collect(),
    })
}

/// RFC 8725 §3.12: the types of access tokens, proofs and assertions are not those of an ID token, which says `JWT` or nothing.
fn check_type(read: &Unverified) -> Result<(), IdentityError> {
    match &read.header.kind {
        None => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case("jwt") => Ok(()),
        Some(other) => Err(IdentityError::Type {
            found: shown(other),
            wanted: "`JWT`",
        }),
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::testing::{self, Mint, NOW};

    fn header(changes: &[(&str, Value)]) -> Value {
        let mut header = json!({"alg": "ES256", "kid": "test-key", "typ": "JWT"});
        for (name, value) in changes {
            header[*name] = value.clone();
        }
        header
    }

    fn judged_with(header: Value, changes: Value) -> Result<SignedIn, IdentityError> {
        let mut claims = testing::claims(json!({
            "aud": "our-client", "nonce": "n-1", "auth_time": NOW.secs() - 5, "acr": "mfa",
            "amr": ["pwd", "otp"],
            "client_id": null, "scope": null, "roles": null, "jti": null,
        }));
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let token = BearerToken::new(testing::mint().sign_with(&header, &claims));
        let (issuer, keys) = (testing::issuer(), testing::keys());
        verify(&token, &issuer, "our-client", "n-1", &keys, NOW)
    }

    fn judged(changes: Value) -> Result<SignedIn, IdentityError> {
        judged_with(header(&[]), changes)
    }

    #[test]
    fn an_id_token_for_this_sign_in_says_who_signed_in() {
        let signed_in = judged(json!({"tenant": "t1", "at_hash": "ignored"})).unwrap();
        assert_eq!(signed_in.user().issuer.as_str(), testing::ISSUER);
        assert_eq!(signed_in.user().subject.as_str(), "alice");
        assert_eq!(signed_in.tenant().as_str(), "t1");
        assert_eq!(
            signed_in.auth_time(),
            Some(Timestamp::from_secs(NOW.secs() - 5))
        );
        assert_eq!(signed_in.acr(), Some("mfa"));
        assert_eq!(signed_in.amr(), ["otp", "pwd"]);
        assert!(judged(json!({"amr": null})).unwrap().amr().is_empty());
        assert!(judged(json!({"amr": "pwd"})).is_err());
        assert_eq!(judged(json!({})).unwrap().tenant().as_str(), "default");
    }

    #[test]
    fn an_id_token_answers_this_sign_in_alone() {
        for changes in [
            json!({"nonce": "n-2"}),
            json!({"nonce": "N-1"}),
            json!({"nonce": "n-1 "}),
        ] {
            assert!(matches!(judged(changes), Err(IdentityError::WrongNonce)));
        }
        for changes in [
            json!({"nonce": null}),
            json!({"nonce": 1}),
            json!({"nonce": ""}),
        ] {
            assert!(matches!(judged(changes), Err(IdentityError::Claim { .. })));
        }
    }

    #[test]
    fn an_id_token_is_for_our_client_alone() {
        assert!(judged(json!({"aud": ["our-client"], "azp": "our-client"})).is_ok());
        for changes in [
            json!({"aud": "other"}),
            json!({"aud": ["our-client", "other"]}),
            json!({"aud": testing::AUDIENCE}),
            json!({"aud": null}),
            json!({"azp": "other"}),
            json!({"azp": 1}),
        ] {
            assert!(judged(changes.clone()).is_err(), "{changes}");
        }
    }

    #[test]
    fn an_access_token_is_no_id_token() {
        assert!(judged_with(json!({"alg": "ES256", "kid": "test-key"}), json!({})).is_ok());
        for kind in [
            "at+jwt",
            "application/at+jwt",
            "AT+JWT",
            "logout+jwt",
            "dpop+jwt",
            "oauth-id-jag+jwt",
            "",
        ] {
            assert!(
                matches!(
                    judged_with(header(&[("typ", json!(kind))]), json!({})),
                    Err(IdentityError::Type { .. })
                ),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_logout_token_is_no_id_token() {
        let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        assert!(judged(json!({"events": events})).is_err());
    }

    #[test]
    fn an_id_token_holds_in_its_time_and_from_its_issuer() {
        for changes in [
            json!({"exp": NOW.secs() - 60}),
            json!({"iat": NOW.secs() + 60}),
            json!({"nbf": NOW.secs() + 60}),
            json!({"exp": null}),
            json!({"iat": null}),
            json!({"iss": "https://other.test"}),
            json!({"sub": null}),
            json!({"sub": ""}),
        ] {
            assert!(judged(changes.clone()).is_err(), "{changes}");
        }
    }

    #[test]
    fn an_id_token_of_another_key_is_refused() {
        let other = Mint::es256("test-key");
        let claims = testing::claims(json!({"aud": "our-client", "nonce": "n-1"}));
        let token = BearerToken::new(other.sign_with(&header(&[]), &claims));
        let set =
            |mint: &Mint| KeySet::parse(&testing::jwks(&[mint]), &[Algorithm::ES256]).unwrap();
        let judged = |keys: &KeySet| {
            verify(&token, &testing::issuer(), "our-client", "n-1", keys, NOW).map(|_| ())
        };
        assert!(judged(&set(&other)).is_ok());
        assert!(matches!(
            judged(&set(testing::mint())),
            Err(IdentityError::Signature)
        ));
    }
}
