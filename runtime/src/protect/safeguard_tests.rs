use super::*;
use crate::protect::{Confidence, DataRule};

fn class(name: &str) -> Class {
    name.parse().unwrap()
}

fn found(name: &str, pointer: &str, confidence: Confidence) -> Finding {
    Finding {
        pointer: pointer.to_owned(),
        field: pointer.replace("/3/", "/*/"),
        class: class(name),
        confidence,
        score: 90,
        reason: crate::protect::Reason::Annotated,
        span: 0..1,
        in_key: false,
        sealed: false,
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
        equal: false,
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
        defined: &tool,
        granted: &granted,
        bound: bound.as_ref(),
        key: true,
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

#[test]
fn what_a_call_lent_is_silenced_beside_personal_data() {
    let lent = super::super::Lent::default();
    let value = super::super::SecretValue::of(b"canary-value-71").unwrap();
    lent.add(&"tracker".parse().unwrap(), &std::sync::Arc::new(value));
    let text = "canary-value-71 for somebody@example.com";
    let silent = Safeguard::default()
        .lending(lent)
        .silence(text)
        .into_owned();
    assert!(silent.starts_with("*************** for ") && !silent.contains("somebody"));
    assert!(
        Safeguard::default()
            .silence(text)
            .starts_with("canary-value-71 for ")
    );
}

/// What the author wants a handle of, beside what stands in the same string.
fn wanted(more: &[(&str, std::ops::Range<usize>)]) -> Scan {
    let mut scan = Scan::default();
    let whole = Finding {
        sealed: true,
        span: 0..30,
        ..found("email", "/people/3/mail", Confidence::Sure)
    };
    scan.findings.push(whole);
    scan.findings
        .extend(more.iter().map(|(name, span)| Finding {
            span: span.clone(),
            ..found(name, "/people/3/mail", Confidence::Sure)
        }));
    scan
}

fn ways(judged: Judged) -> Vec<Way> {
    let changes = judged.pass.unwrap();
    changes.into_iter().map(|change| change.way).collect()
}

#[test]
fn what_an_author_wants_encrypted_is_whatever_was_granted_and_needs_no_grant() {
    for granted in [&[][..], &["email"]] {
        for rules in [vec![], vec![rule("email - - -", Action::Allow)]] {
            let judged = judged(Direction::Arguments, rules, granted, None, &wanted(&[]));
            assert_eq!(action(&judged), Action::Encrypt);
            let field = "crm_find:/people/*/mail".to_owned();
            let equal = false;
            assert_eq!(ways(judged), [Way::Encrypt { field, equal }]);
        }
    }
    // The operator may want less of it to be there.
    for other in [Action::Mask, Action::Reject] {
        let rules = vec![rule("email - - -", other)];
        let judged = judged(Direction::Arguments, rules, &[], None, &wanted(&[]));
        assert_eq!(action(&judged), other);
    }
}

#[test]
fn what_stands_in_what_is_encrypted_goes_with_it_only_where_it_could_have_been_given() {
    let by = |direction, rules, granted: &[&str], more: &[(&str, std::ops::Range<usize>)]| {
        judged(direction, rules, granted, None, &wanted(more))
    };
    let card = [("card", 3..20)];
    let arguments = Direction::Arguments;
    // The author chose under which class it is opened; another class cannot be opened by that name.
    for (rules, name) in [
        (vec![], "data-ungranted"),
        (vec![rule("card - - -", Action::Reject)], "data-rejected"),
        (vec![rule("card - - -", Action::Mask)], "data-rejected"),
        (vec![rule("card - - -", Action::Encrypt)], "data-rejected"),
    ] {
        let refused = by(arguments, rules, &[], &card);
        assert_eq!(refused.pass.unwrap_err().name(), name);
    }
    let same = by(arguments, vec![], &[], &[("email", 3..20)]);
    assert_eq!(same.counts.of(Action::Encrypt)[&class("email")], 2);
    for (rules, granted) in [
        (vec![], &["card"][..]),
        (vec![rule("card - - -", Action::Allow)], &[]),
    ] {
        let given = by(arguments, rules, granted, &card);
        assert_eq!(given.counts.of(Action::Encrypt).len(), 2);
        assert!(given.pass.is_ok());
    }
    // What a tool answers with it had before; what it may not show is in no plain text.
    let replied = by(Direction::Reply, vec![], &[], &card);
    assert_eq!(replied.counts.of(Action::Encrypt).len(), 2);
    let beside = by(arguments, vec![], &[], &[("card", 30..40)]);
    assert_eq!(beside.pass.unwrap_err().name(), "data-ungranted");
}

#[test]
fn what_is_replaced_with_what_is_encrypted_by_way_of_another_is_judged_with_it() {
    let encrypt = || rule("email - - -", Action::Encrypt);
    let at = |name: &str, span: std::ops::Range<usize>| Finding {
        span,
        ..found(name, "/to", Confidence::Sure)
    };
    let scan = |last: std::ops::Range<usize>| Scan {
        findings: vec![at("email", 0..10), at("phone", 5..20), at("card", last)],
        ..Scan::default()
    };
    let mask = || rule("card - - -", Action::Mask);
    let by = |scan: &Scan| {
        judged(
            Direction::Arguments,
            vec![encrypt(), mask()],
            &["phone"],
            None,
            scan,
        )
    };
    // The three are one piece, and the class by which it would be opened is not that of the card.
    let refused = by(&scan(15..25)).pass.unwrap_err();
    assert_eq!(refused.name(), "data-rejected");
    let apart = by(&scan(20..25));
    assert_eq!(apart.counts.of(Action::Mask)[&class("card")], 1);
    assert!(apart.pass.is_ok());
}

#[test]
fn an_operator_has_a_class_encrypted_and_equal_values_shown_where_that_is_asked_for() {
    let mut encrypt = rule("email - - -", Action::Encrypt);
    encrypt.equal = true;
    for (direction, field) in [
        (Direction::Arguments, "crm_find:/to"),
        (Direction::Reply, "crm_find:reply/to"),
    ] {
        let judged = judged(
            direction,
            vec![encrypt.clone()],
            &["email"],
            None,
            &sure("email"),
        );
        let (field, equal) = (field.to_owned(), true);
        assert_eq!(ways(judged), [Way::Encrypt { field, equal }]);
    }
}

#[test]
fn without_a_key_nothing_that_is_to_be_encrypted_passes() {
    let (tool, granted) = ("crm_find".parse().unwrap(), ["email"].map(class).into());
    let may = May {
        tool: &tool,
        defined: &tool,
        granted: &granted,
        bound: None,
        key: false,
    };
    for direction in [Direction::Arguments, Direction::Reply] {
        let judged = Safeguard::default().judge(direction, &wanted(&[]), may);
        assert_eq!(judged.pass.unwrap_err().name(), "data-no-key");
    }
}

#[test]
fn a_call_that_was_made_silent_says_nothing_more() {
    let hush = crate::protect::Hush::default();
    let safeguard = Safeguard::default().hushed_by(hush.clone());
    assert_eq!(safeguard.silence("plain words"), "plain words");
    hush.hush();
    assert!(!safeguard.clone().silence("plain words").contains("plain"));
    assert!(
        !Safeguard::default()
            .silence("plain words")
            .contains("opened")
    );
}
