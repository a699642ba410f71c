//! Tokens, held against the rules as a second author would write them.
//!
//! An input cannot hold a signature, so the target signs: what is fuzzed is all that is signed, and by what.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target ends by a panic, and JSON that is made here has its members"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

pub(crate) use super::keys::fuzz::{WORDS as KEY_SET_WORDS, key_set, seeds as key_set_seeds};
use super::testing::{AUDIENCE, ISSUER, Mint, NOW, claims, encode, issuer, jwks};
use super::{BearerToken, Caller, KeySet, token as verifier};
use crate::config::IssuerConfig;
use crate::fuzzing::choices::{Choices, cut};
use crate::fuzzing::json::{self, Json, Twice};
use crate::limits::{CLAIM_STRINGS_MAX, TOKEN_BYTES_MAX, TOKEN_LEEWAY_SECS};

/// By what a token is signed. The first byte of an input chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signed {
    /// The key that it names.
    Rightly,
    /// Another key of the same kind.
    ByAnother,
    /// The public key, as if it were a secret (RFC 8725 §2.1).
    ByThePublicKey,
    /// Nothing.
    NotAtAll,
    /// The right key, and then changed.
    Wrongly,
}

struct World {
    mint: Mint,
    other: Mint,
    issuer: IssuerConfig,
    keys: KeySet,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mint = Mint::eddsa("test-key");
    let mut issuer = issuer();
    issuer.allow_without_user = false;
    World {
        keys: KeySet::parse(&jwks(&[&mint]), &issuer.algorithms).expect("a set of one good key"),
        other: Mint::eddsa("test-key"),
        issuer,
        mint,
    }
});

/// One byte that says how it is signed, then a header, a line feed and claims.
pub(crate) fn token(bytes: &[u8]) {
    let mut choices = Choices::of(bytes);
    let signed = match choices.byte() {
        b'a' => Signed::ByAnother,
        b'p' => Signed::ByThePublicKey,
        b'n' => Signed::NotAtAll,
        b'w' => Signed::Wrongly,
        _ => Signed::Rightly,
    };
    let (header, payload) = cut(choices.rest(), b'\n');
    let world = &*WORLD;
    let text = match signed {
        Signed::Rightly | Signed::Wrongly => world.mint.sign_raw(header, payload),
        Signed::ByAnother => world.other.sign_raw(header, payload),
        Signed::ByThePublicKey => {
            let message = format!("{}.{}", encode(header), encode(payload));
            let public = world.mint.jwk()["x"]
                .as_str()
                .and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
            let public = public.expect("the key that was just written");
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
            let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
            format!("{message}.{}", encode(tag.as_ref()))
        }
        Signed::NotAtAll => format!("{}.{}.", encode(header), encode(payload)),
    };
    let text = match signed {
        Signed::Wrongly => flipped(&text),
        _ => text,
    };
    let bytes = text.len();
    let token = BearerToken::new(text);
    let Ok(caller) = verifier::verify(&token, &world.issuer, &world.keys, NOW) else {
        return;
    };
    assert!(
        signed == Signed::Rightly,
        "a token that its issuer did not sign"
    );
    assert!(bytes <= TOKEN_BYTES_MAX, "a token past the bound");
    let allowed = allowed(header, payload);
    assert!(
        allowed.is_some(),
        "a token that the rules refuse was accepted"
    );
    if let Some(allowed) = allowed {
        agree(&caller, &allowed);
    }
}

