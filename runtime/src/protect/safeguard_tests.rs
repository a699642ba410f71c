use super::*;
use crate::protect::{Confidence, DataRule};

fn class(name: &str) -> Class {
    name.parse().unwrap()
}

fn found(name: &str, pointer: &str, confidence: Confidence) -> Finding {
    Finding {
        pointer: pointer.to_owned(),
        class: class(name),
        confidence,
        score: 90,
        reason: crate::protect::Reason::Annotated,
        span: 0..1,
        in_key: false,
    }
}

fn sure(name: &str) -> Scan {
    Scan {
        findings: vec![found(name, "/to", Confidence::Sure)],
        ..Scan::default()
    }
}

fn rule(text: &str, action: Action) -> DataRule {
    let [name, tool, field, direction] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    DataRule {
        class: (name != "-").then(|| class(name)),
        tool: (tool != "-").then(|| tool.parse().unwrap()),
        field: (field != "-").then(|| field.parse().unwrap()),
        direction: match direction {
            "arguments" => Some(Direction::Arguments),
            "reply" => Some(Direction::Reply),
            _ => None,
        },
        action,
    }
}

/// What becomes of one sure finding of this class at `/to`, under these rules, grants and bound.
fn judged(
    direction: Direction,
    rules: Vec<DataRule>,
    granted: &[&str],
    bound: Option<&[&str]>,
    scan: &Scan,
) -> Judged {
    let rules = DataRules {
        rules,
        ..DataRules::default()
    };
    let tool = "crm_find".parse().unwrap();
    let granted = granted.iter().map(|one| class(one)).collect();
    let bound: Option<BTreeSet<_>> = bound.map(|all| all.iter().map(|one| class(one)).collect());
    let may = May {
        tool: &tool,
        granted: &granted,
        bound: bound.as_ref(),
    };
    Safeguard::new(Detector::built_in(), rules).judge(direction, scan, may)
}

fn action(judged: &Judged) -> Action {
    let mut actions = judged.counts.0.keys();
    actions.next().unwrap().1.unwrap()
}

#[test]
fn a_tool_is_given_what_was_granted_and_nothing_else() {
    use Direction::{Arguments, Reply};
    let by = |direction, granted: &[&str]| judged(direction, vec![], granted, None, &sure("email"));
    assert!(by(Arguments, &["email"]).pass.unwrap().is_empty());
    let refused = by(Arguments, &["phone"]).pass.unwrap_err();
    assert_eq!(refused.name(), "data-ungranted");
    assert_eq!(
        refused.to_string(),
        "`/to` holds data of class `email`, which this tool may not be given"
    );
    assert!(by(Reply, &["email"]).pass.unwrap().is_empty());
    assert_eq!(by(Reply, &[]).pass.unwrap().len(), 1, "masked");
}

#[test]
fn a_bound_of_the_rules_holds_against_grants_and_configuration() {
    use Direction::{Arguments, Reply};
    let allow = || vec![rule("email - - -", Action::Allow)];
    for direction in [Arguments, Reply] {
        let by = |rules, granted: &[&str], bound: &[&str]| {
            action(&judged(
                direction,
                rules,
                granted,
                Some(bound),
                &sure("email"),
            ))
        };
        let default = match direction {
            Arguments => Action::Reject,
            Reply => Action::Mask,
        };
        assert_eq!(by(vec![], &["email"], &["email"]), Action::Allow);
        assert_eq!(by(vec![], &["email"], &["phone"]), default);
        assert_eq!(by(vec![], &["email"], &[]), default);
        assert_eq!(by(allow(), &[], &["email"]), Action::Allow);
        assert_eq!(by(allow(), &["email"], &["phone"]), default);
    }
}

#[test]
fn the_first_rule_of_the_operator_that_is_about_it_counts() {
    let by = |rules: &[(&str, Action)], granted: &[&str]| {
        let rules = rules.iter().map(|(text, action)| rule(text, *action));
        let judged = judged(
            Direction::Arguments,
            rules.collect(),
            granted,
            None,
            &sure("email"),
        );
        action(&judged)
    };
    assert_eq!(
        by(&[("email crm_* /to -", Action::Mask)], &["email"]),
        Action::Mask
    );
    assert_eq!(
        by(&[("- - - -", Action::Reject)], &["email"]),
        Action::Reject
    );
    assert_eq!(
        by(&[("email - - arguments", Action::Allow)], &[]),
        Action::Allow
    );
    for other in [
        "phone - - -",
        "email mail_* - -",
        "email - /from -",
        "email - - reply",
    ] {
        assert_eq!(
            by(&[(other, Action::Allow)], &[]),
            Action::Reject,
            "{other}"
        );
    }
    let both = [("email - - -", Action::Mask), ("- - - -", Action::Allow)];
    assert_eq!(by(&both, &[]), Action::Mask);
}

#[test]
fn what_is_not_sure_is_counted_and_passes() {
    let unsure = Scan {
        findings: vec![found("card", "/n", Confidence::Likely)],
        ..Scan::default()
    };
    let judged = judged(Direction::Arguments, vec![], &[], None, &unsure);
    assert!(judged.pass.unwrap().is_empty());
    assert_eq!(
        judged.counts.facts(),
        serde_json::json!({"card": {"unsure": 1}})
    );
}

#[test]
fn what_cannot_be_searched_does_not_pass() {
    let cut = Scan {
        findings: vec![],
        truncated: true,
        ..Scan::default()
    };
    for direction in [Direction::Arguments, Direction::Reply] {
        let judged = judged(direction, vec![], &["email"], None, &cut);
        assert_eq!(judged.pass.unwrap_err(), Withheld::Unsearched);
    }
}

#[test]
fn a_key_that_is_itself_data_is_not_told() {
    let mut scan = sure("email");
    scan.findings[0].pointer = "/people/bob@example.com".to_owned();
    scan.findings[0].in_key = true;
    scan.findings[0].span = 0..15;
    let refused = judged(Direction::Arguments, vec![], &[], None, &scan)
        .pass
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("`/people/***@*******.***` holds"),
        "{refused}"
    );
}
