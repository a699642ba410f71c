//! Where a better sign-in alone is missing, a refusal says which would do; else it says nothing.

use super::*;
use crate::identity::testing::{NOW, caller_of};

const ALL: &str = "permit(principal in Role::\"user\", action, resource);\n";

/// What would do: `acr` values, the longest age, and the scopes, in words.
fn told(text: &str, tool: &Tool, order: &[&str], claims: Value) -> Option<String> {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    let order: Vec<String> = order.iter().map(|one| (*one).to_owned()).collect();
    let alice = caller_of(|issuer| issuer.acr = order.clone(), claims);
    let arguments = map(json!({"amount": 1}));
    let found = rules.step_up(&alice, tool, Some((&arguments).into()));
    if found.is_some() {
        assert!(rules.permit(&alice, tool, &arguments).is_err(), "{text}");
        assert!(
            rules.lists(&alice, tool),
            "whoever lacks nothing else sees the tool: {text}"
        );
    }
    let StepUp { scopes, sign_in } = found?;
    let sign_in = sign_in.unwrap_or_default();
    let age = sign_in.max_age_secs.map(|secs| secs.to_string());
    Some(format!(
        "{}|{}|{}",
        sign_in.acr.join(" "),
        age.unwrap_or_default(),
        scopes.join(" ")
    ))
}

fn unless(condition: &str) -> String {
    format!(
        "{ALL}forbid(principal, action == Action::\"call:notes\", resource) unless {{ {condition} }};"
    )
}

const GOLD: &str = "context has acr && context.acr == \"gold\"";
const FRESH: &str = "context has auth_time && context.now - context.auth_time <= 300";

fn signed_in(secs_ago: i64) -> Value {
    json!({"auth_time": NOW.secs() - secs_ago})
}

#[test]
fn every_acr_that_would_do_is_told_the_weakest_first() {
    let tool = priced();
    let order = ["bronze", "silver", "gold"];
    let several = "context has acr && [\"gold\", \"silver\"].contains(context.acr)";
    for (text, order, acr, expected) in [
        (unless(GOLD), &order[..], json!("bronze"), Some("gold||")),
        (unless(GOLD), &order, json!(null), Some("gold||")),
        (unless(GOLD), &order, json!("gold"), None),
        (
            unless(several),
            &order,
            json!("bronze"),
            Some("silver gold||"),
        ),
        // Without an order what the rules name is tried; with one, what the issuer does not give is not asked of it.
        (unless(several), &[], json!("x"), Some("gold silver||")),
        (unless(GOLD), &["low", "high"], json!("low"), None),
        // A value that no list with spaces can say is not asked for.
        (
            unless("context has acr && context.acr == \"two words\""),
            &[],
            json!("x"),
            None,
        ),
        (
            unless("context.amr.contains(\"otp\")"),
            &order,
            json!("bronze"),
            None,
        ),
    ] {
        let found = told(&text, &tool, order, json!({"acr": acr}));
        assert_eq!(found.as_deref(), expected, "{text} {order:?} {acr}");
    }
}

#[test]
fn the_longest_age_that_would_do_is_told() {
    let tool = priced();
    let old = signed_in(301);
    for (condition, claims, expected) in [
        (FRESH, old.clone(), Some("|300|")),
        (FRESH, json!({}), Some("|300|")),
        (FRESH, signed_in(300), None),
        (
            "context has auth_time && context.now - context.auth_time < 300",
            signed_in(300),
            Some("|299|"),
        ),
        (
            "context has auth_time && context.auth_time + 300 >= context.now",
            old.clone(),
            Some("|300|"),
        ),
        // Any sign-in of from now on: of how many seconds ago cannot be said.
        (
            "context has auth_time && context.auth_time > 1789999990",
            json!({"auth_time": 5}),
            Some("|0|"),
        ),
        // What has passed when the token is brought would be asked for again and again.
        (
            "context has auth_time && context.now - context.auth_time <= 0",
            old.clone(),
            None,
        ),
        (
            "context has auth_time && context.auth_time < 5",
            old.clone(),
            None,
        ),
    ] {
        let found = told(&unless(condition), &tool, &[], claims.clone());
        assert_eq!(found.as_deref(), expected, "{condition} {claims}");
    }
}

