//! What the head of a rule is about: which tools it names, and whether it has a part in decisions about one.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, ResourceConstraint};

use super::schema::{CALL, CALL_ONE, action_name};
use crate::catalog::Tool;

/// The tools about which alone a rule is, where its head names them: by the actions that call them, or as the resource.
pub(super) fn tools_named(policy: &Policy) -> Option<BTreeSet<String>> {
    let called = |action: &EntityUid| {
        let name = action_name(action)?;
        name.strip_prefix(CALL_ONE).map(str::to_owned)
    };
    let by_action = match policy.action_constraint() {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(action) => called(&action).map(|one| BTreeSet::from([one])),
        ActionConstraint::In(actions) => actions.iter().map(called).collect(),
    };
    by_action.or_else(|| {
        let named = resource(policy).filter(|uid| uid.type_name().to_string() == "Tool")?;
        Some(BTreeSet::from(
            [AsRef::<str>::as_ref(named.id()).to_owned()],
        ))
    })
}

/// Whether the head of a rule lets it decide about calls of this tool.
pub(super) fn decides_calls(policy: &Policy, tool: &Tool) -> bool {
    let calls = |action: &EntityUid| {
        action_name(action) == Some(CALL) || calls_this(action, tool) == Some(true)
    };
    let by_action = match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => calls(&action),
        ActionConstraint::In(actions) => actions.iter().any(calls),
    };
    by_action && resource(policy).is_none_or(|uid| stands_for(&uid, tool) == Some(true))
}

/// Whether the head of a rule leaves it a part in a decision about this tool: its listing, its calls, its capabilities.
pub(super) fn may_concern(policy: &Policy, tool: &Tool) -> bool {
    let may = |action: &EntityUid| calls_this(action, tool) != Some(false);
    let by_action = match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => may(&action),
        ActionConstraint::In(actions) => actions.iter().any(may),
    };
    by_action && resource(policy).is_none_or(|uid| stands_for(&uid, tool) != Some(false))
}

/// Whether an action that calls one tool calls this one; none of another action.
fn calls_this(action: &EntityUid, tool: &Tool) -> Option<bool> {
    let name = action_name(action)?.strip_prefix(CALL_ONE)?;
    Some(name == tool.name().as_str())
}

/// Whether a tool or a package is this one; none of what is neither.
fn stands_for(uid: &EntityUid, tool: &Tool) -> Option<bool> {
    let id: &str = uid.id().as_ref();
    match uid.type_name().to_string().as_str() {
        "Tool" => Some(id == tool.name().as_str()),
        "Package" => Some(id == tool.package().manifest().name.as_str()),
        _ => None,
    }
}

/// What the head names as the resource, or as what that lies in.
fn resource(policy: &Policy) -> Option<EntityUid> {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid)
        | ResourceConstraint::In(uid)
        | ResourceConstraint::IsIn(_, uid) => Some(uid),
    }
}

#[cfg(test)]
mod tests {
    use super::super::slice::Sliced;
    use super::*;
    use crate::catalog::testing::tool;

    const NOTHING: [bool; 2] = [false, false];
    const NOTES: [bool; 2] = [true, false];
    const MAIL: [bool; 2] = [false, true];
    const BOTH: [bool; 2] = [true, true];

    #[test]
    fn a_head_says_about_which_tools_a_rule_is_and_whose_calls_it_decides() {
        let tools = [tool("notes", &[]), tool("mail", &[])];
        for (head, concerns, calls) in [
            ("action, resource", BOTH, BOTH),
            ("action, resource is Tool", BOTH, BOTH),
            ("action, resource is Capability", BOTH, BOTH),
            ("action in Action::\"call\", resource", BOTH, BOTH),
            ("action == Action::\"list\", resource", BOTH, NOTHING),
            ("action == Action::\"use\", resource", BOTH, NOTHING),
            ("action == Action::\"call:notes\", resource", NOTES, NOTES),
            (
                "action in [Action::\"call:mail\", Action::\"call:other\"], resource",
                MAIL,
                MAIL,
            ),
            (
                "action in [Action::\"call:mail\", Action::\"list\"], resource",
                BOTH,
                MAIL,
            ),
            ("action, resource == Tool::\"notes\"", NOTES, NOTES),
            ("action, resource in Tool::\"mail\"", MAIL, MAIL),
            ("action, resource in Package::\"mail\"", MAIL, MAIL),
            (
                "action, resource is Tool in Package::\"notes\"",
                NOTES,
                NOTES,
            ),
            (
                "action == Action::\"call:mail\", resource == Tool::\"notes\"",
                NOTHING,
                NOTHING,
            ),
            ("action, resource == Capability::\"notes\"", BOTH, NOTHING),
        ] {
            let text = format!("permit (principal, {head});");
            let policy: Policy = text.parse().unwrap();
            let sliced = Sliced::new(text.parse().unwrap());
            for (at, tool) in tools.iter().enumerate() {
                let found = (may_concern(&policy, tool), decides_calls(&policy, tool));
                let told = format!("{head} for {}", tool.name());
                assert_eq!(found, (concerns[at], calls[at]), "{told}");
                // What it is kept under, by the tools that it names, leaves out no more.
                let kept = sliced.about(tool).rules.num_of_policies() == 1;
                assert_eq!(kept, concerns[at], "{told}");
            }
        }
    }
}
