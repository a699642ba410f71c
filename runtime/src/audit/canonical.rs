//! Canonical JSON (RFC 8785) of a record, as every record of the log is written.
//!
//! The general writer makes a tree of every value and sorts it. The fields of a record stand in canonical order already,
//! so that most records are written as they are, in a fraction of the time. A test holds both to the same bytes.

use super::facts::{ArgumentFacts, Used};
use super::record::Record;

/// Largest integer whose canonical form is its plain one: those beyond 2^53 are written as the nearest double.
const INTEGER_MAX: u64 = 1 << 53;
/// Room for one record without growing, in bytes; most have less than one KiB.
const RECORD_BYTES: usize = 1024;

/// The canonical form of a record.
pub(super) fn text(record: &Record) -> Result<String, serde_json::Error> {
    let mut out = Vec::with_capacity(RECORD_BYTES);
    if is_in_order(record) {
        serde_json::to_writer(&mut out, record)?;
    } else {
        serde_json_canonicalizer::to_writer(record, &mut out)?;
    }
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

/// Whether what is written as it stands is canonical: no names but ASCII ones are sorted, which sort by bytes as they do
/// by UTF-16 code units (§3.2.3), and no number needs another form.
fn is_in_order(record: &Record) -> bool {
    let plain = |number: u64| number <= INTEGER_MAX;
    let signed = |number: i64| plain(number.unsigned_abs());
    let arguments = |facts: &ArgumentFacts| {
        facts.kinds.keys().all(|name| name.is_ascii())
            && plain(facts.bytes)
            && plain(facts.unlisted)
    };
    let used = |used: &Used| {
        let effects = used.effects.iter().all(|(name, one)| {
            let numbers = [one.bytes_in, one.bytes_out, one.count, one.refused];
            name.is_ascii() && numbers.into_iter().all(plain)
        });
        let numbers = [
            used.log_lines,
            used.memory_bytes_peak,
            used.reply_bytes,
            used.wall_ms,
        ];
        effects && numbers.into_iter().all(plain)
    };
    record.facts.is_empty()
        && signed(record.at.0)
        && record.seq.is_none_or(plain)
        && record
            .token
            .as_ref()
            .is_none_or(|token| signed(token.exp.0))
        && record.arguments.as_ref().is_none_or(arguments)
        && record
            .result
            .as_ref()
            .and_then(|result| result.used.as_ref())
            .is_none_or(used)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Map, json};
    use uuid::Uuid;

    use super::super::facts::{EffectUse, Stage, ToolFacts};
    use super::super::record::{DecisionFacts, Phase, ResultFacts, TokenUse, TrialFacts};
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::Digest;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..100_u64, any::<u64>(), (1_u64 << 53) - 2..(1 << 53) + 3]
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[ -~]{0,9}", any::<String>()]
    }

    fn names<T: Strategy<Value: Ord>>(
        value: T,
    ) -> impl Strategy<Value = BTreeMap<String, T::Value>> {
        proptest::collection::btree_map(name(), value, 0..4)
    }

    /// A record with every field, so that each has its place in the order.
    pub(in crate::audit) fn record() -> impl Strategy<Value = Record> {
        let effect = (number(), number(), number(), number()).prop_map(|(a, b, c, d)| (a, b, c, d));
        let numbers = (
            number(),
            number(),
            number(),
            number(),
            any::<i64>(),
            any::<i64>(),
        );
        (
            names(name()),
            names(effect),
            numbers,
            name(),
            name(),
            any::<bool>(),
        )
            .prop_map(
                |(kinds, effects, (one, two, three, four, at, exp), word, text, told)| Record {
                    arguments: Some(ArgumentFacts {
                        bytes: one,
                        hmac: Digest::of(b"arguments"),
                        kinds,
                        unlisted: two,
                    }),
                    asked_tool: "a-tool".parse().ok(),
                    at: Timestamp(at),
                    client_id: "a client".parse().ok(),
                    consents: vec![word.clone()],
                    decision: Some(DecisionFacts {
                        erred: vec![word.clone()],
                        policy_digest: Digest::of(b"rules"),
                        rules: vec![text.clone(), word.clone()],
                        trial: vec![TrialFacts {
                            bounds: Some(word.clone()),
                            from: "allow".to_owned(),
                            question: text.clone(),
                            rules: vec![word.clone()],
                            to: "bound".to_owned(),
                        }],
                    }),
                    event_id: Uuid::nil(),
                    facts: told
                        .then(|| json!({"b": text, "a": word}))
                        .map_or_else(Map::new, |facts| facts.as_object().cloned().unwrap()),
                    granted: vec![word.clone()],
                    iss: "https://as.test".parse().ok(),
                    log_id: Some(Uuid::max()),
                    method: Some(text.clone()),
                    parent: told.then_some(Uuid::max()),
                    phase: Phase::Outcome,
                    prev_hash: Some(Digest::of(b"before")),
                    result: Some(ResultFacts {
                        reason: Some(word.clone()),
                        stage: Some(Stage::Policy),
                        status: text.clone(),
                        used: Some(Used {
                            effects: effects
                                .into_iter()
                                .map(|(name, (bytes_in, bytes_out, count, refused))| {
                                    let used = EffectUse {
                                        bytes_in,
                                        bytes_out,
                                        count,
                                        refused,
                                    };
                                    (name, used)
                                })
                                .collect(),
                            log_lines: three,
                            memory_bytes_peak: four,
                            reply_bytes: one,
                            wall_ms: two,
                        }),
                    }),
                    root: told.then_some(Uuid::nil()),
                    seq: Some(three),
                    subject: Some(Digest::of(b"alice")),
                    tenant: "acme".parse().ok(),
                    ticket: Some(Digest::of(b"ticket")),
                    token: Some(TokenUse {
                        alg: "ES256".to_owned(),
                        exp: Timestamp(exp),
                        jti_hash: Digest::of(b"jti"),
                        kid: word.clone(),
                    }),
                    tool: Some(ToolFacts {
                        component_digest: Digest::of(b"component"),
                        definition_digest: Digest::of(b"definition"),
                        manifest_digest: Digest::of(b"manifest"),
                        name: "notes".parse().unwrap(),
                        publisher: "example".parse().unwrap(),
                        version: text,
                    }),
                    kind: word,
                    v: 1,
                },
            )
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_general_writer(record in record()) {
            let expected = serde_json_canonicalizer::to_string(&record).unwrap();
            prop_assert_eq!(text(&record).unwrap(), expected);
        }
    }

    #[test]
    fn an_ordinary_record_is_written_as_it_stands() {
        let mut record = Record::new(Uuid::nil(), Timestamp(1), "tools/call");
        assert!(is_in_order(&record));
        record.facts.insert("count".to_owned(), json!(1));
        assert!(!is_in_order(&record));
    }
}
