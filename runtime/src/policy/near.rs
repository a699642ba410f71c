//! What a refusal hung on: the rules that nearly permitted it, the rules that forbade it, and what would have to change.
//!
//! Answers are found by asking the same question of one rule at a time with parts of its text taken away. They explain a
//! decision; none of them is one.

use cedar_policy::{Effect, Expression, Policy, PolicySet, PrincipalConstraint, eval_expression};
use serde_json::{Value, json};

use super::ask::{self, Asking, Question};
use super::{Circumstances, Rules, facts};
use crate::catalog::Tool;
use crate::identity::Caller;
use crate::limits::RULE_STACK_BYTES;
use crate::stack::with_room;

/// Rules that are named for one refused question. More would bury the one that matters.
const NAMED_MAX: usize = 10;

/// A rule on which a refused question hung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// What was asked: `list`, `call` or `use …`.
    pub question: String,
    /// The rule.
    pub rule: String,
    /// Whether it forbade; else it is a permit that did not apply.
    pub forbids: bool,
    /// What would have to change, a sentence each.
    pub change: Vec<String>,
}

impl Rules {
    /// For each step that is refused: the rules that forbade it, and those that nearly permitted it.
    pub fn nearly<'a>(
        &self,
        caller: &Caller,
        tool: &Tool,
        call: impl Into<Circumstances<'a>>,
    ) -> Vec<Near> {
        let call = call.into();
        // What takes rules apart recurses through them, as what loads them does.
        let found = with_room(RULE_STACK_BYTES, || self.nearly_here(caller, tool, call));
        found.unwrap_or_default()
    }

    fn nearly_here(&self, caller: &Caller, tool: &Tool, call: Circumstances<'_>) -> Vec<Near> {
        let Circumstances { arguments, now } = call;
        let needs = tool.wants();
        let mut questions = vec![Question::List, Question::Call(arguments)];
        questions.extend(needs.iter().map(Question::Use));
        let mut found = Vec::new();
        for question in questions {
            let asking = self.asking_for(caller, tool, question, now);
            let step = ask::ask(
                &self.policies.about(tool).rules,
                &self.schemas,
                &asking,
                question,
            );
            if step.allowed {
                continue;
            }
            let one = One {
                rules: self,
                asking: &asking,
                question,
            };
            let forbids = |policy: &&Policy| {
                policy.effect() == Effect::Forbid && step.rules.contains(&policy.id().to_string())
            };
            let forbidden = self.policies.policies().filter(forbids);
            let mut near: Vec<_> = forbidden
                .map(|policy| one.near(policy, one.held(policy)))
                .collect();
            // Where a rule forbids, more permits would change nothing.
            if near.is_empty() {
                let permits = self.policies.policies();
                let permits = permits.filter(|policy| policy.effect() == Effect::Permit);
                let missed = permits.filter_map(|policy| {
                    let lacks = one.missed(policy)?;
                    Some(one.near(policy, lacks))
                });
                near = missed.collect();
            }
            near.sort_by(|a, b| (a.change.len(), &a.rule).cmp(&(b.change.len(), &b.rule)));
            near.truncate(NAMED_MAX);
            found.extend(near);
        }
        found
    }
}

/// One question, asked of one rule at a time.
struct One<'a> {
    rules: &'a Rules,
    asking: &'a Asking<'a>,
    question: Question<'a>,
}

