use serde_json::{Value, json};

use super::*;
use crate::limits::{ASK_ANSWER_BYTES_MAX, ASK_FIELDS_MAX, ASK_SCHEMA_BYTES_MAX};

const MESSAGE: &str = "Which note?";

fn form(properties: Value) -> String {
    json!({"type": "object", "properties": properties, "required": ["a"]}).to_string()
}

fn text_form() -> String {
    form(json!({"a": {"type": "string"}, "b": {"type": "integer", "minimum": 1}}))
}

fn somebody() -> Asking {
    Asking {
        can_ask: true,
        ..Asking::default()
    }
}

fn asker(asking: Asking) -> (Asker, Meter) {
    let meter = Meter::default();
    (Asker::new(asking, meter.clone()), meter)
}

/// The question with which a run ends.
fn ends(asked: Result<Answer, Unanswered>) -> Asked {
    match asked {
        Err(Unanswered::Ends(RunEnds::Asked(asked))) => *asked,
        other => panic!("{other:?}"),
    }
}

/// The run after one that ended with this question, to which the client says this.
fn then(asked: Asked, reply: Option<Reply>) -> Asking {
    Asking {
        can_ask: true,
        answered: asked.answered,
        waits: Some((asked.question.digest, reply)),
    }
}

fn invalid(asked: Result<Answer, Unanswered>) -> String {
    match asked {
        Err(Unanswered::Refused(AskError::Invalid(why))) => why,
        other => panic!("{other:?}"),
    }
}

const UNAVAILABLE: Result<Answer, Unanswered> = Err(Unanswered::Refused(AskError::Unavailable));

#[test]
fn a_question_ends_the_run_and_the_next_run_has_its_answer() {
    let (mut asker, meter) = self::asker(somebody());
    let asked = ends(asker.ask(MESSAGE, &text_form()));
    assert_eq!(asked.question.message, MESSAGE);
    let used = meter.snapshot()["ask"];
    assert_eq!((used.count, used.refused), (1, 0));
    assert!(used.bytes_out > 0 && used.bytes_in == 0);

    let said = Reply::Submitted(json!({"a": "x", "b": 2, "unasked": true}));
    let (mut asker, meter) = self::asker(then(asked, Some(said)));
    let answer = asker.ask(MESSAGE, &text_form()).unwrap();
    let Answer::Submitted(text) = &answer else {
        panic!("{answer:?}");
    };
    let content: Value = serde_json::from_str(text).unwrap();
    assert_eq!(content, json!({"a": "x", "b": 2}), "and nothing else");
    assert_eq!(meter.snapshot()["ask"].bytes_in, text.len() as u64);
    // The next question carries the first answer along.
    let second = ends(asker.ask("And where?", &text_form()));
    assert_eq!(second.answered.len(), 1);
    let (mut asker, _) = self::asker(then(second, Some(Reply::Declined)));
    assert_eq!(asker.ask(MESSAGE, &text_form()), Ok(answer));
    assert_eq!(asker.ask("And where?", &text_form()), Ok(Answer::Declined));
}

