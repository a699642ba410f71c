//! What a rule reads of arguments: nothing that rules cannot see, and nothing whole of which they see a part.
//!
//! Cedar takes `context.args has x` for false when its schema has no `x`. Where the tool has an `x` that the schema cannot
//! express, or any member may be added, that would be a lie on which a rule could rest.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

use super::Vocabulary;
use super::admin::{self, Part};
use super::heads::decides_calls;
use super::schema::{ADMIN_CONTEXT, CONTEXT};
use super::shape::{Sight, Why, sight};
use crate::catalog::Tool;

/// Why a rule cannot read what it reads.
pub(super) fn unreadable(policy: &Policy, tools: &[Tool], vocabulary: &Vocabulary) -> Vec<String> {
    let Ok(json) = policy.to_json() else {
        return Vec::new();
    };
    let words = match admin::part(policy) {
        Part::Tools | Part::Mixed => &CONTEXT[..],
        Part::Admin => &ADMIN_CONTEXT[..],
    };
    let concerned = tools.iter().filter(|tool| decides_calls(policy, tool));
    let concerned: Vec<&Tool> = concerned.collect();
    let mut found = BTreeSet::new();
    let conditions = json.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        if let Some(body) = condition.get("body") {
            walk(body, &concerned, &mut found);
            presence(body, words, vocabulary, &mut found);
        }
    }
    found.into_iter().collect()
}

/// `has` of a word that nothing can have is a slip, and with `unless` it would go unnoticed.
fn presence(
    expression: &Value,
    words: &[&str],
    vocabulary: &Vocabulary,
    found: &mut BTreeSet<String>,
) {
    match expression {
        Value::Object(members) => {
            for (operator, operand) in members {
                let left = operand.get("left");
                let name = operand.get("attr").and_then(Value::as_str);
                if let ("has", Some(left), Some(name)) = (operator.as_str(), left, name) {
                    let of_claims =
                        path_from("principal", left).is_some_and(|names| names == ["claims"]);
                    if of_claims && !vocabulary.claims.contains_key(name) {
                        found.insert(format!("no issuer has a claim `{name}` for rules"));
                    }
                    if path(left).is_some_and(|names| names.is_empty()) && !words.contains(&name) {
                        found.insert(format!("`context` never has `{name}`"));
                    }
                }
                if operator != "Value" {
                    presence(operand, words, vocabulary, found);
                }
            }
        }
        Value::Array(all) => all
            .iter()
            .for_each(|one| presence(one, words, vocabulary, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names from `context` down, where an expression is nothing but that.
fn path(expression: &Value) -> Option<Vec<String>> {
    path_from("context", expression)
}

pub(super) fn path_from(variable: &str, expression: &Value) -> Option<Vec<String>> {
    if expression.get("Var").and_then(Value::as_str) == Some(variable) {
        return Some(Vec::new());
    }
    let access = expression.get(".")?;
    let mut names = path_from(variable, access.get("left")?)?;
    names.push(access.get("attr")?.as_str()?.to_owned());
    Some(names)
}

/// `expression` is read as a whole, unless an access to a member of it stands around it.
fn walk(expression: &Value, tools: &[&Tool], found: &mut BTreeSet<String>) {
    if let Some(names) = path(expression) {
        return read(&names, Use::Whole, tools, found);
    }
    match expression {
        Value::Object(members) => {
            for (operator, operand) in members {
                match operator.as_str() {
                    "Value" | "Var" | "Slot" => {}
                    "has" => {
                        let left = operand.get("left").unwrap_or(&Value::Null);
                        match (path(left), operand.get("attr").and_then(Value::as_str)) {
                            (Some(mut names), Some(name)) => {
                                names.push(name.to_owned());
                                read(&names, Use::Presence, tools, found);
                            }
                            _ => walk(operand, tools, found),
                        }
                    }
                    _ => walk(operand, tools, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| walk(one, tools, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a rule does with a part of the context.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Its value, all of it.
    Whole,
    /// Whether it is there.
    Presence,
}

fn read(names: &[String], how: Use, tools: &[&Tool], found: &mut BTreeSet<String>) {
    let argument = match names {
        [] => {
            found.insert(
                "`context` as a whole holds arguments that rules cannot see; name its members"
                    .to_owned(),
            );
            return;
        }
        [first, rest @ ..] if first == "args" => rest,
        _ => return,
    };
    // Whether a call has arguments at all is no secret: every call has.
    if argument.is_empty() && how == Use::Presence {
        return;
    }
    let shown = argument.join(".");
    let mut absent = true;
    for tool in tools {
        let hidden = |why: Why| {
            format!(
                "rules cannot read the argument `{shown}` of `{}`: it is {why}",
                tool.name()
            )
        };
        match (sight(&tool.definition().input_schema, argument), how) {
            (Sight::Hidden(why), _) => {
                absent = false;
                found.insert(hidden(why));
            }
            (Sight::Members, Use::Whole) => {
                absent = false;
                let what = if shown.is_empty() {
                    "context.args"
                } else {
                    &shown
                };
                found.insert(format!(
                    "`{what}` as a whole may hold members that rules cannot see; name its members"
                ));
            }
            (Sight::Value, _) | (Sight::Members, Use::Presence) => absent = false,
            (Sight::Absent, _) => {}
        }
    }
    if absent && !tools.is_empty() && how == Use::Presence {
        found.insert(format!(
            "no tool that this rule is about says that it has an argument `{shown}`"
        ));
    }
}