#[test]
fn strength_age_and_scopes_are_told_together_and_none_that_is_not_needed() {
    let tool = priced();
    let order = ["bronze", "gold"];
    let pay = "principal.scopes.contains(\"pay\")";
    let both = unless(&format!("{GOLD} && {FRESH}"));
    let all = unless(&format!("{GOLD} && {FRESH} && {pay}"));
    let weak = json!({"acr": "bronze", "auth_time": NOW.secs() - 400});
    let fresh = json!({"acr": "bronze", "auth_time": NOW.secs()});
    let strong = json!({"acr": "gold", "auth_time": NOW.secs() - 400});
    let scoped = json!({"acr": "gold", "auth_time": NOW.secs(), "scope": "other"});
    for (text, claims, expected) in [
        (&both, &weak, "gold|300|"),
        (&both, &fresh, "gold||"),
        (&both, &strong, "|300|"),
        (&all, &weak, "gold|300|pay"),
        // Where scopes alone are missing, no sign-in is asked for.
        (&all, &scoped, "||pay"),
    ] {
        let found = told(text, &tool, &order, claims.clone());
        assert_eq!(found.as_deref(), Some(expected), "{text} {claims}");
    }
}

#[test]
fn where_something_else_is_missing_no_sign_in_is_told() {
    let tool = priced();
    let weak = json!({"acr": "bronze"});
    let with = |name: &str, value: Value| {
        let mut claims = weak.clone();
        claims[name] = value;
        claims
    };
    let dear = unless(&format!("{GOLD} && context.args.amount > 5"));
    assert_eq!(told(&dear, &tool, &[], weak.clone()), None);
    let rule = unless(GOLD);
    assert!(told(&rule, &tool, &[], weak.clone()).is_some());
    assert_eq!(
        told(&rule, &tool, &[], with("roles", json!(["guest"]))),
        None
    );
    // Nobody stands behind the token who could sign in.
    assert_eq!(
        told(&rule, &tool, &[], with("sub", json!("client-1"))),
        None
    );
    let never = format!("{rule}\nforbid(principal, action in Action::\"call\", resource);");
    assert_eq!(told(&never, &tool, &[], weak), None);
}

#[test]
fn what_the_author_demands_is_told_by_the_order_of_the_issuer() {
    let mut manifest = manifest("notes", &[]);
    manifest.requires.acr = Some("silver".to_owned());
    manifest.requires.scopes = vec!["author".to_owned()];
    let tool = tool_of(manifest);
    let order = ["bronze", "silver", "gold"];
    let weak = json!({"acr": "bronze"});
    let all = Some("silver gold||author".to_owned());
    assert_eq!(told(ALL, &tool, &order, weak.clone()), all);
    let named = Some("silver||author".to_owned());
    assert_eq!(told(ALL, &tool, &[], weak.clone()), named);
    assert_eq!(told(ALL, &tool, &["bronze", "gold"], weak), None);
    let scope = json!({"acr": "gold"});
    assert_eq!(told(ALL, &tool, &order, scope), Some("||author".to_owned()));
    // At the edge only what scopes alone would mend is said.
    let rules = rules(ALL, std::slice::from_ref(&tool)).unwrap();
    let of = |acr: &str| {
        caller_of(
            |issuer| issuer.acr = order.map(str::to_owned).to_vec(),
            json!({"acr": acr}),
        )
    };
    assert!(rules.check_scopes(&of("bronze"), &tool).is_ok());
    assert_eq!(
        rules.check_scopes(&of("gold"), &tool),
        Err(vec!["author".to_owned()])
    );
}
