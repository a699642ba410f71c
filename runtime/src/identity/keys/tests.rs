use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::testing::{Mint, encode, mint};

const ALLOWED: &[Algorithm] = &[
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::RS256,
];

fn set(keys: &[Value]) -> KeySet {
    let document = json!({ "keys": keys }).to_string();
    KeySet::parse(document.as_bytes(), ALLOWED).unwrap()
}

/// What becomes of a good key with these members changed; `null` takes one away.
fn judged(mut jwk: Value, changes: Value) -> Result<Algorithm, Skip> {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    // A good neighbour is never lost.
    let set = set(&[jwk, Mint::eddsa("neighbour").jwk()]);
    assert!(set.find("neighbour").is_some());
    match (set.find("test-key"), set.skipped()) {
        (Some(key), []) => Ok(key.algorithm),
        (None, [(_, skip)]) => Err(*skip),
        other => panic!("{other:?}"),
    }
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "kid": "test-key", "alg": "RS256", "n": encode(n), "e": encode(e)})
}

#[test]
fn a_public_signature_key_is_taken() {
    assert_eq!(judged(mint().jwk(), json!({})), Ok(Algorithm::ES256));
    assert_eq!(
        judged(Mint::es384("test-key").jwk(), json!({"alg": null})),
        Ok(Algorithm::ES384)
    );
    assert_eq!(
        judged(Mint::eddsa("test-key").jwk(), json!({"alg": null})),
        Ok(Algorithm::EdDSA)
    );
}

#[test]
fn t7_a_key_is_used_for_what_it_is_meant_for() {
    for good in [
        json!({"use": null}),
        json!({"use": "sig"}),
        json!({"key_ops": ["verify"]}),
        json!({"key_ops": ["sign", "verify"], "use": null}),
    ] {
        assert!(judged(mint().jwk(), good.clone()).is_ok(), "{good}");
    }
    for other in [
        json!({"use": "enc"}),
        json!({"use": "SIG"}),
        json!({"use": ["sig"]}),
        json!({"key_ops": ["encrypt"]}),
        json!({"key_ops": []}),
        json!({"key_ops": "verify"}),
        json!({"key_ops": ["verify", 1]}),
        json!({"use": "enc", "key_ops": ["verify"]}),
    ] {
        assert_eq!(
            judged(mint().jwk(), other.clone()),
            Err(Skip::OtherUse),
            "{other}"
        );
    }
}

#[test]
fn t7_the_algorithm_of_a_key_fits_its_type_and_its_issuer() {
    assert!(judged(mint().jwk(), json!({"alg": null})).is_ok());
    for algorithm in [
        "ES384", "RS256", "EdDSA", "HS256", "none", "es256", "ECDH-ES", "",
    ] {
        assert_eq!(
            judged(mint().jwk(), json!({"alg": algorithm})),
            Err(Skip::Algorithm),
            "{algorithm}"
        );
    }
    assert_eq!(
        judged(mint().jwk(), json!({"alg": 1})),
        Err(Skip::Algorithm)
    );
}

#[test]
fn t7_a_key_without_algorithm_needs_the_only_one_that_fits() {
    let mut jwk = Mint::rs256("r").jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let document = json!({ "keys": [jwk] }).to_string();
    let usable = |allowed: &[Algorithm]| {
        !KeySet::parse(document.as_bytes(), allowed)
            .unwrap()
            .is_empty()
    };
    assert!(usable(&[Algorithm::RS256]));
    assert!(usable(&[Algorithm::ES256, Algorithm::PS256]));
    assert!(!usable(&[Algorithm::RS256, Algorithm::PS256]));
    assert!(!usable(&[Algorithm::ES256]));
}

#[test]
fn t8_an_rsa_key_has_2048_bits_and_an_odd_exponent_of_3_or_more() {
    let big = |bits: usize| {
        let mut n = vec![0xff; bits / 8];
        n[0] = 0x80;
        n
    };
    assert_eq!(
        judged(rsa_jwk(&big(2048), &[1, 0, 1]), json!({})),
        Ok(Algorithm::RS256)
    );
    assert!(judged(rsa_jwk(&big(2048), &[3]), json!({})).is_ok());
    let padded = [&[0][..], &big(2048)].concat();
    assert!(judged(rsa_jwk(&padded, &[0, 1, 0, 1]), json!({})).is_ok());

    let mut short = big(2048);
    short[0] = 0x7f;
    let mut even = big(2048);
    even[255] = 0xfe;
    let padded_short = [&[0; 128][..], &big(1024)].concat();
    for n in [
        big(1024),
        short,
        even,
        padded_short,
        Vec::new(),
        vec![0; 256],
    ] {
        assert_eq!(
            judged(rsa_jwk(&n, &[1, 0, 1]), json!({})),
            Err(Skip::Weak),
            "{} bytes",
            n.len()
        );
    }
    for e in [&[1][..], &[2], &[1, 0, 0], &[0], &[]] {
        assert_eq!(judged(rsa_jwk(&big(2048), e), json!({})), Err(Skip::Weak));
    }
}

