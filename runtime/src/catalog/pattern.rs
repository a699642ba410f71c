//! What a pattern of a schema may cost: how many there are, and how long it takes to try one on a text.
//!
//! The engine is linear in the text, but for each byte of it an author can make it visit every state of the pattern. So
//! the price of a trial is the length of the text times that of the pattern with its repetitions written out. Nothing
//! here matches a pattern or says whether it is a valid one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::limits::SCHEMA_PATTERN_WORK_PER_STEP;

/// The weight of a pattern that cannot be weighed: it is tried on no text.
const WEIGHT_MAX: usize = usize::MAX;

/// The patterns that stand directly in a schema: its `pattern`, and the names of its `patternProperties`.
pub(super) fn of(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = schema.get("patternProperties").and_then(Value::as_object);
    let names = names.into_iter().flat_map(Map::keys).map(String::as_str);
    let one = schema.get("pattern").and_then(Value::as_str);
    one.into_iter().chain(names)
}

/// The weight of each pattern of one schema.
#[derive(Debug, Default)]
pub(super) struct Weights(HashMap<String, usize>);

impl Weights {
    /// Weighs these patterns.
    pub(super) fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let weighed = patterns.into_iter();
        Self(weighed.map(|one| (one.to_owned(), weight(one))).collect())
    }

    /// The steps that it costs to try a pattern on a text; a pattern that was not weighed is tried on none.
    pub(super) fn steps(&self, pattern: &str, text: &str) -> usize {
        let weight = self.0.get(pattern).copied().unwrap_or(WEIGHT_MAX);
        // To look the weight up takes as long as the pattern is.
        let work = text.len().saturating_mul(weight);
        let work = work.saturating_add(pattern.len());
        (work / SCHEMA_PATTERN_WORK_PER_STEP).saturating_add(1)
    }
}

/// A group that is open: what it weighs so far, and the last part of it, which a repetition would repeat.
#[derive(Clone, Copy, Default)]
struct Group {
    sum: usize,
    last: usize,
}

impl Group {
    fn push(&mut self, part: usize) {
        self.sum = self.sum.saturating_add(part);
        self.last = part;
    }

    fn repeat(&mut self, times: usize) {
        let all = self.last.saturating_mul(times);
        self.sum = self.sum.saturating_add(all.saturating_sub(self.last));
        self.last = all;
    }
}

/// The parts of a pattern, where a part that is repeated counts as often as it may be. Where the notation could be read
/// in two ways, the dearer one holds.
fn weight(pattern: &str) -> usize {
    if verbose(pattern) {
        return WEIGHT_MAX;
    }
    let mut outer = Vec::new();
    let mut open = Group::default();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                rest.next();
                open.push(2);
            }
            '[' => {
                class(&mut rest);
                open.push(2);
            }
            '(' => outer.push(std::mem::take(&mut open)),
            ')' => {
                let inner = open.sum.saturating_add(1);
                // One that closes nothing closes all that there is.
                open = outer.pop().unwrap_or_default();
                open.push(inner);
            }
            '{' => match times(rest.as_str()) {
                Some((times, length)) => {
                    open.repeat(times);
                    rest = rest.as_str().get(length..).unwrap_or_default().chars();
                }
                None => open.push(1),
            },
            // They repeat the part before, and whatever comes after may repeat both.
            '*' | '+' | '?' => {
                open.sum = open.sum.saturating_add(1);
                open.last = open.last.saturating_add(1);
            }
            _ => open.push(1),
        }
    }
    let unclosed = outer.iter().map(|group| group.sum);
    unclosed.fold(open.sum, usize::saturating_add).max(1)
}

/// Whether a flag may allow blanks and comments in a pattern, which hide what repeats what.
fn verbose(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|flags| {
        let mut flags = flags
            .chars()
            .take_while(|c| c.is_ascii_alphabetic() || *c == '-');
        flags.any(|flag| flag == 'x')
    })
}

/// Goes behind a class.
fn class(rest: &mut std::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            ']' => return,
            _ => {}
        }
    }
}

/// How often `n}`, `n,}` or `n,m}` repeats at most, or at least where it has no end, and how long it is.
fn times(after: &str) -> Option<(usize, usize)> {
    let (inner, _) = after.split_once('}')?;
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let number = |digits: &str| match digits.trim() {
        "" => Some(1),
        all if all.bytes().all(|b| b.is_ascii_digit()) => Some(all.parse().unwrap_or(usize::MAX)),
        _ => None,
    };
    let times = number(least)?.max(number(most)?).max(1);
    // An end that is open is one more part.
    let open = usize::from(inner.contains(','));
    Some((times.saturating_add(open), inner.len().saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_multiplied_out() {
        for (pattern, least, most) in [
            ("", 1, 1),
            ("^abc$", 5, 5),
            ("[01]*1[01]{500}", 1_000, 1_010),
            ("a{10}{10}", 100, 100),
            ("(a{10}b){10}", 110, 130),
            ("(?:a{2,10}){3,}", 40, 60),
            ("((ab){3}c){20}", 140, 240),
            ("[({]{40}", 80, 80),
            (r"[\]{]{40}", 80, 80),
            (r"\({40}", 80, 80),
            ("a{x}", 4, 4),
            ("ab){30}", 60, 100),
            ("(((a{30}", 30, 40),
            ("a+{30}", 60, 60),
            ("a{99999999999999999999}", 1 << 60, WEIGHT_MAX),
            ("(?x) a #[\n{1000}#]", WEIGHT_MAX, WEIGHT_MAX),
            ("(?i-x:a)", WEIGHT_MAX, WEIGHT_MAX),
        ] {
            let found = weight(pattern);
            assert!((least..=most).contains(&found), "{pattern}: {found}");
        }
    }

    #[test]
    fn the_price_grows_with_the_text_and_with_the_pattern() {
        let weights = Weights::of(["a", "a{640}"]);
        assert_eq!(weights.steps("a", ""), 1);
        assert_eq!(weights.steps("a", &"a".repeat(6_400)), 101);
        assert_eq!(weights.steps("a{640}", &"a".repeat(100)), 1_001);
        assert!(weights.steps("unknown", "a") > weights.steps("a{640}", "a"));
        assert!(weights.steps(&"a".repeat(64_000), "") > 1_000);
    }
}
