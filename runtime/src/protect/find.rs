//! One pass over one folded text. Words and a few signs are looked at, each over a bounded stretch; everything else is passed by.

use std::ops::Range;

use super::class::{Id, Kind, OTHER};
use super::forms::{Alone, DIGITS_MAX, FORMS, Form, Proof};
use super::rules::Rules;
use super::words::{Field, Near, Words};
use super::{Confidence, Reason, secrets};

mod network;
mod numbers;
mod phone;

/// How far back a word may begin before its first digit, in bytes: more than any number has.
const WORD_BYTES_MAX: usize = 40;
/// Shortest key that stands in one word without a sign, in bytes.
const KEY_BYTES_MIN: usize = 20;
/// Longest word before the sign of a key, in bytes: `github_`.
const KEY_WORD_BYTES_MAX: usize = 6;

/// Something found, at bytes of the folded text.
#[derive(Clone)]
pub(super) struct Hit {
    pub(super) id: Id,
    pub(super) span: Range<usize>,
    pub(super) confidence: Confidence,
    pub(super) score: u8,
    pub(super) reason: Reason,
}

/// The forms by the length of their first group.
pub(super) struct Forms([Vec<&'static Form>; DIGITS_MAX]);

impl Forms {
    pub(super) fn new() -> Self {
        let mut all: [Vec<&'static Form>; DIGITS_MAX] = Default::default();
        for form in FORMS {
            let first = form.groups.first().copied().unwrap_or(0);
            if let Some(same) = all.get_mut(usize::from(first)) {
                same.push(form);
            }
        }
        Self(all)
    }
}

/// Where a look is worth it: digits, signs, and the capitals that some keys are known by. Everything else is passed by.
static LOOKS: [bool; 256] = {
    let mut all = [false; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(
            clippy::indexing_slicing,
            reason = "at is below 256, and this runs when compiled"
        )]
        {
            all[at] = matches!(
                at as u8,
                b'0'..=b'9' | b'@' | b':' | b'+' | b'(' | b'-' | b'_' | b'.' | b'A' | b'J'
            );
        }
        at += 1;
    }
    all
};

fn looks(c: u8) -> bool {
    LOOKS.get(usize::from(c)).copied().unwrap_or(false)
}

/// A search through one text.
pub(super) struct Finder<'a> {
    words: &'a Words,
    forms: &'a Forms,
    text: &'a [u8],
    field: Field,
    /// The text is the digits of a JSON number: ids and times mostly are.
    number: bool,
    /// What was said before the last value that was weighed.
    before: Option<(usize, Near)>,
    /// Up to where the tail of something that was taken for a key was read.
    keys_read: usize,
    /// Up to where everything was looked at.
    done: usize,
    room: usize,
    pub(super) hits: Vec<Hit>,
    /// More was found than there is room for.
    pub(super) full: bool,
    /// Bytes looked at beyond the one pass.
    pub(super) work: u64,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        words: &'a Words,
        forms: &'a Forms,
        text: &'a str,
        field: Field,
        room: usize,
    ) -> Self {
        Self {
            words,
            forms,
            text: text.as_bytes(),
            field,
            number: false,
            before: None,
            keys_read: 0,
            done: 0,
            room,
            hits: Vec::new(),
            full: false,
            work: 0,
        }
    }

    pub(super) fn of_number(self) -> Self {
        Self {
            number: true,
            ..self
        }
    }

    pub(super) fn run(&mut self) {
        let mut at = 0;
        while !self.full {
            let rest = self.text.get(at..).unwrap_or_default();
            let Some(skip) = rest.iter().position(|c| looks(*c)) else {
                break;
            };
            at += skip;
            let next = match self.byte(at) {
                b'@' => self.email(at),
                b':' => self.colon(at),
                b'-' | b'_' | b'.' => self.sign(at),
                b'+' | b'(' => self.phone(at),
                b'A' | b'J' => self.capital(at),
                _ => self.word(at),
            };
            if next > at + 1 {
                self.done = next;
            }
            at = next.max(at + 1);
        }
    }

    /// The byte at a place; beyond the text there are blanks.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(b' ')
    }

    fn back(&self, at: usize, back: usize) -> u8 {
        at.checked_sub(back).map_or(b' ', |at| self.byte(at))
    }

    fn slice(&self, span: &Range<usize>) -> &'a [u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Whether nothing is joined to a number that has groups of this length first and last.
    fn is_free(&self, span: &Range<usize>, first: usize, groups: usize) -> bool {
        let joins = |c: u8| matches!(c, b'-' | b'_' | b'.' | b'/' | b'\\' | b'+');
        let left = self.back(span.start, 1);
        let right = self.byte(span.end);
        let joined = joins(left) && self.back(span.start, 2).is_ascii_alphanumeric()
            || joins(right) && self.byte(span.end + 1).is_ascii_alphanumeric();
        let row = |from: usize, step: fn(usize, usize) -> usize| {
            (0..=first)
                .take_while(|n| self.byte(step(from, *n)).is_ascii_digit())
                .count()
        };
        // One more group of the same kind: then it is a longer row of groups.
        let longer = groups > 1
            && (left == b' '
                && span.start > 1
                && row(span.start - 2, usize::wrapping_sub) == first
                || right == b' ' && row(span.end + 1, usize::wrapping_add) == first);
        !joined && !longer
    }

    fn near(&mut self, span: &Range<usize>) -> Near {
        let before = match self.before {
            Some((start, near)) if start == span.start => near,
            _ => self.words.before(self.text, span.start, &mut self.work),
        };
        self.before = Some((span.start, before));
        self.words
            .after(self.text, span.end, before, &mut self.work)
    }

    fn push(
        &mut self,
        id: Id,
        span: Range<usize>,
        confidence: Confidence,
        score: u8,
        reason: Reason,
    ) {
        if self.hits.len() >= self.room {
            self.full = true;
            return;
        }
        self.hits.push(Hit {
            id,
            span,
            confidence,
            score,
            reason,
        });
    }

    /// Weighs what a number shows by itself and what is said around it; whether it is one for sure.
    fn weigh(
        &mut self,
        kind: Kind,
        span: Range<usize>,
        proof: Proof,
        alone: Alone,
        free: bool,
    ) -> bool {
        self.weigh_id(kind.id(), span, proof, alone, free)
    }

    fn weigh_id(
        &mut self,
        id: Id,
        span: Range<usize>,
        proof: Proof,
        alone: Alone,
        free: bool,
    ) -> bool {
        // Where nothing can be said around it, the field alone decides.
        let near = match span == (0..self.text.len()) {
            true => Near::default(),
            false => self.near(&span),
        };
        let formed = proof == Proof::Formed;
        let reason = if near.label.has(id) || !formed && near.said.has(id) {
            Some(Reason::Context)
        } else if formed && !near.label.is_empty() {
            None
        } else if self.field.name.has(id) {
            Some(Reason::FieldName)
        } else if self.field.schema.has(id) {
            Some(Reason::Schema)
        } else {
            None
        };
        if let Some(reason) = reason {
            let score = if formed { 85 } else { 98 };
            self.push(id, span, Confidence::Sure, score, reason);
            return true;
        }
        let by_itself = match proof {
            Proof::Checked => Reason::Checksum,
            Proof::Ranged => Reason::Range,
            Proof::Formed => Reason::Form,
        };
        let other = self.field.other || near.label.has(OTHER);
        match alone {
            Alone::Sure if free && !other && !self.number => {
                self.push(id, span, Confidence::Sure, 90, by_itself);
                return true;
            }
            Alone::Sure | Alone::Likely if free || proof == Proof::Ranged => {
                let score = if formed { 40 } else { 55 };
                self.push(id, span, Confidence::Likely, score, by_itself);
            }
            _ => {}
        }
        false
    }

    /// What the operator's own rules find.
    pub(super) fn rules(&mut self, rules: &Rules) {
        let (text, mut work) = (self.text, 0);
        rules.each(text, &mut work, |rule, span| {
            if self.full {
                return;
            }
            if rule.has_words {
                self.weigh_id(rule.id, span, Proof::Checked, Alone::Likely, true);
            } else {
                self.push(rule.id, span, Confidence::Sure, 90, Reason::Rule);
            }
        });
        self.work += work;
    }

    fn secret(&mut self, found: secrets::Secret) -> usize {
        let end = found.span.end;
        self.push(
            found.kind.id(),
            found.span,
            Confidence::Sure,
            95,
            Reason::Prefix,
        );
        end
    }

    /// How many letters and digits stand directly before a place, and were not looked at yet.
    fn letters_before(&self, at: usize, most: usize) -> usize {
        let most = most.min(at.saturating_sub(self.done));
        let letter = |n: &usize| self.back(at, *n).is_ascii_alphanumeric();
        (1..=most).take_while(letter).count()
    }

    /// A sign that joins words; the word before it may say what begins.
    fn sign(&mut self, at: usize) -> usize {
        let begins = |what: &[u8]| {
            self.text
                .get(at..)
                .is_some_and(|rest| rest.starts_with(what))
        };
        if begins(b"-----BEGIN ")
            && let Some(found) = secrets::pem_at(self.text, at)
        {
            return self.secret(found);
        }
        let length = (1..=KEY_WORD_BYTES_MAX + 1)
            .take_while(|n| self.back(at, *n).is_ascii_alphanumeric())
            .count();
        let start = at - length;
        if length == 0 || length > KEY_WORD_BYTES_MAX {
            return at + 1;
        }
        if let Some(end) = self.key(start) {
            return end;
        }
        // With a digit in it the word was looked at when that came.
        if start < self.done {
            return at + 1;
        }
        match (length, self.byte(at)) {
            (2, b'-') | (4, b'.') => self.mac(start, self.byte(at)).unwrap_or(at + 1),
            (1, b'-') => self.hyphened_nie(start).unwrap_or(at + 1),
            _ => at + 1,
        }
    }

    /// The capitals of keys that have no sign, and may have no digit: `AKIA…`, `AIza…`, `eyJ…`.
    fn capital(&mut self, at: usize) -> usize {
        if self.byte(at) == b'A' {
            let key = matches!(
                self.slice(&(at + 1..at + 4)),
                b"KIA" | b"SIA" | b"BIA" | b"Iza"
            );
            let whole = !self.back(at, 1).is_ascii_alphanumeric();
            return (key && whole)
                .then(|| self.key(at))
                .flatten()
                .unwrap_or(at + 1);
        }
        let Some(start) = at.checked_sub(2) else {
            return at + 1;
        };
        let token =
            self.slice(&(start..at)) == b"ey" && !self.back(start, 1).is_ascii_alphanumeric();
        if token && start >= self.done {
            self.work += 1;
            if let Some(found) = secrets::jwt_at(self.text, start) {
                return self.secret(found);
            }
        }
        at + 1
    }

    /// A key that begins here.
    fn key(&mut self, start: usize) -> Option<usize> {
        if start < self.keys_read {
            return None;
        }
        let (found, read) = secrets::key_at(self.text, start);
        self.work += read as u64;
        self.keys_read = start + read;
        found.map(|found| self.secret(found))
    }

    /// Looks at the word around a digit; where to go on.
    fn word(&mut self, at: usize) -> usize {
        let start = at - self.letters_before(at, WORD_BYTES_MAX);
        let rest = self.text.get(start..).unwrap_or_default();
        let (mut letters, mut small, mut length) = (false, false, 0);
        for c in rest {
            match c {
                b'0'..=b'9' => {}
                b'A'..=b'Z' => letters = true,
                b'a'..=b'z' => small = true,
                _ => break,
            }
            length += 1;
        }
        let end = start + length;
        let next = self.byte(end);
        if length >= KEY_BYTES_MIN
            && let Some(end) = self.key(start)
        {
            return end;
        }
        if matches!((length, next), (2, b'-') | (4, b'.'))
            && let Some(end) = self.mac(start, next)
        {
            return end;
        }
        if letters || small {
            return self.mixed(start, end, small);
        }
        if length == 2
            && let Some(end) = start
                .checked_sub(3)
                .and_then(|start| self.spaced_nino(start))
        {
            return end;
        }
        self.digits(start, end)
    }
}

