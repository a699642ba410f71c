//! Numbers of plain digits, and words of letters and digits.

use super::super::checks;
use super::super::class::Kind;
use super::super::forms::{Alone, Between, Form, Proof, WORD_FORMS, WordForm};
use super::{Finder, Number};

/// Longest word of letters and digits that can be a number, in bytes: an IBAN has 34.
const WORD_BYTES_MAX: usize = 34;

impl Finder<'_> {
    /// A number that begins with these digits.
    pub(super) fn digits(&mut self, start: usize, end: usize) -> usize {
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
        let joined = matches!(self.back(start, 1), b'-' | b'.' | b'/' | b'_')
            && self.back(start, 2).is_ascii_alphanumeric();
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
    pub(super) fn mixed(&mut self, start: usize, end: usize, small: bool) -> usize {
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
        if length <= 4
            && matches!(plain.get(length - 2..), Some(b"ST" | b"ND" | b"RD" | b"TH"))
            && let Some(end) = self.date(start, length - 2)
        {
            return end;
        }
        if let Some(end) = self.iban(start, plain) {
            return end;
        }
        let mut done = end;
        for WordForm(kind, of, check, proof, alone) in WORD_FORMS {
            if *of != length || !check(plain) {
                continue;
            }
            // People write these in capitals; small letters are those of a generated id.
            let alone = match small && *proof != Proof::Ranged {
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
    pub(super) fn spaced_nino(&mut self, start: usize) -> Option<usize> {
        let sign = self.byte(start + 2);
        if self.back(start, 1).is_ascii_alphanumeric() || !matches!(sign, b' ' | b'-') {
            return None;
        }
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
    pub(super) fn hyphened_nie(&mut self, start: usize) -> Option<usize> {
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
