//! Rules as an operator, or who may write where rules come from, may write them.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use super::{Circumstances, Rules};
use crate::catalog::Tool;
use crate::catalog::testing::{manifest, tool_of};
use crate::identity::Caller;
use crate::identity::testing::{NOW, caller};

/// Longest text of rules of one input. Rules are checked in time that grows with them; that a file may have a MiB is not to be found out
/// here.
const TEXT_BYTES_MAX: usize = 8 * 1024;

struct World {
    tools: Vec<Tool>,
    caller: Arc<Caller>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut notes = manifest(
        "notes",
        &[
            ("book", &["files write notes"], false),
            ("web", &["http GET a.example /"], true),
        ],
    );
    for tool in &mut notes.tools {
        tool.input_schema = json!({
            "type": "object",
            "properties": {"customer": {"type": "string"}, "amount": {"type": "integer"}},
            "required": ["amount"],
        });
    }
    World {
        tools: vec![tool_of(notes), tool_of(manifest("other", &[]))],
        caller: caller(
            json!({"roles": ["user", "staff"], "groups": ["north"], "scope": "tools:call notes:write"}),
        ),
    }
});

/// The text of a file of rules.
pub(crate) fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let world = &*WORLD;
    let load = || Rules::load(&[("rules.cedar".to_owned(), text.to_owned())], &world.tools);
    let rules = match load() {
        Ok(rules) => rules,
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            // Loading ends a panic by a refusal; here it is a finding.
            let fell = error
                .problems
                .iter()
                .any(|one| one.message == "the rules could not be read");
            assert!(!fell, "loading came to no end of its own");
            assert!(load().is_err(), "the same rules load the second time");
            return;
        }
    };
    let again = load().expect("rules that loaded before");
    assert_eq!((rules.digest(), rules.len()), (again.digest(), again.len()));
    let arguments = json!({"amount": 3, "customer": "c"});
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let call = || Circumstances {
        arguments: &arguments,
        now: NOW,
    };
    for tool in &world.tools {
        let (one, other) = (
            rules.permit(&world.caller, tool, call()),
            again.permit(&world.caller, tool, call()),
        );
        assert_eq!(
            rules.lists(&world.caller, tool),
            again.lists(&world.caller, tool)
        );
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert!(!rules.is_empty(), "no rules permit something");
                assert_eq!(
                    (one.allowed(), one.rules()),
                    (other.allowed(), other.rules())
                );
                let asked = one
                    .allowed()
                    .iter()
                    .all(|allowed| tool.wants().iter().any(|wanted| wanted == allowed));
                assert!(asked, "more is permitted than the tool asks for");
            }
            (one, other) => assert_eq!(one.err(), other.err(), "the same rules decide otherwise"),
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"permit(principal, action, resource);"#,
        r#"@id("users") permit(principal in Role::"user", action, resource in Package::"notes");"#,
        r#"@id("n") @max_consent("once") permit(principal, action == Action::"use", resource) when { resource.tier <= 1 };"#,
        r#"forbid(principal, action == Action::"call:notes", resource) when { context.args.amount > 10 };
           permit(principal in Role::"user", action, resource);"#,
        r#"permit(principal, action in [Action::"list", Action::"call"], resource) unless { context has acr && context.acr == "gold" };"#,
        r#"permit(principal, action in Action::"admin", resource);"#,
        r#"permit(principal, action, resource) when { principal.scopes.contains("notes:write") || [1,2].contains(3) };"#,
        r#"permit(principal, action in Action::"call", resource) when { context.now - 5 < 1 && principal.tenant like "ac*" };"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) const WORDS: &[&str] = &[
    "permit(",
    "forbid(",
    "principal",
    "action",
    "resource",
    "context",
    " when { ",
    " unless { ",
    " };",
    "Role::\"user\"",
    "Tool::\"notes\"",
    "Package::\"notes\"",
    "Action::\"call\"",
    "Action::\"call:notes\"",
    "Action::\"use\"",
    "Action::\"list\"",
    "Action::\"admin\"",
    " in ",
    " == ",
    " has ",
    " like \"*\"",
    "&& ",
    "|| ",
    "!",
    "-",
    "(",
    ")",
    "[",
    "]",
    ".contains(",
    "if true then ",
    " else ",
    "@id(\"a\") ",
    "@max_consent(\"once\") ",
    "@tier(\"3\") ",
    "@trial(\"x\") ",
    "9223372036854775807",
    "-9223372036854775808",
    ".args",
    ".amount",
    ".scopes",
    ".tier",
    ".tenant",
    "ip(\"1.2.3.4\")",
    "decimal(\"1.0\")",
    "\\u{202e}",
    "?principal",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_rules_among_the_seeds_are_read_and_permit_what_they_say() {
        let world = &*WORLD;
        let arguments = Map::from_iter([("amount".to_owned(), json!(3))]);
        let permits = |seed: Vec<u8>| {
            let text = String::from_utf8(seed).unwrap();
            let rules = Rules::load(&[("rules.cedar".to_owned(), text)], &world.tools).ok()?;
            let permits = |tool: &Tool| {
                let call = Circumstances {
                    arguments: &arguments,
                    now: NOW,
                };
                rules.permit(&world.caller, tool, call).is_ok()
            };
            Some(world.tools.iter().map(permits).collect::<Vec<_>>())
        };
        let permits: Vec<_> = seeds().into_iter().map(permits).collect();
        let (all, none) = ([true, true], [false, false]);
        // `notes` and the other one, which needs nothing and so takes a rule about calls alone.
        assert_eq!(
            permits,
            [
                all,
                [true, false],
                none,
                all,
                [false, true],
                none,
                all,
                none
            ]
            .map(|both| Some(both.to_vec()))
        );
    }
}