/// A few digits.
#[derive(Default)]
struct Number {
    digits: [u8; DIGITS_MAX],
    length: usize,
}

impl Number {
    fn push(&mut self, c: u8) {
        if let Some(to) = self.digits.get_mut(self.length) {
            *to = c;
            self.length += 1;
        }
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }
}

/// Of hits at the same place, those that say most: sure ones over likely ones, longer ones over what they hold.
pub(super) fn settle(mut hits: Vec<Hit>) -> Vec<Hit> {
    let rank = |hit: &Hit| (hit.confidence, hit.span.len(), hit.score);
    hits.sort_by_key(|hit| (hit.span.start, std::cmp::Reverse(hit.span.end)));
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        let overlaps =
            |other: &Hit| other.span.start < hit.span.end && hit.span.start < other.span.end;
        let mut beaten = false;
        // Everything before has begun before: only the last few can reach into this one.
        let reach = kept
            .iter()
            .rposition(|other| other.span.end <= hit.span.start)
            .map_or(0, |at| at + 1);
        let mut tail = kept.split_off(reach);
        tail.retain(|other| {
            if !overlaps(other)
                || other.id != hit.id
                    && other.span == hit.span
                    && other.confidence == hit.confidence
            {
                return true;
            }
            if rank(other) >= rank(&hit) {
                beaten = true;
                return true;
            }
            false
        });
        kept.append(&mut tail);
        if !beaten {
            kept.push(hit);
        }
    }
    kept
}
