//! Bounds of deciding rules: they take away, and the strictest counts.

use super::*;

fn permitted(text: &str, tool: &Tool) -> Result<Permit, Refusal> {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    rules.permit(&caller(json!({})), tool, &Map::new())
}

fn allowed(text: &str, tool: &Tool) -> Vec<String> {
    let permit = permitted(text, tool).unwrap();
    permit.allowed().iter().map(ToString::to_string).collect()
}

#[test]
fn above_the_highest_tier_nothing_is_allowed() {
    let optional = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let all = ["http GET a.example /", "files write notes"];
    let with = |tier: &str| format!("@max_tier(\"{tier}\") permit(principal, action, resource);");
    assert_eq!(allowed(&with("T2"), &optional), all);
    assert_eq!(allowed(&with("T1"), &optional), all[..1]);
    assert_eq!(allowed(&with("T0"), &optional), [""; 0]);

    let required = tool("notes", &[("w", &["files write notes"], false)]);
    assert!(permitted(&with("T2"), &required).is_ok());
    let refused = permitted(&with("T1"), &required).err();
    assert!(matches!(refused, Some(Refusal::CapabilityDenied { .. })));
    // What cannot be called is not seen.
    let rules = rules(&with("T1"), std::slice::from_ref(&required)).unwrap();
    assert!(!rules.lists(&caller(json!({})), &required));
}

#[test]
fn of_several_rules_that_hold_the_strictest_counts_and_others_do_not() {
    let tool = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let permit = permitted(
        r#"
        @max_consent("30") permit(principal, action, resource);
        @max_consent("P7D") permit(principal in Role::"user", action in Action::"call", resource);
        @max_consent("once") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };
        @max_consent("1") @max_tier("T0") permit(principal in Role::"other", action, resource);
        "#,
        &tool,
    );
    let permit = permit.unwrap();
    let longest = |text: &str| permit.ceilings(&text.parse().unwrap()).consent_days;
    assert_eq!(longest("http GET a.example /"), Some(7));
    assert_eq!(longest("files write notes"), Some(0));
    assert_eq!(longest("files read notes"), Some(0), "a part of it");
    assert_eq!(longest("files write mail"), None, "nothing of it");
}

#[test]
fn a_bound_is_remembered_with_its_decision() {
    let tool = tool("notes", &[("w", &["files write notes"], false)]);
    let text = r#"@max_consent("7") permit(principal, action, resource);"#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    for _ in 0..2 {
        let permit = rules
            .permit(&caller(json!({})), &tool, &Map::new())
            .unwrap();
        let bounds = permit.ceilings(&"files write notes".parse().unwrap());
        assert_eq!(bounds.consent_days, Some(7));
    }
}

#[test]
fn a_call_falls_under_the_rate_classes_of_all_that_allowed_it() {
    let notes = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let words = Vocabulary::default().with_rates(&["calls", "writes", "other"].map(str::to_owned));
    let load = |text: &str| {
        let sources = [("a.cedar".to_owned(), text.to_owned())];
        Rules::load_with(&sources, std::slice::from_ref(&notes), words.clone())
    };
    let rules = load(
        r#"
        @rate("calls") permit(principal, action in Action::"call", resource);
        @rate("writes") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };
        permit(principal, action == Action::"use", resource) when { resource.kind == "http" };
        @rate("other") permit(principal in Role::"other", action, resource);
    "#,
    )
    .unwrap();
    let permit = rules
        .permit(&caller(json!({})), &notes, &Map::new())
        .unwrap();
    assert!(permit.rates().iter().eq(["calls", "writes"]));
    let error = load(r#"@rate("writes,ghost") permit(principal, action, resource);"#).err();
    let error = error.unwrap().to_string();
    assert!(error.contains("there is no rate class `ghost`"), "{error}");
}
