use super::*;

#[test]
fn t9_exp_is_a_required_number_of_seconds() {
    let at = |value: Value| judged(json!({ "exp": value }));
    assert!(at(json!(NOW.secs() + 1)).is_ok());
    let fraction = at(json!(1_800_000_000.75)).unwrap();
    assert_eq!(fraction.token().expires, Timestamp(1_800_000_000_750));
    for bad in [
        json!("1800000600"),
        json!(-1),
        json!([1_800_000_600]),
        json!({"s": 1_800_000_600}),
        json!(true),
        json!(1e300),
        json!(u64::MAX),
        json!(253_402_300_800_u64),
        json!(-0.5),
    ] {
        refused_claim(json!({ "exp": bad }), "exp");
    }
    refused_claim(json!({"exp": null}), "exp");
    let member = |value: &str| {
        testing::claims(json!({"exp": null})).to_string().replacen(
            '{',
            &format!("{{\"exp\":{value},"),
            1,
        )
    };
    assert!(judged_payload(&member("1800000600")).is_ok());
    for bad in [
        "null",
        "1e400",
        "0x6B49D200",
        "1800000600.",
        "01800000600",
        "NaN",
        "Infinity",
    ] {
        assert!(judged_payload(&member(bad)).is_err(), "{bad}");
    }
}

#[test]
fn t9_a_token_is_refused_from_its_end_on() {
    let ends = |seconds: i64| judged(json!({"exp": NOW.secs() + seconds}));
    // The clocks may be apart by 30 seconds, not by more.
    assert!(ends(-29).is_ok());
    assert!(matches!(ends(-30), Err(IdentityError::Expired { .. })));
    assert!(matches!(ends(-31), Err(IdentityError::Expired { .. })));
    assert!(matches!(
        judged(json!({"exp": 0})),
        Err(IdentityError::Expired { .. })
    ));
}

