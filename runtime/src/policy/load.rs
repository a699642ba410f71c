//! Reads rules and checks them before they can decide anything.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, Authorizer, Policy, PolicyId, PolicySet, ValidationMode, Validator,
};
use miette::Diagnostic;

use super::memo::Memo;
use super::{Rules, schema};
use crate::catalog::Tool;
use crate::ids::Digest;
use crate::problem::{Problem, line_at};

/// The rules cannot be used. What was in force before stays in force.
#[derive(Debug, thiserror::Error)]
#[error("the rules have {} problem(s): {}", problems.len(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PolicyError {
    /// Everything that is wrong, in the order of the files.
    pub problems: Vec<Problem>,
}

pub(super) fn load(sources: &[(String, String)], tools: &[Tool]) -> Result<Rules, PolicyError> {
    let mut problems = Vec::new();
    let mut policies = PolicySet::new();
    let mut places = BTreeMap::new();
    for (file, text) in sources {
        match text.parse::<PolicySet>() {
            Ok(parsed) => {
                if parsed.templates().next().is_some() {
                    problems.push(problem(
                        file,
                        None,
                        "a rule with a slot such as `?principal` decides nothing",
                        "write the rule out",
                    ));
                }
                for (policy, line) in in_order(&parsed, text) {
                    add(
                        &mut policies,
                        &mut places,
                        &mut problems,
                        file,
                        &policy,
                        line,
                    );
                }
            }
            Err(error) => problems.extend(rendered(file, text, &error)),
        }
    }
    let schema = schema::schema(tools).map_err(|message| PolicyError {
        problems: vec![Problem {
            file: "generated schema".to_owned(),
            line: None,
            message,
            help: None,
        }],
    })?;
    let validator = Validator::new(schema.clone());
    let outcome = validator.validate(&policies, ValidationMode::Strict);
    let mut said = BTreeSet::new();
    // A warning here means a rule that can never apply, or text made to look like other text: no rule may be so.
    let errors = outcome
        .validation_errors()
        .map(|error| (error.policy_id().clone(), error.to_string(), help(error)));
    let warnings = outcome.validation_warnings().map(|warning| {
        (
            warning.policy_id().clone(),
            warning.to_string(),
            help(warning),
        )
    });
    for (id, message, help) in errors.chain(warnings) {
        if said.insert((id.clone(), message.clone())) {
            let (file, line) = places
                .get(&id)
                .cloned()
                .unwrap_or_else(|| (id.to_string(), None));
            problems.push(Problem {
                file,
                line,
                message,
                help,
            });
        }
    }
    if !problems.is_empty() {
        return Err(PolicyError { problems });
    }
    let whole: Vec<u8> = sources
        .iter()
        .flat_map(|(file, text)| [file.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat())
        .collect();
    let checked = tools
        .iter()
        .map(|tool| (tool.name().clone(), tool.definition_digest()));
    Ok(Rules {
        checked: checked.collect(),
        memo: Memo::of(&policies),
        policies,
        schema,
        authorizer: Authorizer::new(),
        digest: Digest::of(&whole),
    })
}

/// Adds one rule under the id that its author gave it, or `file:line`.
fn add(
    policies: &mut PolicySet,
    places: &mut BTreeMap<PolicyId, (String, Option<usize>)>,
    problems: &mut Vec<Problem>,
    file: &str,
    policy: &Policy,
    line: Option<usize>,
) {
    if let Some((unknown, _)) = policy
        .annotations()
        .find(|(key, _)| !matches!(*key, "id" | "description"))
    {
        let message = format!("the annotation `@{unknown}` is unknown");
        problems.push(problem(
            file,
            line,
            &message,
            "use `@id` and `@description`",
        ));
    }
    if let ActionConstraint::Eq(action) = policy.action_constraint()
        && Ok(action) == schema::action("call")
    {
        let message = "`action == Action::\"call\"` never applies, since every tool has an action of its own in that group";
        problems.push(problem(
            file,
            line,
            message,
            "write `action in Action::\"call\"`",
        ));
        return;
    }
    let name = policy.annotation("id").map_or_else(
        || format!("{file}:{}", line.unwrap_or_default()),
        str::to_owned,
    );
    let id = PolicyId::new(&name);
    places.insert(id.clone(), (file.to_owned(), line));
    if policies.add(policy.new_id(id)).is_err() {
        problems.push(problem(
            file,
            line,
            &format!("there is another rule with the id `{name}`"),
            "give each rule its own `@id`",
        ));
    }
}

fn problem(file: &str, line: Option<usize>, message: &str, help: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
        help: Some(help.to_owned()),
    }
}

fn help(diagnostic: &dyn Diagnostic) -> Option<String> {
    diagnostic.help().map(|help| help.to_string())
}

fn rendered(file: &str, text: &str, error: &cedar_policy::ParseErrors) -> Vec<Problem> {
    error
        .iter()
        .map(|one| Problem {
            file: file.to_owned(),
            line: one
                .labels()
                .and_then(|mut labels| labels.next())
                .map(|label| line_at(text, label.offset())),
            message: one.to_string(),
            help: help(one),
        })
        .collect()
}

/// The rules of one file in its order, each with its line.
fn in_order(parsed: &PolicySet, text: &str) -> Vec<(Policy, Option<usize>)> {
    // Cedar names parsed rules `policy0`, `policy1`, … in the order of the text.
    let place = |policy: &Policy| {
        policy
            .id()
            .to_string()
            .strip_prefix("policy")
            .and_then(|n| n.parse::<usize>().ok())
    };
    let mut all: Vec<_> = parsed
        .policies()
        .map(|policy| (place(policy), policy.clone()))
        .collect();
    all.sort_by_key(|(place, _)| *place);
    let mut from = 0;
    let located = all.into_iter().map(|(_, policy)| {
        let line = policy.to_cedar().and_then(|own| {
            let at = text.get(from..)?.find(own.trim())? + from;
            from = at + own.trim().len();
            Some(line_at(text, at))
        });
        (policy, line)
    });
    located.collect()
}
