use super::*;

#[test]
fn every_allowed_algorithm_verifies_with_its_key_alone() {
    let mints = [
        Mint::es256("a"),
        Mint::es384("b"),
        Mint::eddsa("c"),
        Mint::rs256("d"),
        Mint::ps256("e"),
    ];
    let issuer = IssuerConfig {
        algorithms: vec![
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::RS256,
            Algorithm::PS256,
        ],
        ..testing::issuer()
    };
    let set = |mints: &[&Mint]| KeySet::parse(&jwks(mints), &issuer.algorithms).unwrap();
    let keys = set(&mints.each_ref());
    assert_eq!(keys.len(), mints.len());
    let claims = testing::claims(json!({}));
    for mint in &mints {
        let token = mint.sign(&claims);
        assert!(judged_by(&token, &issuer, &keys).is_ok());
        for other in &mints {
            // The other key, under this one's id.
            let mut header = mint.header();
            header["kid"] = other.header()["kid"].clone();
            let verified = judged_by(&mint.sign_with(&header, &claims), &issuer, &keys);
            assert_eq!(verified.is_ok(), std::ptr::eq(mint, other), "{header}");
        }
    }
}

#[test]
fn t1_the_algorithm_is_the_keys_and_one_of_the_issuers() {
    assert!(judged_header(json!({"alg": "ES256"})).is_ok());
    for algorithm in [
        "none", "None", "es256", "ES384", "EdDSA", "RS256", "HS256", "ES256 ", "", "ES512",
    ] {
        assert!(
            matches!(
                judged_header(json!({"alg": algorithm})),
                Err(IdentityError::Algorithm { .. })
            ),
            "{algorithm}"
        );
    }
    for algorithm in [json!(null), json!(1), json!(["ES256"])] {
        assert!(matches!(
            judged_header(json!({"alg": algorithm})),
            Err(IdentityError::Header { name: "alg", .. })
        ));
    }
}

#[test]
fn t1_an_algorithm_that_the_issuer_may_not_use_is_refused_though_the_set_has_the_key() {
    let token = testing::token(json!({}));
    let keys = KeySet::parse(&jwks(&[mint()]), &[Algorithm::ES256]).unwrap();
    let with = |algorithms: Vec<Algorithm>| {
        let issuer = IssuerConfig {
            algorithms,
            ..testing::issuer()
        };
        judged_by(&token, &issuer, &keys)
    };
    assert!(with(vec![Algorithm::ES256]).is_ok());
    assert!(matches!(
        with(vec![Algorithm::EdDSA]),
        Err(IdentityError::Algorithm { .. })
    ));
    assert!(with(Vec::new()).is_err());
}

#[test]
fn t1_a_public_key_is_no_hmac_secret() {
    use aws_lc_rs::hmac;
    let jwk = mint().jwk();
    let point = [&[4][..], &strict_bytes(&jwk["x"]), &strict_bytes(&jwk["y"])].concat();
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "test-key"});
    let claims = testing::claims(json!({}));
    for secret in [point, jwk.to_string().into_bytes(), Vec::new()] {
        let message = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &secret),
            message.as_bytes(),
        );
        let token = format!("{message}.{}", encode(tag.as_ref()));
        assert!(matches!(
            judged_text(&token),
            Err(IdentityError::Algorithm { .. })
        ));
    }
}

fn strict_bytes(value: &Value) -> Vec<u8> {
    crate::identity::strict::base64url(value.as_str().unwrap())
        .unwrap()
        .to_vec()
}

#[test]
fn t2_any_critical_extension_is_refused() {
    for critical in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!("x"),
        json!(false),
    ] {
        assert!(matches!(
            judged_header(json!({"crit": critical})),
            Err(IdentityError::Header { name: "crit", .. })
        ));
    }
}

#[test]
fn t3_only_the_type_of_access_tokens_is_accepted() {
    for kind in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        assert!(judged_header(json!({"typ": kind})).is_ok(), "{kind}");
    }
    for kind in [
        "JWT",
        "jwt",
        "",
        "at+jwt ",
        "at",
        "application/jwt",
        "text/at+jwt",
        "at+jwt;x=1",
    ] {
        assert!(
            matches!(
                judged_header(json!({"typ": kind})),
                Err(IdentityError::Type { .. })
            ),
            "{kind}"
        );
    }
    assert!(matches!(
        judged_header(json!({"typ": null})),
        Err(IdentityError::Type { .. })
    ));
    assert!(judged_header(json!({"typ": ["at+jwt"]})).is_err());
}

