//! Without a token nothing is seen but what a rule opens by name.

use super::*;

const OPEN: &str =
    "permit(principal is Anonymous, action == Action::\"list\", resource == Tool::\"notes\");\n";

fn load(text: &str, words: Vocabulary) -> Result<Rules, PolicyError> {
    let sources = [("rules.cedar".to_owned(), text.to_owned())];
    Rules::load_with(&sources, &[notes(), tool("other", &[])], words)
}

fn open(text: &str) -> bool {
    let rules = load(text, Vocabulary::default().open());
    let rules = rules.unwrap_or_else(|error| panic!("{error}"));
    assert!(!rules.lists_anonymous(&tool("other", &[])), "{text}");
    rules.lists_anonymous(&notes())
}

#[test]
fn only_a_rule_that_names_anonymous_opens_a_tool_and_any_forbid_closes_it() {
    for (text, expected) in [
        (OPEN.to_owned(), true),
        (
            OPEN.replace("is Anonymous", "== Anonymous::\"anonymous\""),
            true,
        ),
        // What everybody may is not for those without a token.
        ("permit(principal, action, resource);".to_owned(), false),
        (
            "permit(principal is User, action, resource);".to_owned(),
            false,
        ),
        (String::new(), false),
        (
            format!("{OPEN}forbid(principal, action, resource in Package::\"notes\");"),
            false,
        ),
        (
            format!(
                "{OPEN}forbid(principal, action, resource) unless {{ context.client == \"known\" }};"
            ),
            false,
        ),
        (
            format!(
                "{OPEN}forbid(principal is Anonymous, action == Action::\"list\", resource) when {{ resource.destructive }};"
            ),
            false,
        ),
        (
            format!(
                "{OPEN}forbid(principal is User, action, resource) when {{ principal.tenant == \"x\" }};"
            ),
            true,
        ),
        (
            format!("{OPEN}forbid(principal, action in Action::\"call\", resource);"),
            true,
        ),
        (
            format!("{OPEN}@log_only(\"true\") forbid(principal, action, resource);"),
            true,
        ),
    ] {
        assert_eq!(open(&text), expected, "{text}");
    }
}

#[test]
fn with_the_door_shut_nothing_is_open_and_the_rule_says_so() {
    let rules = load(OPEN, Vocabulary::default()).unwrap();
    assert!(!rules.lists_anonymous(&notes()));
    assert!(rules.warnings()[0].to_string().contains("discovery"));
    // And to a caller with a token the rule is nothing.
    assert!(!rules.lists(&caller(json!({})), &notes()));
}

#[test]
fn a_rule_for_those_without_a_token_is_about_listing_and_fits_them() {
    for (wrong, says) in [
        (
            "permit(principal is Anonymous, action, resource);",
            "lists, and nothing else",
        ),
        (
            "permit(principal is Anonymous, action in Action::\"call\", resource);",
            "lists, and nothing else",
        ),
        (
            "permit(principal is Anonymous, action == Action::\"use\", resource);",
            "lists, and nothing else",
        ),
        (
            "@log_only(\"true\") permit(principal is Anonymous, action == Action::\"list\", resource);",
            "lists, and nothing else",
        ),
        (
            "permit(principal is Anonymous, action == Action::\"list\", resource) when { principal.tenant == \"x\" };",
            "tenant",
        ),
        // It would fail at every such caller: better said at load.
        (
            "forbid(principal, action, resource) when { principal.tenant == \"x\" };",
            "principal is User",
        ),
    ] {
        let error = load(wrong, Vocabulary::default().open())
            .err()
            .unwrap_or_else(|| panic!("{wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
    // With the door shut, rules need not think of them.
    let text = "permit(principal, action, resource);\nforbid(principal, action, resource) when { principal.tenant == \"x\" };";
    assert!(load(text, Vocabulary::default()).is_ok());
}

#[test]
fn what_is_open_is_open_at_its_build_alone() {
    let rules = load(OPEN, Vocabulary::default().open()).unwrap();
    let mut other = manifest("notes", &[("book", &["files write notes"], false)]);
    other.description = "another build".to_owned();
    assert!(rules.lists_anonymous(&notes()));
    assert!(!rules.lists_anonymous(&tool_of(other)));
}