#[test]
fn t10_nbf_is_checked_and_of_its_type() {
    let begins = |seconds: i64| judged(json!({"nbf": NOW.secs() + seconds}));
    assert!(begins(-5).is_ok());
    assert!(begins(30).is_ok());
    assert!(matches!(
        begins(31),
        Err(IdentityError::Ahead { claim: "nbf", .. })
    ));
    for bad in [json!("0"), json!([0]), json!(false), json!(-1)] {
        refused_claim(json!({ "nbf": bad }), "nbf");
    }
    assert!(judged_payload(&payload_with(r#""nbf":null"#)).is_err());
}

#[test]
fn t11_iat_is_required_and_not_ahead() {
    let issued = |seconds: i64| judged(json!({"iat": NOW.secs() + seconds}));
    assert!(issued(-86_400).is_ok());
    assert!(issued(30).is_ok());
    assert!(matches!(
        issued(31),
        Err(IdentityError::Ahead { claim: "iat", .. })
    ));
    for bad in [json!(null), json!("1800000000"), json!([]), json!(-1)] {
        refused_claim(json!({ "iat": bad }), "iat");
    }
}

#[test]
fn t12_the_time_is_the_one_we_are_given() {
    let token = BearerToken::new(testing::token(json!({})));
    let at = |now| verify(&token, &testing::issuer(), &testing::keys(), now);
    assert!(at(NOW).is_ok());
    assert!(at(Timestamp(0)).is_err());
    assert!(at(Timestamp(NOW.0 + 86_400_000)).is_err());
    const { assert!(crate::limits::TOKEN_LEEWAY_SECS <= 60) };
}

#[test]
fn t13_iss_is_the_one_string_of_the_configuration() {
    for other in [
        "https://as.test/",
        "https://AS.test",
        "http://as.test",
        "https://as.test:443",
        "",
    ] {
        assert!(judged(json!({"iss": other})).is_err(), "{other}");
    }
    for bad in [json!(null), json!([ISSUER]), json!(1), json!({"x": ISSUER})] {
        refused_claim(json!({ "iss": bad }), "iss");
    }
}

#[test]
fn t13_sub_is_one_non_empty_string() {
    for bad in [
        json!(null),
        json!(""),
        json!(1),
        json!(["alice"]),
        json!("a\nb"),
        json!("a".repeat(513)),
    ] {
        refused_claim(json!({ "sub": bad }), "sub");
    }
    assert!(judged(json!({"sub": "Alice Ä. (7)"})).is_ok());
}

#[test]
fn t13_aud_is_a_string_or_a_non_empty_array_of_strings() {
    assert!(judged(json!({"aud": [AUDIENCE]})).is_ok());
    for bad in [
        json!(null),
        json!(1),
        json!({"x": AUDIENCE}),
        json!([]),
        json!([AUDIENCE, 1]),
        json!([AUDIENCE, null]),
        json!([[AUDIENCE]]),
        json!([AUDIENCE, ""]),
        json!(""),
    ] {
        refused_claim(json!({ "aud": bad }), "aud");
    }
    assert!(judged_payload(&payload_with(r#""aud":null"#)).is_err());
}

#[test]
fn t14_client_id_and_jti_are_required_strings() {
    for name in ["client_id", "jti"] {
        for bad in [
            json!(null),
            json!(""),
            json!(7),
            json!(["x"]),
            json!("x".repeat(513)),
        ] {
            refused_claim(json!({ name: bad }), name);
        }
    }
}

#[test]
fn t14_the_client_stands_where_the_issuer_puts_it() {
    let issuer = IssuerConfig {
        client_claim: "azp".to_owned(),
        ..testing::issuer()
    };
    let token = |changes| judged_by(&testing::token(changes), &issuer, &testing::keys());
    let caller = token(json!({"client_id": null, "azp": "client-2"})).unwrap();
    assert_eq!(caller.client().as_str(), "client-2");
    assert!(token(json!({"azp": null})).is_err());
    assert!(token(json!({"azp": "client-2", "client_id": 5})).is_err());
}

#[test]
fn t15_scope_is_one_string_with_single_spaces() {
    assert!(judged(json!({"scope": null})).unwrap().scopes().is_empty());
    let caller = judged(json!({"scope": "a A tools:call/*"})).unwrap();
    assert!(caller.scopes().iter().eq(["A", "a", "tools:call/*"]));
    for bad in [
        json!(["tools:call"]),
        json!(1),
        json!({}),
        json!(""),
        json!(" a"),
        json!("a "),
        json!("a  b"),
        json!("a\tb"),
        json!("a\nb"),
        json!("a\u{a0}b"),
        json!("a\"b"),
        json!("a\\b"),
        json!("ä"),
    ] {
        refused_claim(json!({ "scope": bad }), "scope");
    }
    assert!(judged_payload(&payload_with(r#""x":1"#)).is_ok());
}

#[test]
fn t15_scopes_are_compared_whole_and_in_exact_case() {
    let issuer = IssuerConfig {
        required_scopes: vec!["tools:call".to_owned(), "mcp".to_owned()],
        ..testing::issuer()
    };
    let with = |scope: Value| {
        let token = testing::token(json!({ "scope": scope }));
        judged_by(&token, &issuer, &testing::keys())
    };
    assert!(with(json!("mcp other tools:call")).is_ok());
    // A comma is a legal character of a scope, so a comma list is one scope, and not ours.
    for lacking in [
        "tools:call",
        "mcp TOOLS:CALL",
        "mcp tools:call:x",
        "mcp tools",
        "mcp,tools:call",
    ] {
        match with(json!(lacking)) {
            Err(IdentityError::InsufficientScope { required, .. }) => {
                assert_eq!(required, ["tools:call", "mcp"], "{lacking}");
            }
            other => panic!("{lacking}: {other:?}"),
        }
    }
    assert!(with(json!(null)).is_err());
}

#[test]
fn t17_a_token_bound_to_its_sender_is_no_plain_bearer_token() {
    let print = "A".repeat(43);
    for bound in [json!({"jkt": print}), json!({"x5t#S256": print})] {
        assert!(matches!(
            judged(json!({ "cnf": bound })),
            Err(IdentityError::SenderConstrained)
        ));
    }
    // RFC 7800: what binds it in a way that we cannot check does not make it anybody's.
    for unclear in [
        json!({"jkt": "x"}),
        json!({"jkt": "A".repeat(42)}),
        json!({"jkt": format!("{print}=")}),
        json!({"jkt": null}),
        json!({"x5t#S256": "x"}),
        json!({"x5t#S256": [print]}),
        json!({"x5t": print}),
        json!({"jwk": {}}),
        json!({"jkt": print, "kid": "a"}),
        json!({}),
        json!("x"),
        json!(false),
        json!([]),
    ] {
        assert!(
            matches!(
                judged(json!({ "cnf": unclear })),
                Err(IdentityError::Claim { .. })
            ),
            "{unclear}"
        );
    }
    assert!(judged_payload(&payload_with(r#""cnf":null"#)).is_err());
}

#[test]
fn t23_a_token_for_another_audience_is_refused_however_well_it_is_signed() {
    for other in [
        json!("https://other.test/mcp"),
        json!("https://mcp.test/mcp/"),
        json!("https://mcp.test"),
        json!("HTTPS://mcp.test/mcp"),
        json!(["https://other.test/mcp"]),
    ] {
        assert!(
            matches!(
                judged(json!({ "aud": other })),
                Err(IdentityError::WrongAudience { .. })
            ),
            "{other}"
        );
    }
}

#[test]
fn t23_other_audiences_stand_beside_us_only_if_the_issuer_may() {
    let several = testing::token(json!({"aud": [AUDIENCE, "https://other.test"]}));
    let with = |other_audiences| {
        let issuer = IssuerConfig {
            other_audiences,
            ..testing::issuer()
        };
        judged_by(&several, &issuer, &testing::keys())
    };
    assert!(with(true).is_ok());
    assert!(matches!(
        with(false),
        Err(IdentityError::WrongAudience { .. })
    ));
}

#[test]
fn no_configured_audience_means_no_token() {
    let issuer = IssuerConfig {
        audience: Vec::new(),
        other_audiences: true,
        ..testing::issuer()
    };
    assert!(judged_by(&testing::token(json!({})), &issuer, &testing::keys()).is_err());
}

#[test]
fn claims_that_decide_are_read_from_the_configured_path() {
    let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let issuer = IssuerConfig {
        claims: crate::config::ClaimMap {
            role_prefix: String::new(),
            roles: path("realm_access/roles"),
            groups: path("groups"),
            tenant: path("org/id"),
            default_tenant: "nobody".parse().unwrap(),
            extra: Default::default(),
        },
        ..testing::issuer()
    };
    let with = |changes| judged_by(&testing::token(changes), &issuer, &testing::keys());
    let caller = with(json!({
        "realm_access": {"roles": ["a", "b c"]}, "groups": ["g h"], "org": {"id": "t9"}, "roles": ["admin"],
    }))
    .unwrap();
    assert!(caller.roles().iter().eq(["a", "b c"]));
    assert!(caller.groups().iter().eq(["g h"]));
    assert_eq!(caller.tenant().as_str(), "t9");

    let caller = with(json!({})).unwrap();
    assert!(caller.roles().is_empty(), "a role that stands elsewhere");
    assert_eq!(caller.tenant().as_str(), "nobody");

    for bad in [
        json!({"realm_access": "admin"}),
        json!({"realm_access": ["roles"]}),
        json!({"realm_access": {"roles": 1}}),
        json!({"realm_access": {"roles": ["a", 1]}}),
        json!({"realm_access": {"roles": [""]}}),
        json!({"realm_access": {"roles": ["a\nb"]}}),
        json!({"realm_access": {"roles": "a  b"}}),
        json!({"org": {"id": 7}}),
        json!({"org": {"id": ""}}),
        json!({"org": {"id": ["t9"]}}),
    ] {
        assert!(with(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn x4_the_outermost_actor_counts() {
    let caller = judged(json!({"act": {
        "sub": "agent-2", "client_id": "c2", "act": {"sub": "agent-1", "iss": "https://other.test"},
    }}))
    .unwrap();
    let actor = caller.actor().unwrap();
    assert_eq!(actor.who.subject.as_str(), "agent-2");
    assert_eq!(actor.who.issuer.as_str(), ISSUER);
    assert_eq!(actor.client.as_ref().unwrap().as_str(), "c2");
    let chain: Vec<&str> = caller
        .actors()
        .iter()
        .map(|actor| actor.who.subject.as_str())
        .collect();
    assert_eq!(chain, ["agent-2", "agent-1"]);
    assert_eq!(caller.actors()[1].who.issuer.as_str(), "https://other.test");
    assert_eq!(caller.user().subject.as_str(), "alice");
}

#[test]
fn x4_a_chain_has_at_most_ten_actors() {
    let chain = |length: usize| {
        (0..length).fold(Value::Null, |inner, _| {
            let mut actor = json!({"sub": "a"});
            if !inner.is_null() {
                actor["act"] = inner;
            }
            actor
        })
    };
    assert_eq!(
        judged(json!({"act": chain(10)})).unwrap().actors().len(),
        10
    );
    assert!(matches!(
        judged(json!({"act": chain(11)})),
        Err(IdentityError::TooManyActors { max: 10 })
    ));
    assert!(judged(json!({"act": chain(200)})).is_err());
}

#[test]
fn x4_an_actor_that_has_no_name_is_refused() {
    for bad in [
        json!("agent"),
        json!([{"sub": "a"}]),
        json!({}),
        json!({"sub": ""}),
        json!({"sub": 1}),
        json!({"sub": "a", "iss": 1}),
        json!({"sub": "a", "act": "b"}),
        json!({"sub": "a", "act": null}),
    ] {
        assert!(judged(json!({ "act": bad })).is_err(), "{bad}");
    }
}

#[test]
fn x5_a_token_without_a_user_is_accepted_only_from_an_issuer_that_may() {
    let with = |allow_without_user, changes: Value| {
        let issuer = IssuerConfig {
            allow_without_user,
            ..testing::issuer()
        };
        judged_by(&testing::token(changes), &issuer, &testing::keys())
    };
    for mark in [
        json!({"sub": "client-1"}),
        json!({"gty": "client-credentials"}),
        json!({"gty": ["client_credentials"]}),
        json!({"idtyp": "app"}),
    ] {
        assert!(!with(true, mark.clone()).unwrap().has_user(), "{mark}");
        assert!(
            matches!(with(false, mark.clone()), Err(IdentityError::WithoutUser)),
            "{mark}"
        );
    }
    for user in [
        json!({}),
        json!({"gty": ["authorization_code"]}),
        json!({"idtyp": "user"}),
    ] {
        assert!(with(false, user.clone()).unwrap().has_user(), "{user}");
    }
}

#[test]
fn t13_a_signature_counts_for_its_own_issuer_and_audience_alone() {
    let token = BearerToken::new(testing::token(json!({})));
    let read = Unverified::read(&token).unwrap();
    let keys = testing::keys();
    let with = |issuer: &str, audience: &str| {
        let (ours, algorithms) = ([audience.to_owned()], [Algorithm::ES256]);
        let issuer = &issuer.parse().unwrap();
        let second = read.verify(&token, issuer, &ours, &algorithms, &keys);
        second.map(|second| second.iss)
    };
    assert_eq!(with(ISSUER, AUDIENCE).unwrap(), ISSUER);
    assert!(matches!(
        with("https://other.test", AUDIENCE),
        Err(IdentityError::Signature)
    ));
    assert!(matches!(
        with(ISSUER, "https://other.test"),
        Err(IdentityError::WrongAudience { .. })
    ));
}
