//! One pass over one folded text. Words and a few signs are looked at, each over a bounded stretch; everything else is passed by.

use std::ops::Range;

use super::class::{Id, Kind, OTHER};
use super::forms::{Alone, Between, DIGITS_MAX, FORMS, Form, Proof, WORD_FORMS, WordForm};
use super::rules::Rules;
use super::words::{Field, Near, Words};
use super::{Confidence, Reason, checks, secrets};

mod network;
mod phone;

/// Longest word of letters and digits that can be a number, in bytes: an IBAN has 34.
const WORD_BYTES_MAX: usize = 34;
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

const LETTER: u8 = 1;
const SMALL: u8 = 2;
const DIGIT: u8 = 4;
const SIGN: u8 = 8;
const WORD: u8 = LETTER | SMALL | DIGIT;

/// What each byte is; everything that is nothing is passed by.
static BYTES: [u8; 256] = {
    let mut all = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(
            clippy::indexing_slicing,
            reason = "at is below 256, and this runs when compiled"
        )]
        {
            all[at] = match at as u8 {
                b'0'..=b'9' => DIGIT,
                b'A'..=b'Z' => LETTER,
                b'a'..=b'z' => SMALL,
                b'@' | b':' | b'+' | b'(' | b'-' => SIGN,
                _ => 0,
            };
        }
        at += 1;
    }
    all
};

fn kind(c: u8) -> u8 {
    BYTES.get(usize::from(c)).copied().unwrap_or(0)
}

