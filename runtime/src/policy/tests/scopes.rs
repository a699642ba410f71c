//! Where scopes alone are missing, a refusal says which would do; else it says nothing.

use super::*;
use crate::identity::ScopeMap;
use crate::identity::testing::caller_of;
use crate::limits::STEP_UP_SCOPES_MAX;

const USERS: &str = "permit(principal in Role::\"user\", action, resource);\n";

fn step_up(text: &str, tool: &Tool, claims: Value, arguments: Value) -> Option<String> {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    let alice = caller(claims);
    let found = rules.step_up(&alice, tool, Some((&map(arguments.clone())).into()));
    if found.is_some() {
        assert!(rules.permit(&alice, tool, &map(arguments)).is_err());
        assert!(
            rules.lists(&alice, tool),
            "whoever lacks scopes alone sees the tool"
        );
    }
    assert!(found.iter().all(|one| one.sign_in.is_none()));
    found.map(|one| one.scopes.join(" "))
}

fn unless(condition: &str) -> String {
    format!(
        "{USERS}forbid(principal, action == Action::\"call:notes\", resource) unless {{ {condition} }};"
    )
}

#[test]
fn exactly_the_scopes_that_would_do_for_these_arguments_are_told() {
    let tool = priced();
    let small = json!({"amount": 1});
    let by_amount = unless(
        "principal.scopes.contains(\"pay\") && (context.args.amount < 100 || principal.scopes.contains(\"pay:large\"))",
    );
    let large = json!({"amount": 100});
    for (text, scope, arguments, expected) in [
        (&by_amount, "tools:call", &small, Some("pay")),
        (&by_amount, "tools:call", &large, Some("pay pay:large")),
        (&by_amount, "pay", &large, Some("pay pay:large")),
        (&by_amount, "pay:large", &small, Some("pay")),
        (&by_amount, "pay", &small, None),
        (
            &unless("principal.scopes.containsAll([\"a\", \"b\"])"),
            "a",
            &small,
            Some("a b"),
        ),
        (
            &unless("principal.scopes.containsAny([\"a\", \"b\"])"),
            "c",
            &small,
            Some("a"),
        ),
        (
            &unless("[\"a\", \"b\"].containsAny(principal.scopes)"),
            "c",
            &small,
            Some("a"),
        ),
        // One scope is fewer than two.
        (
            &unless(
                "principal.scopes.containsAll([\"a\", \"b\"]) || principal.scopes.contains(\"z\")",
            ),
            "c",
            &small,
            Some("z"),
        ),
    ] {
        let found = step_up(text, &tool, json!({"scope": scope}), arguments.clone());
        assert_eq!(found.as_deref(), expected, "{text} {scope}");
    }
}

#[test]
fn where_something_else_is_missing_no_scope_is_told() {
    let tool = priced();
    let small = json!({"amount": 1});
    let text = unless("principal.scopes.contains(\"pay\") && context.args.amount < 5");
    assert_eq!(step_up(&text, &tool, json!({}), json!({"amount": 9})), None);
    assert_eq!(
        step_up(&text, &tool, json!({}), json!({"amount": "1"})),
        None
    );
    assert_eq!(
        step_up(&text, &tool, json!({"roles": ["guest"]}), small.clone()),
        None
    );
    let never = format!(
        "{}\nforbid(principal, action in Action::\"call\", resource);",
        unless("principal.scopes.contains(\"pay\")")
    );
    assert_eq!(step_up(&never, &tool, json!({}), small.clone()), None);
    // More scopes than decisions that one refusal is worth.
    let many: Vec<_> = (0..40)
        .map(|n| format!("principal.scopes.contains(\"s{n}\")"))
        .collect();
    assert_eq!(
        step_up(&unless(&many.join(" || ")), &tool, json!({}), small),
        None
    );
}

#[test]
fn what_the_author_demands_and_what_the_rules_ask_are_told_together() {
    let mut manifest = manifest("notes", &[("w", &["files write notes"], false)]);
    manifest.requires.scopes = vec!["author".to_owned()];
    let tool = tool_of(manifest);
    let text = format!(
        "{USERS}forbid(principal, action == Action::\"use\", resource) unless {{ principal.scopes.contains(\"files\") }};"
    );
    let told = |claims| step_up(&text, &tool, claims, json!({}));
    assert_eq!(told(json!({})).as_deref(), Some("author files"));
    assert_eq!(
        told(json!({"scope": "files"})).as_deref(),
        Some("author files")
    );
    assert_eq!(told(json!({"scope": "author files"})), None);
}

#[test]
fn a_scope_that_implies_another_does() {
    let tool = priced();
    let text = unless("principal.scopes.contains(\"pay\")");
    let rules = rules(&text, std::slice::from_ref(&tool)).unwrap();
    let boss = |issuer: &mut crate::identity::IssuerConfig| {
        issuer.scopes = ScopeMap::new([("boss".to_owned(), vec!["pay".to_owned()])]);
    };
    let arguments = map(json!({"amount": 1}));
    let caller = caller_of(boss, json!({"scope": "boss"}));
    assert!(rules.permit(&caller, &tool, &arguments).is_ok());
    assert_eq!(
        rules.step_up(&caller, &tool, Some((&arguments).into())),
        None
    );
    let other = caller_of(boss, json!({"scope": "other"}));
    assert_eq!(
        rules
            .step_up(&other, &tool, Some((&arguments).into()))
            .unwrap()
            .scopes,
        ["pay"]
    );
}

#[test]
fn so_many_scopes_are_tried_and_no_more() {
    let tool = priced();
    let told = |count: usize| {
        let named: Vec<_> = (0..count).map(|n| format!("\"s{n:02}\"")).collect();
        let any = format!("principal.scopes.containsAny([{}])", named.join(", "));
        step_up(&unless(&any), &tool, json!({}), json!({"amount": 1}))
    };
    assert_eq!(told(STEP_UP_SCOPES_MAX).as_deref(), Some("s00"));
    assert_eq!(told(STEP_UP_SCOPES_MAX + 1), None);
}
