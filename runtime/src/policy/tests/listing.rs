//! A tool is seen by whom some call of it could be permitted, unless a rule says otherwise on purpose.

use super::*;

const LIST: &str = "permit(principal in Role::\"user\", action == Action::\"list\", resource);\n";

fn lists(text: &str, tool: &Tool) -> bool {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    rules.lists(&caller(json!({})), tool)
}

#[test]
fn what_no_rule_lets_one_call_is_not_seen_unless_a_rule_is_about_listing_alone() {
    let tool = priced();
    let both = "permit(principal, action in [Action::\"list\", Action::\"call\"], resource)";
    for (text, seen) in [
        (format!("{both};"), true),
        (
            format!("{both};\nforbid(principal, action in Action::\"call\", resource);"),
            false,
        ),
        (
            "permit(principal, action in Action::\"call\", resource);".to_owned(),
            false,
        ),
        // On purpose: listed although nobody calls it.
        (LIST.to_owned(), true),
        (
            format!("{LIST}forbid(principal, action in Action::\"call\", resource);"),
            true,
        ),
        (LIST.replace("==", "in"), true),
        (LIST.replace("user", "other"), false),
        // And a `forbid` of listing hides what may be called.
        (
            format!("{both};\nforbid(principal, action == Action::\"list\", resource);"),
            false,
        ),
    ] {
        assert_eq!(lists(&text, &tool), seen, "{text}");
    }
}

#[test]
fn conditions_on_arguments_hide_nothing_that_some_arguments_may_call() {
    let tool = priced();
    for (call, condition, seen) in [
        ("permit", "when { context.args.amount < 5 }", true),
        ("permit", "unless { context.args.amount < 5 }", true),
        (
            "permit",
            "when { principal.subject == \"alice\" && context.args.amount < 5 }",
            true,
        ),
        // What is not about arguments still counts.
        (
            "permit",
            "when { principal.subject == \"bob\" && context.args.amount < 5 }",
            false,
        ),
        (
            "permit",
            "unless { principal.subject == \"alice\" || context.args.amount < 5 }",
            false,
        ),
    ] {
        let text = format!(
            "permit(principal, action in [Action::\"list\", Action::\"use\"], resource);\n{call}(principal, action == Action::\"call:notes\", resource) {condition};"
        );
        assert_eq!(lists(&text, &tool), seen, "{condition}");
    }
    for (condition, seen) in [
        ("when { context.args.amount < 5 }", true),
        (
            "when { context.args.amount < 5 || principal.subject == \"alice\" }",
            false,
        ),
        (
            "unless { context.args.amount < 5 && principal.subject == \"bob\" }",
            false,
        ),
    ] {
        let text = format!(
            "permit(principal, action, resource);\nforbid(principal, action == Action::\"call:notes\", resource) {condition};"
        );
        assert_eq!(lists(&text, &tool), seen, "{condition}");
    }
}

#[test]
fn a_tool_whose_required_capability_is_denied_is_not_seen() {
    let tool = notes();
    let deny = |kind: &str| {
        format!(
            "permit(principal, action, resource);\nforbid(principal, action == Action::\"use\", resource) when {{ resource.kind == \"{kind}\" }};"
        )
    };
    assert!(lists(&deny("http"), &tool));
    assert!(!lists(&deny("files"), &tool));
    assert!(lists(&format!("{LIST}{}", deny("files")), &tool));
}

#[test]
fn what_was_seen_before_is_seen_by_nobody_else_and_not_under_other_rules() {
    let tool = notes();
    let text = "permit(principal in Role::\"user\", action, resource);";
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    for _ in 0..2 {
        assert!(rules.lists(&caller(json!({})), &tool));
        assert!(!rules.lists(&caller(json!({"roles": ["guest"]})), &tool));
    }
    let none = Rules::load(&[], std::slice::from_ref(&tool)).unwrap();
    assert!(!none.lists(&caller(json!({})), &tool));
}
