//! Who has no token: sees what a rule opens to everybody by name, and nothing else.
//!
//! Only a `permit` that says `principal is Anonymous` opens a tool; every `forbid` that names no kind of principal closes it
//! again. Nothing about such a caller varies, so the decision is made once, when the rules are loaded.

use std::collections::BTreeMap;

use cedar_policy::{Decision, Effect, Entities, Policy, PolicySet, PrincipalConstraint, Request};

use super::schema::Schemas;
use super::{Vocabulary, ask, facts, schema};
use crate::catalog::Tool;
use crate::ids::{Digest, ToolName};

/// The type of a caller without a token.
pub(super) const ANONYMOUS: &str = "Anonymous";

/// What a rule is to callers without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is about them alone.
    Own,
    /// It forbids them as it forbids everybody.
    Shared,
    /// It is not about them.
    None,
}

/// What a rule is to callers without a token.
pub(super) fn part(policy: &Policy) -> Part {
    let is_anonymous = |kind: &cedar_policy::EntityTypeName| kind.to_string() == ANONYMOUS;
    let own = match policy.principal_constraint() {
        PrincipalConstraint::Any if policy.effect() == Effect::Forbid => return Part::Shared,
        PrincipalConstraint::Any => false,
        PrincipalConstraint::Is(kind) | PrincipalConstraint::IsIn(kind, _) => is_anonymous(&kind),
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) => {
            is_anonymous(uid.type_name())
        }
    };
    if own { Part::Own } else { Part::None }
}

/// The tools that are open, each at its build.
pub(super) fn open(
    policies: &PolicySet,
    schemas: &Schemas,
    tools: &[Tool],
    vocabulary: &Vocabulary,
) -> BTreeMap<ToolName, Digest> {
    let is_open = |tool: &&Tool| {
        // Whatever goes wrong keeps it closed.
        asked(schemas, tool, vocabulary).is_ok_and(|(request, entities)| {
            let response = ask::decided(&request, policies, &entities);
            response.decision() == Decision::Allow
                && response.diagnostics().errors().next().is_none()
        })
    };
    let all = tools.iter().filter(is_open);
    all.map(|tool| (tool.name().clone(), tool.package().component_digest()))
        .collect()
}

fn asked(
    schemas: &Schemas,
    tool: &Tool,
    vocabulary: &Vocabulary,
) -> Result<(Request, Entities), String> {
    let principal = schema::uid(ANONYMOUS, "anonymous")?;
    let resource = facts::tool_uid(tool.name())?;
    let context = facts::anonymous_context(tool)?;
    let entities =
        facts::anonymous_entities(principal.clone(), tool, vocabulary, &schemas.entities)?;
    let request = Request::new(
        principal,
        schema::action("list")?,
        resource,
        context,
        Some(&schemas.requests),
    );
    Ok((request.map_err(|error| error.to_string())?, entities))
}
