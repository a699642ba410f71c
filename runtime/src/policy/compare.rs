//! Two sets of rules, side by side: whose authority grows, and whose shrinks.
//!
//! Compares what the rules decide, not how they are written. It sees as far as it is given callers, tools and arguments.

mod bounds;

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid};
use serde_json::Value;

use super::ask::{self, Bearing, Question};
use super::{Ceilings, Circumstances, Rules, demanded, schema};
use crate::capability::Capability;
use crate::catalog::Tool;
use crate::identity::Caller;
use crate::limits::RULE_STACK_BYTES;
use crate::stack::with_room;
use bounds::bounded;

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
    /// For each of them what bounds it in every call, and the rules that do.
    bounds: Vec<(Ceilings, Vec<String>)>,
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
    /// How they make it.
    pub how: How,
}

/// How rules make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// They forbid it in the set that allows less.
    Forbid,
    /// They permit it in the set that allows more.
    Permit,
    /// They bound it in the set that allows less far.
    Bound,
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
        let needs = tool.wants();
        let own = Bearing::of(caller);
        let of_call = self.could_call(caller, tool).rules;
        let mut bounds = Vec::new();
        let uses = needs.iter().map(|capability| {
            let step = self.could_use(caller, own, tool, capability);
            let rules: Vec<_> = of_call.iter().chain(&step.rules).cloned().collect();
            let bound = self.bounds(&rules);
            let could = step.allowed && bound.allows(capability);
            bounds.push((bound, rules));
            let used = |action: &EntityUid| schema::action_name(action) == Some("use");
            (capability.clone(), self.may(could, used))
        });
        let could = demanded(caller, tool).is_ok() && self.would(caller, tool, own, None);
        let call = format!("call:{}", tool.name());
        let called = |action: &EntityUid| {
            let name = schema::action_name(action);
            name.is_some_and(|name| name == schema::CALL || name == call)
        };
        let uses = uses.collect();
        Authority {
            listed: self.lists(caller, tool),
            calls: self.may(could, called),
            uses,
            bounds,
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
        // What writes a rule out recurses through it.
        with_room(RULE_STACK_BYTES, || self.edits_here(new)).unwrap_or_default()
    }

    fn edits_here(&self, new: &Self) -> Edits {
        let texts = |rules: &Self| -> BTreeMap<String, Option<String>> {
            let all = rules.policies.policies().chain(rules.admin.policies());
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
            ask::ask(&asked.about(tool).rules, &rules.schemas, &asking, question)
        };
        let (gives, takes) = if grows { (new, old) } else { (old, new) };
        let refused = step(takes);
        let forbidding = !refused.allowed && !refused.rules.is_empty();
        let how = match forbidding || narrower == May::Depends {
            true => How::Forbid,
            false => How::Permit,
        };
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
            how,
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
    let bounds = before.bounds.iter().zip(&after.bounds);
    for (((capability, was), (_, is)), ((old_bounds, old_by), (new_bounds, new_by))) in
        before.uses.iter().zip(&after.uses).zip(bounds)
    {
        if *was.min(is) == May::No {
            continue;
        }
        let through = format!("`{capability}` through `{name}`");
        all.extend(bounded(
            (old, old_bounds, old_by),
            (new, new_bounds, new_by),
            capability.tier(),
            &through,
        ));
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
) -> Vec<Difference> {
    let text = Value::Object(call.arguments.clone());
    let (before, after) = (
        old.permit(caller, tool, call),
        new.permit(caller, tool, call),
    );
    let (by, how) = match (&before, &after) {
        (Ok(_), Err(refusal)) | (Err(refusal), Ok(_)) if !refusal.rules().is_empty() => {
            (refusal.rules().to_vec(), How::Forbid)
        }
        (Ok(permit), Err(_)) | (Err(_), Ok(permit)) => (permit.rules().to_vec(), How::Permit),
        (Ok(before), Ok(after)) => {
            let both = before.allowed() & after.allowed();
            let differ = both.iter().flat_map(|capability| {
                let through = format!("`{capability}` through `{}` with {text}", tool.name());
                let (was, is) = (before.ceilings(capability), after.ceilings(capability));
                bounded(
                    (old, &was, before.rules()),
                    (new, &is, after.rules()),
                    capability.tier(),
                    &through,
                )
            });
            return differ.collect();
        }
        (Err(_), Err(_)) => return Vec::new(),
    };
    vec![Difference {
        grows: after.is_ok(),
        what: format!("call `{}` with {text}", tool.name()),
        by,
        how,
    }]
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
                .into_iter()
                .map(|one| (one.grows, one.by))
                .collect::<Vec<_>>()
        };
        assert_eq!(differs(3), []);
        assert_eq!(differs(4), [(false, vec!["small".to_owned()])]);
    }

    #[test]
    fn a_longer_consent_and_a_higher_tier_are_growth() {
        let tool = testing::tool("notes", &[("book", &["files read notes"], true)]);
        let bounded = |bound: &str| ALL.replace("permit", &format!("{bound} permit"));
        let week = bounded("@max_consent(\"P7D\")");
        let month = bounded("@max_consent(\"P30D\")");
        let keep = "keep a consent to `files read notes` through `notes`";
        let longer = format!("{keep} for 30 days instead of for 7 days by all");
        assert_eq!(said(&week, &month, &tool), [format!("+ {longer}")]);
        assert_eq!(said(&month, &week, &tool), [format!("- {longer}")]);
        let unbound = format!("{keep} as long as its tier lets instead of for one call by all");
        let once = bounded("@max_consent(\"once\")");
        assert_eq!(said(&once, ALL, &tool), [format!("+ {unbound}")]);
        let tier = |tier: &str| bounded(&format!("@max_tier(\"{tier}\")"));
        let higher =
            "use `files read notes` through `notes` bounded at tier T2 instead of T1 by all";
        assert_eq!(
            said(&tier("T1"), &tier("T2"), &tool),
            [format!("+ {higher}")]
        );
        assert_eq!(
            said(&tier("T2"), &tier("T1"), &tool),
            [format!("- {higher}")]
        );
        assert_eq!(said(&tier("T3"), ALL, &tool), [""; 0]);
        assert_eq!(said(&week, &week, &tool), [""; 0]);
        let asked = |tier: &str| bounded(&format!("@min_tier(\"{tier}\")"));
        let stricter =
            "use `files read notes` through `notes` asked about as tier T1 instead of T3 by all";
        assert_eq!(said(ALL, &asked("T3"), &tool), [format!("- {stricter}")]);
        assert_eq!(said(&asked("T3"), ALL, &tool), [format!("+ {stricter}")]);
        assert_eq!(said(&asked("T1"), ALL, &tool), [""; 0], "it reads already");
        let excluded = bounded("@min_tier(\"T3\") @max_tier(\"T2\")");
        assert_eq!(
            said(ALL, &excluded, &tool),
            ["- use `files read notes` through `notes` by all"]
        );
        // What is not allowed at all is bounded by nobody.
        let lost = ["- use `files read notes` through `notes` by all"];
        assert_eq!(said(&tier("T1"), &tier("T0"), &tool), lost);
    }

    #[test]
    fn more_of_the_web_is_growth() {
        let tool = testing::tool("notes", &[("web", &["http GET a.example /"], true)]);
        let web = |budget: &str| ALL.replace("permit", &format!("@max_http(\"{budget}\") permit"));
        let (less, more) = (web("requests=3 send=7"), web("requests=5 send=7"));
        let wider = "use `http GET a.example /` through `notes` with `requests=5` instead of `requests=3` by all";
        assert_eq!(said(&less, &more, &tool), [format!("+ {wider}")]);
        assert_eq!(said(&more, &less, &tool), [format!("- {wider}")]);
        assert_eq!(said(&more, &more, &tool), [""; 0]);
    }

    #[test]
    fn the_bounds_of_one_call_are_compared_where_they_hang_on_its_arguments() {
        let mut manifest = testing::manifest("notes", &[("book", &["files read notes"], true)]);
        manifest.tools[0].input_schema = json!({
            "type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"],
        });
        let tool = testing::tool_of(manifest);
        let large = |days: u32| {
            let text = format!(
                "{ALL} @id(\"large\") @max_consent(\"{days}\") permit(principal, action == Action::\"call:notes\", resource) when {{ context.args.amount > 3 }};"
            );
            rules(&text, std::slice::from_ref(&tool)).unwrap()
        };
        let (old, new) = (large(7), large(9));
        let alice = caller(json!({}));
        let differs = |amount: i64| {
            let arguments = map(json!({"amount": amount}));
            compare_call(&old, &new, &alice, &tool, (&arguments).into())
        };
        assert_eq!(compare(&old, &new, &alice, &tool), []);
        assert_eq!(differs(3), []);
        let found = differs(4);
        assert_eq!(
            (found.len(), found[0].grows, found[0].how),
            (1, true, How::Bound)
        );
        assert_eq!(found[0].by, ["large"]);
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