#[test]
fn x6_tokens_of_other_kinds_are_no_access_tokens() {
    for kind in [
        "oauth-id-jag+jwt",
        "logout+jwt",
        "dpop+jwt",
        "rt+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
    ] {
        assert!(
            matches!(
                judged_header(json!({"typ": kind})),
                Err(IdentityError::Type { .. })
            ),
            "{kind}"
        );
    }
    // An ID token, as an issuer would sign it for the client.
    let id_token = json!({"aud": "client-1", "client_id": null, "nonce": "n"});
    assert!(judged(id_token).is_err());
}

#[test]
fn t4_nested_compressed_and_unencoded_payloads_are_refused() {
    for (name, value) in [
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("b64", json!(true)),
        ("b64", json!(false)),
        ("enc", json!("A128GCM")),
    ] {
        assert!(
            matches!(
                judged_header(json!({name: value})),
                Err(IdentityError::Header { .. })
            ),
            "{name}"
        );
    }
}

#[test]
fn t5_a_token_does_not_bring_its_own_key() {
    let stranger = Mint::es256("test-key");
    let header = |mint: &Mint| {
        json!({
            "alg": "ES256", "typ": "at+jwt", "kid": "test-key", "jwk": mint.jwk(),
            "jku": "https://evil.test/keys", "x5u": "https://evil.test/x", "x5c": ["AAAA"],
        })
    };
    let claims = testing::claims(json!({}));
    assert!(judged_text(&mint().sign_with(&header(mint()), &claims)).is_ok());
    assert!(judged_text(&mint().sign_with(&header(&stranger), &claims)).is_ok());
    for header in [header(&stranger), stranger.header()] {
        assert!(matches!(
            judged_text(&stranger.sign_with(&header, &claims)),
            Err(IdentityError::Signature)
        ));
    }
}

#[test]
fn t6_the_key_id_is_required_and_matches_exactly() {
    assert!(judged_header(json!({"kid": "test-key"})).is_ok());
    let unknown = [
        "TEST-KEY",
        "test-key ",
        "test",
        "../test-key",
        "test-key\0",
        "*",
        "' OR 1=1",
    ];
    for id in unknown {
        assert!(
            matches!(
                judged_header(json!({"kid": id})),
                Err(IdentityError::UnknownKey { .. })
            ),
            "{id}"
        );
    }
    for id in [
        json!(null),
        json!(1),
        json!(["test-key"]),
        json!(""),
        json!("k".repeat(129)),
    ] {
        assert!(
            matches!(
                judged_header(json!({"kid": id})),
                Err(IdentityError::Header { name: "kid", .. })
            ),
            "{id}"
        );
    }
}

#[test]
fn hmac_counts_only_for_an_issuer_that_has_nothing_else() {
    use aws_lc_rs::hmac;
    let secret = [7; 32];
    let jwk = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": encode(&secret)});
    let set = json!({"keys": [jwk, mint().jwk()]}).to_string();
    let message = format!(
        "{}.{}",
        encode(br#"{"alg":"HS256","typ":"at+jwt","kid":"s"}"#),
        encode(testing::claims(json!({})).to_string().as_bytes())
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &secret),
        message.as_bytes(),
    );
    let token = format!("{message}.{}", encode(tag.as_ref()));
    let with = |token: &str, algorithms: Vec<Algorithm>| {
        let keys = KeySet::parse(set.as_bytes(), &algorithms).unwrap();
        let issuer = IssuerConfig {
            algorithms,
            ..testing::issuer()
        };
        judged_by(token, &issuer, &keys).is_ok()
    };
    let public = testing::token(json!({}));
    assert!(with(&token, vec![Algorithm::HS256]));
    assert!(!with(&token, vec![Algorithm::HS256, Algorithm::ES256]));
    assert!(!with(&token, vec![Algorithm::ES256]));
    assert!(with(&public, vec![Algorithm::ES256]));
    assert!(!with(&public, vec![Algorithm::HS256]));
}
