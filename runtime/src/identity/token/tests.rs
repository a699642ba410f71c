mod claims;
mod header;
mod mapped;
mod shape;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::identity::testing::{self, AUDIENCE, ISSUER, Mint, NOW, encode, jwks, mint};

fn judged_text(text: &str) -> Result<Caller, IdentityError> {
    judged_by(text, &testing::issuer(), &testing::keys())
}

fn judged_by(text: &str, issuer: &IssuerConfig, keys: &KeySet) -> Result<Caller, IdentityError> {
    verify(&BearerToken::new(text.to_owned()), issuer, keys, NOW)
}

/// A token with these claims changed.
fn judged(changes: Value) -> Result<Caller, IdentityError> {
    judged_text(&testing::token(changes))
}

/// A good token with these header members changed; `null` takes one away.
fn judged_header(changes: Value) -> Result<Caller, IdentityError> {
    let mut header = mint().header();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            header.as_object_mut().unwrap().remove(name);
        } else {
            header[name] = value.clone();
        }
    }
    judged_text(&mint().sign_with(&header, &testing::claims(json!({}))))
}

/// A signed token with this payload, byte by byte.
fn judged_payload(payload: &str) -> Result<Caller, IdentityError> {
    judged_text(&mint().sign_raw(mint().header().to_string().as_bytes(), payload.as_bytes()))
}

/// The payload of a good token with one more member put in front, as text.
fn payload_with(member: &str) -> String {
    let claims = testing::claims(json!({})).to_string();
    claims.replacen('{', &format!("{{{member},"), 1)
}

fn refused_claim(changes: Value, name: &str) {
    let described = changes.to_string();
    match judged(changes) {
        Err(
            IdentityError::Claim { name: found, .. } | IdentityError::ClaimName { name: found, .. },
        ) => {
            assert_eq!(found, name, "{described}");
        }
        other => panic!("{described}: {other:?}"),
    }
}

#[test]
fn a_good_token_becomes_a_caller() {
    let caller = judged(json!({
        "roles": ["admin", "user"], "groups": "a b", "tenant": "t1", "acr": "mfa",
        "auth_time": NOW.secs() - 9, "scope": "tools:call tools:list",
    }))
    .unwrap();
    assert_eq!(caller.user().issuer.as_str(), ISSUER);
    assert_eq!(caller.user().subject.as_str(), "alice");
    assert_eq!(caller.client().as_str(), "client-1");
    assert_eq!(caller.tenant().as_str(), "t1");
    assert!(caller.roles().iter().eq(["admin", "user"]));
    assert!(caller.groups().iter().eq(["a", "b"]));
    assert!(caller.scopes().iter().eq(["tools:call", "tools:list"]));
    assert!(caller.has_user());
    assert_eq!(caller.actor(), None);
    let facts = caller.token();
    assert_eq!(facts.jti_hash, Digest::of(b"token-1"));
    assert_eq!(facts.algorithm, "ES256");
    assert_eq!(facts.key_id, "test-key");
    assert_eq!(facts.expires, Timestamp::from_secs(NOW.secs() + 600));
    assert_eq!(facts.acr.as_deref(), Some("mfa"));
    assert_eq!(facts.auth_time, Some(Timestamp::from_secs(NOW.secs() - 9)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_changed_byte_of_a_good_token_verifies(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..4u8, length in 1usize..40,
    ) {
        let good = testing::token(json!({}));
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.drain(at..(at + length).min(good.len())); }
            _ => bytes.rotate_left(at),
        }
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        prop_assume!(changed != good);
        prop_assert!(judged_text(&changed).is_err());
    }

    #[test]
    fn no_part_of_another_token_fits_a_good_one(part in 0usize..3, subject in "[a-z]{1,8}") {
        prop_assume!(subject != "alice");
        let (good, other) = (testing::token(json!({})), testing::token(json!({"sub": subject, "jti": "2"})));
        let mut parts: Vec<&str> = good.split('.').collect();
        parts[part] = other.split('.').nth(part).unwrap();
        let mixed = parts.join(".");
        // Both headers are the same, so that a header from the other token changes nothing.
        prop_assert_eq!(judged_text(&mixed).is_ok(), mixed == good);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(judged_text(&text).is_err());
        let header = mint().header().to_string();
        prop_assert!(judged_text(&mint().sign_raw(header.as_bytes(), &bytes)).is_err());
        prop_assert!(judged_text(&mint().sign_raw(&bytes, &bytes)).is_err());
    }
}
