mod admin;
mod anonymous;
mod arguments;
mod bounds;
mod cost;
mod depth;
mod docs;
mod expectations;
mod listing;
mod model;
mod naive;
mod scopes;
mod sign_ins;
mod templates;
mod trials;

use serde_json::{Value, json};

use super::*;
use crate::catalog::testing::{manifest, tool, tool_of};
use crate::identity::testing::caller;

const USERS: &str = r#"
    @id("users")
    permit(principal in Role::"user", action, resource in Package::"notes");
"#;

pub(super) fn rules(text: &str, tools: &[Tool]) -> Result<Rules, PolicyError> {
    Rules::load(&[("rules.cedar".to_owned(), text.to_owned())], tools)
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn notes() -> Tool {
    tool(
        "notes",
        &[
            ("book", &["files write notes"], false),
            ("web", &["http GET a.example /"], true),
        ],
    )
}

pub(super) fn priced() -> Tool {
    let mut manifest = manifest("notes", &[]);
    manifest.tools[0].input_schema = json!({
        "type": "object",
        "properties": {"customer": {"type": "string"}, "amount": {"type": "integer"}, "rate": {"type": "number"}},
        "required": ["amount"],
    });
    tool_of(manifest)
}

#[test]
fn no_rule_means_no() {
    let tool = notes();
    let rules = Rules::load(&[], std::slice::from_ref(&tool)).unwrap();
    let alice = caller(json!({}));
    assert!(!rules.lists(&alice, &tool));
    assert!(
        matches!(rules.permit(&alice, &tool, &Map::new()), Err(Refusal::Denied { rules }) if rules.is_empty())
    );
    assert!(Rules::none().is_empty());
}

#[test]
fn a_role_decides_and_without_it_the_tool_is_neither_seen_nor_called() {
    let tool = notes();
    let rules = rules(USERS, std::slice::from_ref(&tool)).unwrap();
    let alice = caller(json!({}));
    assert!(rules.lists(&alice, &tool));
    let permit = rules.permit(&alice, &tool, &Map::new()).unwrap();
    assert_eq!(permit.rules(), ["users"]);
    assert_eq!(permit.allowed(), &tool.wants());

    let stranger = caller(json!({"roles": ["guest"]}));
    assert!(!rules.lists(&stranger, &tool));
    assert!(matches!(
        rules.permit(&stranger, &tool, &Map::new()),
        Err(Refusal::Denied { .. })
    ));
}

#[test]
fn another_tool_is_not_permitted_by_the_same_rule() {
    let (notes, other) = (notes(), tool("other", &[]));
    let rules = rules(USERS, &[notes, other.clone()]).unwrap();
    assert!(!rules.lists(&caller(json!({})), &other));
}

#[test]
fn forbid_wins() {
    let tool = notes();
    let text = format!(
        "{USERS} @id(\"never\") forbid(principal, action in Action::\"call\", resource == Tool::\"notes\");"
    );
    let rules = rules(&text, std::slice::from_ref(&tool)).unwrap();
    let alice = caller(json!({}));
    assert!(!rules.lists(&alice, &tool));
    let refusal = rules.permit(&alice, &tool, &Map::new()).err();
    assert_eq!(
        refusal,
        Some(Refusal::Denied {
            rules: vec!["never".to_owned()]
        })
    );
}

#[test]
fn an_optional_capability_that_is_denied_is_left_out_and_a_required_one_refuses() {
    let tool = notes();
    let deny = |kind: &str| {
        format!(
            "{USERS} @id(\"no\") forbid(principal, action == Action::\"use\", resource) when {{ resource.kind == \"{kind}\" }};"
        )
    };
    let alice = caller(json!({}));
    let without_web = rules(&deny("http"), std::slice::from_ref(&tool)).unwrap();
    let permit = without_web.permit(&alice, &tool, &Map::new()).unwrap();
    assert_eq!(
        permit
            .allowed()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["files write notes"]
    );

    let without_files = rules(&deny("files"), std::slice::from_ref(&tool)).unwrap();
    let refusal = without_files
        .permit(&alice, &tool, &Map::new())
        .err()
        .unwrap();
    assert!(matches!(refusal, Refusal::CapabilityDenied { rules, .. } if rules == ["no"]));
}

#[test]
fn arguments_decide_and_their_types_are_checked_at_load() {
    let tool = priced();
    let text = r#"
        permit(principal, action == Action::"call:notes", resource)
        when { context.args.amount < 100 && context.args has customer && context.args.customer == principal.subject };
    "#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    let alice = caller(json!({}));
    assert!(
        rules
            .permit(
                &alice,
                &tool,
                &map(json!({"amount": 5, "customer": "alice"}))
            )
            .is_ok()
    );
    assert!(
        rules
            .permit(
                &alice,
                &tool,
                &map(json!({"amount": 5.0, "customer": "alice"}))
            )
            .is_ok()
    );
    for refused in [
        json!({"amount": 100, "customer": "alice"}),
        json!({"amount": 5, "customer": "bob"}),
        json!({"amount": 5}),
        json!({"customer": "alice"}),
        json!({"amount": "5", "customer": "alice"}),
        json!({"amount": 5.5, "customer": "alice"}),
    ] {
        assert!(
            rules.permit(&alice, &tool, &map(refused.clone())).is_err(),
            "{refused}"
        );
    }
}

#[test]
fn a_rule_that_cannot_be_true_or_cannot_be_read_is_refused_with_its_line() {
    let tools = [priced()];
    for (text, line, says) in [
        ("permit(principal, action, resource", Some(1), "unexpected"),
        (
            "\npermit(principal, action == Action::\"call\", resource);",
            Some(2),
            "never applies",
        ),
        (
            "permit(principal, action, resource) when { principal.rols.contains(\"x\") };",
            Some(1),
            "rols",
        ),
        (
            "permit(principal, action == Action::\"call:notes\", resource) when { context.args.amount == \"5\" };",
            Some(1),
            "type",
        ),
        (
            "permit(principal, action == Action::\"call:notes\", resource) when { context.args.customer == \"x\" };",
            Some(1),
            "customer",
        ),
        (
            "permit(principal, action == Action::\"call:notes\", resource) when { context.args.rate == 1 };",
            Some(1),
            "rate",
        ),
        (
            "permit(principal, action, resource == Toll::\"notes\");",
            Some(1),
            "Toll",
        ),
        (
            "permit(principal == ?principal, action, resource);",
            None,
            "slot",
        ),
        (
            "@ceiling(\"x\") permit(principal, action, resource);",
            Some(1),
            "annotation",
        ),
        (
            "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") permit(principal, action, resource);",
            Some(2),
            "another rule",
        ),
    ] {
        let error = rules(text, &tools)
            .err()
            .unwrap_or_else(|| panic!("accepted: {text}"));
        let found = error
            .problems
            .iter()
            .any(|p| p.message.contains(says) && (line.is_none() || p.line == line));
        assert!(found, "{text}: {:?}", error.problems);
    }
}