/// The last character of the signature but one, which has no stray bits.
fn flipped(text: &str) -> String {
    let mut all = text.as_bytes().to_vec();
    if let Some(byte) = all.iter_mut().rev().nth(1) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What the rules find in a token that they take.
struct Allowed {
    subject: String,
    client: String,
    scopes: BTreeSet<String>,
    ends: f64,
}

/// The rules of an access token (RFC 9068 §2 and §4, RFC 7519, RFC 8725), for this issuer; none where one of them refuses it.
fn allowed(header: &[u8], payload: &[u8]) -> Option<Allowed> {
    const LEVELS: usize = 16;
    let header = json::read(header, LEVELS, Twice::Refused)?;
    let text = |name: &str| header.get(name).and_then(Json::text);
    let kind = text("typ")?.to_ascii_lowercase();
    let is_whole = matches!(kind.as_str(), "at+jwt" | "application/at+jwt")
        && text("alg") == Some("EdDSA")
        && text("kid") == Some("test-key")
        && ["crit", "cty", "zip", "b64"]
            .iter()
            .all(|name| header.get(name).is_none());
    let claims = json::read(payload, LEVELS, Twice::Refused)?;
    let text = |name: &str| {
        claims
            .get(name)
            .and_then(Json::text)
            .filter(|text| !text.is_empty())
    };
    let ours = |one: &Json| one.text() == Some(AUDIENCE);
    let for_us = match claims.get("aud")? {
        Json::Array(all) => !all.is_empty() && all.iter().all(ours),
        one => ours(one),
    };
    // Times are read to the millisecond, so that much may be between the two readings.
    const MS: f64 = 0.001;
    let (now, leeway) = (NOW.secs() as f64, TOKEN_LEEWAY_SECS as f64);
    let time = |name: &str| claims.get(name)?.number().filter(|time| *time >= 0.0);
    let ends = time("exp").filter(|ends| now < ends + leeway)?;
    time("iat").filter(|begun| *begun <= now + leeway + MS)?;
    if claims.get("nbf").is_some() {
        time("nbf").filter(|begins| *begins <= now + leeway + MS)?;
    }
    let (subject, client) = (text("sub")?, text("client_id")?);
    text("jti")?;
    let of_a_client = |name: &str, words: &[&str]| match claims.get(name) {
        Some(Json::Text(one)) => words.contains(&one.as_str()),
        Some(Json::Array(all)) => all
            .iter()
            .any(|one| one.text().is_some_and(|one| words.contains(&one))),
        _ => false,
    };
    let has_user = subject != client
        && !of_a_client("gty", &["client-credentials", "client_credentials"])
        && !of_a_client("idtyp", &["app"]);
    let scopes: BTreeSet<String> = match claims.get("scope") {
        None => BTreeSet::new(),
        Some(scope) => {
            let words: Vec<&str> = scope.text()?.split(' ').collect();
            // RFC 6749 §3.3
            let plain = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~');
            let good = |word: &&str| !word.is_empty() && word.chars().all(plain);
            words
                .iter()
                .all(good)
                .then_some(words)?
                .into_iter()
                .map(str::to_owned)
                .collect()
        }
    };
    let is_good = is_whole
        && for_us
        && has_user
        && claims.get("iss").and_then(Json::text) == Some(ISSUER)
        // RFC 7800: it would have to be shown by whom it is bound to.
        && claims.get("cnf").is_none()
        && scopes.len() <= CLAIM_STRINGS_MAX
        && acts(&claims) <= 10;
    is_good.then(|| Allowed {
        subject: subject.to_owned(),
        client: client.to_owned(),
        scopes,
        ends,
    })
}

/// How long the chain of actors is; past every bound where one of them is nobody.
fn acts(claims: &Json) -> usize {
    let mut count = 0;
    let mut at = claims.get("act");
    while let Some(actor) = at {
        let named = actor
            .get("sub")
            .and_then(Json::text)
            .is_some_and(|name| !name.is_empty());
        count += if named { 1 } else { 100 };
        at = actor.get("act");
    }
    count
}

fn agree(caller: &Caller, allowed: &Allowed) {
    assert_eq!(caller.user().issuer.as_str(), ISSUER);
    assert_eq!(caller.user().subject.as_str(), allowed.subject);
    assert_eq!(caller.client().as_str(), allowed.client);
    assert_eq!(caller.scopes(), &allowed.scopes);
    assert!(caller.has_user());
    let ends = caller.token().expires.0 as f64 / 1000.0;
    assert!(
        (ends - allowed.ends).abs() < 0.01,
        "it ends at another time"
    );
}

pub(crate) fn token_seeds() -> Vec<Vec<u8>> {
    let header = WORLD.mint.header();
    let seed = |how: &str, header: &serde_json::Value, claims: &serde_json::Value| {
        format!("{how}{header}\n{claims}").into_bytes()
    };
    let now = NOW.secs();
    let mut all: Vec<_> = [
        json!({}),
        json!({"scope": "tools:call tools:list", "aud": [AUDIENCE]}),
        json!({"aud": [AUDIENCE, "https://other.test"]}),
        json!({"nbf": now - 5, "iat": now - 60, "exp": 1_800_000_000.5}),
        json!({"exp": now - 29}),
        json!({"exp": now - 30}),
        json!({"iat": now + 30}),
        json!({"nbf": now + 31}),
        json!({"sub": "client-1"}),
        json!({"gty": "client-credentials"}),
        json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
        json!({"act": {"sub": "agent", "act": {"sub": "first", "iss": "https://as.test"}}}),
        json!({"groups": "a b", "tenant": "t1", "acr": "mfa", "auth_time": now - 9, "amr": ["pwd"]}),
        json!({"iss": "https://as.test/"}),
    ]
    .into_iter()
    .map(|changes| seed("r", &header, &claims(changes)))
    .collect();
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("application/AT+jwt")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("kid", json!("../test-key")),
        ("crit", json!(["exp"])),
        ("cty", json!("JWT")),
        ("jwk", WORLD.other.jwk()),
    ] {
        let mut header = header.clone();
        header[name] = value;
        for how in ["r", "p"] {
            all.push(seed(how, &header, &claims(json!({}))));
        }
    }
    all.extend(["a", "n", "w"].map(|how| seed(how, &header, &claims(json!({})))));
    all
}

