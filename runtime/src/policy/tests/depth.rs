//! Rules that are as deep as one may be: what loads is decided.

use super::*;
use crate::limits::RULE_DEPTH_MAX;

/// Puts one more level around a condition.
type Around = fn(String) -> String;

/// A condition of so many levels that holds where `principal` has the scope `deep`.
fn nested(levels: usize, around: Around) -> String {
    let core = "principal.scopes.contains(\"deep\")".to_owned();
    (0..levels).fold(core, |inner, _| around(inner))
}

#[test]
fn what_loads_is_decided_however_deep_it_is() {
    let tool = notes();
    let kinds: [(&str, Around); 4] = [
        ("||", |inner| format!("({inner} || false)")),
        ("&&", |inner| format!("(true && {inner})")),
        ("if", |inner| format!("(if true then {inner} else false)")),
        ("set", |inner| format!("[{inner}].contains(true)")),
    ];
    for (kind, around) in kinds {
        let text = |levels| {
            let condition = nested(levels, around);
            format!("permit(principal, action, resource) when {{ {condition} }};")
        };
        let deepest = (1..RULE_DEPTH_MAX)
            .rev()
            .find_map(|levels| rules(&text(levels), std::slice::from_ref(&tool)).ok());
        let rules = deepest.unwrap_or_else(|| panic!("{kind}: none loads"));
        let (has, has_not) = (json!({"scope": "deep"}), json!({"scope": "shallow"}));
        let none = map(json!({}));
        let permit = rules.permit(&caller(has), &tool, &none);
        assert!(permit.is_ok(), "{kind}: {:?}", permit.err());
        let refused = rules.permit(&caller(has_not), &tool, &none).err();
        let is_decided = refused
            .as_ref()
            .is_some_and(|why| !matches!(why, Refusal::Evaluation { .. }));
        assert!(is_decided, "{kind}: {refused:?}");
    }
}
