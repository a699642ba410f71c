//! What is written in one value: numbers, strings, and JSON inside strings.

use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

use super::super::class::Kind;
use super::super::words::Field;
use super::super::{Confidence, Finding, Found, Handle, Reason, find, fold, secrets};
use super::{Marked, Place, Step, Walk, head, push_index, push_key};
use crate::limits;

/// Base64 as people send it: either alphabet, with padding or without.
const BASE64: [GeneralPurpose; 2] = {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [
        GeneralPurpose::new(&alphabet::STANDARD, config),
        GeneralPurpose::new(&alphabet::URL_SAFE, config),
    ]
};

impl<'a> Walk<'a> {
    pub(super) fn number(&mut self, number: &Number, place: &Place<'a>) {
        let Some((text, whole)) = digits(number) else {
            return;
        };
        if let Some(marked) = &place.marked {
            self.annotated(marked, text.len());
        }
        let found = self.inner.find_number(&text, place.field, self.room());
        match whole {
            true => self.report(found, false),
            // Its digits stand elsewhere in the JSON text.
            false => {
                let mut found = found;
                for hit in &mut found.hits {
                    hit.span = 0..number.to_string().len();
                }
                self.report(found, false);
            }
        }
    }

    pub(super) fn string(&mut self, text: &'a str, place: &Place<'a>) {
        // What stands for a value is none, whatever its field is called.
        if Handle::is_one(text) {
            self.affordable(text);
            return;
        }
        if let Some(marked) = place.marked.as_ref().filter(|_| !text.is_empty()) {
            self.annotated(marked, text.len());
        }
        let seen = self.affordable(text);
        let mut found = self.inner.find(seen, place.field, self.room());
        let secret = place.field.name.has(Kind::Password.id())
            || place.field.schema.has(Kind::Password.id());
        if secret && is_password(text) {
            self.whole(Kind::Password, Confidence::Sure, &place.field, text);
        }
        let address =
            place.field.name.has(Kind::Address.id()) || place.field.schema.has(Kind::Address.id());
        if address && let Some(confidence) = address_in(text, &found.hits) {
            self.whole(Kind::Address, confidence, &place.field, text);
            // The postcode is a part of the address.
            found.hits.retain(|hit| hit.id != Kind::Postcode.id());
        }
        if let Some(marked) = &place.marked {
            // It is told once, by the author.
            let classes = &self.inner.classes;
            let same = |hit: &find::Hit| classes.get(usize::from(hit.id)) == Some(&marked.class);
            found.hits.retain(|hit| !same(hit));
        }
        let from = self.scan.findings.len();
        self.report(found, false);
        if !self.nested && seen.len() == text.len() {
            self.inside(text, place, from);
        }
    }

    /// JSON in a string, or base64 of it: its own fields say what its values are.
    fn inside(&mut self, text: &str, place: &Place<'a>, from: usize) {
        let Some((value, plain)) = json_in(text) else {
            return;
        };
        let null = Value::Null;
        let mut walk = Walk::new(self.inner, &null, self.bytes_left, true);
        let inside = walk.place(Vec::new(), place.field, None, 0);
        walk.visit(&value, &inside);
        self.bytes_left = walk.bytes_left;
        self.scan.work += walk.scan.work;
        self.scan.truncated |= walk.scan.truncated;
        // With these escapes the same value may stand there in several spellings, of which a search finds one.
        let one_spelling = plain && !text.contains("\\u") && !text.contains("\\/");
        for finding in walk.scan.findings {
            // Where it can be told, every place in the outer text; else all of it.
            let piece = if one_spelling {
                finding.piece(&value)
            } else {
                None
            };
            let piece = piece.filter(|piece| !piece.is_empty());
            let spans: Vec<Range<usize>> = piece.map_or_else(Vec::new, |piece| {
                let found = text.match_indices(piece.as_str());
                found.map(|(at, _)| at..at + piece.len()).collect()
            });
            match spans.is_empty() {
                true => self.merge(from, finding, 0..text.len()),
                false => spans
                    .into_iter()
                    .for_each(|span| self.merge(from, finding.clone(), span)),
            }
        }
    }

    /// Adds what was found inside a string to what was found in its text.
    fn merge(&mut self, from: usize, finding: Finding, span: Range<usize>) {
        let known = self.scan.findings.iter_mut().skip(from).find(|known| {
            known.class == finding.class
                && known.span.start < span.end
                && span.start < known.span.end
        });
        if let Some(known) = known {
            // Of both, so that what stands beside it is not forgotten.
            known.span = known.span.start.min(span.start)..known.span.end.max(span.end);
            if finding.score > known.score {
                known.confidence = finding.confidence;
                known.score = finding.score;
                known.reason = finding.reason;
            }
            return;
        }
        let (pointer, field) = (self.pointer(), self.field());
        self.add(Finding {
            pointer,
            field,
            span,
            in_key: false,
            ..finding
        });
    }

