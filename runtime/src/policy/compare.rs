//! Two sets of rules, side by side: whose authority grows, and whose shrinks.
//!
//! Compares what the rules decide, not how they are written. It sees as far as it is given callers, tools and arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid};
use serde_json::Value;

use super::ask::{self, Bearing, Question};
use super::{Circumstances, Rules, demanded, schema};
use crate::capability::Capability;
use crate::catalog::Tool;
use crate::identity::Caller;

/// Whether a caller may, as far as it can be said without a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum May {
    /// Never.
    No,
    /// It depends on the call: on its arguments, or on the time.
    Depends,
    /// Always.
    Yes,
}

/// What rules allow one caller on one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Whether the caller sees the tool.
    pub listed: bool,
    /// Whether the caller may call it.
    pub calls: May,
    /// For each capability that the tool asks for, whether it may have it for this caller.
    pub uses: Vec<(Capability, May)>,
}

/// One thing in which two sets of rules differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whether the new rules allow more.
    pub grows: bool,
    /// What, as in `call notes_write`.
    pub what: String,
    /// The rules that make the difference.
    pub by: Vec<String>,
    /// Whether they forbid it in the set that allows less; else they permit it in the one that allows more.
    pub forbids: bool,
}

/// What happened to the rules themselves, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Only the new set has it.
    pub added: Vec<String>,
    /// Only the old set has it.
    pub removed: Vec<String>,
    /// Both have it, and it reads otherwise.
    pub changed: Vec<String>,
}

impl Edits {
    /// Whether the two sets hold the same rules.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Rules {
    /// What these rules allow a caller on a tool.
    pub fn authority(&self, caller: &Caller, tool: &Tool) -> Authority {
        let needs = tool.package().manifest().needs();
        let own = Bearing::of(caller);
        let uses = needs.iter().map(|capability| {
            let step = self.could_use(caller, own, tool, capability);
            let could = step.allowed && self.bounds(&step.rules).allows(capability.tier());
            let used = |action: &EntityUid| schema::action_name(action) == Some("use");
            (capability.clone(), self.may(could, used))
        });
        let could = demanded(caller, tool).is_ok() && self.would(caller, tool, own, None);
        let call = format!("call:{}", tool.name());
        let called = |action: &EntityUid| {
            let name = schema::action_name(action);
            name.is_some_and(|name| name == schema::CALL || name == call)
        };
        Authority {
            listed: self.lists(caller, tool),
            calls: self.may(could, called),
            uses: uses.collect(),
        }
    }

    /// What could be: always, or only if some rule about these actions says so of the call.
    fn may(&self, could: bool, about: impl Fn(&EntityUid) -> bool) -> May {
        let mut varying = self.policies.policies().filter(|policy| {
            let concerns = match policy.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(action) => about(&action),
                ActionConstraint::In(actions) => actions.iter().any(&about),
            };
            concerns && self.policies.varies(policy.id().as_ref())
        });
        match (could, varying.next()) {
            (false, _) => May::No,
            (true, Some(_)) => May::Depends,
            (true, None) => May::Yes,
        }
    }

    /// How the rules of `new` differ from these in text.
    pub fn edits(&self, new: &Self) -> Edits {
        let texts = |rules: &Self| -> BTreeMap<String, Option<String>> {
            let all = rules.policies.policies();
            all.map(|policy| (policy.id().to_string(), policy.to_cedar()))
                .collect()
        };
        let (old, new) = (texts(self), texts(new));
        let mut edits = Edits::default();
        for (id, text) in &old {
            match new.get(id) {
                None => edits.removed.push(id.clone()),
                Some(other) if other != text => edits.changed.push(id.clone()),
                Some(_) => {}
            }
        }
        let added = new.keys().filter(|id| !old.contains_key(*id));
        edits.added = added.cloned().collect();
        edits
    }
}

/// In what the authority of a caller on a tool differs, whatever the arguments.
pub fn compare(old: &Rules, new: &Rules, caller: &Caller, tool: &Tool) -> Vec<Difference> {
    let (before, after) = (old.authority(caller, tool), new.authority(caller, tool));
    let name = tool.name();
    let mut all = Vec::new();
    let mut differ = |grows: bool, narrower: May, question: Question<'_>, what: String| {
        let step = |rules: &Rules| {
            let asking = rules.asking(caller, tool, None);
            let asked = match question {
                Question::List => &rules.policies,
                Question::Call(_)
                | Question::CouldCall
                | Question::Use(_)
                | Question::CouldUse(_) => &rules.could,
            };
            ask::ask(&asked.about(tool).rules, &rules.schema, &asking, question)
        };
        let (gives, takes) = if grows { (new, old) } else { (old, new) };
        let refused = step(takes);
        let forbidding = !refused.allowed && !refused.rules.is_empty();
        let forbids = forbidding || narrower == May::Depends;
        let by = match narrower {
            // Which rule it hangs on differs from call to call: those that look at the call are named.
            May::Depends => takes.policies.varying().iter().cloned().collect(),
            May::No | May::Yes if forbidding => refused.rules,
            May::No | May::Yes => step(gives).rules,
        };
        all.push(Difference {
            grows,
            what,
            by,
            forbids,
        });
    };
    if before.listed != after.listed {
        differ(
            after.listed,
            May::No,
            Question::List,
            format!("see `{name}`"),
        );
    }
    if before.calls != after.calls {
        let grows = after.calls > before.calls;
        let how = when(before.calls.max(after.calls));
        let narrower = before.calls.min(after.calls);
        differ(
            grows,
            narrower,
            Question::CouldCall,
            format!("call `{name}`{how}"),
        );
    }
    for ((capability, was), (_, is)) in before.uses.iter().zip(&after.uses) {
        if was != is {
            let how = when(*was.max(is));
            let what = format!("use `{capability}` through `{name}`{how}");
            differ(is > was, *was.min(is), Question::CouldUse(capability), what);
        }
    }
    all
}

