//! What rules know of callers, tools and capabilities.

use super::*;
use crate::identity::testing::{caller_of, issuer};
use crate::identity::{ClaimType, ExtraClaim, IssuerConfig};

/// Whether a caller with these claims may call the tool under a rule with this condition.
fn may(tool: &Tool, condition: &str, changes: Value) -> bool {
    let text = format!("permit(principal, action, resource is Tool) when {{ {condition} }};");
    let rules = rules(&text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    rules.lists(&caller(changes), tool)
}

#[test]
fn every_fact_of_a_caller_decides_and_another_value_does_not() {
    let tool = tool("notes", &[]);
    let chain = json!({"act": {"sub": "bot", "client_id": "bot-client", "act": {"sub": "inner"}}});
    for (condition, good, bad) in [
        (r#"principal.issuer == "https://as.test""#, json!({}), None),
        (
            r#"principal.subject == "alice""#,
            json!({}),
            Some(json!({"sub": "bob"})),
        ),
        (
            r#"principal in Role::"staff""#,
            json!({"roles": ["staff"]}),
            Some(json!({"groups": ["staff"]})),
        ),
        (
            r#"principal in Group::"staff""#,
            json!({"groups": ["staff"]}),
            Some(json!({"roles": ["staff"]})),
        ),
        (
            r#"principal in Tenant::"t1""#,
            json!({"tenant": "t1"}),
            Some(json!({"tenant": "t2"})),
        ),
        (
            r#"principal.scopes.contains("a")"#,
            json!({"scope": "a b"}),
            Some(json!({"scope": "ab"})),
        ),
        (
            r#"context.client == "c1""#,
            json!({"client_id": "c1"}),
            Some(json!({"client_id": "c2"})),
        ),
        (
            r#"context has acr && context.acr == "mfa""#,
            json!({"acr": "mfa"}),
            Some(json!({})),
        ),
        (
            r#"context.amr.contains("otp")"#,
            json!({"amr": ["pwd", "otp"]}),
            Some(json!({"amr": ["pwd"]})),
        ),
        (
            "context has auth_time && context.auth_time >= 5",
            json!({"auth_time": 5}),
            Some(json!({"auth_time": 4})),
        ),
        (
            r#"context has actor && context.actor.subject == "bot""#,
            chain.clone(),
            Some(json!({"act": {"sub": "inner"}})),
        ),
        (
            r#"context has actor && context.actor has client && context.actor.client == "bot-client""#,
            chain.clone(),
            Some(json!({"act": {"sub": "bot"}})),
        ),
        ("context.actors == 2", chain, Some(json!({}))),
        (
            "principal.has_user",
            json!({}),
            Some(json!({"sub": "client-1"})),
        ),
    ] {
        assert!(may(&tool, condition, good), "{condition}");
        if let Some(bad) = bad {
            assert!(!may(&tool, condition, bad), "{condition}");
        }
    }
}

#[test]
fn a_role_that_only_looks_the_same_is_another() {
    let tool = tool("notes", &[]);
    let admin = r#"principal in Role::"admin" || principal.roles.contains("admin")"#;
    assert!(may(&tool, admin, json!({"roles": ["admin"]})));
    for other in [
        "аdmin",
        "admin\u{200b}",
        "ADMIN",
        "ａｄｍｉｎ",
        "admin ",
        "admi",
    ] {
        assert!(!may(&tool, admin, json!({"roles": [other]})), "{other}");
    }
    // Composed and decomposed are two names, neither of which is the other by accident.
    let composed = "principal in Role::\"caf\u{e9}\"";
    assert!(may(&tool, composed, json!({"roles": ["caf\u{e9}"]})));
    assert!(!may(&tool, composed, json!({"roles": ["cafe\u{301}"]})));
    // And in a rule, letters of two scripts in one name are refused.
    let mixed = "permit(principal in Role::\"\u{430}dmin\", action, resource);";
    let error = rules(mixed, &[tool]).err().unwrap();
    assert!(error.to_string().contains("script"), "{error}");
}

fn customers(issuer: &mut IssuerConfig) {
    let claim = |kind, required| ExtraClaim {
        path: vec!["crm".to_owned()],
        kind,
        required,
        told: false,
    };
    let extra = &mut issuer.claims.extra;
    extra.insert("customer".to_owned(), claim(ClaimType::String, false));
}

fn with_claims(text: &str, tool: &Tool, issuers: &[IssuerConfig]) -> Result<Rules, PolicyError> {
    let words = Vocabulary::new(issuers, &BTreeMap::new(), false);
    let sources = [("rules.cedar".to_owned(), text.to_owned())];
    Rules::load_with(&sources, std::slice::from_ref(tool), words)
}

#[test]
fn an_argument_is_compared_with_a_claim_and_both_types_are_checked_at_load() {
    let tool = priced();
    let mut own = issuer();
    customers(&mut own);
    let text = r#"
        permit(principal, action == Action::"call:notes", resource) when {
            principal.claims has customer && context.args has customer && context.args.customer == principal.claims.customer
        };
    "#;
    let rules = with_claims(text, &tool, &[own.clone()]).unwrap();
    let arguments = map(json!({"amount": 1, "customer": "c7"}));
    let may = |claims| {
        rules
            .permit(&caller_of(customers, claims), &tool, &arguments)
            .is_ok()
    };
    assert!(may(json!({"crm": "c7"})));
    assert!(!may(json!({"crm": "c8"})));
    assert!(!may(json!({})));

    for (wrong, says) in [
        (
            "context.args.amount == principal.claims.customer",
            "customer",
        ),
        ("principal.claims.customer == \"c7\"", "customer"),
        (
            "principal.claims has customer && context.args.amount == principal.claims.customer",
            "type",
        ),
        (
            "principal.claims has custommer && principal.claims.custommer == \"x\"",
            "custommer",
        ),
        ("principal.customer == \"c7\"", "customer"),
    ] {
        let text = format!(
            "permit(principal, action == Action::\"call:notes\", resource) when {{ {wrong} }};"
        );
        let error = with_claims(&text, &tool, &[own.clone()]).err();
        let error = error.unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn a_rule_relies_on_a_claim_only_if_no_caller_can_be_without_it() {
    let tool = tool("notes", &[]);
    let text = r#"permit(principal, action, resource) when { principal.claims.customer == "c7" };"#;
    let mut strict = issuer();
    customers(&mut strict);
    strict.claims.extra.get_mut("customer").unwrap().required = true;
    assert!(with_claims(text, &tool, &[strict.clone()]).is_ok());
    assert!(with_claims(text, &tool, &[strict, issuer()]).is_err());
}

#[test]
fn a_caller_of_another_configuration_than_the_rules_is_refused() {
    let tool = tool("notes", &[]);
    let mut numbers = issuer();
    customers(&mut numbers);
    numbers.claims.extra.get_mut("customer").unwrap().kind = ClaimType::Integer;
    let text = "permit(principal, action, resource);";
    let rules = with_claims(text, &tool, &[numbers]).unwrap();
    let refused = rules.permit(
        &caller_of(customers, json!({"crm": "c7"})),
        &tool,
        &Map::new(),
    );
    assert!(matches!(refused.err(), Some(Refusal::Evaluation { .. })));
}

#[test]
fn what_a_tool_is_follows_from_its_capabilities_and_the_operators_tags() {
    let reader = tool("notes", &[("n", &["files read notes"], true)]);
    let writer = tool("notes", &[("n", &["http POST a.example:8443 /v1/"], true)]);
    let digest = format!(
        "resource.digest == \"{}\"",
        reader.package().component_digest()
    );
    for (condition, reads, writes) in [
        ("resource.read_only", true, false),
        ("resource.destructive", false, true),
        ("resource.idempotent", true, false),
        ("resource.open_world", false, true),
        (r#"resource.publisher == "example.test""#, true, true),
        (r#"resource.publisher == "example""#, false, false),
        (&digest, true, false),
        (r#"resource.tags.contains("internal")"#, false, false),
    ] {
        assert_eq!(may(&reader, condition, json!({})), reads, "{condition}");
        assert_eq!(may(&writer, condition, json!({})), writes, "{condition}");
    }

    let tagged = |name: &str| {
        let tags = BTreeMap::from([(name.to_owned(), ["internal".to_owned()].into())]);
        let text = r#"permit(principal, action, resource is Tool) when { resource.tags.contains("internal") };"#;
        let sources = [("rules.cedar".to_owned(), text.to_owned())];
        let words = Vocabulary::new(&[], &tags, false);
        Rules::load_with(&sources, std::slice::from_ref(&reader), words).unwrap()
    };
    assert!(tagged("notes").lists(&caller(json!({})), &reader));
    let other = tagged("other");
    assert!(!other.lists(&caller(json!({})), &reader));
    assert!(other.warnings()[0].message.contains("`other`"));
}

#[test]
fn capabilities_have_their_fields() {
    let tool = tool(
        "notes",
        &[
            ("web", &["http POST a.example:8443 /v1/"], true),
            ("book", &["files write notes a/b"], true),
            ("open", &["reveal email a:/to"], true),
        ],
    );
    for (condition, expected) in [
        (
            r#"resource has field && resource.field == "a:/to""#,
            "reveal email a:/to",
        ),
        (r#"resource has field && resource.field == "a:/cc""#, ""),
        (
            r#"resource has class && resource.class == "email""#,
            "reveal email a:/to",
        ),
        (
            "resource has port && resource.port == 8443",
            "http POST a.example:8443 /v1/",
        ),
        ("resource has port && resource.port == 443", ""),
        (
            r#"resource has host && resource.host == "a.example" && resource has methods && resource.methods.contains("POST")"#,
            "http POST a.example:8443 /v1/",
        ),
        (
            r#"resource has folder && resource.folder == "a/b""#,
            "files write notes a/b",
        ),
        (r#"resource has folder && resource.folder == "a""#, ""),
        (
            r#"resource.kind == "files" && context.tool.destructive"#,
            "files write notes a/b",
        ),
        (r#"resource.kind == "files" && context.tool.read_only"#, ""),
    ] {
        let text = format!(
            "permit(principal, action in Action::\"call\", resource);\npermit(principal, action == Action::\"use\", resource) when {{ {condition} }};"
        );
        let rules = rules(&text, std::slice::from_ref(&tool)).unwrap();
        let permit = rules
            .permit(&caller(json!({})), &tool, &Map::new())
            .unwrap();
        let allowed: Vec<_> = permit.allowed().iter().map(ToString::to_string).collect();
        assert_eq!(allowed.join(","), expected, "{condition}");
    }
}

#[test]
fn a_rule_about_a_tool_that_is_not_admitted_is_told_and_stops_nothing() {
    let notes = tool("notes", &[]);
    let text = r#"
        @id("one") permit(principal, action == Action::"call:ghost", resource);
        @id("two") permit(principal, action in [Action::"list", Action::"call:notes", Action::"call:ghost"], resource);
        @id("three") forbid(principal, action, resource == Tool::"ghost");
        @id("four") forbid(principal, action, resource) when { resource in Package::"specter" };
    "#;
    let rules = rules(text, std::slice::from_ref(&notes)).unwrap();
    let told: Vec<_> = rules.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for (at, (line, name)) in [(2, "ghost"), (3, "ghost"), (4, "ghost"), (5, "specter")]
        .into_iter()
        .enumerate()
    {
        assert!(
            told[at].starts_with(&format!("rules.cedar:{line}: ")) && told[at].contains(name),
            "{told:?}"
        );
    }
    let alice = caller(json!({}));
    assert!(rules.permit(&alice, &notes, &Map::new()).is_ok());
    // The tool itself is another question: the rules were not checked against it.
    assert!(
        rules
            .permit(&alice, &tool("ghost", &[]), &Map::new())
            .is_err()
    );
    // Left out or not, an id is given once.
    let twice = r#"@id("a") permit(principal, action == Action::"call:ghost", resource); @id("a") permit(principal, action, resource);"#;
    assert!(super::rules(twice, &[notes]).is_err());
}
