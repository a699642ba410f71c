//! Values with their field names and schemas.

use super::*;

fn scan(value: Value, schema: Value) -> Scan {
    Detector::built_in().scan(&value, &schema)
}

/// Pointer, class, confidence and reason of each finding.
fn told(scan: &Scan) -> Vec<String> {
    let line = |one: &Finding| {
        format!(
            "{} {} {} {}",
            one.pointer, one.class, one.confidence, one.reason
        )
    };
    scan.findings.iter().map(line).collect()
}

#[test]
fn a_field_name_says_what_its_value_is() {
    let value = json!({
        "mobilePhone": "0312345678",
        "order": {"id": "0312345678"},
        "birth_date": "19900102",
        "my_number": 123_456_789_018u64,
        "住所": "東京都千代田区丸の内1-2-3",
        "shippingAddress": "1600 Amphitheatre Parkway, Mountain View",
        "email_address": "a@example.com",
        "address": "https://example.com/12 34",
        "password": "correct horse",
        "password_hint": "an animal",
        "passwords": ["hunter2"],
    });
    assert_eq!(
        told(&scan(value, Value::Null)),
        [
            "/mobilePhone phone sure field name",
            "/birth_date birth-date sure field name",
            "/my_number jp-my-number sure field name",
            "/住所 postal-address sure field name",
            "/shippingAddress postal-address sure field name",
            "/email_address email sure field name",
            "/password password sure field name",
            "/passwords/0 password sure field name",
        ]
    );
}

#[test]
fn a_plain_name_takes_what_its_object_is_called_or_labelled() {
    let value = json!({
        "phone": {"number": "0312345678", "country": "JP"},
        "contacts": [{"type": "fax", "value": "0312345679"}, {"type": "order", "value": "0312345670"}],
    });
    assert_eq!(
        told(&scan(value, Value::Null)),
        [
            "/phone/number phone sure field name",
            "/contacts/0/value phone sure field name"
        ]
    );
}

#[test]
fn a_schema_says_what_a_field_is() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "description": "The passport number of the guest"},
        "b": {"$ref": "#/$defs/tel"},
        "c": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"title": "電話番号"}}]},
    }, "$defs": {"tel": {"title": "Phone"}}});
    let value =
        json!({"a": "123456789", "b": "0312345678", "c": ["0312345679"], "d": "0312345678"});
    assert_eq!(
        told(&scan(value, schema)),
        [
            "/a passport sure schema",
            "/b phone sure schema",
            "/c/0 phone sure schema"
        ]
    );
}

#[test]
fn an_annotation_marks_the_whole_value_and_can_only_add() {
    let schema = json!({"properties": {
        "nick": {"x-pii": "nickname"},
        "count": {"x-pii": {"class": "headcount"}},
        "wrong": {"x-pii": {"class": "No Class"}},
        "waived": {"x-pii": false},
        "none": {"x-pii": null},
        "deep": {"x-pii": "diary", "properties": {"x": {}}},
        "empty": {"x-pii": "nickname"},
        "one": {"oneOf": [{"type": "null"}, {"x-pii": "nickname"}]},
    }});
    let value = json!({
        "nick": "Taro", "count": 7, "wrong": "x", "waived": "a@example.com", "none": "a@example.com",
        "deep": {"x": ["y", true, null]}, "empty": "", "one": "z",
    });
    let scan = scan(value, schema);
    assert_eq!(
        told(&scan),
        [
            "/nick nickname sure annotated",
            "/count headcount sure annotated",
            "/wrong personal-data sure annotated",
            "/waived email sure form",
            "/none email sure form",
            "/deep/x/0 diary sure annotated",
            "/one nickname sure annotated",
        ]
    );
    assert_eq!(scan.findings[0].span, 0..4);
    assert_eq!(scan.findings[0].score, 100);
}