/// A search through one text.
pub(super) struct Finder<'a> {
    words: &'a Words,
    forms: &'a Forms,
    text: &'a [u8],
    field: Field,
    /// The text is the digits of a JSON number: ids and times mostly are.
    number: bool,
    near: Option<(Range<usize>, Near)>,
    /// Up to where the tail of something that was taken for a key was read.
    keys_read: usize,
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
            near: None,
            keys_read: 0,
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
            let Some(skip) = rest.iter().position(|c| kind(*c) != 0) else {
                break;
            };
            at += skip;
            let next = match self.byte(at) {
                b'@' => self.email(at),
                b':' => self.colon(at),
                b'-' => self.hyphen(at),
                b'+' | b'(' => self.phone(at),
                _ => self.word(at),
            };
            at = next.max(at + 1);
        }
    }

    /// The byte at a place; beyond the text there are blanks.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(b' ')
    }

    fn before(&self, at: usize, back: usize) -> u8 {
        at.checked_sub(back).map_or(b' ', |at| self.byte(at))
    }

    fn slice(&self, span: &Range<usize>) -> &'a [u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Whether nothing is joined to a number that has groups of this length first and last.
    fn is_free(&self, span: &Range<usize>, first: usize, groups: usize) -> bool {
        let joins = |c: u8| matches!(c, b'-' | b'_' | b'.' | b'/' | b'\\' | b'+');
        let left = self.before(span.start, 1);
        let right = self.byte(span.end);
        let joined = joins(left) && self.before(span.start, 2).is_ascii_alphanumeric()
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
        match &self.near {
            Some((of, near)) if of == span => *near,
            _ => {
                let near = self.words.near(self.text, span, &mut self.work);
                self.near = Some((span.clone(), near));
                near
            }
        }
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

    fn hyphen(&mut self, at: usize) -> usize {
        let begins = self
            .text
            .get(at..)
            .is_some_and(|rest| rest.starts_with(b"-----BEGIN "));
        match begins.then(|| secrets::pem_at(self.text, at)).flatten() {
            Some(found) => self.secret(found),
            None => at + 1,
        }
    }

    /// Looks at the word that begins here; where to go on.
    fn word(&mut self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let (mut seen, mut length) = (0, 0);
        for c in rest {
            let kind = kind(*c);
            if kind & WORD == 0 {
                break;
            }
            seen |= kind;
            length += 1;
        }
        let end = start + length;
        let next = self.byte(end);
        if seen & DIGIT == 0
            && length > 2
            && length < KEY_BYTES_MIN
            && !matches!(next, b'-' | b'_' | b'.')
        {
            return end;
        }
        if let Some(end) = self.opens(start, length, next) {
            return end;
        }
        let hexadecimal = || rest.iter().take(length).all(u8::is_ascii_hexdigit);
        if matches!((length, next), (2, b'-') | (4, b'.'))
            && hexadecimal()
            && let Some(end) = self.mac(start, next)
        {
            return end;
        }
        match seen {
            DIGIT => self.digits(start, end),
            _ if seen & DIGIT != 0 => self.mixed(start, end, seen),
            LETTER if length == 2 && matches!(next, b' ' | b'-') => {
                self.spaced_nino(start).unwrap_or(end)
            }
            LETTER if length == 1 && next == b'-' => self.hyphened_nie(start).unwrap_or(end),
            _ => end,
        }
    }

    /// A key or a token that begins with a word.
    fn opens(&mut self, start: usize, length: usize, next: u8) -> Option<usize> {
        let rest = self.text.get(start..)?;
        if length >= 12 && rest.starts_with(b"eyJ")
            || next == b'.' && rest.starts_with(b"eyJ")
            || rest.starts_with(b"eyJ") && matches!(next, b'-' | b'_')
        {
            self.work += length as u64;
            if let Some(found) = secrets::jwt_at(self.text, start) {
                return Some(self.secret(found));
            }
        }
        let signed = length <= KEY_WORD_BYTES_MAX && matches!(next, b'-' | b'_' | b'.');
        if (signed || length >= KEY_BYTES_MIN) && start >= self.keys_read {
            let (found, read) = secrets::key_at(self.text, start);
            self.work += read as u64;
            self.keys_read = start + read;
            if let Some(found) = found {
                return Some(self.secret(found));
            }
        }
        None
    }

    /// A number that begins with these digits.
    fn digits(&mut self, start: usize, end: usize) -> usize {
        let first = end - start;
        if first <= 3
            && self.byte(end) == b'.'
            && let Some(end) = self.ipv4(start)
        {
            return end;
        }
        if let Some(end) = self.date(start, first) {
            return end;
        }
        let mut done = end;
        let forms = self.forms;
        for form in forms.0.get(first).into_iter().flatten() {
            let Some((number, stop)) = self.grouped(start, form) else {
                continue;
            };
            if !(form.check)(number.digits()) {
                continue;
            }
            let span = start..stop;
            let free = self.is_free(&span, first, form.groups.len());
            if self.weigh(form.kind, span, form.proof, form.alone, free) {
                done = done.max(stop);
            }
        }
        if first == 8
            && self.byte(end) == b'-'
            && self.byte(end + 1).is_ascii_alphabetic()
            && !self.byte(end + 2).is_ascii_alphanumeric()
        {
            done = done.max(self.hyphened_nif(start));
        }
        let joined = matches!(self.before(start, 1), b'-' | b'.' | b'/' | b'_')
            && self.before(start, 2).is_ascii_alphanumeric();
        if done > end || joined {
            return done;
        }
        self.phone(start).max(end)
    }

    /// The digits of a number that is written in this form, and where it ends.
    fn grouped(&mut self, start: usize, form: &Form) -> Option<(Number, usize)> {
        let mut number = Number::default();
        let mut at = start;
        let mut same = None;
        for (nth, group) in form.groups.iter().enumerate() {
            if nth > 0 {
                let c = self.byte(at);
                let fits = match form.between {
                    Between::Same(set) => set.contains(&c) && *same.get_or_insert(c) == c,
                    Between::Each(each) => each.get(nth - 1) == Some(&c),
                };
                if !fits {
                    return None;
                }
                at += 1;
            }
            for _ in 0..*group {
                let c = self.byte(at);
                if !c.is_ascii_digit() {
                    return None;
                }
                number.push(c);
                at += 1;
            }
        }
        self.work += (at - start) as u64;
        let next = self.byte(at);
        (!next.is_ascii_alphanumeric()).then_some((number, at))
    }

    /// A word of letters and digits.
    fn mixed(&mut self, start: usize, end: usize, seen: u8) -> usize {
        let length = end - start;
        if length > WORD_BYTES_MAX {
            return end;
        }
        let word = self.slice(&(start..end));
        let mut room = [0; WORD_BYTES_MAX];
        for (to, c) in room.iter_mut().zip(word) {
            *to = c.to_ascii_uppercase();
        }
        let plain = room.get(..length).unwrap_or_default();
        if let Some(end) = self.iban(start, plain) {
            return end;
        }
        let mut done = end;
        for WordForm(kind, of, check, proof, alone) in WORD_FORMS {
            if *of != length || !check(plain) {
                continue;
            }
            // People write these in capitals; small letters are those of a generated id.
            let alone = match seen & SMALL != 0 && *proof != Proof::Ranged {
                true => Alone::Unseen,
                false => *alone,
            };
            let span = start..end;
            let free = self.is_free(&span, length, 1);
            if self.weigh(*kind, span, *proof, alone, free) {
                done = end;
            }
        }
        // `TEL03-1234-5678`.
        let letters = word.iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let label = plain.get(..letters).unwrap_or_default();
        let number = word.get(letters..).unwrap_or_default();
        if matches!(label, b"TEL" | b"FAX" | b"PHONE" | b"MOBILE")
            && number.iter().all(u8::is_ascii_digit)
        {
            done = done.max(self.phone(start + letters));
        }
        done
    }

    fn iban(&mut self, start: usize, word: &[u8]) -> Option<usize> {
        let length = checks::iban_country(word)?;
        let mut all = [0u8; WORD_BYTES_MAX];
        let (mut at, mut group) = (start, 0);
        for to in all.get_mut(..length)? {
            let mut c = self.byte(at);
            if matches!(c, b' ' | b'-') && group == 4 {
                at += 1;
                group = 0;
                c = self.byte(at);
            }
            if !c.is_ascii_alphanumeric() {
                return None;
            }
            *to = c.to_ascii_uppercase();
            group += 1;
            at += 1;
        }
        self.work += length as u64;
        let whole = !self.byte(at).is_ascii_alphanumeric() && checks::iban(all.get(..length)?);
        whole.then(|| {
            let span = start..at;
            let free = self.is_free(&span, 0, 1);
            self.weigh(Kind::Iban, span, Proof::Ranged, Alone::Sure, free);
            at
        })
    }

    /// `AB 12 34 56 C`.
    fn spaced_nino(&mut self, start: usize) -> Option<usize> {
        let sign = self.byte(start + 2);
        let text = self.slice(&(start..start + 13));
        let signs = [2, 5, 8, 11]
            .into_iter()
            .all(|at| text.get(at) == Some(&sign));
        let plain: Vec<u8> = text.iter().copied().filter(|c| *c != sign).collect();
        let end = start + 13;
        if !signs || !checks::nino(&plain) || self.byte(end).is_ascii_alphanumeric() {
            return None;
        }
        self.weigh(Kind::Nino, start..end, Proof::Formed, Alone::Likely, true);
        Some(end)
    }

    /// `X-1234567-L`.
    fn hyphened_nie(&mut self, start: usize) -> Option<usize> {
        let text = self.slice(&(start..start + 11));
        let signs = [1, 9].into_iter().all(|at| text.get(at) == Some(&b'-'));
        let plain: Vec<u8> = text.iter().copied().filter(|c| *c != b'-').collect();
        let end = start + 11;
        if !signs || !checks::nie(&plain) || self.byte(end).is_ascii_alphanumeric() {
            return None;
        }
        self.weigh(Kind::Nie, start..end, Proof::Checked, Alone::Likely, true);
        Some(end)
    }

    /// `12345678-Z`.
    fn hyphened_nif(&mut self, start: usize) -> usize {
        let end = start + 10;
        let text = self.slice(&(start..end));
        let plain: Vec<u8> = text.iter().copied().filter(|c| *c != b'-').collect();
        let sure = checks::nif(&plain)
            && self.weigh(Kind::Nif, start..end, Proof::Checked, Alone::Likely, true);
        if sure { end } else { start }
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
