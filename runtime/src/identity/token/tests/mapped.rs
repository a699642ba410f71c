//! What the operator maps: further claims, scopes that imply others, the order of `acr`.

use std::collections::BTreeSet;

use super::super::*;
use super::{Value, json, judged_by};
use crate::config::{ClaimType, ExtraClaim, ScopeMap};
use crate::identity::ClaimValue;
use crate::identity::testing::{claims, issuer, keys, mint};
use crate::limits::{CLAIM_STRINGS_MAX, CLAIM_VALUE_BYTES_MAX};

fn judged(issuer: &IssuerConfig, changes: Value) -> Result<Caller, IdentityError> {
    judged_by(&mint().sign(&claims(changes)), issuer, &keys())
}

fn with(kind: ClaimType, required: bool) -> IssuerConfig {
    let mut issuer = issuer();
    let claim = ExtraClaim {
        path: vec!["who".to_owned(), "id".to_owned()],
        kind,
        required,
        told: false,
    };
    issuer.claims.extra.insert("customer".to_owned(), claim);
    issuer
}

#[test]
fn a_further_claim_is_read_in_its_one_type_and_refused_in_any_other() {
    let strings = |all: &[&str]| {
        ClaimValue::Strings(
            all.iter()
                .map(|one| (*one).to_owned())
                .collect::<BTreeSet<_>>(),
        )
    };
    let text = |text: &str| ClaimValue::String(text.to_owned());
    for (kind, good, value, bad) in [
        (
            ClaimType::String,
            json!("a b"),
            text("a b"),
            [json!(1), json!(["a"]), json!(null)],
        ),
        (
            ClaimType::Integer,
            json!(7),
            ClaimValue::Integer(7),
            [json!("7"), json!(7.5), json!(1e30)],
        ),
        (
            ClaimType::Boolean,
            json!(true),
            ClaimValue::Boolean(true),
            [json!("true"), json!(1), json!(null)],
        ),
        (
            ClaimType::Strings,
            json!(["b", "a"]),
            strings(&["a", "b"]),
            [json!([1]), json!(7), json!({})],
        ),
        (
            ClaimType::Strings,
            json!("a b"),
            strings(&["a", "b"]),
            [json!("a  b"), json!([""]), json!(true)],
        ),
    ] {
        let issuer = with(kind, false);
        let caller = judged(&issuer, json!({"who": {"id": good}})).unwrap();
        assert_eq!(caller.claims()["customer"], value);
        for bad in bad {
            let error = judged(&issuer, json!({"who": {"id": bad}})).unwrap_err();
            assert!(matches!(error, IdentityError::Claim { .. }), "{error}");
        }
        // Something on the way that is no object is wrong too; what is not there is not there.
        assert!(judged(&issuer, json!({"who": "id"})).is_err());
        for without in [json!({}), json!({"who": {}})] {
            assert!(judged(&issuer, without).unwrap().claims().is_empty());
        }
        let error = judged(&with(kind, true), json!({})).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
    }
}

#[test]
fn a_claim_with_a_name_that_has_dots_is_found_by_a_list_of_names() {
    let mut issuer = issuer();
    issuer.claims.roles = vec!["https://example.test/roles".to_owned()];
    let caller = judged(&issuer, json!({"https://example.test/roles": ["a"]})).unwrap();
    assert!(caller.roles().contains("a"));
}

#[test]
fn more_strings_than_a_decision_can_look_at_are_refused() {
    let many = |count: usize| (0..count).map(|n| format!("r{n}")).collect::<Vec<_>>();
    for name in ["roles", "groups"] {
        let most = judged(&issuer(), json!({name: many(CLAIM_STRINGS_MAX)}));
        assert!(most.is_ok());
        let error = judged(&issuer(), json!({name: many(400)})).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
    }
    // A thousand do not even fit into a token.
    let error = judged(&issuer(), json!({"roles": many(1_000)})).unwrap_err();
    assert!(matches!(error, IdentityError::TooLong { .. }), "{error}");
    let scope = many(CLAIM_STRINGS_MAX + 1).join(" ");
    assert!(judged(&issuer(), json!({"scope": scope})).is_err());
}

