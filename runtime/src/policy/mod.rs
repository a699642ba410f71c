//! Decides what a caller may do with a tool.
//!
//! Never reads a clock, a file or the network: a decision can be replayed from the audit log. Nothing is allowed that no
//! rule allows, a rule that fails to evaluate refuses the call, and a rule that cannot apply is refused when it is loaded.

mod admin;
mod anonymous;
mod ask;
mod ceilings;
mod circumstances;
mod compare;
mod could;
mod demands;
mod expect;
mod expect_file;
mod explain;
mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heads;
mod issuers;
mod known;
mod load;
mod memo;
mod near;
mod reads;
mod refusal;
mod rule;
mod schema;
mod shape;
mod slice;
mod step_up;
#[cfg(test)]
mod tests;
mod trial;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[cfg(test)]
use serde_json::Map;

use crate::capability::{Capability, CapabilitySet, Tier};
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::identity::Caller;
use crate::ids::{Digest, ToolName};
use crate::problem::Problem;
use crate::protect::Class;

pub use admin::{AdminAction, AdminPermit, AdminResource, compare_admin, own_admin};
pub use ask::Step;
pub use ceilings::Ceilings;
pub use circumstances::Circumstances;
pub use compare::{Authority, Difference, Edits, How, May, compare, compare_call};
pub use expect::{
    AdminCase, CallerText, Case, Described, Expect, Expectations, Verdict, judge, judge_admin,
};
pub use load::PolicyError;
pub use near::Near;
pub use refusal::Refusal;
pub use rule::RuleFacts;
pub use shape::{Unreadable, Why};
pub use step_up::{SignIn, StepUp};
pub use trial::{Observation, Would};
pub use vocabulary::Vocabulary;

use ask::{Asking, Bearing, Question};
use demands::{demanded, missing_role};
use schema::Schemas;
use slice::Sliced;

/// What the operator's rules allow this caller on this tool with these arguments.
///
/// ```compile_fail,E0451
/// use bailiwick::policy::Permit;
///
/// fn forge(
///     caller: std::sync::Arc<bailiwick::identity::Caller>,
///     tool: bailiwick::catalog::Tool,
///     of_another: &Permit,
/// ) -> Permit {
///     let Permit { allowed, digest, .. } = of_another;
///     Permit { caller, tool, allowed: allowed.clone(), digest: *digest }
/// }
/// ```
pub struct Permit {
    caller: Arc<Caller>,
    tool: Tool,
    allowed: Arc<memo::Allowed>,
    digest: Digest,
}

impl Permit {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What for.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// The part of the tool's needs that the rules allow.
    pub fn allowed(&self) -> &CapabilitySet {
        &self.allowed.capabilities
    }

    /// The rules that decided, by id.
    pub fn rules(&self) -> &[String] {
        &self.allowed.rules
    }

    /// Digest of the rules that were in force.
    pub fn rules_digest(&self) -> Digest {
        self.digest
    }

    /// The classes of rate limits under which the call falls.
    pub fn rates(&self) -> &BTreeSet<String> {
        &self.allowed.rates
    }

    /// The classes of data that the tool may be given at most; none where no rule about the call names any.
    pub fn data(&self) -> Option<&BTreeSet<Class>> {
        self.allowed.data.as_ref()
    }

    /// How this capability is consented to: the tier that it has by itself, or the higher one that rules say.
    ///
    /// Where capabilities overlap, what rules say of one counts for another that can do as much harm by what both have in
    /// common, and not for one that only reads where the other writes.
    pub fn tier(&self, capability: &Capability) -> Tier {
        let own = self.allowed.of_call.raised(capability.tier());
        let bounds = self.allowed.ceilings.iter();
        let concerns = |(one, _): &(&Capability, &Ceilings)| {
            let common = one.meet(capability);
            common.is_some_and(|common| common.tier() == one.tier())
        };
        let raised = bounds.filter(concerns).filter_map(|(_, one)| one.tier_min);
        raised.fold(own, Ord::max)
    }

    /// The bounds of all that this capability has to do with: the strictest of them.
    pub fn ceilings(&self, capability: &Capability) -> Ceilings {
        let touched = self.allowed.ceilings.iter();
        let touched = touched.filter(|(one, _)| one.meet(capability).is_some());
        touched.fold(Ceilings::default(), |all, (_, one)| all.meet(one))
    }
}

/// The operator's rules, checked against a schema that was made from the admitted tools.
pub struct Rules {
    policies: Sliced,
    /// The same rules without what they say of arguments and of the time.
    could: Sliced,
    /// Rules about listing alone, by id.
    shown: BTreeSet<String>,
    /// What rules bound, by id.
    ceilings: BTreeMap<String, Ceilings>,
    /// The tools that callers without a token see, each at its build.
    open: BTreeMap<ToolName, Digest>,
    /// What decides about the administrators' door.
    admin: admin::AdminRules,
    /// What the rules say of themselves, by id.
    told: Vec<RuleFacts>,
    /// Rules that decide nothing yet.
    trial: Option<trial::Trial>,
    schemas: Schemas,
    vocabulary: Vocabulary,
    count: usize,
    warnings: Vec<Problem>,
    unreadable: Vec<Unreadable>,
    digest: Digest,
    /// The definitions that the rules were checked against.
    checked: BTreeMap<ToolName, Digest>,
    memo: memo::Memo,
}