#[test]
fn a_rule_that_fails_to_evaluate_refuses_although_another_permits() {
    let tool = priced();
    let text = r#"
        permit(principal, action, resource);
        forbid(principal, action == Action::"call:notes", resource) when { context.args.amount + 9223372036854775807 > 0 };
    "#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    let refusal = rules
        .permit(&caller(json!({})), &tool, &map(json!({"amount": 5})))
        .err()
        .unwrap();
    assert!(matches!(refusal, Refusal::Evaluation { .. }), "{refusal}");
}

#[test]
fn what_the_author_demands_narrows_what_the_operator_permits() {
    let mut manifest = manifest("notes", &[]);
    manifest.requires.roles = vec!["admin".to_owned()];
    manifest.requires.scopes = vec!["notes:all".to_owned()];
    let tool = tool_of(manifest);
    let rules = rules(
        "permit(principal, action, resource);",
        std::slice::from_ref(&tool),
    )
    .unwrap();
    let alice = caller(json!({}));
    assert!(!rules.lists(&alice, &tool));
    assert!(matches!(
        rules.permit(&alice, &tool, &Map::new()),
        Err(Refusal::MissingRole { .. })
    ));
    let admin = caller(json!({"roles": ["admin"]}));
    let missing = Refusal::MissingScopes {
        scopes: vec!["notes:all".to_owned()],
    };
    assert_eq!(
        rules.permit(&admin, &tool, &Map::new()).err(),
        Some(missing)
    );
    let scoped = caller(json!({"roles": ["admin"], "scope": "tools:call notes:all"}));
    assert!(rules.permit(&scoped, &tool, &Map::new()).is_ok());
}

