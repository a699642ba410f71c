//! A second reading of rules, as plain as can be: no schema, no entities, no Cedar evaluator. It walks the text of a rule in
//! Cedar's JSON form over facts that the tests write down themselves, and knows only what the templates use.

use cedar_policy::{Effect, PolicySet};
use serde_json::{Value, json};

/// What is asked: the three variables of a rule, and what each entity is in.
pub(super) struct Question {
    pub(super) principal: Value,
    pub(super) action: String,
    pub(super) resource: Value,
    pub(super) context: Value,
}

/// Whether the rules permit it. Any error is a no.
pub(super) fn permits(rules: &PolicySet, question: &Question) -> bool {
    let mut permitted = false;
    for rule in rules.policies() {
        let text = rule.to_json().unwrap();
        match (applies(&text, question), rule.effect()) {
            (Err(_), _) | (Ok(true), Effect::Forbid) => return false,
            (Ok(true), Effect::Permit) => permitted = true,
            (Ok(false), _) => {}
        }
    }
    permitted
}

type Answer<T> = Result<T, String>;

fn applies(rule: &Value, question: &Question) -> Answer<bool> {
    let action = json!({"uids": [format!("Action::{}", question.action)], "groups": groups(&question.action)});
    if !head(&rule["principal"], &question.principal)
        || !head(&rule["action"], &action)
        || !head(&rule["resource"], &question.resource)
    {
        return Ok(false);
    }
    for condition in rule["conditions"].as_array().unwrap() {
        let holds = truth(&condition["body"], question)?;
        if holds == (condition["kind"] == "unless") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn groups(action: &str) -> Vec<&'static str> {
    match action.starts_with("call:") {
        true => vec!["Action::call"],
        false => vec![],
    }
}

/// An entity of the tests names itself in `uids` and what it is in in `groups`.
fn head(constraint: &Value, entity: &Value) -> bool {
    let is = |uid: &Value, within: bool| {
        let name = format!(
            "{}::{}",
            uid["type"].as_str().unwrap(),
            uid["id"].as_str().unwrap()
        );
        let named = |list: &str| {
            entity[list]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| *one == name)
        };
        named("uids") || (within && named("groups"))
    };
    match constraint["op"].as_str().unwrap() {
        "All" => true,
        "==" => is(&constraint["entity"], false),
        "in" => match constraint.get("entities") {
            Some(all) => all.as_array().unwrap().iter().any(|one| is(one, true)),
            None => is(&constraint["entity"], true),
        },
        other => panic!("the naive reader does not know `{other}`"),
    }
}

fn truth(expression: &Value, question: &Question) -> Answer<bool> {
    value(expression, question)?
        .as_bool()
        .ok_or_else(|| "no truth value".to_owned())
}

fn number(expression: &Value, question: &Question) -> Answer<i64> {
    value(expression, question)?
        .as_i64()
        .ok_or_else(|| "no number".to_owned())
}

fn value(expression: &Value, question: &Question) -> Answer<Value> {
    let (operator, operand) = expression.as_object().unwrap().iter().next().unwrap();
    let left = || &operand["left"];
    let right = || &operand["right"];
    Ok(match operator.as_str() {
        "Value" => match operand.get("__entity") {
            Some(uid) => {
                json!({"entity": format!("{}::{}", uid["type"].as_str().unwrap(), uid["id"].as_str().unwrap())})
            }
            None => operand.clone(),
        },
        "Var" => match operand.as_str().unwrap() {
            "principal" => question.principal.clone(),
            "resource" => question.resource.clone(),
            "context" => question.context.clone(),
            other => panic!("`{other}`"),
        },
        "Set" => {
            let all = operand.as_array().unwrap().iter();
            Value::Array(all.map(|one| value(one, question)).collect::<Answer<_>>()?)
        }
        "." => {
            let attr = operand["attr"].as_str().unwrap();
            let whole = value(left(), question)?;
            whole.get(attr).cloned().ok_or(format!("no `{attr}`"))?
        }
        "has" => {
            let attr = operand["attr"].as_str().unwrap();
            json!(value(left(), question)?.get(attr).is_some())
        }
        "!" => json!(!truth(&operand["arg"], question)?),
        "&&" => json!(truth(left(), question)? && truth(right(), question)?),
        "||" => json!(truth(left(), question)? || truth(right(), question)?),
        "==" => json!(value(left(), question)? == value(right(), question)?),
        "<" => json!(number(left(), question)? < number(right(), question)?),
        "<=" => json!(number(left(), question)? <= number(right(), question)?),
        ">" => json!(number(left(), question)? > number(right(), question)?),
        ">=" => json!(number(left(), question)? >= number(right(), question)?),
        "+" => json!(
            number(left(), question)?
                .checked_add(number(right(), question)?)
                .ok_or("too large")?
        ),
        "-" => json!(
            number(left(), question)?
                .checked_sub(number(right(), question)?)
                .ok_or("too small")?
        ),
        "contains" => {
            let whole = value(left(), question)?;
            let one = value(right(), question)?;
            json!(whole.as_array().ok_or("no set")?.contains(&one))
        }
        "in" => {
            let entity = value(left(), question)?;
            let groups = entity["groups"].as_array().ok_or("no entity")?.clone();
            let wanted = value(right(), question)?;
            let wanted = match wanted {
                Value::Array(all) => all,
                one => vec![one],
            };
            json!(wanted.iter().any(|one| groups.contains(&one["entity"])))
        }
        other => panic!("the naive reader does not know `{other}`"),
    })
}
