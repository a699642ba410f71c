//! What is expected of the rules is held against what they decide, down to the tier and the rule.

use super::*;
use crate::identity::testing::NOW;

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

const CASE: &str = "[[case]]\nname = \"a\"\nclaims = { sub = \"alice\" }\ntool = \"notes\"\n";

fn judged(text: &str, expected: &str) -> Verdict {
    let tool = notes();
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap_or_else(|error| panic!("{error}"));
    let read = Expectations::parse("e.toml", &format!("{CASE}{expected}\n")).unwrap();
    judge(&rules, &caller(json!({})), &tool, &read.cases[0], NOW)
}

fn fail(came: Expect, by: &str) -> Verdict {
    let by = by.to_owned();
    Verdict::Fail { came, by }
}

#[test]
fn a_case_passes_only_with_the_tier_that_it_expects() {
    let tier = |text: &str, tier: &str| judged(text, &format!("expect = \"allow\"\n{tier}"));
    let web = "capability = \"http GET a.example /\"";
    assert_eq!(tier(ALL, ""), Verdict::Pass);
    assert_eq!(tier(ALL, "tier = \"T2\""), Verdict::Pass);
    let two = "consented to as tier T2, by `all`";
    assert_eq!(tier(ALL, "tier = \"T1\""), fail(Expect::Allow, two));
    assert_eq!(tier(ALL, &format!("{web}\ntier = \"T1\"")), Verdict::Pass);
    let one = "consented to as tier T1, by `all`";
    assert_eq!(
        tier(ALL, &format!("{web}\ntier = \"T2\"")),
        fail(Expect::Allow, one)
    );
    let raised = format!("@min_tier(\"T3\") {ALL}");
    assert_eq!(tier(&raised, "tier = \"T3\""), Verdict::Pass);
    let three = "consented to as tier T3, by `all`";
    assert_eq!(tier(&raised, "tier = \"T2\""), fail(Expect::Allow, three));
}

#[test]
fn a_case_about_a_capability_is_told_which_rule_denies_it() {
    let text = format!(
        "{ALL} @id(\"no\") forbid(principal, action == Action::\"use\", resource) when {{ resource.kind == \"http\" }};"
    );
    let about = |capability: &str, expected: &str| {
        let case = format!("capability = \"{capability}\"\nexpect = \"{expected}\"");
        judged(&text, &case)
    };
    let web = "http GET a.example /";
    assert_eq!(about(web, "allow"), fail(Expect::Deny, "by `no`"));
    assert_eq!(about(web, "deny"), Verdict::Pass);
    let files = "files write notes";
    assert_eq!(about(files, "allow"), Verdict::Pass);
    assert_eq!(about(files, "deny"), fail(Expect::Allow, "by `all`"));
    let void = about("clock", "deny");
    assert!(
        matches!(&void, Verdict::Void(why) if why.starts_with("the tool does not ask for `clock`")),
        "{void:?}"
    );
}

#[test]
fn a_case_about_listing_is_told_which_rule_lists() {
    let listed = "expect = \"listed\"";
    let hidden = "expect = \"hidden\"";
    assert_eq!(judged(ALL, listed), Verdict::Pass);
    assert_eq!(judged(ALL, hidden), fail(Expect::Listed, "by `all`"));
    assert_eq!(judged("", hidden), Verdict::Pass);
    let none = "no rule permits it";
    assert_eq!(judged("", listed), fail(Expect::Hidden, none));
}

#[test]
fn a_case_about_a_capability_expects_no_listing() {
    let problems = |lines: &str| {
        let read = Expectations::parse("e.toml", &format!("{CASE}{lines}\n"));
        let all = read.err().unwrap_or_default();
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for expected in ["listed", "hidden", "allow", "deny"] {
        let expect = format!("expect = \"{expected}\"");
        assert_eq!(problems(&expect), [""; 0], "{expected}");
        let said = problems(&format!("{expect}\ncapability = \"clock\""));
        if matches!(expected, "allow" | "deny") {
            assert_eq!(said, [""; 0], "{expected}");
        } else {
            assert_eq!(said.len(), 1, "{said:?}");
            let what = "e.toml:2: a capability is allowed or denied, never listed or hidden";
            assert!(said[0].starts_with(what), "{said:?}");
        }
    }
}
