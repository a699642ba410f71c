//! Decides what a caller may do with a tool.
//!
//! Never reads a clock, a file or the network: a decision can be replayed from the audit log. Nothing is allowed that no
//! rule allows, a rule that fails to evaluate refuses the call, and a rule that cannot apply is refused when it is loaded.

mod facts;
mod load;
mod memo;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema,
};
use serde_json::{Map, Value};

use crate::capability::{Capability, CapabilitySet};
use crate::catalog::Tool;
use crate::identity::Caller;
use crate::ids::{Digest, ToolName};

pub use load::PolicyError;

/// What the operator's rules allow this caller on this tool with these arguments.
///
/// ```compile_fail,E0451
/// fn forge(caller: std::sync::Arc<bailiwick::identity::Caller>, tool: bailiwick::catalog::Tool) -> bailiwick::policy::Permit {
///     bailiwick::policy::Permit { caller, tool, allowed: bailiwick::capability::CapabilitySet::none(), rules: vec![] }
/// }
/// ```
pub struct Permit {
    caller: Arc<Caller>,
    tool: Tool,
    allowed: CapabilitySet,
    rules: Vec<String>,
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
        &self.allowed
    }

    /// The rules that decided, by id.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }
}

/// Why a call is not permitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller lacks a role that the tool's author demands.
    #[error("the tool's author demands the role `{role}`")]
    MissingRole { role: String },
    /// The token lacks scopes that the tool's author demands.
    #[error("the tool's author demands the scopes {}", scopes.join(", "))]
    MissingScopes { scopes: Vec<String> },
    /// No rule permits the call, or a rule forbids it.
    #[error("{}", if rules.is_empty() { "no rule permits it".to_owned() } else { format!("forbidden by {}", rules.join(", ")) })]
    Denied { rules: Vec<String> },
    /// A required capability is denied by the rules, so asking the user for it would be in vain.
    #[error("no rule permits `{capability}`, which the tool needs")]
    CapabilityDenied {
        capability: Capability,
        rules: Vec<String>,
    },
    /// The rules in force were checked against another definition of the tool, or against none.
    #[error("the rules were not checked against this definition of the tool")]
    Unchecked,
    /// A rule could not be evaluated; that refuses.
    #[error("a rule could not be evaluated: {}", errors.join("; "))]
    Evaluation { errors: Vec<String> },
}

impl Refusal {
    /// Its name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingRole { .. } => "missing-role",
            Self::MissingScopes { .. } => "missing-scopes",
            Self::Denied { .. } => "denied",
            Self::CapabilityDenied { .. } => "capability-denied",
            Self::Unchecked => "unchecked-definition",
            Self::Evaluation { .. } => "evaluation-error",
        }
    }

    /// The rules that refused, by id.
    pub fn rules(&self) -> &[String] {
        match self {
            Self::Denied { rules } | Self::CapabilityDenied { rules, .. } => rules,
            Self::MissingRole { .. }
            | Self::MissingScopes { .. }
            | Self::Unchecked
            | Self::Evaluation { .. } => &[],
        }
    }
}

/// One step of a decision, for `bailiwick explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was asked: `list`, `call` or `use …`.
    pub question: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rules that decided; none when no rule permits it.
    pub rules: Vec<String>,
    /// What went wrong while deciding; anything here refuses.
    pub errors: Vec<String>,
}

/// The operator's rules, checked against a schema that was made from the admitted tools.
pub struct Rules {
    policies: PolicySet,
    schema: Schema,
    authorizer: Authorizer,
    digest: Digest,
    /// The definitions that the rules were checked against.
    checked: BTreeMap<ToolName, Digest>,
    memo: memo::Memo,
}

impl Rules {
    /// Loads rules from `(file name, text)` and checks them strictly against the admitted tools.
    pub fn load(sources: &[(String, String)], tools: &[Tool]) -> Result<Self, PolicyError> {
        load::load(sources, tools)
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
        self.policies.policies().count()
    }

    /// Whether there are no rules, so that nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Whether the caller may see the tool. One who lacks scopes alone sees it, to learn by calling which they are.
    pub fn lists(&self, caller: &Caller, tool: &Tool) -> bool {
        self.is_checked(tool)
            && missing_role(caller, tool).is_none()
            && self.list_step(caller, tool).allowed
    }

    /// Whether the rules were checked against this very definition. A tool that changed meanwhile could have arguments that
    /// they do not see.
    fn is_checked(&self, tool: &Tool) -> bool {
        self.checked.get(tool.name()) == Some(&tool.definition_digest())
    }

    /// Whether the token has the scopes that the tool's author demands; else all of them, to a caller who may see the tool.
    pub fn check_scopes(&self, caller: &Caller, tool: &Tool) -> Result<(), Vec<String>> {
        let needed = &tool.package().manifest().requires.scopes;
        let lacking = needed.iter().any(|scope| !caller.scopes().contains(scope));
        if lacking && self.lists(caller, tool) {
            Err(needed.clone())
        } else {
            Ok(())
        }
    }