#[test]
fn a_schema_that_refers_to_itself_comes_to_an_end() {
    let schema = json!({"$ref": "#", "allOf": [{"$ref": "#"}, {"$ref": "#/allOf/0"}], "properties": {"next": {"$ref": "#"}, "mail": {"x-pii": "email"}}});
    let value = json!({"next": {"next": {"mail": "x"}}});
    assert_eq!(
        told(&scan(value, schema)),
        ["/next/next/mail email sure annotated"]
    );
    let branches: Vec<Value> = (0..100)
        .map(|nth| json!({"title": nth.to_string()}))
        .collect();
    assert!(scan_truncated(json!({}), json!({"anyOf": branches})));
}

fn scan_truncated(value: Value, schema: Value) -> bool {
    scan(value, schema).truncated
}

#[test]
fn keys_are_values_too() {
    let scan = scan(
        json!({"people": {"taro@example.com": {"phone": "0312345678"}, "x/y~z": "a@example.com"}}),
        Value::Null,
    );
    assert_eq!(
        told(&scan),
        [
            "/people/taro@example.com email sure form",
            "/people/taro@example.com/phone phone sure field name",
            "/people/x~1y~0z email sure form",
        ]
    );
    assert!(scan.findings[0].in_key && !scan.findings[1].in_key);
    assert_eq!(scan.findings[0].span, 0..16);
    assert_eq!(
        scan.place(&scan.findings[1]),
        "/people/****@*******.***/phone"
    );
    assert_eq!(scan.place(&scan.findings[2]), "/people/x~1y~0z");
    let debug = format!("{scan:?}");
    assert!(
        !debug.contains("taro") && !debug.contains("0312"),
        "{debug}"
    );
}

#[test]
fn numbers_are_read_as_their_digits_and_told_when_they_cannot_be_masked() {
    let mut value = json!({"card": 4_111_111_111_111_111u64, "when": 1_700_000_000, "phone": 819_012_345_678u64, "f": 4.5, "n": -5});
    let scan = scan(value.clone(), Value::Null);
    assert_eq!(
        told(&scan),
        ["/card card sure field name", "/phone phone sure field name"]
    );
    let before = value.clone();
    assert_eq!(mask(&mut value, &scan.findings), ["/card", "/phone"]);
    assert_eq!(value, before);
    // Without a name a number is most likely an id.
    assert_eq!(
        told(&super::json::scan(
            json!([4_111_111_111_111_111u64]),
            Value::Null
        )),
        ["/0 card likely range"]
    );
    assert_eq!(
        told(&super::json::scan(
            json!({"card": 4.111111111111111e15}),
            Value::Null
        )),
        ["/card card sure field name"]
    );
}

#[test]
fn what_stands_twice_or_hidden_in_json_in_a_string_is_masked_at_every_place() {
    let masked = |inner: &str| {
        let mut value = json!({"body": inner});
        let found = scan(value.clone(), Value::Null);
        mask(&mut value, &found.findings);
        value["body"].as_str().unwrap().to_owned()
    };
    // The same value in two fields, of which either could be the first.
    let twice =
        masked(&json!({"password": "hunter22", "confirm_password": "hunter22"}).to_string());
    assert!(!twice.contains("hunter"), "{twice}");
    // One that cannot be found in the text stands for all of it, whatever else of its class can.
    let hidden = masked("{\"a\": \"some\\u0040body.example\", \"b\": \"c@d.example\"}");
    assert!(
        !hidden.contains("some") && !hidden.contains("body"),
        "{hidden}"
    );
    // Nor where the same value stands there in plain as well.
    let both = masked("{\"a\": \"xyz@d.example\", \"b\": \"xyz\\u0040d.example\"}");
    assert!(!both.contains("xyz"), "{both}");
}

