//! Key sets, held against what RFC 7517 and RFC 7518 say of a key that may verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::KeySet;
use crate::fuzzing::choices::Choices;
use crate::fuzzing::json::{self, Json, Twice};
use crate::identity::testing::{Mint, encode};
use crate::limits::JWKS_KEYS_MAX;

/// Which algorithms an issuer may use. The first byte of an input chooses.
const ALGORITHMS: [&[Algorithm]; 4] = [
    &[
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
        Algorithm::RS256,
    ],
    &[Algorithm::PS256],
    &[Algorithm::HS256],
    &[Algorithm::HS256, Algorithm::HS512],
];

/// The algorithms that an input chooses, and its document.
fn parts(bytes: &[u8]) -> (&'static [Algorithm], &[u8]) {
    let mut choices = Choices::of(bytes);
    let place = usize::from(choices.byte()) % ALGORITHMS.len();
    let algorithms = ALGORITHMS.get(place).copied().unwrap_or_default();
    (algorithms, choices.rest())
}

/// One byte that chooses algorithms, then a key set.
pub(crate) fn key_set(bytes: &[u8]) {
    let (algorithms, document) = parts(bytes);
    let Ok(set) = KeySet::parse(document, algorithms) else {
        return;
    };
    let second = json::read(document, 16, Twice::Refused);
    let Some(Json::Array(entries)) = second.as_ref().and_then(|second| second.get("keys")) else {
        unreachable!("a set was read that is none");
    };
    assert!(entries.len() <= JWKS_KEYS_MAX, "more keys than the bound");
    assert!(set.len() <= entries.len());
    let mut found = 0;
    for entry in entries {
        let Some(id) = entry.get("kid").and_then(Json::text) else {
            continue;
        };
        let Some(key) = set.find(id) else {
            continue;
        };
        found += 1;
        let same = |other: &&Json| other.get("kid").and_then(Json::text) == Some(id);
        assert_eq!(
            entries.iter().filter(same).count(),
            1,
            "a key of an id that two have"
        );
        assert!(id.len() <= 128 && algorithms.contains(&key.algorithm));
        is_usable(entry, key.algorithm);
    }
    assert_eq!(found, set.len(), "a key that stands nowhere");
}

/// What a key must be to verify with this algorithm (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
fn is_usable(key: &Json, algorithm: Algorithm) {
    let text = |name: &str| key.get(name).and_then(Json::text);
    let secret = ["d", "p", "q", "dp", "dq", "qi", "oth"];
    assert!(
        secret.iter().all(|name| key.get(name).is_none()),
        "a private key"
    );
    assert!(
        key.get("use").is_none() || text("use") == Some("sig"),
        "a key for encryption"
    );
    if let Some(operations) = key.get("key_ops") {
        let verifies = matches!(operations, Json::Array(all) if all.iter().any(|one| one.text() == Some("verify")));
        assert!(verifies, "a key that must not verify");
    }
    if key.get("alg").is_some() {
        assert_eq!(
            text("alg").map(str::to_owned),
            Some(format!("{algorithm:?}")),
            "a key for another algorithm"
        );
    }
    let bytes = |name: &str| {
        text(name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .unwrap_or_default()
    };
    let numeral = |name: &str| {
        let bytes = bytes(name);
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..).unwrap_or_default().to_vec()
    };
    let kind = (text("kty"), text("crv"));
    match algorithm {
        Algorithm::ES256 => {
            assert_eq!(kind, (Some("EC"), Some("P-256")));
            assert_eq!((bytes("x").len(), bytes("y").len()), (32, 32));
        }
        Algorithm::ES384 => {
            assert_eq!(kind, (Some("EC"), Some("P-384")));
            assert_eq!((bytes("x").len(), bytes("y").len()), (48, 48));
        }
        Algorithm::EdDSA => {
            assert_eq!(kind, (Some("OKP"), Some("Ed25519")));
            assert_eq!(bytes("x").len(), 32);
        }
        Algorithm::RS256 | Algorithm::PS256 => {
            let (n, e) = (numeral("n"), numeral("e"));
            assert_eq!(kind.0, Some("RSA"));
            // 2048 bits: 256 bytes, the first of them at least 128.
            let large =
                n.len() > 256 || (n.len() == 256 && n.first().is_some_and(|first| *first >= 128));
            assert!(large, "a modulus of less than 2048 bits");
            assert!(
                e.last().is_some_and(|last| last % 2 == 1) && e != [1],
                "an exponent that proves nothing"
            );
        }
        Algorithm::HS256 | Algorithm::HS512 => {
            assert_eq!(kind.0, Some("oct"));
            assert!(
                bytes("k").len()
                    >= if algorithm == Algorithm::HS256 {
                        32
                    } else {
                        64
                    }
            );
        }
        other => unreachable!("an algorithm that no issuer has: {other:?}"),
    }
    let symmetric = matches!(algorithm, Algorithm::HS256 | Algorithm::HS512);
    assert!(
        symmetric || key.get("k").is_none(),
        "a secret among public keys"
    );
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |which: u8, keys: &[serde_json::Value]| {
        let mut all = vec![which];
        all.extend(json!({ "keys": keys }).to_string().into_bytes());
        all
    };
    let mints = [
        Mint::es256("a"),
        Mint::es384("b"),
        Mint::eddsa("c"),
        Mint::rs256("d"),
    ];
    let keys: Vec<_> = mints.iter().map(Mint::jwk).collect();
    let twice = [keys.as_slice(), keys.as_slice()].concat();
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": encode(&[7; 64])});
    let mut padded = Mint::ps256("e").jwk();
    if let Some(members) = padded.as_object_mut() {
        members.insert("key_ops".to_owned(), json!(["verify"]));
    }
    vec![
        seed(0, &keys),
        seed(0, &twice),
        seed(1, &[padded]),
        seed(2, std::slice::from_ref(&secret)),
        seed(3, std::slice::from_ref(&secret)),
        seed(
            0,
            &[
                secret,
                json!({"kty": "EC", "kid": "x", "crv": "P-521", "d": "AA"}),
                json!(1),
            ],
        ),
    ]
}

pub(crate) const WORDS: &[&str] = &[
    "{\"keys\":[",
    "\"kty\":",
    "\"RSA\"",
    "\"EC\"",
    "\"OKP\"",
    "\"oct\"",
    "\"crv\":",
    "\"P-256\"",
    "\"P-384\"",
    "\"Ed25519\"",
    "\"kid\":",
    "\"use\":\"enc\",",
    "\"use\":\"sig\"",
    "\"key_ops\":[\"verify\"],",
    "\"alg\":",
    "\"HS256\"",
    "\"ES256\"",
    "\"RS256\"",
    "\"PS256\"",
    "\"k\":",
    "\"d\":\"AA\",",
    "\"n\":",
    "\"e\":\"AQAB\"",
    "\"e\":\"AQ\"",
    "\"x\":",
    "\"y\":",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_keys_among_the_seeds_are_read_and_no_others() {
        let keys = |seed: Vec<u8>| {
            let (algorithms, document) = parts(&seed);
            KeySet::parse(document, algorithms)
                .ok()
                .map(|set| set.len())
        };
        let keys: Vec<_> = seeds().into_iter().map(keys).collect();
        // Whatever has an id twice has none, and a secret is good where HS256 is the only kind that there may be.
        assert_eq!(keys, [Some(4), Some(0), Some(1), Some(1), Some(1), Some(0)]);
    }
}
