//! Which scopes would do, where scopes alone are missing.
//!
//! Nothing is granted here: the same rules are asked again for a token as the caller might bring.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

use super::ask::{self, Asking, Question};
use super::{Caller, Ceilings, Circumstances, Rules, Tool, missing_role, reads};
use crate::limits::STEP_UP_SCOPES_MAX;

/// The scopes that a rule names.
pub(super) fn named(policy: &Policy) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(json) = policy.to_json() {
        collect(&json, &mut found);
    }
    found
}

fn is_scopes(expression: &Value) -> bool {
    reads::path_from("principal", expression).is_some_and(|names| names == ["scopes"])
}

fn collect(expression: &Value, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            let (left, right) = (members.get("left"), members.get("right"));
            match (left, right) {
                (Some(left), Some(right)) if is_scopes(left) => texts(right, found),
                (Some(left), Some(right)) if is_scopes(right) => texts(left, found),
                _ => {}
            }
            members.values().for_each(|one| collect(one, found));
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every text that an expression writes out.
fn texts(expression: &Value, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => match members.get("Value") {
            Some(Value::String(text)) => {
                found.insert(text.clone());
            }
            _ => members.values().for_each(|one| texts(one, found)),
        },
        Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Rules {
    /// The scopes with which this call would be permitted, where nothing else is missing: no one of them can be left out.
    /// Those that the caller has and that the call needs are among them. Without arguments: some call.
    ///
    /// For a caller to whom the tool is listed; to any other it would tell that the tool exists.
    pub fn step_up(
        &self,
        caller: &Caller,
        tool: &Tool,
        call: Option<Circumstances<'_>>,
    ) -> Option<Vec<String>> {
        let requires = &tool.package().manifest().requires;
        let reaches = |acr: &String| caller.reaches_acr(acr);
        if !self.is_checked(tool)
            || missing_role(caller, tool).is_some()
            || !requires.acr.iter().all(reaches)
        {
            return None;
        }
        let would = |scopes: &BTreeSet<String>| self.would(caller, tool, scopes, call);
        let mut named = self.scopes.get(tool.name()).cloned().unwrap_or_default();
        named.extend(requires.scopes.iter().cloned());
        if named.len() > STEP_UP_SCOPES_MAX || would(caller.scopes()) {
            return None;
        }
        let with = |more: &BTreeSet<String>| caller.scopes().union(more).cloned().collect();
        let demanded: BTreeSet<String> = requires.scopes.iter().cloned().collect();
        let one_more = named.iter().map(|scope| {
            let mut more = demanded.clone();
            more.insert(scope.clone());
            more
        });
        // The fewest first: what the author demands, that and one more, and only then all that rules name.
        let mut candidates = [demanded.clone()]
            .into_iter()
            .chain(one_more)
            .chain([named.clone()]);
        let enough: BTreeSet<String> = candidates.find(|more| would(&with(more)))?;
        // Then away with each that the call does not need, those among them that the caller has.
        let mut needed: BTreeSet<String> = with(&enough);
        for scope in named.iter().rev() {
            if needed.remove(scope) && !would(&needed) {
                needed.insert(scope.clone());
            }
        }
        needed.retain(|scope| named.contains(scope));
        needed.extend(caller.scopes_always().iter().cloned());
        Some(needed.into_iter().collect())
    }

    /// Whether the call would be permitted with these scopes. Without arguments: whether some call would.
    pub(super) fn would(
        &self,
        caller: &Caller,
        tool: &Tool,
        scopes: &BTreeSet<String>,
        call: Option<Circumstances<'_>>,
    ) -> bool {
        let asking = Asking {
            caller,
            scopes,
            tool,
            vocabulary: &self.vocabulary,
            now: call.map(|call| call.now),
        };
        let manifest = tool.package().manifest();
        if !manifest
            .requires
            .scopes
            .iter()
            .all(|scope| scopes.contains(scope))
        {
            return false;
        }
        let said = match call {
            Some(call) => {
                let question = Question::Call(call.arguments);
                ask::ask(
                    &self.policies.about(tool).rules,
                    &self.schema,
                    &asking,
                    question,
                )
            }
            None => ask::ask(
                &self.could.about(tool).rules,
                &self.schema,
                &asking,
                Question::CouldCall,
            ),
        };
        // Which rules hold depends on the arguments, and so what they bound.
        let of_call = match call {
            Some(_) => self.bounds(&said.rules),
            None => Ceilings::default(),
        };
        let required = manifest.needs.iter().filter(|need| !need.optional);
        let mut required = required.flat_map(|need| need.capabilities.iter());
        said.allowed
            && required.all(|capability| {
                let step = match call {
                    Some(_) => {
                        let question = Question::Use(capability);
                        ask::ask(
                            &self.policies.about(tool).rules,
                            &self.schema,
                            &asking,
                            question,
                        )
                    }
                    None => self.could_use(caller, scopes, tool, capability),
                };
                let bounds = of_call.meet(&self.bounds(&step.rules));
                step.allowed && bounds.allows(capability.tier())
            })
    }
}