#[test]
fn json_in_a_string_is_read_once() {
    let inner = json!({"phone": "0312345678", "mail": "a@example.com"}).to_string();
    let value = json!({"body": inner.clone()});
    let scan = scan(value.clone(), Value::Null);
    assert_eq!(
        told(&scan),
        ["/body phone sure context", "/body email sure form"]
    );
    for finding in &scan.findings {
        assert!(["0312345678", "a@example.com"].contains(&&inner[finding.span.clone()]));
    }
    // What only the decoded text shows stands for the whole string.
    let escaped = json!({"body": "{\"x\": \"a\\u0040example.com\"}"});
    let hidden = super::json::scan(escaped.clone(), Value::Null);
    assert_eq!(told(&hidden), ["/body email sure form"]);
    assert_eq!(
        hidden.findings[0].span.len(),
        escaped["body"].as_str().unwrap().len()
    );
    // A second level is not promised.
    let twice = json!({"body": json!({"x": "{\"y\": \"a\\u0040example.com\"}"}).to_string()});
    assert_eq!(
        told(&super::json::scan(twice, Value::Null)),
        Vec::<String>::new()
    );
}

#[test]
fn base64_of_json_is_read_once() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let inner = json!([{"phone": "0312345678"}, "??>>"]).to_string();
    for text in [STANDARD.encode(&inner), URL_SAFE_NO_PAD.encode(&inner)] {
        let scan = scan(json!({"cursor": text}), Value::Null);
        assert_eq!(told(&scan), ["/cursor phone sure field name"]);
        assert_eq!(scan.findings[0].span, 0..text.len());
    }
}

#[test]
fn depth_size_and_count_are_bounded_and_told() {
    let mut deep = json!("a@example.com");
    for _ in 0..=limits::PROTECT_DEPTH_MAX {
        deep = json!([deep]);
    }
    let deep = scan(deep, Value::Null);
    assert!(deep.truncated && deep.findings.is_empty());
    let long = format!(
        "{}a@example.com",
        "x ".repeat(limits::PROTECT_STRING_BYTES_MAX / 2)
    );
    assert!(scan_truncated(json!(long), Value::Null));
    let many = vec!["a@example.com"; limits::PROTECT_FINDINGS_MAX + 1];
    let many = scan(json!(many), Value::Null);
    assert!(many.truncated && many.findings.len() == limits::PROTECT_FINDINGS_MAX);
    let much = vec!["x".repeat(limits::PROTECT_STRING_BYTES_MAX); 9];
    assert!(scan_truncated(json!(much), Value::Null));
    let fits = vec!["x".repeat(limits::PROTECT_STRING_BYTES_MAX); 7];
    assert!(scan(json!(fits), Value::Null).is_clean());
}

#[test]
fn masking_keeps_what_people_compare_and_nothing_of_a_secret() {
    let mut value = json!({
        "card": "4111 1111 1111 1111 ok",
        "phone": "090-1234-5678",
        "wide": "電話：０９０－１２３４－５６７８",
        "url": "postgres://app:s3@db/x",
        "mail": ["to a@example.com"],
        "people": {"taro@example.com": 1, "jiro@example.com": 2, "keep": 3},
    });
    let scan = scan(value.clone(), Value::Null);
    assert_eq!(mask(&mut value, &scan.findings), Vec::<String>::new());
    assert_eq!(
        value,
        json!({
            "card": "**** **** **** 1111 ok",
            "phone": "***-****-**78",
            "wide": "電話：***********７８",
            "url": "postgres://app:********@db/x",
            "mail": ["to *@*******.***"],
            "people": {"****@*******.***": 1, "****@*******.***#2": 2, "keep": 3},
        })
    );
    // A second look finds nothing that was masked.
    let again = Detector::built_in().scan(&value, &Value::Null);
    assert_eq!(told(&again), Vec::<String>::new());
}

#[test]
fn masking_bears_findings_that_do_not_fit_the_text() {
    let mut finding = Detector::built_in()
        .scan_text("x a@example.com", "")
        .findings
        .remove(0);
    assert_eq!(mask_text("電話", std::slice::from_ref(&finding)), "**");
    finding.span = 1..2;
    assert_eq!(mask_text("電話", std::slice::from_ref(&finding)), "*話");
    finding.span = 100..200;
    assert_eq!(mask_text("電話", &[finding]), "電話");
}
