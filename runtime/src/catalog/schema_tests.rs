use serde_json::{Value, json};

use super::*;

fn with(property: Value) -> Value {
    json!({"type": "object", "properties": {"x": property}})
}

fn refused(schema: Value) -> SchemaError {
    match Schema::compile(&schema) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn the_root_is_an_object() {
    assert!(Schema::compile(&json!({"type": "object"})).is_ok());
    for bad in [
        json!({}),
        json!({"type": "array"}),
        json!(true),
        json!({"type": ["object"]}),
    ] {
        assert_eq!(refused(bad), SchemaError::Root);
    }
}

#[test]
fn the_dialect_is_2020_12_or_unsaid() {
    assert!(Schema::compile(&json!({"$schema": DIALECT, "type": "object"})).is_ok());
    let older = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"});
    let text = refused(older).to_string();
    assert!(
        text.contains("draft-07") && text.contains("2020-12"),
        "{text}"
    );
}

#[test]
fn a_reference_stays_inside_the_schema() {
    let local = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}});
    assert!(Schema::compile(&local).is_ok());
    for outside in [
        "https://example.com/s.json",
        "other.json",
        "file:///etc/passwd",
        "#anchor",
        "#/%24defs/x",
    ] {
        assert!(
            matches!(
                refused(with(json!({"$ref": outside}))),
                SchemaError::Reference { .. }
            ),
            "{outside}"
        );
    }
    for nowhere in ["#/$defs/y", "#/properties", "#/type"] {
        assert!(
            matches!(
                refused(with(json!({"$ref": nowhere}))),
                SchemaError::Dangling { .. }
            ),
            "{nowhere}"
        );
    }
}

#[test]
fn a_keyword_that_rebinds_names_is_refused_and_a_property_of_that_name_is_not() {
    assert!(matches!(
        refused(with(json!({"$id": "https://a.example/"}))),
        SchemaError::Keyword { keyword: "$id", .. }
    ));
    assert!(matches!(
        refused(with(json!({"$dynamicRef": "#x"}))),
        SchemaError::Keyword { .. }
    ));
    let property = json!({"type": "object", "properties": {"$id": {"type": "string"}}});
    assert!(Schema::compile(&property).is_ok());
}

#[test]
fn recursion_goes_into_the_value_or_is_refused() {
    let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
    let schema = Schema::compile(&tree).unwrap();
    assert!(schema.check(&json!({"next": {"next": {}}})).is_ok());
    assert!(schema.check(&json!({"next": {"next": 1}})).is_err());
    assert!(matches!(
        refused(json!({"type": "object", "allOf": [{"$ref": "#"}]})),
        SchemaError::Cycle { .. }
    ));
}

#[test]
fn size_depth_and_number_are_bounded() {
    let mut deep = json!({"type": "string"});
    for _ in 0..crate::limits::SCHEMA_DEPTH_MAX {
        deep = json!({"items": deep});
    }
    assert!(matches!(refused(with(deep)), SchemaError::Depth { .. }));
    let many: serde_json::Map<String, Value> = (0..crate::limits::SCHEMA_NODES_MAX)
        .map(|n| (format!("p{n}"), json!({})))
        .collect();
    assert!(matches!(
        refused(json!({"type": "object", "properties": many})),
        SchemaError::Nodes { .. }
    ));
    let long = json!({"type": "object", "description": "x".repeat(SCHEMA_BYTES_MAX)});
    assert!(matches!(refused(long), SchemaError::Bytes { .. }));
}

#[test]
fn references_cannot_multiply_a_schema() {
    let doubling = |levels: usize| {
        let mut defs = serde_json::Map::new();
        for n in 0..levels {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(
                format!("d{n}"),
                json!({"properties": {"a": next, "b": next}}),
            );
        }
        defs.insert(format!("d{levels}"), json!({}));
        json!({"type": "object", "$defs": defs, "$ref": "#/$defs/d0"})
    };
    assert!(Schema::compile(&doubling(4)).is_ok());
    assert!(matches!(refused(doubling(20)), SchemaError::Nodes { .. }));
}

#[test]
fn a_check_has_a_budget_however_the_schema_recurses() {
    let step = json!({"properties": {"a": {"$ref": "#"}}});
    let schema = Schema::compile(&json!({"type": "object", "anyOf": [step, step]})).unwrap();
    let nested = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    assert!(schema.check(&nested(5)).is_ok());
    let mismatch = schema.check(&nested(60)).unwrap_err();
    assert!(
        mismatch.message.contains("too large or too deep"),
        "{mismatch}"
    );
}

