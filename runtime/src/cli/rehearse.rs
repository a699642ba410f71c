//! Callers for rules that are tested: claims written by hand, through the verification of a real token.
//!
//! There is no second way to make a [`Caller`], not even here. The claims are signed with a key that lives as long as this
//! value and that no server has ever heard of, and the token goes through the very same verification, with the operator's own
//! mapping of the issuer. So a rehearsed caller is mapped as a real one is, and its token opens no door.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::identity::IssuerConfig;
use crate::identity::{BearerToken, Caller, KeySet, token};
use crate::idp::SigningKey;
use crate::policy::CallerText;

/// How long a rehearsed token would hold, in seconds. Nothing waits for it; it only has to hold now.
const TOKEN_SECS: i64 = 600;

/// The issuers of a configuration, each signing with a key of our own.
pub(crate) struct Rehearsal {
    key: SigningKey,
    keys: KeySet,
    issuers: BTreeMap<String, IssuerConfig>,
}

impl Rehearsal {
    /// With these issuers.
    pub(crate) fn new(issuers: &[IssuerConfig]) -> anyhow::Result<Self> {
        let key = SigningKey::generate()?;
        let algorithms = vec![Algorithm::ES256];
        let keys = KeySet::parse(key.key_set().to_string().as_bytes(), &algorithms)?;
        let ours = |issuer: &IssuerConfig| {
            let algorithms = algorithms.clone();
            let issuer = IssuerConfig {
                algorithms,
                ..issuer.clone()
            };
            (issuer.issuer.as_str().to_owned(), issuer)
        };
        Ok(Self {
            key,
            keys,
            issuers: issuers.iter().map(ours).collect(),
        })
    }

    /// The caller that a token with these claims would make at `now`.
    ///
    /// What every token has and no rule reads is filled in: audience, times and a number. What the claims say goes before.
    pub(crate) fn caller(&self, text: &CallerText, now: Timestamp) -> anyhow::Result<Arc<Caller>> {
        let issuer = self.issuer(text)?;
        let mut claims = json!({
            "iss": issuer.issuer.as_str(),
            "aud": issuer.audience.first(),
            "iat": now.secs(),
            "exp": now.secs().saturating_add(TOKEN_SECS),
            "jti": "rehearsal",
        });
        let members = claims
            .as_object_mut()
            .ok_or_else(|| anyhow!("claims are an object"))?;
        if let Some(client) = &text.client {
            members.insert(issuer.client_claim.clone(), Value::from(client.as_str()));
        }
        for (name, value) in &text.claims {
            let twice = members.get(name).is_some_and(|known| known != value);
            let own = name == "iss" || (text.client.is_some() && *name == issuer.client_claim);
            ensure!(
                !(own && twice),
                "`{name}` stands in the claims and beside them, with two values"
            );
            members.insert(name.clone(), value.clone());
        }
        let signed = BearerToken::new(self.key.sign("at+jwt", &claims)?);
        let caller = token::verify(&signed, issuer, &self.keys, now)
            .context("no token with these claims is accepted")?;
        Ok(Arc::new(caller))
    }

    fn issuer(&self, text: &CallerText) -> anyhow::Result<&IssuerConfig> {
        ensure!(
            !self.issuers.is_empty(),
            "no `[[issuer]]` is configured, so nobody can call a tool"
        );
        let said = text.claims.get("iss").and_then(Value::as_str);
        let known = || self.issuers.keys().map(|name| format!("`{name}`"));
        match text.issuer.as_deref().or(said) {
            Some(name) => self.issuers.get(name).ok_or_else(|| {
                let known: Vec<_> = known().collect();
                anyhow!(
                    "the issuer `{name}` is not configured; there is {}",
                    known.join(", ")
                )
            }),
            None => match self.issuers.values().collect::<Vec<_>>().as_slice() {
                [only] => Ok(*only),
                _ => Err(anyhow!(
                    "there are several issuers; name one of {}",
                    known().collect::<Vec<_>>().join(", ")
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing;

    fn text(claims: Value) -> CallerText {
        CallerText {
            issuer: None,
            client: Some("desk".to_owned()),
            claims: serde_json::from_value(claims).unwrap(),
        }
    }

    #[test]
    fn claims_by_hand_are_read_as_those_of_a_token_are() {
        let rehearsal = Rehearsal::new(&[testing::issuer()]).unwrap();
        let good = text(json!({"sub": "ada", "roles": ["staff"], "tenant": "north"}));
        let caller = rehearsal.caller(&good, testing::NOW).unwrap();
        assert_eq!(caller.client().as_str(), "desk");
        assert_eq!(caller.tenant().as_str(), "north");
        assert!(caller.roles().contains("staff"));
        for (bad, expected) in [
            (json!({"roles": ["staff"]}), "`sub`"),
            (json!({"sub": "ada", "roles": 7}), "`roles`"),
            (json!({"sub": "ada", "exp": 3}), "expired"),
            (json!({"sub": "ada", "aud": "https://other.test"}), "is for"),
            (json!({"sub": "ada", "client_id": "other"}), "two values"),
            (
                json!({"sub": "ada", "iss": "https://other.test"}),
                "not configured",
            ),
        ] {
            let error = rehearsal
                .caller(&text(bad.clone()), testing::NOW)
                .unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{bad}: {error:#}");
        }
    }

    /// What is rehearsed is worth nothing to a server: its key is in no key set of an issuer.
    #[test]
    fn a_rehearsed_token_is_good_for_nothing_else() {
        let rehearsal = Rehearsal::new(&[testing::issuer()]).unwrap();
        let token = rehearsal.key.sign("at+jwt", &testing::claims(json!({})));
        let token = BearerToken::new(token.unwrap());
        let verified = token::verify(&token, &testing::issuer(), &testing::keys(), testing::NOW);
        assert!(verified.is_err());
    }
}