    /// Whether the caller may call the tool with these arguments, and what the tool may do then.
    pub fn permit(
        &self,
        caller: &Arc<Caller>,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Result<Permit, Refusal> {
        if !self.is_checked(tool) {
            return Err(Refusal::Unchecked);
        }
        demanded(caller, tool)?;
        let decide = || self.decided(caller, tool, arguments);
        let (allowed, rules) = self.memo.decided(caller, tool, arguments, decide)?;
        Ok(Permit {
            caller: Arc::clone(caller),
            tool: tool.clone(),
            allowed,
            rules,
        })
    }

    /// What is allowed and by which rules, or why nothing is: the same for the same caller, tool and arguments.
    fn decided(
        &self,
        caller: &Caller,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> memo::Decided {
        let call = self.call_step(caller, tool, arguments);
        if !call.errors.is_empty() {
            return Err(Refusal::Evaluation {
                errors: call.errors,
            });
        }
        if !call.allowed {
            return Err(Refusal::Denied { rules: call.rules });
        }
        let (mut rules, mut allowed) = (call.rules, Vec::new());
        for need in &tool.package().manifest().needs {
            for capability in need.capabilities.iter() {
                let step = self.use_step(caller, tool, capability);
                if !step.errors.is_empty() {
                    return Err(Refusal::Evaluation {
                        errors: step.errors,
                    });
                }
                match (step.allowed, need.optional) {
                    (true, _) => {
                        allowed.push(capability.clone());
                        rules.extend(step.rules);
                    }
                    (false, true) => {}
                    (false, false) => {
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
        Ok((allowed.into_iter().collect(), rules))
    }

    /// Every step of the decision, whatever the earlier ones say.
    pub fn explain(
        &self,
        caller: &Caller,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Vec<Step> {
        let uses = tool
            .package()
            .manifest()
            .needs
            .iter()
            .flat_map(|need| need.capabilities.iter());
        let mut steps = vec![
            self.list_step(caller, tool),
            self.call_step(caller, tool, arguments),
        ];
        steps.extend(uses.map(|capability| self.use_step(caller, tool, capability)));
        if let Err(refusal) = demanded(caller, tool) {
            steps.insert(
                0,
                Step {
                    question: "requires".to_owned(),
                    allowed: false,
                    rules: Vec::new(),
                    errors: vec![refusal.to_string()],
                },
            );
        }
        steps
    }

    fn list_step(&self, caller: &Caller, tool: &Tool) -> Step {
        self.step(
            "list".to_owned(),
            caller,
            tool,
            None,
            schema::action("list"),
            facts::context(caller, tool, None),
        )
    }

    fn call_step(&self, caller: &Caller, tool: &Tool, arguments: &Map<String, Value>) -> Step {
        let action = schema::call_action(tool.name());
        let typed = facts::arguments(&tool.definition().input_schema, arguments);
        self.step(
            "call".to_owned(),
            caller,
            tool,
            None,
            action,
            facts::context(caller, tool, Some(typed)),
        )
    }

    fn use_step(&self, caller: &Caller, tool: &Tool, capability: &Capability) -> Step {
        let context = facts::context(caller, tool, None);
        self.step(
            format!("use {capability}"),
            caller,
            tool,
            Some(capability),
            schema::action("use"),
            context,
        )
    }

    fn step(
        &self,
        question: String,
        caller: &Caller,
        tool: &Tool,
        capability: Option<&Capability>,
        action: Result<EntityUid, String>,
        context: Result<Context, String>,
    ) -> Step {
        let decided = (|| {
            let entities = facts::entities(caller, tool, capability, &self.schema)?;
            let resource = match capability {
                Some(capability) => facts::capability_uid(capability)?,
                None => facts::tool_uid(tool.name())?,
            };
            let request = Request::new(
                facts::user_uid(caller)?,
                action?,
                resource,
                context?,
                Some(&self.schema),
            )
            .map_err(|error| error.to_string())?;
            Ok::<_, String>(self.decide(&request, &entities))
        })();
        match decided {
            Ok((allowed, rules, errors)) => Step {
                question,
                allowed: allowed && errors.is_empty(),
                rules,
                errors,
            },
            Err(error) => Step {
                question,
                allowed: false,
                rules: Vec::new(),
                errors: vec![error],
            },
        }
    }

    fn decide(&self, request: &Request, entities: &Entities) -> (bool, Vec<String>, Vec<String>) {
        let response = self
            .authorizer
            .is_authorized(request, &self.policies, entities);
        let mut rules: Vec<_> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        rules.sort();
        // Cedar skips a rule that errs, a `forbid` among them: an error must refuse.
        let errors = response
            .diagnostics()
            .errors()
            .map(ToString::to_string)
            .collect();
        (
            matches!(response.decision(), Decision::Allow),
            rules,
            errors,
        )
    }
}

/// The author's demands on callers. They only narrow.
fn demanded(caller: &Caller, tool: &Tool) -> Result<(), Refusal> {
    if let Some(role) = missing_role(caller, tool) {
        return Err(Refusal::MissingRole {
            role: role.to_owned(),
        });
    }
    let scopes = tool.package().manifest().requires.scopes.iter();
    let scopes: Vec<_> = scopes
        .filter(|scope| !caller.scopes().contains(*scope))
        .cloned()
        .collect();
    if scopes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::MissingScopes { scopes })
    }
}

fn missing_role<'a>(caller: &Caller, tool: &'a Tool) -> Option<&'a str> {
    let roles = tool.package().manifest().requires.roles.iter();
    roles
        .map(String::as_str)
        .find(|role| !caller.roles().contains(*role))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A permit through the real maker: rules that allow this caller everything that the tool asks for.
    pub(crate) fn permit(caller: &Arc<Caller>, tool: &Tool) -> Permit {
        let all = (
            "all.cedar".to_owned(),
            "permit(principal, action, resource);".to_owned(),
        );
        Rules::load(&[all], std::slice::from_ref(tool))
            .unwrap()
            .permit(caller, tool, &Map::new())
            .unwrap()
    }
}
