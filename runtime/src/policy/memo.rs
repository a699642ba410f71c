//! Decisions that were made before, so that a session's calls pay for one.
//!
//! A decision is kept only where no rule that concerns the tool reads arguments or the time, and is found again only for everything that it was made from:
//! the same rules, the same caller down to its token, the same component and the same definition.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::PolicySet;
use moka::sync::Cache;
use serde_json::Value;

use super::facts;
use super::shape::{Shape, shape};
use super::{Ceilings, Refusal};
use crate::capability::{Capability, CapabilitySet};
use crate::catalog::Tool;
use crate::identity::Caller;
use crate::ids::{Digest, ToolName};
use crate::protect::Class;

/// Decisions that are kept. About 1 KiB each; one that is forgotten is made again.
const DECISIONS_MAX: u64 = 10_000;

/// What is allowed and by which rules, or why nothing is.
pub(super) type Decided = Result<Arc<Allowed>, Refusal>;

/// What is allowed, how far, and by which rules.
pub(super) struct Allowed {
    pub(super) capabilities: CapabilitySet,
    /// What the rules about the call bound, whatever it may use.
    pub(super) of_call: Ceilings,
    /// The bounds of each capability, with those of the call.
    pub(super) ceilings: BTreeMap<Capability, Ceilings>,
    /// The rules that decided, by id.
    pub(super) rules: Vec<String>,
    /// The classes of rate limits of all of it.
    pub(super) rates: BTreeSet<String>,
    /// The classes of data that the tool may be given at most, where a deciding rule names them.
    pub(super) data: Option<BTreeSet<Class>>,
}

/// All that a decision is made from, beside the rules, in which the memory lives.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    caller: Digest,
    tool: ToolName,
    component: Digest,
    definition: Digest,
}

/// A decision about arguments of any value that have this shape.
struct Known {
    arguments: Option<Shape>,
    decided: Decided,
}

/// The decisions of one set of rules.
pub(super) struct Memo {
    known: Cache<Key, Arc<Known>>,
    /// Who sees which tool. No argument has a part in that.
    listed: Cache<Key, bool>,
}

impl Memo {
    /// A memory that lives and ends with one set of rules.
    pub(super) fn new() -> Self {
        Self {
            known: Cache::new(DECISIONS_MAX),
            listed: Cache::new(DECISIONS_MAX),
        }
    }

    /// Whether the caller sees the tool: as was found before, or as `decide` says.
    pub(super) fn listed(
        &self,
        caller: &Caller,
        tool: &Tool,
        decide: impl FnOnce() -> bool,
    ) -> bool {
        let key = key(caller, tool);
        self.listed.get(&key).unwrap_or_else(|| {
            let listed = decide();
            self.listed.insert(key, listed);
            listed
        })
    }

