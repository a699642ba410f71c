//! The arguments of a call, as far as a question is about them: their digest, to which an answer can be bound, and their text,
//! which the user reads who answers.
//!
//! The text is kept in memory for as long as the question is open and nowhere else: no value of an argument is written to disk.
//! After a restart the question says that it is over, until the call is made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use moka::sync::Cache;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::OFFER_TTL;
use crate::ids::Digest;

/// Longest arguments that a user is asked about, in characters as they are shown: some hundred lines, which a person can still
/// read. What is longer is not shown in part, for what is left out could be what matters.
pub const ARGUMENTS_SHOWN_CHARS_MAX: usize = 8_000;
/// Arguments that are kept for open questions, in bytes. Beyond it some question says that it is over and is asked again.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The arguments of one call.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    values: &'a Map<String, Value>,
    digest: Digest,
}

impl<'a> Arguments<'a> {
    /// These.
    pub fn of(values: &'a Map<String, Value>) -> Self {
        // JSON of our own values is always written.
        let text = serde_json::to_string(&Members(values)).unwrap_or_default();
        Self {
            values,
            digest: Digest::of(text.as_bytes()),
        }
    }

    /// SHA-256 of their JSON, by the names of its members in order. Not RFC 8785, by which large integers that differ are written
    /// alike: an answer would be good for another amount than was shown.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// They as a user reads them, whole; nothing where they are too long.
    pub(super) fn shown(&self) -> Option<Arc<str>> {
        let text = serde_json::to_string_pretty(&Members(self.values)).ok()?;
        (text.chars().count() <= ARGUMENTS_SHOWN_CHARS_MAX).then(|| text.into())
    }
}

/// An object by the names of its members in order, at every depth.
struct Members<'a>(&'a Map<String, Value>);

/// A value whose objects are so.
struct Ordered<'a>(&'a Value);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ordered: BTreeMap<_, _> = self.0.iter().collect();
        let ordered = ordered.into_iter();
        serializer.collect_map(ordered.map(|(name, value)| (name, Ordered(value))))
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => Members(members).serialize(serializer),
            Value::Array(all) => serializer.collect_seq(all.iter().map(Ordered)),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                plain.serialize(serializer)
            }
        }
    }
}

/// The arguments of open questions that are bound to them, by the hash of the ticket. Cheap to clone: every clone is the same.
#[derive(Clone)]
pub(super) struct Kept(Cache<Digest, Arc<str>>);

impl Default for Kept {
    fn default() -> Self {
        let weight = |_: &Digest, text: &Arc<str>| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let cache = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .weigher(weight)
            // As long as any question stays open.
            .time_to_live(OFFER_TTL);
        Self(cache.build())
    }
}

impl Kept {
    pub(super) fn keep(&self, ticket: Digest, text: Arc<str>) {
        self.0.insert(ticket, text);
    }

    pub(super) fn of(&self, ticket: Digest) -> Option<Arc<str>> {
        self.0.get(&ticket)
    }

    pub(super) fn forget(&self, ticket: Digest) {
        self.0.invalidate(&ticket);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_shown_whole_or_not_at_all() {
        let of = |length: usize| {
            let values = json!({"text": "x".repeat(length)});
            let values = values.as_object().unwrap().clone();
            Arguments::of(&values).shown()
        };
        let around = of(0).unwrap().chars().count();
        let whole = of(ARGUMENTS_SHOWN_CHARS_MAX - around).unwrap();
        assert_eq!(whole.chars().count(), ARGUMENTS_SHOWN_CHARS_MAX);
        assert_eq!(of(ARGUMENTS_SHOWN_CHARS_MAX - around + 1), None);
    }

    #[test]
    fn arguments_are_the_same_in_any_order_and_other_ones_with_any_other_value() {
        let of = |text: &str| {
            let values: Value = serde_json::from_str(text).unwrap();
            let values = values.as_object().unwrap().clone();
            let arguments = Arguments::of(&values);
            (arguments.digest(), arguments.shown().unwrap())
        };
        let one = of(r#"{"a": {"x": 1, "y": [1, {"p": 2, "q": null}]}, "b": 9007199254740993}"#);
        let same = of(r#"{"b": 9007199254740993, "a": {"y": [1, {"q": null, "p": 2}], "x": 1}}"#);
        assert_eq!(one, same);
        assert!(one.1.contains("9007199254740993"));
        for other in [
            r#"{"b": 9007199254740992, "a": {"y": [1, {"q": null, "p": 2}], "x": 1}}"#,
            r#"{"b": 9007199254740993, "a": {"y": [{"q": null, "p": 2}, 1], "x": 1}}"#,
            r#"{"b": 9007199254740993, "a": {"y": [1, {"p": 2}], "x": 1}}"#,
            r#"{"b": "9007199254740993", "a": {"y": [1, {"q": null, "p": 2}], "x": 1}}"#,
        ] {
            assert_ne!(one.0, of(other).0, "{other}");
        }
    }

    #[test]
    fn what_was_answered_is_forgotten() {
        let (kept, ticket) = (Kept::default(), Digest::of(b"ticket"));
        assert_eq!(kept.of(ticket), None);
        kept.keep(ticket, "{}".into());
        assert_eq!(kept.of(ticket).as_deref(), Some("{}"));
        kept.forget(ticket);
        assert_eq!(kept.of(ticket), None);
    }
}
