//! Texts that are made to cost: the work stays in proportion to their length.

use super::*;

/// Bytes looked at for each byte of a text, beyond the one pass: what the worst of the texts below needs, with room.
const WORK_PER_BYTE_MAX: u64 = 64;

/// What a text of this pattern costs per byte, alone, with a rule of the operator's, and as a field.
#[track_caller]
fn bears(pattern: &str) {
    let text = pattern.repeat((4 * 1024usize).div_ceil(pattern.len()));
    for context in ["", "phone", "card"] {
        let scan = Detector::built_in().scan_text(&text, context);
        let per_byte = scan.work / text.len() as u64;
        assert!(per_byte <= WORK_PER_BYTE_MAX, "{pattern:?}: {per_byte}");
        let twice = Detector::built_in().scan_text(&text.repeat(2), context);
        assert!(
            twice.work <= 2 * scan.work + 4 * 1024,
            "{pattern:?}: {} and {}",
            scan.work,
            twice.work
        );
    }
}

#[test]
fn no_pattern_costs_more_than_its_length() {
    for pattern in [
        "a",
        "1",
        "@",
        ":",
        "-",
        "+",
        "(",
        ".",
        " ",
        "a@",
        "@a",
        "a@a.",
        "a.a@",
        "a@b.c.",
        "1 ",
        "1-",
        "1.",
        "1 1-",
        "+1",
        "+1 ",
        "(1",
        "12-34-56-",
        "1.2.3.4.",
        "a:b:",
        "1:",
        "::",
        "f:f:",
        "a1b2:",
        "://",
        "a://b:",
        "a://b:c@",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ",
        "eyJ",
        "eyJ.",
        "eyJ-",
        "eyJhbGciOiJub25lIn0.",
        "eyJhbGciOiJub25lIn0.e ",
        "sk-",
        "sk-sk-a1",
        "xoxb-1",
        "ghp_",
        "AIza",
        "AIza-",
        "AKIA",
        "SG.",
        "SG.a",
        "glpat-.",
        "DE89",
        "DE89 ",
        "DE89 3704 ",
        "AB ",
        "AB 12 34 ",
        "X-",
        "X-1234567-",
        "12345678-A ",
        "1234 ",
        "123 ",
        "4111 1111 1111 111",
        "4111111111111112 ",
        "123456789018 ",
        "1990-01-02 ",
        "1990年1月2日",
        "昭和",
        "1月",
        "Jan 1 ",
        "1st ",
        "phone ",
        "phone 1",
        "カード",
        "card 12345678 ",
        "個人番号",
        "０",
        "０９０－",
        "ー",
        "٣",
        "\u{200b}1",
        "ﾞ",
        "カ\u{3099}",
        "ﷺ",
        "\u{301}",
        "🎌",
        "12345678 phone, ",
        "my number ",
        "credit card number ",
        "mymymymy",
        "〒1",
        "0120 ",
        "0 ",
        "00",
        "0-0 0-0",
    ] {
        bears(pattern);
    }
}

#[test]
fn a_flood_of_findings_ends_the_search() {
    let text = "a@b.co ".repeat(100_000);
    let scan = Detector::built_in().scan(&json!(text), &Value::Null);
    assert!(scan.truncated && scan.findings.len() == limits::PROTECT_FINDINGS_MAX);
    assert!(scan.work < 1_000_000);
}

#[test]
fn an_operators_pattern_costs_at_most_its_longest_match_at_each_word() {
    let rules = [CustomRule {
        class: "own".parse().unwrap(),
        pattern: "([a-z]{1,4}-){1,20}[0-9]".to_owned(),
        words: Vec::new(),
        validator: None,
    }];
    let detector = Detector::with(&rules).unwrap();
    for pattern in ["a-", "a", "-", "aaaa-", "a-a-a-a-a-a-a-a-a-1"] {
        let text = pattern.repeat(20_000);
        let work = detector.scan_text(&text, "").work;
        let most = limits::PROTECT_RULE_MATCH_BYTES_MAX as u64 + 2 + WORK_PER_BYTE_MAX;
        assert!(work <= most * text.len() as u64, "{pattern}: {work}");
    }
}

#[test]
fn nested_json_costs_what_it_is_long() {
    let inner = json!({"a": "1234 ".repeat(1_000)}).to_string();
    let value = json!(vec![inner.clone(); 20]);
    let scan = Detector::built_in().scan(&value, &Value::Null);
    assert!(scan.work <= 20 * 2 * WORK_PER_BYTE_MAX * inner.len() as u64);
    let brackets = "[".repeat(200_000);
    assert!(
        Detector::built_in()
            .scan(&json!(brackets), &Value::Null)
            .is_clean()
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Whatever is scanned, places are inside the text and on borders of characters, and masking bears them.
    #[test]
    fn any_text_is_borne(text in "([-@:.+( \\n0-9a-fA-FX]|[０-９ーカ゛年月日٣]|[\\PC]|4111 1111 1111 1111|a@b\\.co|電話|\\u{200b}){0,60}", context in "[a-z電話]{0,8}") {
        let scan = Detector::built_in().scan_text(&text, &context);
        for finding in &scan.findings {
            proptest::prop_assert!(text.get(finding.span.clone()).is_some_and(|found| !found.is_empty()));
        }
        mask_text(&text, &scan.findings);
        let mut value = json!({text.clone(): [text]});
        let scan = Detector::built_in().scan(&value, &Value::Null);
        mask(&mut value, &scan.findings);
        for finding in &scan.findings {
            scan.place(finding);
        }
    }
}