#[test]
fn a_rule_about_calls_stays_valid_without_tools() {
    assert!(
        rules(
            "permit(principal in Role::\"user\", action in Action::\"call\", resource);",
            &[]
        )
        .is_ok()
    );
}

#[test]
fn users_of_two_issuers_or_tenants_with_one_name_are_two() {
    let tool = notes();
    let text = r#"permit(principal, action, resource) when { principal.issuer == "https://as.test" && principal.tenant == "default" };"#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    assert!(rules.lists(&caller(json!({})), &tool));
    assert!(!rules.lists(&caller(json!({"tenant": "other"})), &tool));
}

#[test]
fn a_tool_whose_definition_the_rules_were_not_checked_against_is_refused() {
    let before = priced();
    let mut changed = manifest("notes", &[]);
    changed.tools[0].input_schema = json!({"type": "object"});
    let after = tool_of(changed);
    let rules = rules(
        "permit(principal, action, resource);",
        std::slice::from_ref(&before),
    )
    .unwrap();
    let alice = caller(json!({}));
    assert!(rules.lists(&alice, &before));
    assert!(!rules.lists(&alice, &after));
    assert_eq!(
        rules.permit(&alice, &after, &Map::new()).err(),
        Some(Refusal::Unchecked)
    );
}

#[test]
fn a_minimum_of_acr_narrows_by_the_order_of_the_issuer() {
    let mut manifest = manifest("notes", &[]);
    manifest.requires.acr = Some("silver".to_owned());
    let tool = tool_of(manifest);
    let all = "permit(principal, action, resource);";
    let rules = rules(all, std::slice::from_ref(&tool)).unwrap();
    let ordered = |issuer: &mut crate::identity::IssuerConfig| {
        issuer.acr = ["bronze", "silver", "gold"].map(str::to_owned).to_vec();
    };
    let refused = |acr: Value| {
        let caller = crate::identity::testing::caller_of(ordered, json!({ "acr": acr }));
        // One whose sign-in is too weak sees the tool, to learn that.
        assert!(rules.lists(&caller, &tool));
        rules.permit(&caller, &tool, &Map::new()).err()
    };
    assert_eq!(refused(json!("silver")), None);
    assert_eq!(refused(json!("gold")), None);
    for weak in [json!("bronze"), json!("platinum"), json!(null)] {
        let wanted = "silver".to_owned();
        assert_eq!(refused(weak), Some(Refusal::WeakSignIn { wanted }));
    }
    // It never adds: without a rule the strongest sign-in is none.
    let none = Rules::load(&[], std::slice::from_ref(&tool)).unwrap();
    let gold = crate::identity::testing::caller_of(ordered, json!({"acr": "gold"}));
    assert!(none.permit(&gold, &tool, &Map::new()).is_err());
}

#[test]
fn a_rule_that_nests_too_deeply_is_refused() {
    let tool = priced();
    let chain = |count: usize| {
        let parts = vec!["context.args.amount == 1"; count].join(" || ");
        format!("permit(principal, action == Action::\"call:notes\", resource) when {{ {parts} }};")
    };
    assert!(rules(&chain(80), std::slice::from_ref(&tool)).is_ok());
    let error = rules(&chain(300), std::slice::from_ref(&tool))
        .err()
        .unwrap();
    assert!(error.to_string().contains("nested deeper"), "{error}");
}

#[test]
fn a_permit_names_the_rules_about_the_call_and_about_what_it_may_use() {
    let tool = notes();
    let text = r#"
        @id("calls") permit(principal, action in Action::"call", resource);
        @id("files") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };
        @id("lists") permit(principal, action == Action::"list", resource);
    "#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    let permit = rules.permit(&caller(json!({})), &tool, &Map::new());
    assert_eq!(permit.unwrap().rules(), ["calls", "files"]);
}