#[test]
fn t8_a_point_lies_on_its_curve() {
    let jwk = mint().jwk();
    for off in [
        json!({"y": jwk["x"]}),
        json!({"x": encode(&[0; 32]), "y": encode(&[0; 32])}),
        json!({"x": encode(&[0xff; 32])}),
    ] {
        assert_eq!(judged(jwk.clone(), off), Err(Skip::Weak));
    }
    for malformed in [
        json!({"x": encode(&[1; 31])}),
        json!({"x": encode(&[1; 33])}),
        json!({"x": null}),
        json!({"x": 1}),
        json!({"x": "=="}),
    ] {
        assert_eq!(judged(jwk.clone(), malformed), Err(Skip::Malformed));
    }
    // A point of another curve.
    let other = Mint::es384("test-key").jwk();
    let foreign = json!({"x": other["x"], "y": other["y"]});
    assert_eq!(judged(jwk, foreign), Err(Skip::Malformed));
    let ed = Mint::eddsa("test-key").jwk();
    assert_eq!(
        judged(ed, json!({"x": encode(&[1; 31])})),
        Err(Skip::Malformed)
    );
}

#[test]
fn j1_a_set_is_bounded() {
    let many = |count: usize| {
        let keys: Vec<Value> = (0..count)
            .map(|n| json!({"kty": "x", "kid": n.to_string()}))
            .collect();
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), ALLOWED)
    };
    assert!(many(JWKS_KEYS_MAX).is_ok());
    assert!(matches!(
        many(JWKS_KEYS_MAX + 1),
        Err(KeyError::TooMany { .. })
    ));
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(JWKS_BYTES_MAX));
    assert!(matches!(
        KeySet::parse(large.as_bytes(), ALLOWED),
        Err(KeyError::TooLarge { .. })
    ));
}

#[test]
fn j4_keys_that_are_not_known_do_not_cost_the_others() {
    for unknown in [
        json!({"kty": "AKP", "alg": "ML-DSA-44", "crv": null}),
        json!({"crv": "P-521"}),
        json!({"crv": "secp256k1"}),
        json!({"crv": null}),
        json!({"crv": ["P-256"]}),
        json!({"kty": "OKP", "crv": "X25519"}),
        json!({"kty": "ec"}),
    ] {
        assert_eq!(
            judged(mint().jwk(), unknown.clone()),
            Err(Skip::UnknownType),
            "{unknown}"
        );
    }
    let mixed = set(&[json!(1), json!(null), json!("x"), json!([]), mint().jwk()]);
    assert_eq!((mixed.len(), mixed.skipped().len()), (1, 4));
}

#[test]
fn j4_a_key_without_usable_id_is_not_used() {
    for id in [json!(""), json!(1), json!("k".repeat(129)), json!(["k"])] {
        let mut jwk = mint().jwk();
        jwk["kid"] = id;
        let set = set(&[jwk]);
        assert!(set.is_empty());
        assert_eq!(set.skipped()[0].1, Skip::NoId);
    }
}

#[test]
fn j4_symmetric_and_private_keys_are_never_taken_and_said_aloud() {
    for (changes, skip) in [
        (
            json!({"kty": "oct", "k": encode(&[1; 64])}),
            Skip::Symmetric,
        ),
        (json!({"k": encode(&[1; 64])}), Skip::Symmetric),
        (json!({"d": "AAAA"}), Skip::Private),
        (json!({"d": 1}), Skip::Private),
        (json!({"priv": "AAAA"}), Skip::Private),
        (json!({"p": "AAAA"}), Skip::Private),
    ] {
        assert_eq!(
            judged(mint().jwk(), changes.clone()),
            Err(skip),
            "{changes}"
        );
        assert!(skip.is_alarm());
    }
    assert!(!Skip::OtherUse.is_alarm());
}

#[test]
fn j4_of_two_keys_with_one_id_neither_is_used() {
    let (a, b) = (Mint::es256("a"), Mint::es256("a"));
    assert_eq!(set(&[a.jwk()]).len(), 1);
    let both = set(&[a.jwk(), b.jwk(), Mint::es256("c").jwk()]);
    assert!(both.find("a").is_none());
    assert!(both.find("c").is_some());
    assert_eq!(both.skipped(), [("`a`".to_owned(), Skip::DuplicateId)]);
    assert!(set(&[a.jwk(), a.jwk()]).is_empty());
    // A key that would be skipped anyway still makes the id ambiguous.
    let mut encryption = b.jwk();
    encryption["use"] = json!("enc");
    assert!(set(&[a.jwk(), encryption]).is_empty());
}

#[test]
fn a_set_is_one_strict_json_object() {
    for bad in [
        &b""[..],
        b"[]",
        b"{}",
        b"{\"keys\":{}}",
        b"{\"keys\":null}",
        b"{\"keys\":[],\"keys\":[]}",
        b"{\"keys\":[{\"kid\":\"a\",\"k\\u0069d\":\"b\"}]}",
        b"\xef\xbb\xbf{\"keys\":[]}",
        b"<html>",
    ] {
        assert!(KeySet::parse(bad, ALLOWED).is_err());
    }
    assert!(KeySet::parse(b"{\"keys\":[]}", ALLOWED).unwrap().is_empty());
}

#[test]
fn an_hmac_secret_is_as_long_as_its_hash() {
    let taken = |bytes: usize| {
        let jwk = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": encode(&vec![1; bytes])});
        let document = json!({ "keys": [jwk] }).to_string();
        !KeySet::parse(document.as_bytes(), &[Algorithm::HS256])
            .unwrap()
            .is_empty()
    };
    assert!(taken(32));
    assert!(!taken(31));
}

proptest! {
    #[test]
    fn no_document_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,100}") {
        KeySet::parse(&bytes, ALLOWED).ok();
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "a", "x": text, "y": encode(&bytes)});
        prop_assert!(set(&[jwk]).is_empty());
        let rsa = json!({"kty": "RSA", "alg": "RS256", "kid": "a", "n": encode(&bytes), "e": "AQAB"});
        set(&[rsa]);
    }
}