    /// The decision for this call: the one that was made before, or what `decide` says. `varies` says whether a rule that
    /// concerns the tool reads arguments or the time.
    pub(super) fn decided(
        &self,
        varies: bool,
        caller: &Caller,
        tool: &Tool,
        arguments: &serde_json::Map<String, Value>,
        decide: impl FnOnce() -> Decided,
    ) -> Decided {
        if varies {
            return decide();
        }
        let key = key(caller, tool);
        match self.known.get(&key) {
            Some(found) if facts::fits(found.arguments.as_ref(), arguments) => {
                found.decided.clone()
            }
            // Arguments that do not fit the generated schema are refused whatever the rules say.
            Some(_) => decide(),
            None => {
                let shape = shape(&tool.definition().input_schema).ok();
                let decided = decide();
                if facts::fits(shape.as_ref(), arguments) {
                    let kept = Known {
                        arguments: shape,
                        decided: decided.clone(),
                    };
                    self.known.insert(key, Arc::new(kept));
                }
                decided
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.known.run_pending_tasks();
        self.known.entry_count()
    }
}

fn key(caller: &Caller, tool: &Tool) -> Key {
    Key {
        caller: caller.fingerprint(),
        tool: tool.name().clone(),
        component: tool.package().component_digest(),
        definition: tool.definition_digest(),
    }
}

/// The rules that read what differs from call to call, by id.
pub(super) fn varying(policies: &PolicySet) -> BTreeSet<String> {
    let varies = |policy: &&cedar_policy::Policy| {
        // A rule that cannot be looked into may read anything.
        policy.to_json().map_or(true, |text| reads_call(&text))
    };
    let all = policies.policies().filter(varies);
    all.map(|policy| policy.id().to_string()).collect()
}

/// What `context` has that differs from call to call.
const OF_CALL: [&str; 4] = ["args", "now", "hour", "weekday"];

/// Whether a rule, in Cedar's JSON form, reads arguments or the time, or the context in a way that could.
pub(super) fn reads_call(rule: &Value) -> bool {
    match rule {
        Value::Object(members) => {
            is_context(rule)
                || members.iter().any(|(operator, operand)| {
                    let reads_other = matches!(operator.as_str(), "." | "has")
                        && operand.get("left").is_some_and(is_context)
                        && operand
                            .get("attr")
                            .and_then(Value::as_str)
                            .is_some_and(|name| !OF_CALL.contains(&name));
                    !reads_other && reads_call(operand)
                })
        }
        Value::Array(all) => all.iter().any(reads_call),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_context(expression: &Value) -> bool {
    expression.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::Rules;
    use super::super::tests::{map, priced, rules};
    use super::*;
    use crate::catalog::testing::{manifest, tool_of};
    use crate::identity::testing::caller;

    const ANYONE: &str = r#"permit(principal in Role::"user", action, resource);"#;

    fn reads(rule: &str) -> bool {
        rules(rule, &[priced()])
            .unwrap()
            .policies
            .about(&priced())
            .varies
    }

    fn allowed(rules: &Rules, changes: Value, tool: &Tool, arguments: &Map<String, Value>) -> bool {
        rules.permit(&caller(changes), tool, arguments).is_ok()
    }

    #[test]
    fn rules_that_read_arguments_are_asked_every_time() {
        for (condition, expected) in [
            ("true", false),
            ("context.client == \"args\"", false),
            ("context has acr && context.acr == \"x\"", false),
            ("context.args.amount < 100", true),
            ("context[\"\\u{61}rgs\"].amount < 100", true),
            ("context.args has customer", true),
            (
                "principal.subject == \"a\" || context.args.amount == 1",
                true,
            ),
            (
                "if context.tier > 0 then context.args.amount == 1 else false",
                true,
            ),
            ("{\"a\": context.args.amount} == {\"a\": 1}", true),
            ("[context].contains(context)", true),
            ("context == context", true),
        ] {
            let rule = format!(
                "permit(principal, action == Action::\"call:notes\", resource) when {{ {condition} }};"
            );
            // What strict validation refuses needs no decision.
            if rules(&rule, &[priced()]).is_ok() {
                assert_eq!(reads(&rule), expected, "{condition}");
            } else {
                assert!(expected, "{condition}");
            }
        }
    }

    #[test]
    fn the_context_as_a_whole_holds_arguments() {
        for whole in [
            json!({"==": {"left": {"Var": "context"}, "right": {"Value": 1}}}),
            json!({".": {"left": {"Var": "context"}}}),
            json!({"has": {"left": {"Var": "context"}, "attr": ["tier", "args"]}}),
        ] {
            assert!(reads_call(&whole), "{whole}");
        }
        assert!(!reads_call(
            &json!({".": {"left": {"Var": "context"}, "attr": "tier"}})
        ));
    }

    #[test]
    fn a_decision_serves_no_other_caller() {
        let text = r#"
            permit(principal in Role::"user", action, resource) when {
                principal.scopes.contains("tools:call") && principal.tenant == "default" && principal.groups.contains("a")
                && principal.subject == "alice" && principal.has_user && context.client == "client-1"
                && context has acr && context.acr == "gold" && context has auth_time && context.auth_time > 5
            };
        "#;
        let tool = priced();
        let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
        let arguments = map(json!({"amount": 1}));
        let good = json!({"groups": ["a"], "acr": "gold", "auth_time": 1_700_000_000});
        for _ in 0..2 {
            assert!(allowed(&rules, good.clone(), &tool, &arguments));
            for (name, value) in [
                ("roles", json!(["guest"])),
                ("groups", json!([])),
                ("scope", json!("other")),
                ("tenant", json!("other")),
                ("sub", json!("bob")),
                ("sub", json!("client-1")),
                ("client_id", json!("client-2")),
                ("acr", json!("silver")),
                ("acr", json!(null)),
                ("auth_time", json!(3)),
            ] {
                let mut changed = good.clone();
                changed[name] = value;
                assert!(
                    !allowed(&rules, changed.clone(), &tool, &arguments),
                    "{changed}"
                );
            }
        }
        assert!(rules.memo.len() > 1);
    }

    #[test]
    fn a_decision_serves_no_other_build_of_the_tool() {
        let build = |kind: &str| {
            let mut manifest = manifest("notes", &[("n", &[kind], true)]);
            manifest.description = kind.to_owned();
            tool_of(manifest)
        };
        let (old, new) = (build("files read notes"), build("files write notes"));
        let rules = rules(ANYONE, std::slice::from_ref(&old)).unwrap();
        let alice = caller(json!({}));
        for (tool, expected) in [(&old, "files read notes"), (&new, "files write notes")] {
            for _ in 0..2 {
                let permit = rules.permit(&alice, tool, &Map::new()).unwrap();
                let allowed: Vec<_> = permit.allowed().iter().map(ToString::to_string).collect();
                assert_eq!(allowed, [expected]);
            }
        }
    }

    #[test]
    fn other_rules_know_nothing_of_earlier_decisions() {
        let tool = priced();
        let arguments = map(json!({"amount": 1}));
        let one = rules(ANYONE, std::slice::from_ref(&tool)).unwrap();
        assert!(allowed(&one, json!({}), &tool, &arguments));
        assert_eq!(one.memo.len(), 1);
        let other = Rules::load(&[], std::slice::from_ref(&tool)).unwrap();
        assert!(!allowed(&other, json!({}), &tool, &arguments));
    }

    #[test]
    fn arguments_that_fit_no_shape_are_refused_before_and_after_a_decision_is_known() {
        let tool = priced();
        let bad = [
            json!({}),
            json!({"amount": "1"}),
            json!({"amount": 1e30}),
            json!({"amount": 1, "customer": 7}),
        ];
        let known = rules(ANYONE, std::slice::from_ref(&tool)).unwrap();
        assert!(allowed(
            &known,
            json!({}),
            &tool,
            &map(json!({"amount": 1}))
        ));
        for arguments in bad {
            let arguments = map(arguments);
            let fresh = rules(ANYONE, std::slice::from_ref(&tool)).unwrap();
            let alice = caller(json!({}));
            let before = fresh.permit(&alice, &tool, &arguments).err();
            assert!(matches!(before, Some(Refusal::Evaluation { .. })));
            assert_eq!(known.permit(&alice, &tool, &arguments).err(), before);
            assert_eq!(fresh.memo.len(), 0);
        }
    }
}
