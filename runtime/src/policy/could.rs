//! Whether some call could be permitted: the rules without what they say of arguments and of the time.
//!
//! Every condition that reads arguments is taken for the most that it could be in a `permit`, and for the least in a
//! `forbid`. So a tool that these rules refuse is refused with whatever arguments, and a tool that some arguments would
//! be permitted for is never refused here.

use cedar_policy::{Effect, Policy, PolicySet};
use serde_json::{Value, json};

use super::memo::reads_call;

/// The same rules without arguments.
pub(super) fn without_arguments(policies: &PolicySet) -> Result<PolicySet, String> {
    let mut all = PolicySet::new();
    for policy in policies.policies() {
        all.add(without(policy)?)
            .map_err(|error| error.to_string())?;
    }
    Ok(all)
}

fn without(policy: &Policy) -> Result<Policy, String> {
    let mut json = policy.to_json().map_err(|error| error.to_string())?;
    let bound = match policy.effect() {
        Effect::Permit => Bound::May,
        Effect::Forbid => Bound::Must,
    };
    if !json.get("conditions").is_some_and(reads_call) {
        return Ok(policy.clone());
    }
    let conditions = json.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let is_unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        if let Some(body) = condition.get_mut("body") {
            *body = bounded(body, if is_unless { bound.other() } else { bound });
        }
    }
    Policy::from_json(Some(policy.id().clone()), json).map_err(|error| error.to_string())
}

/// From which side an expression is approached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// True whenever the expression could be.
    May,
    /// True only if the expression must be.
    Must,
}

impl Bound {
    fn other(self) -> Self {
        match self {
            Self::May => Self::Must,
            Self::Must => Self::May,
        }
    }
}

/// The nearest expression on that side which reads no arguments.
fn bounded(expression: &Value, bound: Bound) -> Value {
    if !reads_call(expression) {
        return expression.clone();
    }
    let both = |operator: &str| {
        let operands = expression.get(operator)?;
        let (left, right) = (operands.get("left")?, operands.get("right")?);
        Some(json!({operator: {"left": bounded(left, bound), "right": bounded(right, bound)}}))
    };
    let not = || {
        let operand = expression.get("!")?.get("arg")?;
        Some(json!({"!": {"arg": bounded(operand, bound.other())}}))
    };
    let either = || {
        let branches = expression.get("if-then-else")?;
        let condition = branches.get("if")?;
        let (then, other) = (branches.get("then")?, branches.get("else")?);
        let and = |left: Value, right: Value| json!({"&&": {"left": left, "right": right}});
        let holds = bounded(condition, bound);
        let fails = json!({"!": {"arg": bounded(condition, bound.other())}});
        let (then, other) = (
            and(holds, bounded(then, bound)),
            and(fails, bounded(other, bound)),
        );
        Some(json!({"||": {"left": then, "right": other}}))
    };
    both("&&")
        .or_else(|| both("||"))
        .or_else(not)
        .or_else(either)
        .unwrap_or_else(|| json!({"Value": bound == Bound::May}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(effect: &str, clause: &str) -> String {
        let text = format!("{effect}(principal, action, resource) {clause};");
        without(&text.parse().unwrap()).unwrap().to_cedar().unwrap()
    }

    #[test]
    fn a_permit_is_widened_and_a_forbid_is_narrowed_where_they_read_arguments() {
        for (clause, permit, forbid) in [
            (
                "when { principal.has_user }",
                "when { principal.has_user }",
                "when { principal.has_user }",
            ),
            (
                "when { context.args.a == 1 }",
                "when { true }",
                "when { false }",
            ),
            (
                "unless { context.args.a == 1 }",
                "when { !false }",
                "when { !true }",
            ),
            (
                "when { principal.has_user && context.args.a == 1 }",
                "when { principal.has_user && true }",
                "when { principal.has_user && false }",
            ),
            (
                "when { principal.has_user || context.args.a == 1 }",
                "when { principal.has_user || true }",
                "when { principal.has_user || false }",
            ),
            (
                "when { !(context.args.a == 1) }",
                "when { !false }",
                "when { !true }",
            ),
            (
                "unless { principal.has_user || !(context.args.a == 1) }",
                "when { !(principal.has_user || (!true)) }",
                "when { !(principal.has_user || (!false)) }",
            ),
            (
                "when { if context.args.a == 1 then principal.has_user else context.client == \"x\" }",
                "when { (true && principal.has_user) || ((!false) && (context.client == \"x\")) }",
                "when { (false && principal.has_user) || ((!true) && (context.client == \"x\")) }",
            ),
        ] {
            let plain = |text: &str| text.replace(['(', ')', ' ', '\n', ';'], "");
            for (effect, expected) in [("permit", permit), ("forbid", forbid)] {
                let found = plain(&of(effect, clause));
                let expected = plain(&format!("{effect}(principal, action, resource) {expected}"));
                assert_eq!(found, expected, "{clause}");
            }
        }
    }
}
