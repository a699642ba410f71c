//! The rules that may have a part in a decision about one tool, so that a decision does not pay for rules about others.
//!
//! Only the heads of rules are looked at: what is left out says in its head that it is about another tool, so Cedar would
//! pass it over as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, PolicySet};
use moka::sync::Cache;

use super::heads::{may_concern, tools_named};
use super::memo::varying;
use super::step_up::Named;
use crate::catalog::Tool;
use crate::ids::ToolName;

/// Rules that all slices together hold, each about 1 KiB; a slice that is forgotten is cut again.
const RULES_MAX: u64 = 100_000;

/// A set of rules, and what of it concerns a tool.
pub(super) struct Sliced {
    whole: Arc<PolicySet>,
    /// The rules that read what differs from call to call, by id.
    varying: BTreeSet<String>,
    /// The rules whose heads name tools, by those tools' names.
    by_tool: BTreeMap<String, Vec<PolicyId>>,
    /// All others.
    general: Vec<PolicyId>,
    /// What rules name of a token, where they name anything.
    named: BTreeMap<PolicyId, Named>,
    slices: Cache<ToolName, Arc<Slice>>,
}

/// What concerns one tool.
pub(super) struct Slice {
    /// The rules.
    pub(super) rules: Arc<PolicySet>,
    /// Whether one of them reads what differs from call to call.
    pub(super) varies: bool,
    /// What they name of a token.
    pub(super) named: Named,
}

impl Sliced {
    /// Slices of this set are cut when they are asked for.
    pub(super) fn new(whole: PolicySet) -> Self {
        let weight = |_: &ToolName, slice: &Arc<Slice>| {
            u32::try_from(slice.rules.num_of_policies().saturating_add(1)).unwrap_or(u32::MAX)
        };
        let (mut by_tool, mut general) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for policy in whole.policies() {
            match tools_named(policy) {
                Some(tools) => tools
                    .into_iter()
                    .for_each(|tool| by_tool.entry(tool).or_default().push(policy.id().clone())),
                None => general.push(policy.id().clone()),
            }
        }
        let named = whole.policies();
        let named = named.map(|policy| (policy.id().clone(), Named::by(policy)));
        Self {
            varying: varying(&whole),
            by_tool,
            general,
            named: named.filter(|(_, named)| !named.is_empty()).collect(),
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
        let own = self.by_tool.get(tool.name().as_str());
        let concerning: Vec<&Policy> = self
            .general
            .iter()
            .chain(own.into_iter().flatten())
            .filter_map(|id| self.whole.policy(id))
            .filter(|policy| may_concern(policy, tool))
            .collect();
        let mut rules = PolicySet::new();
        // What is in one set has its own id, so that every rule finds a place in another.
        let cut = concerning
            .iter()
            .all(|policy| rules.add((*policy).clone()).is_ok());
        let whole = rules.num_of_policies() == self.whole.num_of_policies();
        let mut named = Named::default();
        let all = concerning.iter();
        all.filter_map(|policy| self.named.get(policy.id()))
            .for_each(|one| named.add(one));
        Slice {
            varies: concerning
                .iter()
                .any(|policy| self.varies(policy.id().as_ref())),
            named,
            rules: match cut && !whole {
                true => Arc::new(rules),
                false => Arc::clone(&self.whole),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::tool;

    #[test]
    fn a_set_of_which_nothing_is_left_out_is_not_copied() {
        let notes = tool("notes", &[]);
        let all = "permit (principal, action, resource);";
        let sliced = Sliced::new(all.parse().unwrap());
        assert!(Arc::ptr_eq(&sliced.about(&notes).rules, &sliced.whole));
        let more = format!("{all} permit (principal, action == Action::\"call:mail\", resource);");
        let sliced = Sliced::new(more.parse().unwrap());
        let slice = sliced.about(&notes);
        assert_eq!(slice.rules.num_of_policies(), 1);
        assert_eq!(sliced.whole.num_of_policies(), 2);
    }
}