pub(crate) const TOKEN_WORDS: &[&str] = &[
    "\"alg\":",
    "\"none\"",
    "\"HS256\"",
    "\"EdDSA\"",
    "\"eddsa\"",
    "\"typ\":",
    "\"JWT\"",
    "\"at+jwt\"",
    "\"crit\":[",
    "\"b64\":false,",
    "\"aud\":",
    "\"iss\":",
    "\"exp\":",
    "\"nbf\":",
    "\"iat\":",
    "\"sub\":",
    "\"scope\":",
    "\"cnf\":{",
    "\"jkt\":",
    "\"act\":{",
    "\"jti\":",
    "\"client_id\":",
    "1800000000",
    "1799999970.",
    "e9",
    "null",
    "\\u0061",
    "\"https://mcp.test/mcp\"",
    "[\"https://mcp.test/mcp\"]",
    "\"https://as.test\"",
    "\"gty\":",
    "\"idtyp\":\"app\",",
    "\"kid\":\"test-key\"",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of the target must take what is good, or that they refuse would say nothing.
    #[test]
    fn the_second_rules_take_a_good_token_and_refuse_one_of_each_kind() {
        let header = WORLD.mint.header().to_string();
        let judged = |changes| {
            let claims = claims(changes).to_string();
            allowed(header.as_bytes(), claims.as_bytes()).is_some()
        };
        assert!(judged(json!({})));
        assert!(judged(json!({"aud": [AUDIENCE], "exp": NOW.secs() - 29})));
        for bad in [
            json!({"aud": [AUDIENCE, "https://other.test"]}),
            json!({"aud": "https://other.test"}),
            json!({"iss": "https://as.test/"}),
            json!({"exp": NOW.secs() - 30}),
            json!({"exp": "1800000600"}),
            json!({"iat": NOW.secs() + 31}),
            json!({"nbf": NOW.secs() + 31}),
            json!({"jti": null}),
            json!({"sub": "client-1"}),
            json!({"scope": "a  b"}),
            json!({"scope": ["a"]}),
            json!({"cnf": {"jkt": "x"}}),
            json!({"act": {"sub": ""}}),
        ] {
            assert!(!judged(bad.clone()), "{bad}");
        }
        for bad in ["crit", "typ", "alg", "kid"] {
            let mut header = WORLD.mint.header();
            header[bad] = json!("none");
            let claims = claims(json!({})).to_string();
            assert!(
                allowed(header.to_string().as_bytes(), claims.as_bytes()).is_none(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_good_seeds_are_accepted() {
        let world = &*WORLD;
        let good = |changes| {
            let token = BearerToken::new(world.mint.sign(&claims(changes)));
            verifier::verify(&token, &world.issuer, &world.keys, NOW).is_ok()
        };
        assert!(good(json!({})) && good(json!({"aud": [AUDIENCE], "nbf": NOW.secs() - 5})));
    }
}