impl One<'_> {
    fn near(&self, policy: &Policy, change: Vec<String>) -> Near {
        Near {
            question: self.question.text(),
            rule: policy.id().to_string(),
            forbids: policy.effect() == Effect::Forbid,
            change,
        }
    }

    /// What a permit lacks; nothing if it is about something else.
    fn missed(&self, policy: &Policy) -> Option<Vec<String>> {
        let rule = policy.to_json().ok()?;
        let mut bare = rule.clone();
        *bare.get_mut("conditions")? = json!([]);
        let mut lacks = Vec::new();
        if !self.applies(&bare) {
            *bare.get_mut("principal")? = json!({"op": "All"});
            if !self.applies(&bare) {
                return None;
            }
            lacks.push(who(&policy.principal_constraint())?);
        }
        for (kind, part) in parts(&rule) {
            if !self.applies(&with(&bare, &kind, &part)?) {
                let text = text(&bare, &part)?;
                let verb = if kind == "unless" { "must not" } else { "must" };
                lacks.push(format!("`{text}` {verb} hold{}", self.here(&part)));
            }
        }
        (!lacks.is_empty()).then_some(lacks)
    }

    /// Why a rule that forbade applied.
    fn held(&self, policy: &Policy) -> Vec<String> {
        let Ok(mut bare) = policy.to_json() else {
            return Vec::new();
        };
        let all = parts(&bare);
        if let Some(conditions) = bare.get_mut("conditions") {
            *conditions = json!([]);
        }
        let said = all.iter().filter_map(|(kind, part)| {
            let text = text(&bare, part)?;
            let holds = if kind == "unless" {
                "does not hold"
            } else {
                "holds"
            };
            Some(format!(
                "it applies while `{text}` {holds}{}",
                self.here(part)
            ))
        });
        let said: Vec<_> = said.collect();
        if said.is_empty() {
            vec!["it applies without a condition".to_owned()]
        } else {
            said
        }
    }

    /// Whether a rule, taken as a permit that stands alone, permits it.
    fn applies(&self, rule: &Value) -> bool {
        let mut rule = rule.clone();
        if let Some(effect) = rule.get_mut("effect") {
            *effect = json!("permit");
        }
        let Ok(policy) = Policy::from_json(None, rule) else {
            return false;
        };
        let mut alone = PolicySet::new();
        alone.add(policy).is_ok()
            && ask::ask(&alone, &self.rules.schemas, self.asking, self.question).allowed
    }

    /// What the facts that a condition reads are in this question.
    fn here(&self, part: &Value) -> String {
        let mut paths = Vec::new();
        collect(part, &mut paths);
        paths.sort();
        paths.dedup();
        let known: Vec<_> = paths
            .iter()
            .map(|path| match self.value(path) {
                Some(value) => format!("`{path}` is {value}"),
                None => format!("there is no `{path}`"),
            })
            .collect();
        if known.is_empty() {
            String::new()
        } else {
            format!("; here {}", known.join(", "))
        }
    }

    fn value(&self, path: &str) -> Option<String> {
        let schemas = &self.rules.schemas;
        let request = ask::request(schemas, self.asking, self.question).ok()?;
        let capability = match self.question {
            Question::Use(capability) | Question::CouldUse(capability) => Some(capability),
            Question::List | Question::Call(_) | Question::CouldCall => None,
        };
        let entities = facts::entities(self.asking, capability, &schemas.entities).ok()?;
        let expression: Expression = path.parse().ok()?;
        let value = eval_expression(&request, &entities, &expression).ok()?;
        Some(value.to_string())
    }
}

/// Who the caller would have to be.
fn who(constraint: &PrincipalConstraint) -> Option<String> {
    Some(match constraint {
        PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            format!("the caller must be in `{uid}`")
        }
        PrincipalConstraint::Eq(uid) => format!("the caller must be `{uid}`"),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => return None,
    })
}

/// The conditions of a rule, each in the parts that must all be met.
fn parts(rule: &Value) -> Vec<(String, Value)> {
    let conditions = rule.get("conditions").and_then(Value::as_array);
    let mut all = Vec::new();
    for condition in conditions.into_iter().flatten() {
        let kind = condition.get("kind").and_then(Value::as_str);
        let (Some(kind), Some(body)) = (kind, condition.get("body")) else {
            continue;
        };
        // Not (a or b) is not a, and not b.
        let operator = if kind == "unless" { "||" } else { "&&" };
        split(body, operator, &mut |part| {
            all.push((kind.to_owned(), part.clone()));
        });
    }
    all
}

fn split(body: &Value, operator: &str, each: &mut impl FnMut(&Value)) {
    let operands = body.get(operator);
    let both = operands.and_then(|both| Some((both.get("left")?, both.get("right")?)));
    match both {
        // `a has b && a.b == c` says one thing: without its first half the second cannot be asked.
        Some((left, _)) if operator == "&&" && left.get("has").is_some() => each(body),
        Some((left, right)) => {
            split(left, operator, each);
            split(right, operator, each);
        }
        None => each(body),
    }
}

/// The head of a rule with one condition.
fn with(bare: &Value, kind: &str, part: &Value) -> Option<Value> {
    let mut rule = bare.clone();
    *rule.get_mut("conditions")? = json!([{"kind": kind, "body": part}]);
    Some(rule)
}

