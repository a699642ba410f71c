//! Which records a search need not parse.
//!
//! What a record says stands in its text byte by byte, since that is canonical JSON: a record about a user holds `"subject":"…"`
//! with exactly this pseudonym. To look for such bytes takes a small part of the time of parsing. What is let through is parsed
//! and held against the [`Filter`], which alone decides; what the server wrote and the filter takes is never held back.

use aho_corasick::AhoCorasick;

use super::show::Filter;
use crate::clock::Timestamp;

/// The name before the time of a record.
const AT: &str = "\"at\":";

/// What a text must hold for its record to fit.
pub(super) struct Sieve {
    /// Of each of these, one of its pieces.
    pieces: Vec<AhoCorasick>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Sieve {
    /// That of a filter.
    pub(super) fn of(filter: &Filter) -> Self {
        // A text that cannot be written as JSON is looked for as nothing, which is everywhere.
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let member = |name: &str, text: &str| format!("\"{name}\":{}", quoted(text));
        let mut all: Vec<Vec<String>> = Vec::new();
        if let Some(tool) = &filter.tool {
            let tool = tool.as_str();
            all.push(vec![member("name", tool), member("asked_tool", tool)]);
        }
        if let Some(subject) = &filter.subject {
            all.push(vec![member("subject", &subject.to_string())]);
        }
        if let Some(kind) = &filter.kind {
            let family = member("type", &format!("{kind}."));
            let family = family.trim_end_matches('"').to_owned();
            all.push(vec![member("type", kind), family]);
        }
        if let Some(rule) = &filter.rule {
            all.push(vec![quoted(rule)]);
        }
        if let Some(call) = &filter.call {
            all.push(vec![quoted(&call.to_string())]);
        }
        if let Some(client) = &filter.client {
            all.push(vec![member("client_id", client.as_str())]);
        }
        if let Some(consent) = &filter.consent {
            all.push(vec![quoted(consent)]);
        }
        if let Some(word) = &filter.decision {
            all.push(vec![member("status", word), member("stage", word)]);
        }
        // What cannot be looked for is left to the filter.
        let pieces = all.iter().filter_map(|any| AhoCorasick::new(any).ok());
        let pieces = pieces.collect();
        Self {
            pieces,
            since: filter.since,
            until: filter.until,
        }
    }

    /// Whether the record with this text may fit.
    pub(super) fn lets_through(&self, text: &str) -> bool {
        self.may_be_in_time(text) && self.pieces.iter().all(|piece| piece.is_match(text))
    }

    fn may_be_in_time(&self, text: &str) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        at(text).is_none_or(|at| {
            self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
        })
    }
}

/// The time of a record, from its text. Before it stand only the arguments and the name that was asked for, where no number
/// has this name, and within a string there is no quotation mark without a backslash.
fn at(text: &str) -> Option<Timestamp> {
    text.match_indices(AT).find_map(|(start, _)| {
        let rest = text.get(start.saturating_add(AT.len())..)?;
        let end = rest.find(|one: char| one != '-' && !one.is_ascii_digit())?;
        rest.get(..end)?.parse().ok().map(Timestamp)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::canonical::{self, tests::record};
    use super::super::record::Record;
    use super::*;

    /// For each thing that can be looked for, a filter that takes this record.
    pub(in crate::audit) fn filters(record: &Record) -> Vec<Filter> {
        let none = Filter::default;
        let decision = record.decision.as_ref();
        let result = record.result.as_ref();
        let stage = result.and_then(|result| result.stage);
        vec![
            Filter {
                tool: record.tool.as_ref().map(|tool| tool.name.clone()),
                ..none()
            },
            Filter {
                tool: record.asked_tool.clone(),
                ..none()
            },
            Filter {
                subject: record.subject,
                ..none()
            },
            Filter {
                kind: Some(record.kind.clone()),
                ..none()
            },
            Filter {
                kind: record.kind.rsplit_once('.').map(|(kind, _)| kind.into()),
                ..none()
            },
            Filter {
                rule: decision.and_then(|decision| decision.rules.first().cloned()),
                ..none()
            },
            Filter {
                call: Some(record.event_id),
                ..none()
            },
            Filter {
                call: record.parent,
                ..none()
            },
            Filter {
                client: record.client_id.clone(),
                ..none()
            },
            Filter {
                consent: record.consents.first().cloned(),
                ..none()
            },
            Filter {
                decision: result.map(|result| result.status.clone()),
                ..none()
            },
            Filter {
                decision: stage.map(|stage| stage.as_str().to_owned()),
                ..none()
            },
            Filter {
                since: Some(record.at),
                until: record.at.0.checked_add(1).map(Timestamp),
                ..none()
            },
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_held_back_that_the_filter_takes(record in record()) {
            let text = canonical::text(&record).unwrap();
            // As it is read again: numbers that are too large are written as the nearest double.
            let Ok(record) = serde_json::from_str::<Record>(&text) else {
                return Ok(());
            };
            prop_assert_eq!(at(&text), Some(record.at));
            for filter in filters(&record) {
                prop_assert!(filter.takes(&record));
                prop_assert!(Sieve::of(&filter).lets_through(&text), "{:?} {}", filter, text);
            }
        }
    }

    #[test]
    fn an_argument_of_the_name_is_not_taken_for_the_time() {
        for name in ["at", "x\"at", "\"at\":5,", "at\":5"] {
            let text = serde_json::json!({
                "arguments": {"bytes": 1, "kinds": {name: "number"}},
                "at": 7,
                "event_id": "x",
            });
            assert_eq!(at(&text.to_string()), Some(Timestamp(7)), "{name}");
        }
    }

    #[test]
    fn what_surely_does_not_fit_is_held_back() {
        let text = r#"{"at":7,"client_id":"desk","subject":"00","tool":{"name":"notes"},"type":"tool.call"}"#;
        let notes = |tool: &str, until| Filter {
            tool: tool.parse().ok(),
            until,
            ..Filter::default()
        };
        for (filter, expected) in [
            (notes("notes", None), true),
            (notes("note", None), false),
            (notes("notes", Some(Timestamp(8))), true),
            (notes("notes", Some(Timestamp(7))), false),
            (
                Filter {
                    kind: Some("tool".to_owned()),
                    ..Filter::default()
                },
                true,
            ),
            (
                Filter {
                    kind: Some("tool.c".to_owned()),
                    ..Filter::default()
                },
                false,
            ),
            (
                Filter {
                    client: "desktop".parse().ok(),
                    ..Filter::default()
                },
                false,
            ),
        ] {
            assert_eq!(
                Sieve::of(&filter).lets_through(text),
                expected,
                "{filter:?}"
            );
        }
    }
}
