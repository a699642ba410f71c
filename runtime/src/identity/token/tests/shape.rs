use super::*;

#[test]
fn t16_members_named_twice_are_refused_wherever_they_stand() {
    assert!(judged_payload(&payload_with(r#""x":{"y":1}"#)).is_ok());
    for twice in [
        r#""scope":"admin""#,
        r#""sc\u006fpe":"admin""#,
        r#""sub":"alice""#,
        r#""exp":1800000600"#,
        r#""roles":["admin"]"#,
        r#""r\u006fles":["admin"]"#,
        r#""x":1,"x":2"#,
        r#""x":{"y":1,"y":1}"#,
    ] {
        assert!(
            matches!(
                judged_payload(&payload_with(twice)),
                Err(IdentityError::Part {
                    part: "payload",
                    ..
                })
            ),
            "{twice}"
        );
    }
    let claims = testing::claims(json!({})).to_string();
    for header in [
        r#"{"alg":"ES256","typ":"at+jwt","kid":"test-key","kid":"test-key"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"test-key","\u0061lg":"none"}"#,
    ] {
        assert!(matches!(
            judged_text(&mint().sign_raw(header.as_bytes(), claims.as_bytes())),
            Err(IdentityError::Part { part: "header", .. })
        ));
    }
}

#[test]
fn t18_a_token_has_three_parts_of_strict_base64url() {
    let good = testing::token(json!({}));
    assert!(judged_text(&good).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("not three parts");
    };
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}.a.b"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}\n.{payload}.{signature}"),
        good.replace('_', "/").replace('-', "+") + "/",
        json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
    ] {
        assert!(judged_text(&bad).is_err(), "{bad}");
    }
}

#[test]
fn t18_no_part_has_stray_bits_in_its_last_character() {
    let good = testing::token(json!({}));
    // 64 bytes of signature end in a character of which four bits are unused.
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    for bits in 1..16 {
        let stray = alphabet.chars().nth(value + bits).unwrap();
        let bad = format!("{}{stray}", &good[..good.len() - 1]);
        assert!(matches!(judged_text(&bad), Err(IdentityError::Part { .. })));
    }
}

#[test]
fn t18_payloads_are_bounded_utf8_json_objects() {
    let good = testing::claims(json!({})).to_string();
    assert!(judged_payload(&good).is_ok());
    for bad in [
        format!("\u{feff}{good}"),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good},"),
        "\"x\"".to_owned(),
        payload_with(&format!("\"x\":{}1{}", "[".repeat(40), "]".repeat(40))),
        payload_with("\"x\":\"\\ud800\""),
    ] {
        assert!(
            matches!(judged_payload(&bad), Err(IdentityError::Part { .. })),
            "{bad}"
        );
    }
    let header = mint().header().to_string();
    let not_utf8 = [good.as_bytes(), b"\xff"].concat();
    assert!(judged_text(&mint().sign_raw(header.as_bytes(), &not_utf8)).is_err());
}

#[test]
fn t18_a_token_is_no_longer_than_its_bound() {
    let padded = |bytes: usize| testing::token(json!({"x": "a".repeat(bytes)}));
    assert!(judged_text(&padded(5_000)).is_ok());
    assert!(matches!(
        judged_text(&padded(8_192)),
        Err(IdentityError::TooLong { .. })
    ));
}
