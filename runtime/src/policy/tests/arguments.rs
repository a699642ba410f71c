//! What rules see of arguments, and that nothing rests on what they do not see.

use super::*;

fn tool_with(name: &str, schema: Value) -> Tool {
    let mut manifest = manifest(name, &[]);
    manifest.tools[0].input_schema = schema;
    tool_of(manifest)
}

/// A tool of whose arguments some cannot be read.
fn mixed() -> Tool {
    tool_with(
        "mixed",
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["id", "note"],
            "$defs": {"x": {"type": "string"}},
            "properties": {
                "id": {"type": "string"},
                "note": {"type": ["string", "null"]},
                "rate": {"type": "number"},
                "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "other": {"$ref": "#/$defs/x"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
                "tags": {"type": "array", "items": {"type": "string"}},
                "from": {"type": "object", "additionalProperties": false, "properties": {
                    "city": {"type": "string"}, "weight": {"type": "number"}}},
            },
        }),
    )
}

fn load(condition: &str) -> Result<Rules, PolicyError> {
    let text =
        format!("permit(principal, action == Action::\"call:mixed\", resource) {condition};");
    rules(&text, &[mixed()])
}

#[test]
fn what_rules_cannot_read_is_named() {
    let rules = load("").unwrap();
    let named: Vec<_> = rules
        .unreadable()
        .iter()
        .map(|one| format!("{} {}", one.argument, one.why))
        .collect();
    assert_eq!(
        named,
        [
            "rate a number with a fraction",
            "either of several types",
            "other a reference",
            "labels free keys",
            "lines a list of objects",
            "from.weight a number with a fraction",
        ]
    );
    let open = tool_with("open", json!({"type": "object"}));
    let rules = Rules::load(&[], &[open]).unwrap();
    assert_eq!(rules.unreadable()[0].argument, "*");
}

#[test]
fn no_rule_depends_on_what_it_cannot_read() {
    for fine in [
        "when { context.args.id == \"a\" }",
        "when { context.args has note && context.args.note == \"a\" }",
        "when { context.args has tags && context.args.tags.contains(\"a\") }",
        "unless { context.args has from && context.args.from has city && context.args.from.city == \"a\" }",
    ] {
        assert!(load(fine).is_ok(), "{fine}");
    }
    for (blind, says) in [
        // Without this check Cedar would take each of these for true at every call.
        ("unless { context.args has rate }", "`rate` of `mixed`"),
        ("unless { context.args has either }", "`either` of `mixed`"),
        ("unless { context.args has labels }", "`labels` of `mixed`"),
        (
            "unless { context.args has from && context.args.from has weight }",
            "`from.weight` of `mixed`",
        ),
        ("unless { context.args has nothing }", "`nothing`"),
        ("unless { context has auth_tme }", "`auth_tme`"),
        ("unless { principal.claims has customer }", "`customer`"),
        (
            "when { if context.args has lines then false else true }",
            "`lines` of `mixed`",
        ),
        // A part would be compared as if it were the whole.
        (
            "when { context.args has from && context.args.from == {\"city\": \"a\"} }",
            "as a whole",
        ),
        (
            "unless { [context.args].contains(context.args) }",
            "as a whole",
        ),
        ("unless { context == context }", "as a whole"),
        (
            "when { (if true then context else context).args.id == \"a\" }",
            "as a whole",
        ),
        // And what the validator itself knows.
        ("when { context.args.rate == 1 }", "rate"),
        ("when { context.args.nothing == 1 }", "nothing"),
    ] {
        let error = load(blind)
            .err()
            .unwrap_or_else(|| panic!("accepted: {blind}"));
        assert!(error.to_string().contains(says), "{blind}: {error}");
    }
}

#[test]
fn a_rule_about_all_tools_is_refused_if_one_of_them_hides_what_it_reads() {
    let readable = tool_with(
        "a",
        json!({"type": "object", "properties": {"customer": {"type": "string"}}}),
    );
    let without = tool_with("b", json!({"type": "object"}));
    let hidden = tool_with(
        "c",
        json!({"type": "object", "properties": {"customer": {"type": "number"}}}),
    );
    let text = r#"
        permit(principal, action, resource);
        forbid(principal, action in Action::"call", resource)
        when { context.args has customer && context.args.customer != principal.subject };
    "#;
    let both = [readable.clone(), without.clone()];
    let loaded = rules(text, &both).unwrap();
    let alice = caller(json!({}));
    let may = |tool, arguments| loaded.permit(&alice, tool, &map(arguments)).is_ok();
    assert!(may(&readable, json!({"customer": "alice"})));
    assert!(!may(&readable, json!({"customer": "bob"})));
    assert!(may(&without, json!({})));
    let error = rules(text, &[readable, without, hidden]).err().unwrap();
    assert!(error.to_string().contains("`customer` of `c`"), "{error}");
}

#[test]
fn null_counts_as_absent_and_any_other_type_is_refused() {
    let tool = mixed();
    let rules = load("when { context.args has note && context.args.note == \"a\" }").unwrap();
    let alice = caller(json!({}));
    let may = |arguments| rules.permit(&alice, &tool, &map(arguments));
    assert!(may(json!({"id": "x", "note": "a"})).is_ok());
    for absent in [json!({"id": "x", "note": null}), json!({"id": "x"})] {
        assert!(matches!(may(absent).err(), Some(Refusal::Denied { .. })));
    }
    for wrong in [
        json!({"id": "x", "note": 1}),
        json!({"id": null, "note": "a"}),
        json!({"id": ["x"], "note": "a"}),
        json!({"id": "x", "note": "a", "tags": "b"}),
        json!({"id": "x", "note": "a", "tags": [null]}),
        json!({"id": "x", "note": "a", "from": []}),
    ] {
        let refusal = may(wrong.clone()).err();
        assert!(
            matches!(refusal, Some(Refusal::Evaluation { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn a_rule_about_one_tool_reads_what_another_hides() {
    let mail = tool_with(
        "mail",
        json!({"type": "object", "properties": {"rate": {"type": "integer"}}}),
    );
    let both = [mixed(), mail];
    let about = |tool: &str| {
        let text = format!(
            "permit(principal, action == Action::\"call:{tool}\", resource) when {{ context.args has rate && context.args.rate == 1 }};"
        );
        rules(&text, &both).err().map(|error| error.to_string())
    };
    assert_eq!(about("mail"), None);
    let hidden = about("mixed").unwrap();
    assert!(hidden.contains("`rate` of `mixed`"), "{hidden}");
}
