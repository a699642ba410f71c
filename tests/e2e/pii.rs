//! `bailiwick pii scan`, as an operator runs it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::program;

fn file(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

#[test]
fn a_file_with_personal_data_is_told_by_place_class_and_masked_value() {
    let value = json!({
        "customer": {"phone": "090-1234-5678", "card": "4111 1111 1111 1111"},
        "by": {"taro@example.com": {"ssn": 123_456_789}},
        "note": "ok",
    });
    let folder = file("a.json", &value.to_string());
    let out = bailiwick(folder.path(), &["pii", "scan", "a.json"]).ends(1);
    insta::assert_snapshot!("pii_scan", out);
    for secret in ["taro", "090", "1234", "4111 1111", "123456789"] {
        assert!(!out.contains(secret), "{secret} in {out}");
    }
}

#[test]
fn programs_read_the_same_as_json() {
    let folder = file("a.json", &json!({"a": ["x", "a@example.com"]}).to_string());
    let out = bailiwick(folder.path(), &["pii", "scan", "--json", "a.json"]).ends(1);
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out,
        json!({"findings": [{
            "pointer": "/a/1", "class": "email", "confidence": "sure", "score": 95, "reason": "form", "in_key": false,
            "masked": "*@*******.***",
        }], "truncated": false})
    );
}

#[test]
fn a_schema_adds_what_its_author_marked() {
    let folder = file("a.json", &json!({"nick": "Taro"}).to_string());
    let schema = json!({"properties": {"nick": {"x-pii": "nickname"}}}).to_string();
    std::fs::write(folder.path().join("s.json"), schema).unwrap();
    assert_eq!(
        bailiwick(folder.path(), &["pii", "scan", "a.json"]).ends(0),
        "nothing found\n"
    );
    let out = bailiwick(
        folder.path(),
        &["pii", "scan", "a.json", "--schema", "s.json"],
    )
    .ends(1);
    assert!(
        out.contains("/nick") && out.contains("nickname") && out.contains("****"),
        "{out}"
    );
}

#[test]
fn text_comes_from_standard_input_as_well() {
    let mut child = Command::new(program())
        .args(["pii", "scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "電話：０９０－１２３４－５６７８ です\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("(text)  phone  sure"), "{out}");
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_clean_file() {
    let folder = file("large", &"x".repeat(8 * 1024 * 1024 + 1));
    let large = bailiwick(folder.path(), &["pii", "scan", "large"]);
    assert!(
        large
            .complaints
            .contains("which is the most that is searched")
    );
    large.ends(2);
    std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
    bailiwick(folder.path(), &["pii", "scan", "binary"]).ends(2);
    bailiwick(folder.path(), &["pii", "scan", "absent"]).ends(2);
    // One string of more than a mebibyte is not searched to its end.
    let long = json!({"text": "x ".repeat(1024 * 1024)}).to_string();
    std::fs::write(folder.path().join("long.json"), long).unwrap();
    let out = bailiwick(folder.path(), &["pii", "scan", "long.json"]).ends(2);
    assert_eq!(
        out,
        "nothing found\na bound was reached: not everything was searched\n"
    );
}