#[test]
fn p21_decline_and_cancel_are_answers_and_a_missing_one_is_asked_for_again() {
    let first = || ends(self::asker(somebody()).0.ask(MESSAGE, &text_form()));
    for (reply, answer) in [
        (Reply::Declined, Answer::Declined),
        (Reply::Cancelled, Answer::Cancelled),
    ] {
        let (mut asker, _) = self::asker(then(first(), Some(reply)));
        assert_eq!(asker.ask(MESSAGE, &text_form()), Ok(answer));
    }
    let (mut asker, _) = self::asker(then(first(), None));
    let again = ends(asker.ask(MESSAGE, &text_form()));
    assert!(!again.question.again);
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_again_and_never_handed_on() {
    let first = || ends(self::asker(somebody()).0.ask(MESSAGE, &text_form()));
    let long = "x".repeat(ASK_ANSWER_BYTES_MAX);
    for content in [
        json!({}),
        json!({"b": 2}),
        json!({"a": 1}),
        json!({"a": null}),
        json!({"a": "x", "b": 0}),
        json!({"a": "x", "b": 1.5}),
        json!({"a": ["x"]}),
        json!({"a": long}),
        json!("x"),
        json!(["x"]),
        json!(null),
    ] {
        let (mut asker, meter) = self::asker(then(first(), Some(Reply::Submitted(content))));
        let again = ends(asker.ask(MESSAGE, &text_form()));
        assert!(again.question.again && again.answered.is_empty());
        assert_eq!(meter.snapshot()["ask"].bytes_in, 0);
    }
}

#[test]
fn who_asks_something_else_the_second_time_is_ended() {
    let first = || ends(self::asker(somebody()).0.ask(MESSAGE, &text_form()));
    let said = || Some(Reply::Submitted(json!({"a": "x"})));
    let other = form(json!({"a": {"type": "string", "title": "A"}}));
    for (message, schema) in [("Which note ?", text_form()), (MESSAGE, other)] {
        for reply in [said(), None] {
            let (mut asker, _) = self::asker(then(first(), reply));
            let ended = asker.ask(message, &schema);
            assert_eq!(ended, Err(Unanswered::Ends(RunEnds::Otherwise)));
        }
    }
    // Of a question that was answered before, likewise.
    let (mut asker, _) = self::asker(then(first(), said()));
    asker.ask(MESSAGE, &text_form()).unwrap();
    let second = ends(asker.ask("And where?", &text_form()));
    let (mut asker, _) = self::asker(then(second, said()));
    let ended = asker.ask("And where?", &text_form());
    assert_eq!(ended, Err(Unanswered::Ends(RunEnds::Otherwise)));
}

#[test]
fn after_an_effect_nobody_can_be_asked() {
    let (mut asker, meter) = self::asker(somebody());
    meter.note("progress".to_owned(), Effect::default());
    let asked = ends(asker.ask(MESSAGE, &text_form()));
    // Also what has its answer: the run before it had no effect yet.
    let said = Some(Reply::Declined);
    let (mut asker, meter) = self::asker(then(asked, said));
    meter.record("http GET a.example".to_owned(), Effect::default());
    assert_eq!(asker.ask(MESSAGE, &text_form()), UNAVAILABLE);
    assert_eq!(meter.snapshot()["ask"].refused, 1);
}

#[test]
fn where_nobody_is_there_only_what_was_answered_is_told() {
    let (mut asker, _) = self::asker(Asking::default());
    assert_eq!(asker.ask(MESSAGE, &text_form()), UNAVAILABLE);
    let asked = ends(self::asker(somebody()).0.ask(MESSAGE, &text_form()));
    let asking = Asking {
        can_ask: false,
        ..then(asked, Some(Reply::Declined))
    };
    let (mut asker, _) = self::asker(asking);
    assert_eq!(asker.ask(MESSAGE, &text_form()), Ok(Answer::Declined));
    assert_eq!(asker.ask("And where?", &text_form()), UNAVAILABLE);
}

#[test]
fn a_call_asks_so_many_questions_and_no_more() {
    let mut asking = somebody();
    for n in 0..ASK_QUESTIONS_MAX {
        let (mut asker, _) = self::asker(asking);
        for before in 0..n {
            asker.ask(&before.to_string(), &text_form()).unwrap();
        }
        let asked = ends(asker.ask(&n.to_string(), &text_form()));
        asking = then(asked, Some(Reply::Cancelled));
    }
    let (mut asker, _) = self::asker(asking);
    for n in 0..ASK_QUESTIONS_MAX {
        asker.ask(&n.to_string(), &text_form()).unwrap();
    }
    let many = asker.ask("one more", &text_form());
    assert_eq!(many, Err(Unanswered::Refused(AskError::TooMany)));
}

#[test]
fn a_message_is_bounded_plain_and_asks_for_no_secret() {
    let ask = |message: &str| self::asker(somebody()).0.ask(message, &text_form());
    ends(ask(&"x".repeat(ASK_MESSAGE_BYTES_MAX)));
    ends(ask("two\nlines"));
    for (bad, why) in [
        (String::new(), "empty"),
        (" \n".to_owned(), "empty"),
        ("x".repeat(ASK_MESSAGE_BYTES_MAX + 1), "more than"),
        ("see https://evil.example".to_owned(), "link"),
        ("Your password?".to_owned(), "secret"),
        ("パスワードは？".to_owned(), "secret"),
        ("a\u{1b}[2Jb".to_owned(), "U+001B"),
        ("a\u{202e}b".to_owned(), "U+202E"),
    ] {
        assert!(invalid(ask(&bad)).contains(why), "{bad}");
    }
}

#[test]
fn p25_every_field_that_a_form_knows_is_taken() {
    let titled = json!([{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]);
    let schema = form(json!({
        "a": {"type": "string", "title": "A", "description": "An a", "minLength": 1, "maxLength": 9, "default": "x"},
        "mail": {"type": "string", "format": "email"},
        "site": {"type": "string", "format": "uri", "default": "https://a.example/"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "share": {"type": "number", "minimum": 0.5, "maximum": 1, "default": 0.75},
        "count": {"type": "integer", "minimum": -1, "maximum": 9, "default": 3},
        "sure": {"type": "boolean", "default": false},
        "plain": {"type": "string", "enum": ["r", "g"], "default": "r"},
        "named": {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]},
        "titled": {"type": "string", "oneOf": titled, "default": "g"},
        "some": {"type": "array", "items": {"type": "string", "enum": ["r", "g"]}, "minItems": 1, "maxItems": 2},
        "several": {"type": "array", "items": {"anyOf": titled}, "default": ["r"]},
    }));
    let good = json!({
        "a": "x", "mail": "a@b.example", "site": "https://a.example/", "day": "2026-01-31",
        "at": "2026-01-31T10:00:00Z", "share": 0.5, "count": 9, "sure": true, "plain": "g",
        "named": "r", "titled": "r", "some": ["g"], "several": ["r", "g"],
    });
    let answered = |content: Value| {
        let asked = ends(self::asker(somebody()).0.ask(MESSAGE, &schema));
        let (mut asker, _) = self::asker(then(asked, Some(Reply::Submitted(content))));
        asker.ask(MESSAGE, &schema).is_ok()
    };
    assert!(answered(good.clone()));
    for (field, bad) in [
        ("a", json!("")),
        ("a", json!("0123456789")),
        ("mail", json!("nobody")),
        ("site", json!("no uri")),
        ("day", json!("2026-02-31")),
        ("at", json!("yesterday")),
        ("share", json!(0.4)),
        ("count", json!(10)),
        ("sure", json!("yes")),
        ("plain", json!("b")),
        ("named", json!("Red")),
        ("titled", json!("Red")),
        ("some", json!([])),
        ("some", json!(["b"])),
        ("several", json!("r")),
    ] {
        let mut content = good.clone();
        content[field] = bad;
        assert!(!answered(content.clone()), "{field}: {content}");
    }
}

#[test]
fn p25_what_a_form_does_not_know_is_refused_by_name() {
    let ask = |schema: &str| invalid(self::asker(somebody()).0.ask(MESSAGE, schema));
    let one = |property: Value| form(json!({"a": property}));
    for (property, why) in [
        (json!({"type": "object", "properties": {}}), "`a` has none"),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "`items`",
        ),
        (
            json!({"type": "array", "items": {"type": "object"}}),
            "`items`",
        ),
        (json!({"type": ["string", "null"]}), "`a` has none"),
        (json!({"$ref": "#"}), "`a` has none"),
        (json!(true), "`a` is no schema"),
        (json!({"type": "string", "pattern": "(a+)+$"}), "`pattern`"),
        (json!({"type": "string", "const": "x"}), "`const`"),
        (json!({"type": "string", "format": "password"}), "`format`"),
        (json!({"type": "string", "minLength": -1}), "`minLength`"),
        (json!({"type": "string", "title": 1}), "`title`"),
        (
            json!({"type": "string", "title": "Your PIN code"}),
            "secret",
        ),
        (
            json!({"type": "string", "description": "http://a.example"}),
            "link",
        ),
        (json!({"type": "string", "default": 1}), "`default`"),
        (json!({"type": "integer", "minimum": 0.5}), "`minimum`"),
        (json!({"type": "integer", "default": "1"}), "`default`"),
        (json!({"type": "number", "maximum": "1"}), "`maximum`"),
        (json!({"type": "string", "enum": []}), "choices"),
        (json!({"type": "string", "enum": ["r", "r"]}), "twice"),
        (json!({"type": "string", "enum": ["r", 1]}), "choices"),
        (
            json!({"type": "string", "enum": ["r"], "enumNames": []}),
            "choices",
        ),
        (
            json!({"type": "string", "enum": ["r"], "default": "g"}),
            "`default`",
        ),
        (
            json!({"type": "string", "oneOf": [{"const": "r"}]}),
            "choices",
        ),
        (
            json!({"type": "string", "oneOf": [{"const": "r", "title": "API key"}]}),
            "secret",
        ),
        (json!({"type": "string", "enum": ["a\u{200b}"]}), "U+200B"),
    ] {
        let found = ask(&one(property.clone()));
        assert!(found.contains(why), "{property}: {found}");
    }
    let secret = json!({"type": "object", "properties": {"userPassword": {"type": "string"}}});
    let nothing = json!({"type": "object", "properties": {}});
    let many: serde_json::Map<String, Value> = (0..=ASK_FIELDS_MAX)
        .map(|n| (format!("f{n}"), json!({"type": "string"})))
        .collect();
    let dangling =
        json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["a"]});
    let list = json!({"type": "array", "properties": {"a": {"type": "string"}}});
    let extra = json!({"type": "object", "properties": {"a": {"type": "string"}}, "allOf": []});
    for (schema, why) in [
        (secret.to_string(), "secret"),
        (nothing.to_string(), "1 to"),
        (
            json!({"type": "object", "properties": many}).to_string(),
            "1 to",
        ),
        (dangling.to_string(), "`a` is required"),
        (list.to_string(), "not `object`"),
        (extra.to_string(), "`allOf`"),
        ("{".to_owned(), "not that of a form"),
        ("[]".to_owned(), "not that of a form"),
        ("[".repeat(ASK_SCHEMA_BYTES_MAX), "not that of a form"),
        (" ".repeat(ASK_SCHEMA_BYTES_MAX + 1), "more than"),
    ] {
        let found = ask(&schema);
        assert!(found.contains(why), "{schema}: {found}");
    }
}