#[test]
fn a_claim_of_a_megabyte_is_refused_before_it_is_read() {
    let error = judged(&issuer(), json!({"roles": ["x".repeat(1 << 20)]})).unwrap_err();
    assert!(matches!(error, IdentityError::TooLong { .. }), "{error}");
}

#[test]
fn a_scope_implies_others_at_its_own_issuer() {
    let mut issuer = issuer();
    issuer.required_scopes = vec!["tools:call".to_owned()];
    assert!(judged(&issuer, json!({"scope": "admin"})).is_err());
    issuer.scopes = ScopeMap::new([("admin".to_owned(), vec!["tools:call".to_owned()])]);
    let caller = judged(&issuer, json!({"scope": "admin"})).unwrap();
    assert!(caller.scopes().contains("tools:call") && caller.scopes().contains("admin"));
    let caller = judged(&issuer, json!({"scope": "tools:call"})).unwrap();
    assert!(!caller.scopes().contains("admin"));
}

#[test]
fn a_stronger_sign_in_reaches_what_a_weaker_one_reaches() {
    let mut issuer = issuer();
    let reaches = |issuer: &IssuerConfig, acr: Value, wanted: &str| {
        judged(issuer, json!({"acr": acr}))
            .unwrap()
            .reaches_acr(wanted)
    };
    // Without an order each value stands alone.
    assert!(reaches(&issuer, json!("gold"), "gold"));
    assert!(!reaches(&issuer, json!("gold"), "silver"));
    issuer.acr = ["bronze", "silver", "gold"].map(str::to_owned).to_vec();
    assert!(reaches(&issuer, json!("gold"), "silver"));
    assert!(reaches(&issuer, json!("silver"), "silver"));
    assert!(!reaches(&issuer, json!("bronze"), "silver"));
    assert!(!reaches(&issuer, json!("platinum"), "bronze"));
    assert!(!judged(&issuer, json!({})).unwrap().reaches_acr("bronze"));
}

#[test]
fn amr_is_an_array_of_strings() {
    let caller = judged(&issuer(), json!({"amr": ["pwd", "otp"]})).unwrap();
    assert!(caller.token().amr.contains("otp"));
    assert!(judged(&issuer(), json!({})).unwrap().token().amr.is_empty());
    for bad in [json!("pwd"), json!([1]), json!({}), json!(null)] {
        let mut all = claims(json!({}));
        all["amr"] = bad.clone();
        let judged = judged_by(&mint().sign(&all), &issuer(), &keys());
        assert!(judged.is_err(), "{bad}");
    }
}

#[test]
fn a_tool_can_be_told_standard_claims_and_those_that_the_operator_lists() {
    let told = |listed: bool| {
        let mut issuer = with(ClaimType::Integer, false);
        issuer.claims.extra.get_mut("customer").unwrap().told = listed;
        let all = json!({"who": {"id": 7}, "email": "a@b.test", "department": "x"});
        let caller = judged(&issuer, all).unwrap();
        let profile = caller.profile().iter();
        profile
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    let email = r#"email="a@b.test""#;
    assert_eq!(told(true), ["customer=7", email]);
    assert_eq!(told(false), [email]);
}

#[test]
fn a_tool_is_told_no_value_that_is_null_or_too_large() {
    let told = |name: Value| {
        let mut all = claims(json!({}));
        all["name"] = name;
        let caller = judged_by(&mint().sign(&all), &issuer(), &keys()).unwrap();
        caller.profile().values().cloned().collect::<Vec<_>>()
    };
    // It is told as JSON, with its quotes.
    let most = "x".repeat(CLAIM_VALUE_BYTES_MAX - 2);
    assert_eq!(told(json!(most)), [format!("\"{most}\"")]);
    assert!(told(json!("x".repeat(CLAIM_VALUE_BYTES_MAX - 1))).is_empty());
    assert!(told(json!(null)).is_empty());
}