/// How far a difference goes.
fn when(wider: May) -> &'static str {
    match wider {
        May::Depends => " at times, or with some arguments",
        May::Yes => "",
        May::No => " ever",
    }
}

/// In what one call with these arguments differs.
pub fn compare_call(
    old: &Rules,
    new: &Rules,
    caller: &Arc<Caller>,
    tool: &Tool,
    call: Circumstances<'_>,
) -> Option<Difference> {
    let (before, after) = (
        old.permit(caller, tool, call),
        new.permit(caller, tool, call),
    );
    let (by, forbids) = match (&before, &after) {
        (Ok(_), Err(refusal)) | (Err(refusal), Ok(_)) if !refusal.rules().is_empty() => {
            (refusal.rules().to_vec(), true)
        }
        (Ok(permit), Err(_)) | (Err(_), Ok(permit)) => (permit.rules().to_vec(), false),
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => return None,
    };
    let text = Value::Object(call.arguments.clone());
    Some(Difference {
        grows: after.is_ok(),
        what: format!("call `{}` with {text}", tool.name()),
        by,
        forbids,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{map, priced, rules};
    use super::*;
    use crate::catalog::testing;
    use crate::identity::testing::caller;

    fn said(old: &str, new: &str, tool: &Tool) -> Vec<String> {
        let (old, new) = (
            rules(old, std::slice::from_ref(tool)).unwrap(),
            rules(new, std::slice::from_ref(tool)).unwrap(),
        );
        let all = compare(&old, &new, &caller(json!({})), tool);
        let sign = |grows: bool| if grows { "+" } else { "-" };
        all.iter()
            .map(|one| format!("{} {} by {}", sign(one.grows), one.what, one.by.join(", ")))
            .collect()
    }

    const ALL: &str = r#"@id("all") permit(principal in Role::"user", action, resource);"#;

    #[test]
    fn what_grows_and_what_shrinks_is_said_with_the_rule_that_does_it() {
        let tool = testing::tool("notes", &[("book", &["files write notes"], true)]);
        assert_eq!(said(ALL, ALL, &tool), [""; 0]);
        let grown = [
            "+ see `notes` by all",
            "+ call `notes` by all",
            "+ use `files write notes` through `notes` by all",
        ];
        assert_eq!(said("", ALL, &tool), grown);
        let no_writes = format!(
            "{ALL} @id(\"no\") forbid(principal, action == Action::\"use\", resource) when {{ resource.tier > 1 }};"
        );
        let shrunk = ["- use `files write notes` through `notes` by no"];
        assert_eq!(said(ALL, &no_writes, &tool), shrunk);
    }

    #[test]
    fn what_hangs_on_arguments_is_said_to() {
        let tool = priced();
        let small = format!(
            "{ALL} @id(\"small\") forbid(principal, action == Action::\"call:notes\", resource) when {{ context.args.amount > 3 }};"
        );
        let by = said(ALL, &small, &tool);
        assert_eq!(by.len(), 1, "{by:?}");
        assert!(by[0].starts_with("- call `notes` by small"));
        let (old, new) = (
            rules(ALL, std::slice::from_ref(&tool)).unwrap(),
            rules(&small, std::slice::from_ref(&tool)).unwrap(),
        );
        let alice = caller(json!({}));
        let differs = |amount: i64| {
            let arguments = map(json!({"amount": amount}));
            compare_call(&old, &new, &alice, &tool, (&arguments).into())
                .map(|one| (one.grows, one.by))
        };
        assert_eq!(differs(3), None);
        assert_eq!(differs(4), Some((false, vec!["small".to_owned()])));
    }

    #[test]
    fn rules_that_read_otherwise_are_named() {
        let tool = priced();
        let old = format!("{ALL} @id(\"a\") forbid(principal, action, resource);");
        let new = "@id(\"all\") permit(principal, action, resource); @id(\"b\") forbid(principal, action, resource);";
        let (old, new) = (
            rules(&old, std::slice::from_ref(&tool)).unwrap(),
            rules(new, std::slice::from_ref(&tool)).unwrap(),
        );
        let edits = old.edits(&new);
        let named = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(edits.added, named(&["b"]));
        assert_eq!(edits.removed, named(&["a"]));
        assert_eq!(edits.changed, named(&["all"]));
        assert!(old.edits(&old).is_empty());
    }
}