#[test]
fn the_deepest_check_fits_a_worker_stack() {
    let mut defs = serde_json::Map::new();
    for n in 0..15 {
        defs.insert(
            format!("d{n}"),
            json!({"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}]}),
        );
    }
    defs.insert("d15".into(), json!({"properties": {"a": {"$ref": "#"}}}));
    let schema =
        json!({"type": "object", "$defs": defs, "properties": {"a": {"$ref": "#/$defs/d3"}}});
    let run = move || {
        let schema = Schema::compile(&schema).unwrap();
        let mut accepted = 0;
        for levels in 0..ARGUMENTS_DEPTH_MAX {
            let value = (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
            accepted = accepted.max(if schema.check(&value).is_ok() {
                levels
            } else {
                0
            });
        }
        accepted
    };
    let thread = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(run)
        .unwrap();
    let accepted = thread.join().unwrap();
    assert!(accepted > 8, "{accepted}");
}

#[test]
fn a_long_check_of_flat_data_is_affordable() {
    let schema = Schema::compile(&with(json!({"items": {"type": "integer"}}))).unwrap();
    let items: Vec<u8> = vec![1; 200_000];
    assert!(schema.check(&json!({"x": items})).is_ok());
}

#[test]
fn a_pattern_is_linear_and_bounded() {
    let schema = Schema::compile(&with(json!({"type": "string", "pattern": "^(a+)+$"}))).unwrap();
    assert!(
        schema
            .check(&json!({"x": format!("{}b", "a".repeat(10_000))}))
            .is_err()
    );
    for bad in ["(?=a)", "(", "(a{1000}){1000}"] {
        assert!(
            matches!(
                refused(with(json!({"pattern": bad}))),
                SchemaError::Invalid { .. }
            ),
            "{bad}"
        );
    }
}

#[test]
fn a_pattern_that_is_too_large_once_compiled_is_refused() {
    let repeated = |times: usize| with(json!({"pattern": format!("[01]*1[01]{{{times}}}")}));
    assert!(Schema::compile(&repeated(500)).is_ok());
    let error = refused(repeated(5_000));
    assert!(matches!(error, SchemaError::Invalid { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/properties/x") && text.contains("repeat less often"),
        "{text}"
    );
    // What people write stays far below.
    for usual in [
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
        r"^[^@\s]+@[^@\s]+$",
        r"^\w[\w .-]{0,200}$",
        r"^\p{L}+$",
        r"^https://[a-z0-9.-]+(/\S*)?$",
    ] {
        assert!(
            Schema::compile(&with(json!({"pattern": usual}))).is_ok(),
            "{usual}"
        );
    }
}

/// A text of 1 MiB under a pattern of which every state stays alive, wherever the pattern stands.
#[test]
fn a_check_pays_for_its_patterns_before_the_validator_begins() {
    let pattern = "[01]*1[01]{500}";
    let wide = "10".repeat(512 * 1024);
    let short = "10".repeat(300);
    let inside = |name: &str| json!({"x": {name: 1_i32}});
    let is = |text: &str| json!({"x": text});
    let map = json!({pattern: {"type": "integer"}});
    for (property, fits, dear) in [
        (json!({"pattern": pattern}), is(&short), is(&wide)),
        (
            json!({"propertyNames": {"pattern": pattern}}),
            inside(&short),
            inside(&wide),
        ),
        (
            json!({"patternProperties": map}),
            inside(&short),
            inside(&wide),
        ),
    ] {
        let schema = Schema::compile(&with(property)).unwrap();
        schema.check(&fits).unwrap();
        let mismatch = schema_walk::affordable(&schema.value, &schema.weights, &dear).unwrap_err();
        assert!(mismatch.message.contains("too large"), "{mismatch}");
        assert_eq!(schema.check(&dear), Err(mismatch));
    }
}

#[test]
fn a_cheap_pattern_may_be_tried_on_much() {
    let schema = Schema::compile(&json!({"type": "object", "properties": {
        "blob": {"pattern": "^[A-Za-z0-9+/]*={0,2}$"},
        "ids": {"items": {"pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}},
    }}))
    .unwrap();
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let value = json!({"blob": "A".repeat(512 * 1024), "ids": vec![id; 5_000]});
    schema.check(&value).unwrap();
}

#[test]
fn a_mismatch_names_the_field_and_never_the_value() {
    let schema = Schema::compile(&json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": {
            "city": {"type": "string", "maxLength": 6, "pattern": "^[a-z]+$"}, "unit": {"enum": ["c", "f"]},
            "days": {"type": "integer", "minimum": 1, "multipleOf": 2}, "list": {"uniqueItems": true, "items": {"type": "string"}},
            "any": {"anyOf": [{"const": 1}, {"type": "null"}]}, "not": {"not": {"type": "string"}},
        },
    }))
    .unwrap();
    for (value, field, says) in [
        (json!({}), "/city", "is required"),
        (json!({"city": 4711_i32}), "/city", "`string`"),
        (json!({"city": "secretsecret"}), "/city", "at most 6"),
        (json!({"city": "SECRET"}), "/city", "^[a-z]+$"),
        (
            json!({"city": "a", "unit": "secret"}),
            "/unit",
            "[\"c\",\"f\"]",
        ),
        (json!({"city": "a", "days": -4711}), "/days", "at least 1"),
        (json!({"city": "a", "days": 4711}), "/days", "multiple of 2"),
        (
            json!({"city": "a", "list": ["secret", "secret"]}),
            "/list",
            "twice",
        ),
        (json!({"city": "a", "list": [4711]}), "/list/0", "`string`"),
        (
            json!({"city": "a", "any": "secret"}),
            "/any",
            "alternatives",
        ),
        (
            json!({"city": "a", "not": "secret"}),
            "/not",
            "does not fit",
        ),
        (json!({"city": "a", "zip": "secret"}), "", "`zip`"),
    ] {
        let mismatch = schema.check(&value).unwrap_err();
        assert_eq!(mismatch.field, field, "{mismatch}");
        let text = mismatch.to_string();
        assert!(mismatch.message.contains(says), "{text}");
        let lower = text.to_lowercase();
        assert!(
            !lower.contains("secret") && !lower.contains("4711"),
            "{text}"
        );
    }
}

#[test]
fn arguments_nest_to_a_bound() {
    let schema = Schema::compile(&json!({"type": "object"})).unwrap();
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    assert!(schema.check(&nested(ARGUMENTS_DEPTH_MAX)).is_ok());
    assert!(schema.check(&nested(ARGUMENTS_DEPTH_MAX + 1)).is_err());
}
