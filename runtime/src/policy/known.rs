//! Rules about tools that are not admitted: told, and without effect until the tool is there.

use cedar_policy::{ActionConstraint, EntityUid, Policy, ResourceConstraint};
use serde_json::Value;

use super::schema::action_name;
use crate::catalog::Tool;

/// What is left of a rule once actions of tools that are not there are taken out of its head.
pub(super) enum Left {
    /// All of it.
    Whole,
    /// Fewer actions.
    Part(Box<Policy>),
    /// No action.
    Nothing,
}

/// What is left of a rule, and the names in it that name nothing that is admitted.
pub(super) fn left(policy: &Policy, tools: &[Tool]) -> (Left, Vec<String>) {
    let admitted = |name: &str| tools.iter().any(|tool| tool.name().as_str() == name);
    let missing = |action: &EntityUid| {
        let name = action_name(action)?.strip_prefix("call:")?;
        (!name.is_empty() && !admitted(name)).then(|| format!("tool `{name}`"))
    };
    let mut names = Vec::new();
    let left = match policy.action_constraint() {
        ActionConstraint::Any => Left::Whole,
        ActionConstraint::Eq(action) => match missing(&action) {
            Some(name) => {
                names.push(name);
                Left::Nothing
            }
            None => Left::Whole,
        },
        ActionConstraint::In(actions) => {
            let kept: Vec<_> = actions
                .iter()
                .filter(|one| missing(one).is_none())
                .collect();
            names.extend(actions.iter().filter_map(missing));
            match (kept.len() == actions.len(), kept.is_empty()) {
                (true, _) => Left::Whole,
                (false, true) => Left::Nothing,
                // A rule that cannot be said with fewer actions is left out; one that cannot be read would be refused.
                (false, false) => with_actions(policy, &kept)
                    .map_or(Left::Nothing, |policy| Left::Part(Box::new(policy))),
            }
        }
    };
    let head = match policy.resource_constraint() {
        ResourceConstraint::Eq(uid)
        | ResourceConstraint::In(uid)
        | ResourceConstraint::IsIn(_, uid) => Some(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    };
    for uid in policy.entity_literals().iter().chain(&head) {
        let id: &str = uid.id().as_ref();
        let named = match uid.type_name().to_string().as_str() {
            "Tool" if !admitted(id) => format!("tool `{id}`"),
            "Package"
                if !tools
                    .iter()
                    .any(|tool| tool.package().manifest().name.as_str() == id) =>
            {
                format!("package `{id}`")
            }
            _ => continue,
        };
        names.push(named);
    }
    names.sort();
    names.dedup();
    (left, names)
}

/// Admitted tools that ask for nothing, among those that a rule names in its head: by their calls, themselves, or their package.
pub(super) fn without_needs(policy: &Policy, tools: &[Tool]) -> Vec<String> {
    let actions: Vec<String> = match policy.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(action) => action_name(&action)
            .map(str::to_owned)
            .into_iter()
            .collect(),
        ActionConstraint::In(actions) => {
            let names = actions.iter().filter_map(action_name);
            names.map(str::to_owned).collect()
        }
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Eq(uid)
        | ResourceConstraint::In(uid)
        | ResourceConstraint::IsIn(_, uid) => Some(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    };
    let named = |tool: &&Tool| {
        let call = format!("call:{}", tool.name());
        let by_resource = resource.as_ref().is_some_and(|uid| {
            let id: &str = uid.id().as_ref();
            match uid.type_name().to_string().as_str() {
                "Tool" => id == tool.name().as_str(),
                "Package" => id == tool.package().manifest().name.as_str(),
                _ => false,
            }
        });
        by_resource || actions.contains(&call)
    };
    let nothing = |tool: &&Tool| tool.wants().is_empty();
    let found = tools.iter().filter(named).filter(nothing);
    found.map(|tool| format!("`{}`", tool.name())).collect()
}

/// The same rule about these actions alone.
fn with_actions(policy: &Policy, actions: &[&EntityUid]) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    let kept = actions.iter().map(|action| {
        let id: &str = action.id().as_ref();
        serde_json::json!({"type": action.type_name().to_string(), "id": id})
    });
    let kept: Vec<Value> = kept.collect();
    *json.get_mut("action")? = serde_json::json!({"op": "in", "entities": kept});
    Policy::from_json(Some(policy.id().clone()), json).ok()
}
