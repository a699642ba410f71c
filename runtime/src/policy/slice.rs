//! The rules that may have a part in a decision about one tool, so that a decision does not pay for rules about others.
//!
//! Only the heads of rules are looked at: what is left out says in its head that it is about another tool, so Cedar would
//! pass it over as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicySet, ResourceConstraint};
use moka::sync::Cache;

use super::memo::varying;
use super::schema::action_name;
use crate::catalog::Tool;
use crate::ids::ToolName;

/// Rules that all slices together hold, each about 1 KiB; a slice that is forgotten is cut again.
const RULES_MAX: u64 = 100_000;

/// A set of rules, and what of it concerns a tool.
pub(super) struct Sliced {
    whole: Arc<PolicySet>,
    /// The rules that read what differs from call to call, by id.
    varying: BTreeSet<String>,
    slices: Cache<ToolName, Arc<Slice>>,
}

/// What concerns one tool.
pub(super) struct Slice {
    /// The rules.
    pub(super) rules: Arc<PolicySet>,
    /// Whether one of them reads what differs from call to call.
    pub(super) varies: bool,
}

impl Sliced {
    /// Slices of this set are cut when they are asked for.
    pub(super) fn new(whole: PolicySet) -> Self {
        let weight = |_: &ToolName, slice: &Arc<Slice>| {
            u32::try_from(slice.rules.num_of_policies().saturating_add(1)).unwrap_or(u32::MAX)
        };
        Self {
            varying: varying(&whole),
            whole: Arc::new(whole),
            slices: Cache::builder()
                .weigher(weight)
                .max_capacity(RULES_MAX)
                .build(),
        }
    }

    /// All of them, one by one.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.whole.policies()
    }

    /// The rules that read what differs from call to call, by id.
    pub(super) fn varying(&self) -> &BTreeSet<String> {
        &self.varying
    }

    /// Whether this rule reads what differs from call to call.
    pub(super) fn varies(&self, id: &str) -> bool {
        self.varying.contains(id)
    }

    /// What concerns this tool. A set is never asked about two tools of one name: it is checked against one of them.
    pub(super) fn about(&self, tool: &Tool) -> Arc<Slice> {
        self.slices
            .get_with_by_ref(tool.name(), || Arc::new(self.cut(tool)))
    }

    fn cut(&self, tool: &Tool) -> Slice {
        let concerning = || self.policies().filter(|policy| may_concern(policy, tool));
        let mut rules = PolicySet::new();
        // What is in one set has its own id, so that every rule finds a place in another.
        let cut = concerning().all(|policy| rules.add(policy.clone()).is_ok());
        let whole = rules.num_of_policies() == self.whole.num_of_policies();
        Slice {
            varies: concerning().any(|policy| self.varies(policy.id().as_ref())),
            rules: match cut && !whole {
                true => Arc::new(rules),
                false => Arc::clone(&self.whole),
            },
        }
    }
}

/// Whether the head of a rule leaves it a part in a decision about this tool: its listing, its calls, its capabilities.
fn may_concern(policy: &Policy, tool: &Tool) -> bool {
    let other_call = |action: &EntityUid| {
        action_name(action)
            .and_then(|name| name.strip_prefix("call:").map(str::to_owned))
            .is_some_and(|name| name != tool.name().as_str())
    };
    let by_action = match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => !other_call(&action),
        ActionConstraint::In(actions) => !actions.iter().all(other_call),
    };
    let elsewhere = |uid: &EntityUid| {
        let id: &str = uid.id().as_ref();
        match uid.type_name().to_string().as_str() {
            "Tool" => id != tool.name().as_str(),
            "Package" => id != tool.package().manifest().name.as_str(),
            _ => false,
        }
    };
    by_action
        && match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
            ResourceConstraint::Eq(uid)
            | ResourceConstraint::In(uid)
            | ResourceConstraint::IsIn(_, uid) => !elsewhere(&uid),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::tool;

    #[test]
    fn only_what_is_about_other_tools_is_left_out() {
        let (notes, mail) = (tool("notes", &[]), tool("mail", &[]));
        for (head, for_notes, for_mail) in [
            ("principal, action, resource", true, true),
            (
                "principal, action == Action::\"list\", resource",
                true,
                true,
            ),
            ("principal, action == Action::\"use\", resource", true, true),
            (
                "principal, action in Action::\"call\", resource",
                true,
                true,
            ),
            (
                "principal, action == Action::\"call:notes\", resource",
                true,
                false,
            ),
            (
                "principal, action in [Action::\"call:mail\", Action::\"call:other\"], resource",
                false,
                true,
            ),
            (
                "principal, action in [Action::\"call:mail\", Action::\"list\"], resource",
                true,
                true,
            ),
            (
                "principal, action, resource == Tool::\"notes\"",
                true,
                false,
            ),
            ("principal, action, resource in Tool::\"mail\"", false, true),
            (
                "principal, action, resource in Package::\"mail\"",
                false,
                true,
            ),
            (
                "principal, action, resource is Tool in Package::\"notes\"",
                true,
                false,
            ),
            ("principal, action, resource is Capability", true, true),
            (
                "principal, action, resource == Capability::\"any\"",
                true,
                true,
            ),
        ] {
            let whole: PolicySet = format!("permit ({head});").parse().unwrap();
            let sliced = Sliced::new(whole);
            for (tool, expected) in [(&notes, for_notes), (&mail, for_mail)] {
                let found = sliced.about(tool).rules.num_of_policies() == 1;
                assert_eq!(found, expected, "{head} for {}", tool.name());
            }
        }
    }
}