/// A condition as it would be written. Said as `when`, since Cedar itself writes `unless` as `when` and `!`.
fn text(bare: &Value, part: &Value) -> Option<String> {
    let policy = Policy::from_json(None, with(bare, "when", part)?).ok()?;
    let whole = policy.to_cedar()?;
    let (_, clause) = whole.split_once("when {")?;
    let (body, _) = clause.rsplit_once('}')?;
    Some(body.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The paths, such as `context.client`, that an expression reads, at their longest.
fn collect(expression: &Value, paths: &mut Vec<String>) {
    if let Some(path) = path(expression) {
        if path.contains('.') {
            paths.push(path);
        }
        return;
    }
    if let Some(has) = expression.get("has") {
        let left = has.get("left").and_then(path);
        if let (Some(left), Some(attr)) = (left, has.get("attr").and_then(Value::as_str)) {
            paths.push(format!("{left}.{attr}"));
            return;
        }
    }
    match expression {
        Value::Object(members) => members.values().for_each(|one| collect(one, paths)),
        Value::Array(all) => all.iter().for_each(|one| collect(one, paths)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn path(expression: &Value) -> Option<String> {
    if let Some(name) = expression.get("Var").and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    let dot = expression.get(".")?;
    let left = path(dot.get("left")?)?;
    Some(format!("{left}.{}", dot.get("attr")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{map, priced, rules};
    use crate::identity::testing::caller;

    fn said(text: &str, claims: serde_json::Value) -> Vec<String> {
        let tool = priced();
        let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
        let all = rules.nearly(&caller(claims), &tool, &map(json!({"amount": 5})));
        let call = all.into_iter().filter(|near| near.question == "call");
        call.flat_map(|near| {
            let rule = near.rule;
            near.change
                .into_iter()
                .map(move |one| format!("{rule}: {one}"))
        })
        .collect()
    }

    #[test]
    fn a_permit_that_nearly_applied_says_what_it_lacks() {
        let text = r#"
            @id("small") permit(principal in Role::"user", action == Action::"call:notes", resource)
            when { context.args.amount < 3 && context.client == "client-1" };
            @id("admin") permit(principal in Role::"admin", action, resource);
            @id("other") permit(principal, action == Action::"list", resource);
            @id("strong") permit(principal, action, resource)
            when { context has acr && context.acr == "gold" } unless { principal.has_user || context.client == "x" };
        "#;
        assert_eq!(
            said(text, json!({})),
            [
                "admin: the caller must be in `Role::\"admin\"`",
                "small: `context.args.amount < 3` must hold; here `context.args.amount` is 5",
                "strong: `(context has acr) && (context.acr == \"gold\")` must hold; here there is no `context.acr`",
                "strong: `principal.has_user` must not hold; here `principal.has_user` is true",
            ]
        );
    }

    #[test]
    fn a_rule_that_forbade_says_why_it_applied_and_no_permit_is_named() {
        let text = r#"
            @id("all") permit(principal, action, resource);
            @id("near") permit(principal in Role::"admin", action, resource);
            @id("no") forbid(principal, action, resource) when { context.client == "client-1" } unless { principal in Role::"admin" };
            @id("never") forbid(principal, action, resource);
        "#;
        assert_eq!(
            said(text, json!({})),
            [
                "never: it applies without a condition",
                "no: it applies while `context.client == \"client-1\"` holds; here `context.client` is \"client-1\"",
                "no: it applies while `principal in Role::\"admin\"` does not hold",
            ]
        );
    }

    #[test]
    fn every_part_that_a_permit_lacks_is_said() {
        let text = r#"
            @id("both") permit(principal, action == Action::"call:notes", resource)
            when { context.args.amount < 3 && context.client == "client-2" };
        "#;
        assert_eq!(
            said(text, json!({})),
            [
                "both: `context.args.amount < 3` must hold; here `context.args.amount` is 5",
                "both: `context.client == \"client-2\"` must hold; here `context.client` is \"client-1\"",
            ]
        );
    }

    #[test]
    fn neither_a_rule_about_something_else_nor_one_that_forbade_nothing_is_named() {
        let text = r#"
            @id("admin") permit(principal in Role::"admin", action, resource);
            @id("elsewhere") permit(principal in Role::"admin", action == Action::"list", resource);
            @id("guests") forbid(principal in Role::"guest", action, resource);
        "#;
        let admin = "admin: the caller must be in `Role::\"admin\"`";
        assert_eq!(said(text, json!({})), [admin]);
    }

    #[test]
    fn a_rule_that_nests_as_deep_as_rules_may_is_explained() {
        let all: Vec<_> = (0..crate::limits::RULE_DEPTH_MAX - 10)
            .map(|n| format!("context.client == \"c{n}\""))
            .collect();
        let text = format!(
            "@id(\"deep\") permit(principal, action, resource) when {{ {} }};",
            all.join(" || ")
        );
        let said = said(&text, json!({}));
        assert_eq!(said.len(), 1);
        assert!(
            said[0].ends_with("here `context.client` is \"client-1\""),
            "{said:?}"
        );
    }
}
