//! A rule under trial tells what it would have changed, and changes nothing.

use super::*;

fn observed(text: &str, tool: &Tool) -> (Vec<(String, Would, String)>, bool, bool) {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    let alice = caller(json!({}));
    let seen = rules.observe(&alice, tool, &Map::new()).into_iter();
    let seen = seen.map(|one| (one.question, one.would, one.rules.join(",")));
    (
        seen.collect(),
        rules.lists(&alice, tool),
        rules.permit(&alice, tool, &Map::new()).is_ok(),
    )
}

#[test]
fn a_rule_under_trial_changes_nothing_and_says_what_it_would_have() {
    let tool = tool("notes", &[("w", &["files write notes"], true)]);
    let all = "permit(principal, action, resource);\n";
    let told = |question: &str, would| (question.to_owned(), would, "trial".to_owned());

    let forbid = format!(
        "{all}@id(\"trial\") @log_only(\"true\") forbid(principal, action in Action::\"call\", resource);"
    );
    assert_eq!(
        observed(&forbid, &tool),
        (vec![told("call", Would::Refuse)], true, true)
    );

    let permit = "@id(\"trial\") @log_only(\"true\") permit(principal, action in Action::\"call\", resource);";
    assert_eq!(
        observed(permit, &tool),
        (vec![told("call", Would::Allow)], false, false)
    );

    let bound = format!(
        "{all}@id(\"trial\") @log_only(\"true\") @max_consent(\"7\") permit(principal, action == Action::\"use\", resource);"
    );
    assert_eq!(
        observed(&bound, &tool),
        (
            vec![told("use files write notes", Would::Bound)],
            true,
            true
        )
    );

    let errs = format!(
        "{all}@id(\"trial\") @log_only(\"true\") forbid(principal, action in Action::\"call\", resource) when {{ context.tier + 9223372036854775807 > 0 }};"
    );
    assert_eq!(
        observed(&errs, &tool),
        (vec![told("call", Would::Fail)], true, true)
    );

    let elsewhere = format!(
        "{all}@id(\"trial\") @log_only(\"true\") forbid(principal, action, resource in Package::\"mail\");"
    );
    assert_eq!(observed(&elsewhere, &tool), (vec![], true, true));

    // What agrees with what is decided anyway is not worth a word.
    let same =
        format!("{all}@id(\"trial\") @log_only(\"true\") permit(principal, action, resource);");
    assert_eq!(observed(&same, &tool), (vec![], true, true));
    assert_eq!(observed(all, &tool), (vec![], true, true));
}

#[test]
fn what_would_be_above_the_highest_tier_would_be_refused() {
    let tool = tool("notes", &[("w", &["files write notes"], true)]);
    let tried = |bound: &str| {
        let text = format!(
            "permit(principal, action, resource);\n@id(\"trial\") @log_only(\"true\") {bound} permit(principal, action == Action::\"use\", resource);"
        );
        let rules = rules(&text, std::slice::from_ref(&tool)).unwrap();
        let mut all = rules.observe(&caller(json!({})), &tool, &Map::new());
        assert_eq!(all.len(), 1, "{all:?}");
        let one = all.remove(0);
        let bounds = one.bounds.as_ref().map(ToString::to_string);
        (one.decided(), one.would, bounds)
    };
    let week = Some("at most consent for 7 days".to_owned());
    assert_eq!(
        tried("@max_consent(\"P7D\")"),
        (Would::Allow, Would::Bound, week)
    );
    let refused = (Would::Allow, Would::Refuse, None);
    assert_eq!(tried("@max_tier(\"T1\")"), refused);
}

#[test]
fn a_rule_that_errs_refuses_and_is_named_without_what_it_read() {
    let tool = priced();
    let text = r#"
        permit(principal, action, resource);
        @id("overflows") forbid(principal, action == Action::"call:notes", resource)
        when { context.args.amount + 9223372036854775807 > 5 };
    "#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    let refused = |amount: i64| {
        let arguments = map(json!({"amount": amount}));
        rules.permit(&caller(json!({})), &tool, &arguments).err()
    };
    let erred = refused(1).unwrap();
    assert_eq!(
        (erred.name(), erred.erred(), erred.rules()),
        ("evaluation-error", &["overflows".to_owned()][..], &[][..])
    );
    // Where it can be evaluated, it is a rule like any other.
    let forbidden = refused(0).unwrap();
    assert_eq!((forbidden.erred().len(), forbidden.rules().len()), (0, 1));
    assert!(refused(-9_223_372_036_854_775_807).is_none());
}

#[test]
fn a_rule_under_trial_is_checked_like_any_other() {
    let tool = tool("notes", &[]);
    for (wrong, says) in [
        (
            "@log_only(\"yes\") permit(principal, action, resource);",
            "log_only",
        ),
        ("@log_only permit(principal, action, resource);", "log_only"),
        (
            "@log_only(\"true\") permit(principal, action, resource) when { principal.rols };",
            "rols",
        ),
        (
            "@log_only(\"true\") @max_tier(\"9\") permit(principal, action, resource);",
            "max_tier",
        ),
        (
            "@id(\"a\") @log_only(\"true\") permit(principal, action, resource);\n@id(\"a\") permit(principal, action, resource);",
            "another rule",
        ),
    ] {
        let error = rules(wrong, std::slice::from_ref(&tool))
            .err()
            .unwrap_or_else(|| panic!("{wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}
