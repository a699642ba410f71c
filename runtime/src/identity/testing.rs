//! Callers for tests, through the real `verify` with keys that the test made.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value, json};

use super::{BearerToken, Caller, KeySet, token};
use crate::clock::Timestamp;
use crate::config::{ClaimMap, IssuerConfig, KeySource};

/// The time at which the tokens of [`claims`] are good.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// The issuer of [`issuer`].
pub(crate) const ISSUER: &str = "https://as.test";
/// The audience of [`issuer`].
pub(crate) const AUDIENCE: &str = "https://mcp.test/mcp";

/// A key pair that signs tokens.
pub(crate) struct Mint {
    key_id: String,
    algorithm: &'static str,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Mint {
    /// A new ES256 key.
    pub(crate) fn es256(key_id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(key_id, "ES256", Pair::P256(pair))
    }

    /// A new ES384 key.
    pub(crate) fn es384(key_id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::new(key_id, "ES384", Pair::P384(pair))
    }

    /// A new EdDSA key.
    pub(crate) fn eddsa(key_id: &str) -> Self {
        Self::new(
            key_id,
            "EdDSA",
            Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
        )
    }

    /// A new RS256 key; takes a good part of a second.
    pub(crate) fn rs256(key_id: &str) -> Self {
        let pair = RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        Self::new(key_id, "RS256", Pair::Rsa(pair))
    }

    /// A new PS256 key; takes a good part of a second.
    pub(crate) fn ps256(key_id: &str) -> Self {
        Self {
            algorithm: "PS256",
            ..Self::rs256(key_id)
        }
    }

    fn new(key_id: &str, algorithm: &'static str, pair: Pair) -> Self {
        Self {
            key_id: key_id.to_owned(),
            algorithm,
            pair,
        }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
        };
        jwk["kid"] = json!(self.key_id);
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A header for this key, as access tokens have it.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm, "typ": "at+jwt", "kid": self.key_id})
    }

    /// An access token with exactly these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// A token with exactly this header and these claims, whatever they say.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token of exactly these bytes.
    pub(crate) fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", encode(&signature))
    }

    /// The signature of a message.
    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if self.algorithm == "PS256" {
                        &RSA_PSS_SHA256
                    } else {
                        &RSA_PKCS1_SHA256
                    };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

/// The JWK Set of these keys.
pub(crate) fn jwks(mints: &[&Mint]) -> Vec<u8> {
    let keys: Vec<Value> = mints.iter().map(|mint| mint.jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The key that signs the tokens of [`token`] and [`caller`].
pub(crate) fn mint() -> &'static Mint {
    static MINT: LazyLock<Mint> = LazyLock::new(|| Mint::es256("test-key"));
    &MINT
}

/// The key set of [`mint`].
pub(crate) fn keys() -> KeySet {
    KeySet::parse(&jwks(&[mint()]), &issuer().algorithms).unwrap()
}

/// An issuer that accepts the tokens of [`mint`]: roles in `roles`, groups in `groups`, the tenant in `tenant` (else `default`).
pub(crate) fn issuer() -> IssuerConfig {
    let path = |name: &str| vec![name.to_owned()];
    IssuerConfig {
        issuer: ISSUER.parse().unwrap(),
        keys: KeySource::File("keys.json".into()),
        audience: vec![AUDIENCE.to_owned()],
        other_audiences: false,
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256],
        required_scopes: Vec::new(),
        client_claim: "client_id".to_owned(),
        claims: ClaimMap {
            role_prefix: String::new(),
            roles: path("roles"),
            groups: path("groups"),
            tenant: path("tenant"),
            default_tenant: "default".parse().unwrap(),
            extra: Default::default(),
        },
        acr: Vec::new(),
        scopes: Default::default(),
        allow_without_user: true,
        proof: Default::default(),
        introspection: None,
    }
}

/// The claims of a good token at `now`, changed by `changes`: a member replaces the claim, `null` takes it away.
pub(crate) fn claims_at(now: Timestamp, changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "client-1",
        "iat": now.secs(),
        "exp": now.secs() + 600,
        "jti": "token-1",
        "scope": "tools:call",
        "roles": ["user"],
    });
    let changes: Map<String, Value> = serde_json::from_value(changes).unwrap();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    claims
}

/// The claims of a good token at [`NOW`], changed by `changes`.
pub(crate) fn claims(changes: Value) -> Value {
    claims_at(NOW, changes)
}

/// A signed access token of [`claims`], good at [`NOW`].
pub(crate) fn token(changes: Value) -> String {
    mint().sign(&claims(changes))
}

/// A verified caller: user `alice` of [`ISSUER`] with client `client-1`, role `user` and scope `tools:call`, changed by `changes`.
/// A `sub` equal to `client_id` makes a caller without a user.
pub(crate) fn caller(changes: Value) -> Arc<Caller> {
    let token = BearerToken::new(token(changes));
    Arc::new(token::verify(&token, &issuer(), &keys(), NOW).unwrap())
}

/// A verified caller of [`issuer`] as `change` left it, so that further claims are read.
#[cfg(test)]
pub(crate) fn caller_of(change: impl FnOnce(&mut IssuerConfig), changes: Value) -> Arc<Caller> {
    let mut issuer = issuer();
    change(&mut issuer);
    let token = BearerToken::new(token(changes));
    Arc::new(token::verify(&token, &issuer, &keys(), NOW).unwrap())
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn point(curve: &str, uncompressed: &[u8]) -> Value {
    let (x, y) = uncompressed[1..].split_at((uncompressed.len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
}
