//! Rules that give something to a role or a group, whoever says that the caller has it.
//!
//! A role is a name. Where several issuers can give the same name, each of them decides who is in it.

use cedar_policy::{Effect, Policy};
use serde_json::Value;

use super::reads::path_from;

/// Whether a rule gives something by a role or group and does not ask whose it is. The head of a `forbid` only narrows what
/// the rule takes away; its conditions may name whom it spares.
pub(super) fn trusts_any(policy: &Policy) -> bool {
    let Ok(rule) = policy.to_json() else {
        return true;
    };
    let head = match policy.effect() {
        Effect::Permit => rule.get("principal"),
        Effect::Forbid => None,
    };
    let conditions = rule.get("conditions");
    let mut parts = head.into_iter().chain(conditions);
    parts.any(names_role)
        && !conditions.is_some_and(|all| reads_of_principal(all, &|name| name == "issuer"))
}

fn names_role(part: &Value) -> bool {
    is_role(part) || reads_of_principal(part, &|name| matches!(name, "roles" | "groups"))
}

/// Whether an entity `Role::"…"` or `Group::"…"` is written out.
fn is_role(part: &Value) -> bool {
    match part {
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            matches!(kind, Some("Role" | "Group")) || members.values().any(is_role)
        }
        Value::Array(all) => all.iter().any(is_role),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn reads_of_principal(part: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    let path = path_from("principal", part);
    path.is_some_and(|names| names.first().is_some_and(|name| is(name)))
        || match part {
            Value::Object(members) => members.values().any(|one| reads_of_principal(one, is)),
            Value::Array(all) => all.iter().any(|one| reads_of_principal(one, is)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};

    use super::super::{Rules, Vocabulary};
    use crate::catalog::testing::tool;
    use crate::identity::IssuerConfig;
    use crate::identity::testing::{caller_of, issuer};

    fn of(name: &str, prefix: &str) -> IssuerConfig {
        let mut one = issuer();
        one.issuer = name.parse().unwrap();
        prefix.clone_into(&mut one.claims.role_prefix);
        one
    }

    fn warned(rule: &str, issuers: &[IssuerConfig]) -> bool {
        let words = Vocabulary::new(issuers, &BTreeMap::new(), false);
        let sources = [("rules.cedar".to_owned(), rule.to_owned())];
        let rules = Rules::load_with(&sources, &[tool("notes", &[])], words);
        let rules = rules.unwrap_or_else(|error| panic!("{error}"));
        let warnings = rules.warnings().iter();
        warnings.map(ToString::to_string).any(|one| {
            assert!(
                one.contains("rules.cedar:1") && one.contains("role_prefix"),
                "{one}"
            );
            true
        })
    }

    #[test]
    fn a_role_of_any_issuer_is_told_where_there_are_several() {
        let one = [of("https://a.test", "")];
        let two = [of("https://a.test", ""), of("https://b.test", "")];
        for (rule, expected) in [
            (
                "permit(principal in Role::\"admin\", action, resource);",
                true,
            ),
            (
                "permit(principal is User in Group::\"crew\", action, resource);",
                true,
            ),
            (
                "permit(principal, action, resource) when { principal in Role::\"admin\" };",
                true,
            ),
            (
                "permit(principal, action, resource) when { principal.roles.contains(\"admin\") };",
                true,
            ),
            (
                "forbid(principal, action, resource) unless { principal in Role::\"admin\" };",
                true,
            ),
            (
                "permit(principal in Role::\"admin\", action, resource) when { principal.issuer == \"https://a.test\" };",
                false,
            ),
            // It takes from whoever has the role, and gives nobody anything.
            (
                "forbid(principal in Role::\"guest\", action, resource);",
                false,
            ),
            ("permit(principal, action, resource);", false),
        ] {
            assert_eq!(warned(rule, &two), expected, "{rule}");
            assert!(!warned(rule, &one), "{rule}");
        }
    }

    #[test]
    fn prefixes_of_which_none_begins_with_another_keep_issuers_apart() {
        let rule = "permit(principal in Role::\"a:admin\", action, resource);";
        for (first, second, expected) in [
            ("a:", "b:", false),
            // Whoever has no prefix can say the other's.
            ("", "b:", true),
            ("a:", "a:", true),
            ("a:", "a:b:", true),
        ] {
            let two = [of("https://a.test", first), of("https://b.test", second)];
            assert_eq!(warned(rule, &two), expected, "{first} {second}");
        }
    }

    #[test]
    fn a_role_behind_a_prefix_is_another_than_the_one_without() {
        let notes = tool("notes", &[]);
        let text = "permit(principal in Role::\"b:admin\", action, resource);".to_owned();
        let rules = Rules::load(
            &[("r.cedar".to_owned(), text)],
            std::slice::from_ref(&notes),
        );
        let rules = rules.unwrap();
        let may = |prefix: &str, role: &str| {
            let change = |one: &mut IssuerConfig| prefix.clone_into(&mut one.claims.role_prefix);
            let who = caller_of(change, json!({"roles": [role]}));
            rules.permit(&who, &notes, &Map::new()).is_ok()
        };
        assert!(may("b:", "admin"));
        for (prefix, role) in [
            ("a:", "admin"),
            ("", "admin"),
            ("a:", "b:admin"),
            ("b:", "b:admin"),
            ("b:", "\u{430}dmin"),
        ] {
            assert!(!may(prefix, role), "{prefix} {role}");
        }
    }
}