impl Rules {
    /// Loads rules from `(file name, text)` and checks them strictly against the admitted tools.
    pub fn load(sources: &[(String, String)], tools: &[Tool]) -> Result<Self, PolicyError> {
        Self::load_with(sources, tools, Vocabulary::default())
    }

    /// Loads rules that may use the words of the configuration as well.
    pub fn load_with(
        sources: &[(String, String)],
        tools: &[Tool],
        vocabulary: Vocabulary,
    ) -> Result<Self, PolicyError> {
        load::on_a_large_stack(sources, tools, vocabulary)
    }

    /// The rules that allow nothing.
    pub fn none() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the schema without tools is a constant of ours; a test loads it"
        )]
        Self::load(&[], &[]).expect("an empty set is valid")
    }

    /// SHA-256 over the names and texts of the rules.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no rules, so that nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What each rule says of itself, in the order of their ids.
    pub fn told(&self) -> &[RuleFacts] {
        &self.told
    }

    /// What the operator should know of rules that are in force, such as names of tools that are not admitted.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The arguments that rules cannot read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Whether the caller may see the tool: a rule lists it, and some call of it could be permitted, or the rule is about
    /// listing alone. One who lacks scopes or a better sign-in alone sees it, to learn by calling what would do.
    pub fn lists(&self, caller: &Caller, tool: &Tool) -> bool {
        self.is_checked(tool)
            && missing_role(caller, tool).is_none()
            && self.memo.listed(caller, tool, || {
                let step = self.list_step(caller, tool);
                if !step.errors.is_empty() {
                    // A listing leaves no record, so this is where the operator hears of it.
                    tracing::warn!(tool = %tool.name(), rules = ?step.erred, "a rule could not be evaluated, so a tool is not listed");
                }
                let shown = step.rules.iter().any(|rule| self.shown.contains(rule));
                let callable = || {
                    self.would(caller, tool, Bearing::of(caller), None)
                        || self.step_up(caller, tool, None).is_some()
                };
                step.allowed && (shown || callable())
            })
    }

    /// Whether whoever has no token may see the tool. Nobody without a token calls one.
    pub fn lists_anonymous(&self, tool: &Tool) -> bool {
        self.is_checked(tool)
            && self.open.get(tool.name()) == Some(&tool.package().component_digest())
    }

    /// Whether the rules were checked against this very definition. A tool that changed meanwhile could have arguments that
    /// they do not see.
    fn is_checked(&self, tool: &Tool) -> bool {
        self.checked.get(tool.name()) == Some(&tool.definition_digest())
    }

    /// Whether the token has the scopes that the tool's author demands; else those that would do, whatever the arguments, to
    /// a caller who may see the tool.
    pub fn check_scopes(&self, caller: &Caller, tool: &Tool) -> Result<(), Vec<String>> {
        let demanded = &tool.package().manifest().requires.scopes;
        let lacking = demanded
            .iter()
            .any(|scope| !caller.scopes().contains(scope));
        if !lacking || !self.lists(caller, tool) {
            return Ok(());
        }
        match self.step_up(caller, tool, None) {
            Some(StepUp {
                scopes,
                sign_in: None,
            }) => Err(scopes),
            // What else the call needs depends on it, so it is said when that is decided.
            Some(StepUp {
                sign_in: Some(_), ..
            })
            | None => Ok(()),
        }
    }

    /// Whether the caller may call the tool with these arguments, and what the tool may do then.
    pub fn permit<'a>(
        &self,
        caller: &Arc<Caller>,
        tool: &Tool,
        call: impl Into<Circumstances<'a>>,
    ) -> Result<Permit, Refusal> {
        let call = call.into();
        if !self.is_checked(tool) {
            return Err(Refusal::Unchecked);
        }
        demanded(caller, tool)?;
        let decide = || self.decided(caller, tool, call);
        let varies = self.policies.about(tool).varies;
        let allowed = self
            .memo
            .decided(varies, caller, tool, call.arguments, decide)?;
        Ok(Permit {
            caller: Arc::clone(caller),
            tool: tool.clone(),
            allowed,
            digest: self.digest,
        })
    }

    /// What is allowed and by which rules, or why nothing is: the same for the same caller, tool and arguments.
    fn decided(&self, caller: &Caller, tool: &Tool, call: Circumstances<'_>) -> memo::Decided {
        let now = call.now;
        let call = self.call_step(caller, tool, call);
        if !call.errors.is_empty() {
            return Err(Refusal::Evaluation {
                errors: call.errors,
                erred: call.erred,
            });
        }
        if !call.allowed {
            return Err(Refusal::Denied { rules: call.rules });
        }
        let of_call = self.bounds(&call.rules);
        let (mut rules, mut ceilings) = (call.rules, BTreeMap::new());
        let mut rates = of_call.rates.clone();
        for need in tool.needs() {
            for capability in need.capabilities.iter() {
                let step = self.use_step(caller, tool, capability, now);
                if !step.errors.is_empty() {
                    return Err(Refusal::Evaluation {
                        errors: step.errors,
                        erred: step.erred,
                    });
                }
                let bounds = of_call.meet(&self.bounds(&step.rules));
                // What is beyond a bound, by itself or because rules raise its tier, is as if no rule had allowed it.
                let allowed = bounds.narrowed(capability).filter(|_| step.allowed);
                match (allowed, need.optional) {
                    (Some(allowed), _) => {
                        rates.extend(bounds.rates.iter().cloned());
                        ceilings.insert(allowed, bounds);
                        rules.extend(step.rules);
                    }
                    (None, true) => {}
                    (None, false) => {
                        return Err(Refusal::CapabilityDenied {
                            capability: capability.clone(),
                            rules: step.rules,
                        });
                    }
                }
            }
        }
        rules.sort();
        rules.dedup();
        Ok(Arc::new(memo::Allowed {
            capabilities: ceilings.keys().cloned().collect(),
            ceilings,
            data: of_call.data.clone(),
            of_call,
            rules,
            rates,
        }))
    }

    /// The strictest of what these rules bound.
    fn bounds(&self, rules: &[String]) -> Ceilings {
        let bounds = rules.iter().filter_map(|rule| self.ceilings.get(rule));
        bounds.fold(Ceilings::default(), |all, one| all.meet(one))
    }

    fn list_step(&self, caller: &Caller, tool: &Tool) -> Step {
        let asking = self.asking(caller, tool, None);
        ask::ask(
            &self.policies.about(tool).rules,
            &self.schemas,
            &asking,
            Question::List,
        )
    }

    fn call_step(&self, caller: &Caller, tool: &Tool, call: Circumstances<'_>) -> Step {
        let asking = self.asking(caller, tool, Some(call.now));
        let question = Question::Call(call.arguments);
        ask::ask(
            &self.policies.about(tool).rules,
            &self.schemas,
            &asking,
            question,
        )
    }

    fn use_step(
        &self,
        caller: &Caller,
        tool: &Tool,
        capability: &Capability,
        now: Timestamp,
    ) -> Step {
        let asking = self.asking(caller, tool, Some(now));
        ask::ask(
            &self.policies.about(tool).rules,
            &self.schemas,
            &asking,
            Question::Use(capability),
        )
    }

    fn asking<'a>(
        &'a self,
        caller: &'a Caller,
        tool: &'a Tool,
        now: Option<Timestamp>,
    ) -> Asking<'a> {
        Asking {
            caller,
            bearing: Bearing::of(caller),
            tool,
            vocabulary: &self.vocabulary,
            now,
        }
    }

    /// As [`asking`](Self::asking), without the time where the question knows none.
    fn asking_for<'a>(
        &'a self,
        caller: &'a Caller,
        tool: &'a Tool,
        question: Question<'_>,
        now: Timestamp,
    ) -> Asking<'a> {
        let timed = match question {
            Question::Call(_) | Question::Use(_) => Some(now),
            Question::List | Question::CouldCall | Question::CouldUse(_) => None,
        };
        self.asking(caller, tool, timed)
    }

    /// Whether the tool may be called with some arguments at some time, by the rules alone.
    fn could_call(&self, caller: &Caller, tool: &Tool) -> Step {
        let asking = self.asking(caller, tool, None);
        let rules = &self.could.about(tool).rules;
        let mut step = ask::ask(rules, &self.schemas, &asking, Question::CouldCall);
        // As below.
        step.rules.retain(|rule| !self.policies.varies(rule));
        step
    }

    /// Whether the tool may have this capability at some time, with these scopes.
    fn could_use(
        &self,
        caller: &Caller,
        bearing: Bearing<'_>,
        tool: &Tool,
        capability: &Capability,
    ) -> Step {
        let asking = Asking {
            bearing,
            ..self.asking(caller, tool, None)
        };
        let question = Question::CouldUse(capability);
        let mut step = ask::ask(
            &self.could.about(tool).rules,
            &self.schemas,
            &asking,
            question,
        );
        // A rule that may hold and may not bounds nothing for sure.
        step.rules.retain(|rule| !self.policies.varies(rule));
        step
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A permit through the real maker: rules that allow this caller everything that the tool asks for.
    pub(crate) fn permit(caller: &Arc<Caller>, tool: &Tool) -> Permit {
        bounded_permit("", caller, tool)
    }

    /// The same, under a rule with these annotations.
    pub(crate) fn bounded_permit(bounds: &str, caller: &Arc<Caller>, tool: &Tool) -> Permit {
        let all = (
            "all.cedar".to_owned(),
            format!("{bounds} permit(principal, action, resource);"),
        );
        Rules::load(&[all], std::slice::from_ref(tool))
            .unwrap()
            .permit(caller, tool, &Map::new())
            .unwrap()
    }
}
