//! Masks what was found. Secrets leave nothing; of a few numbers the last digits stay.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::Finding;
use super::class::Kind;
use crate::limits;

/// What stands for a secret, however long it is.
const SECRET: &str = "********";
/// Fewest letters and digits of which some may stay.
const KEPT_OF_MIN: usize = 10;

/// A text with its findings masked: letters and digits become `*`, what stands between them stays.
///
/// The last four of a card or an IBAN and the last two of a telephone number stay. A secret becomes eight `*`, whatever its length.
pub fn mask_text(text: &str, findings: &[Finding]) -> String {
    let all: Vec<&Finding> = findings.iter().collect();
    masked(text, &all)
}

fn masked(text: &str, findings: &[&Finding]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for part in parts(text, findings) {
        out.push_str(text.get(at..part.span.start).unwrap_or_default());
        let inside = text.get(part.span.clone()).unwrap_or_default();
        if part.secret {
            out.push_str(SECRET);
        } else {
            push_masked(&mut out, inside, part.kept);
        }
        at = part.span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn push_masked(out: &mut String, text: &str, kept: usize) {
    let all = text.chars().filter(|c| c.is_alphanumeric()).count();
    let hidden = match all >= KEPT_OF_MIN {
        true => all - kept,
        false => all,
    };
    let mut seen = 0;
    for c in text.chars() {
        let plain = c.is_whitespace() || c.is_ascii_punctuation();
        seen += usize::from(c.is_alphanumeric());
        // What is neither letter nor sign, such as an emblem or a wide hyphen, may tell something too.
        out.push(if plain || c.is_alphanumeric() && seen > hidden {
            c
        } else {
            '*'
        });
    }
}

/// A stretch of text under one or more findings.
struct Part {
    span: Range<usize>,
    kept: usize,
    secret: bool,
}

/// The findings of a text as stretches that do not overlap, on borders of characters.
fn parts(text: &str, findings: &[&Finding]) -> Vec<Part> {
    let mut spans: Vec<Part> = findings.iter().map(|finding| part(text, finding)).collect();
    spans.sort_by_key(|part| part.span.start);
    let mut all: Vec<Part> = Vec::with_capacity(spans.len());
    for part in spans {
        match all.last_mut() {
            Some(last) if part.span.start < last.span.end => {
                last.span.end = last.span.end.max(part.span.end);
                last.kept = last.kept.min(part.kept);
                last.secret |= part.secret;
            }
            _ => all.push(part),
        }
    }
    all
}

fn part(text: &str, finding: &Finding) -> Part {
    let (mut start, mut end) = (
        finding.span.start.min(text.len()),
        finding.span.end.min(text.len()),
    );
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Part {
        span: start..end.max(start),
        kept: Kind::kept(finding.class.as_str()),
        secret: finding.class.built_in().is_some_and(|one| one.secret),
    }
}

/// Masks strings and object keys in place, and returns the pointers of numbers that hold findings: those cannot be masked.
///
/// Keys that become the same are told apart by a number.
pub fn mask(value: &mut Value, findings: &[Finding]) -> Vec<String> {
    let mut by_place: HashMap<(&str, bool), Vec<&Finding>> = HashMap::new();
    for finding in findings {
        let place = (finding.pointer.as_str(), finding.in_key);
        by_place.entry(place).or_default().push(finding);
    }
    let mut numbers = Vec::new();
    if !by_place.is_empty() {
        mask_at(value, &mut String::new(), &by_place, &mut numbers, 0);
    }
    numbers
}

type Places<'a> = HashMap<(&'a str, bool), Vec<&'a Finding>>;

fn mask_at(
    value: &mut Value,
    pointer: &mut String,
    places: &Places<'_>,
    numbers: &mut Vec<String>,
    depth: usize,
) {
    // Nothing is found any deeper.
    if depth > limits::PROTECT_DEPTH_MAX {
        return;
    }
    let length = pointer.len();
    match value {
        Value::String(text) => {
            if let Some(findings) = places.get(&(pointer.as_str(), false)) {
                *text = masked(text, findings);
            }
        }
        Value::Number(_) if places.contains_key(&(pointer.as_str(), false)) => {
            numbers.push(pointer.clone())
        }
        Value::Array(items) => {
            for (nth, item) in items.iter_mut().enumerate() {
                super::walk::push_index(pointer, nth);
                mask_at(item, pointer, places, numbers, depth + 1);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            let mut renamed = false;
            for (key, item) in fields.iter_mut() {
                super::walk::push_key(pointer, key);
                renamed |= places.contains_key(&(pointer.as_str(), true));
                mask_at(item, pointer, places, numbers, depth + 1);
                pointer.truncate(length);
            }
            if renamed {
                *fields = rename(std::mem::take(fields), pointer, places);
            }
        }
        _ => {}
    }
}

fn rename(
    fields: Map<String, Value>,
    pointer: &mut String,
    places: &Places<'_>,
) -> Map<String, Value> {
    let length = pointer.len();
    let mut all = Map::with_capacity(fields.len());
    let mut same: HashMap<String, usize> = HashMap::new();
    for (key, value) in fields {
        super::walk::push_key(pointer, &key);
        let new = places
            .get(&(pointer.as_str(), true))
            .map(|findings| masked(&key, findings));
        pointer.truncate(length);
        let mut name = new.unwrap_or(key);
        if all.contains_key(&name) {
            let base = name.clone();
            let times = same.entry(base.clone()).or_insert(1);
            while all.contains_key(&name) {
                *times += 1;
                name = format!("{base}#{times}");
            }
        }
        all.insert(name, value);
    }
    all
}