    /// As much of a text as there is room for.
    pub(super) fn affordable<'t>(&mut self, text: &'t str) -> &'t str {
        let seen = head(text, limits::PROTECT_STRING_BYTES_MAX.min(self.bytes_left));
        self.scan.truncated |= seen.len() < text.len();
        self.bytes_left -= seen.len();
        seen
    }

    pub(super) fn room(&self) -> usize {
        limits::PROTECT_FINDINGS_MAX.saturating_sub(self.scan.findings.len())
    }

    pub(super) fn report(&mut self, found: Found, in_key: bool) {
        self.scan.work += found.work;
        self.scan.truncated |= found.full;
        if found.hits.is_empty() {
            return;
        }
        let (pointer, field) = (self.pointer(), self.field());
        for hit in found.hits {
            let Some(class) = self.inner.classes.get(usize::from(hit.id)) else {
                continue;
            };
            self.add(Finding {
                pointer: pointer.clone(),
                field: field.clone(),
                class: class.clone(),
                confidence: hit.confidence,
                score: hit.score,
                reason: hit.reason,
                span: hit.span,
                in_key,
                sealed: false,
            });
        }
    }

    fn add(&mut self, finding: Finding) {
        if self.room() == 0 {
            self.scan.truncated = true;
            return;
        }
        self.scan.findings.push(finding);
    }

    fn annotated(&mut self, marked: &Marked, length: usize) {
        let (pointer, field) = (self.pointer(), self.field());
        self.add(Finding {
            pointer,
            field,
            class: marked.class.clone(),
            sealed: marked.sealed,
            confidence: Confidence::Sure,
            score: 100,
            reason: Reason::Annotated,
            span: 0..length,
            in_key: false,
        });
    }

    /// A whole string that its field's name tells.
    fn whole(&mut self, kind: Kind, confidence: Confidence, field: &Field, text: &str) {
        let Some(class) = self.inner.classes.get(usize::from(kind.id())).cloned() else {
            return;
        };
        let reason = match field.name.has(kind.id()) {
            true => Reason::FieldName,
            false => Reason::Schema,
        };
        let score = match confidence {
            Confidence::Sure => 85,
            Confidence::Likely => 40,
        };
        let (pointer, field) = (self.pointer(), self.field());
        self.add(Finding {
            pointer,
            field,
            class,
            confidence,
            score,
            reason,
            span: 0..text.len(),
            in_key: false,
            sealed: false,
        });
    }

    /// The same with `*` for every place in an array, and for every name that the schema does not list.
    fn field(&self) -> String {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Key(key, true) => push_key(&mut field, key),
                Step::Key(_, false) | Step::Index(_) => field.push_str("/*"),
            }
        }
        field
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            match step {
                Step::Key(key, _) => push_key(&mut pointer, key),
                Step::Index(nth) => push_index(&mut pointer, *nth),
            }
        }
        pointer
    }
}

/// The digits of a whole number, and whether they are how it stands in JSON.
fn digits(number: &Number) -> Option<(String, bool)> {
    if let Some(n) = number.as_u64() {
        return Some((n.to_string(), true));
    }
    if let Some(n) = number.as_i64() {
        return Some((n.unsigned_abs().to_string(), false));
    }
    // 2^53: beyond it a float does not tell its last digits.
    let n = number
        .as_f64()
        .filter(|n| n.abs() < 9_007_199_254_740_992.0 && n.fract() == 0.0)?;
    Some(((n.abs() as u64).to_string(), false))
}

/// A string that is JSON, or base64 of JSON, and whether it stands there plainly.
fn json_in(text: &str) -> Option<(Value, bool)> {
    if text.len() > limits::PROTECT_NESTED_BYTES_MAX {
        return None;
    }
    let opens = |c: Option<u8>| matches!(c, Some(b'{' | b'['));
    let trimmed = text.trim();
    if opens(trimmed.bytes().next()) {
        return Some((serde_json::from_str(trimmed).ok()?, true));
    }
    // What `{`, `[` and white space before them begin with; and prose has spaces.
    let begins = matches!(
        trimmed.bytes().next(),
        Some(b'e' | b'W' | b'I' | b'C' | b'D')
    );
    let letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'-' | b'_' | b'=');
    if !begins || !trimmed.bytes().all(letter) {
        return None;
    }
    let first = trimmed.get(..4)?;
    for engine in &BASE64 {
        let begins = engine.decode(first).ok()?;
        if !opens(begins.trim_ascii_start().first().copied()) {
            continue;
        }
        let value = engine
            .decode(trimmed)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(value) = value {
            return Some((value, false));
        }
    }
    None
}

/// Whether a field that is called a password holds one, and no mark in its place.
fn is_password(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 4 && !secrets::masked(text.as_bytes())
}

/// Whether a field that is called an address holds one of the post.
fn address_in(text: &str, hits: &[find::Hit]) -> Option<Confidence> {
    let text = text.trim();
    // An address of another kind, or of a page.
    let other = [Kind::Email, Kind::Ip, Kind::Mac].map(Kind::id);
    if text.contains("://")
        || hits.iter().any(|hit| other.contains(&hit.id))
        || text.parse::<core::net::IpAddr>().is_ok()
    {
        return None;
    }
    let folded = fold::Folded::new(text);
    let folded = folded.text();
    let japanese = folded.contains(['都', '道', '府', '県', '市', '区', '町', '村']);
    let number = folded.bytes().any(|c| c.is_ascii_digit());
    let parts = folded.contains([' ', ',', '\n']);
    let hexadecimal = folded
        .trim_start_matches("0x")
        .bytes()
        .all(|c| c.is_ascii_hexdigit());
    match (japanese, number, parts) {
        _ if folded.chars().count() < 5 || hexadecimal => None,
        (true, _, _) | (_, true, true) => Some(Confidence::Sure),
        (_, false, true) => Some(Confidence::Likely),
        (_, _, false) => None,
    }
}
