//! Rules of the operator's own.

use super::*;

fn rule(class: &str, pattern: &str) -> CustomRule {
    CustomRule {
        class: class.parse().unwrap(),
        pattern: pattern.to_owned(),
        words: Vec::new(),
        validator: None,
    }
}

fn told(rules: &[CustomRule], text: &str) -> Vec<String> {
    let scan = Detector::with(rules).unwrap().scan_text(text, "");
    let line = |one: &Finding| {
        format!(
            "{} {} {}",
            one.class,
            one.confidence,
            &text[one.span.clone()]
        )
    };
    scan.findings.iter().map(line).collect()
}

#[test]
fn a_pattern_matches_whole_words_wherever_they_stand() {
    let rules = [
        rule("staff", "E[0-9]{6}"),
        rule("room", "[A-Z][0-9]{3}(-[0-9]{2})?"),
    ];
    assert_eq!(
        told(&rules, "E123456, 社員番号E123457です A101-22 A102"),
        [
            "staff sure E123456",
            "staff sure E123457",
            "room sure A101-22",
            "room sure A102"
        ]
    );
    for text in [
        "E1234567",
        "XE123456",
        "E12345",
        "e123456",
        "A1011",
        "A101-222x",
    ] {
        let found = told(&rules, text);
        assert!(
            found.is_empty() || found == ["room sure A101"],
            "{text}: {found:?}"
        );
    }
    // Wide letters are folded, and the place is that of the original.
    assert_eq!(
        told(&rules, "Ｅ１２３４５６"),
        ["staff sure Ｅ１２３４５６"]
    );
}

#[test]
fn two_rules_at_one_place_are_both_told() {
    let rules = [rule("one", "Q[0-9]{4}"), rule("two", "[A-Z][0-9]{4}")];
    assert_eq!(told(&rules, "Q1234"), ["one sure Q1234", "two sure Q1234"]);
}

#[test]
fn with_words_a_match_is_sure_beside_one_and_else_likely() {
    let mut staff = rule("staff", "E[0-9]{6}");
    staff.words = vec!["Employee ID".to_owned(), "社員番号".to_owned()];
    let rules = [staff];
    assert_eq!(told(&rules, "E123456"), ["staff likely E123456"]);
    assert_eq!(told(&rules, "社員番号 E123456"), ["staff sure E123456"]);
    assert_eq!(told(&rules, "employee-id: E123456"), ["staff sure E123456"]);
    let detector = Detector::with(&rules).unwrap();
    let scan = detector.scan(&json!({"employeeId": "E123456"}), &Value::Null);
    assert_eq!(scan.findings[0].confidence, Confidence::Sure);
    assert_eq!(scan.findings[0].reason, Reason::FieldName);
}

#[test]
fn a_check_refuses_what_does_not_pass() {
    let mut member = rule("member", "M-?[0-9]{8}");
    member.validator = Some(Validator::Luhn);
    member.pattern = "[0-9]{4}-[0-9]{4}".to_owned();
    assert_eq!(
        told(std::slice::from_ref(&member), "1234-5674"),
        ["member sure 1234-5674"]
    );
    assert_eq!(told(&[member], "1234-5675"), Vec::<String>::new());
}

#[test]
fn a_rule_may_add_to_a_class_that_is_shipped() {
    let detector =
        Detector::with(&[rule("phone", "ext\\. [0-9]{4}"), rule("own", "own[0-9]")]).unwrap();
    assert_eq!(detector.classes().count(), built_in().len() + 1);
    assert_eq!(
        told(&[rule("phone", "ext\\. [0-9]{4}")], "ext. 1234"),
        ["phone sure ext. 1234"]
    );
}

#[test]
fn a_pattern_must_end_be_small_and_match_something() {
    let refused = |pattern: &str| {
        Detector::with(&[rule("own", pattern)])
            .unwrap_err()
            .to_string()
    };
    assert!(refused("[a-z]+").contains("write `{1,20}` in place of `+` and `*`"));
    assert!(refused("a{1,129}").contains("more than 128 bytes"));
    assert!(refused("a?").contains("matches the empty text"));
    assert!(refused("(").contains("no regular expression"));
    assert!(refused("(a)\\1").contains("no regular expression"));
    assert!(refused(&"a".repeat(600)).contains("has 600 bytes"));
    assert!(refused("\\bE[0-9]{3}").contains("a pattern needs no `\\b`"));
    assert!(refused("[ab]{0,40}a[ab]{40}").contains("cannot be compiled within"));
    let mut words = rule("own", "abc");
    words.words = vec![String::new()];
    assert!(matches!(
        Detector::with(&[words]).unwrap_err(),
        RuleError::Words { .. }
    ));
    let many = vec![rule("own", "abc"); 65];
    assert_eq!(
        Detector::with(&many).unwrap_err(),
        RuleError::TooMany { found: 65, max: 64 }
    );
}

#[test]
fn as_many_rules_as_are_allowed_fit() {
    let all: Vec<_> = (0..64)
        .map(|nth| {
            rule(
                &format!("own-{nth}"),
                &format!("[A-Z]{{2}}{nth:02}[0-9A-F-]{{4,40}}"),
            )
        })
        .collect();
    assert_eq!(told(&all, "AB07-12-34-56"), ["own-7 sure AB07-12-34-56"]);
}
