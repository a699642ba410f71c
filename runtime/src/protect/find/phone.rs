//! Telephone numbers and dates of birth.

use super::super::checks;
use super::super::class::Kind;
use super::super::forms::{self, Alone, Proof};
use super::{Finder, Number};

/// Most digits of a telephone number (E.164).
const PHONE_DIGITS_MAX: usize = 15;
/// Fewest digits of one where something says that it is one.
const PHONE_DIGITS_MIN: usize = 8;
/// Fewest digits with which a row of groups is complete.
const PHONE_DIGITS_WHOLE: usize = 10;
/// Most groups of one.
const PHONE_GROUPS_MAX: usize = 6;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

impl Finder<'_> {
    /// A telephone number that begins here with `+`, `(` or a digit; where to go on.
    pub(super) fn phone(&mut self, start: usize) -> usize {
        let plus = self.byte(start) == b'+';
        let joined =
            (plus || self.byte(start) == b'(') && self.back(start, 1).is_ascii_alphanumeric();
        let mut at = start + usize::from(plus);
        at += usize::from(self.byte(at) == b'(');
        if joined || !self.byte(at).is_ascii_digit() {
            return start + 1;
        }
        let mut number = Number::default();
        let mut groups: Vec<u8> = Vec::with_capacity(PHONE_GROUPS_MAX);
        let mut best: Option<(usize, Alone)> = None;
        let mut whole = false;
        let mut signs = 0;
        loop {
            let from = at;
            while self.byte(at).is_ascii_digit() && at - from <= PHONE_DIGITS_MAX {
                number.push(self.byte(at));
                at += 1;
            }
            groups.push((at - from) as u8);
            let digits = number.digits();
            if digits.len() > PHONE_DIGITS_MAX || self.byte(at).is_ascii_alphanumeric() {
                break;
            }
            let alone = forms::phone(digits, &groups, plus);
            let enough = digits.len() >= PHONE_DIGITS_MIN
                && (groups.len() != 2 || signs != usize::from(b'.'));
            match alone {
                Alone::Sure | Alone::Likely => {
                    best = Some((at, alone));
                    // A national number is whole; an international one may go on.
                    if !plus {
                        break;
                    }
                }
                Alone::Unseen
                    if enough && !whole && best.is_none_or(|best| best.1 == Alone::Unseen) =>
                {
                    best = Some((at, alone));
                    whole = digits.len() >= PHONE_DIGITS_WHOLE;
                }
                Alone::Unseen => {}
            }
            let Some(next) = self.between_groups(at, plus) else {
                break;
            };
            signs = usize::from(self.byte(at));
            if groups.len() >= PHONE_GROUPS_MAX {
                break;
            }
            at = next;
        }
        self.work += (at - start) as u64;
        let Some((end, alone)) = best else {
            return start + 1;
        };
        let span = start..end;
        let free = self.is_free(&span, usize::from(groups.first().copied().unwrap_or(0)), 1);
        match self.weigh(Kind::Phone, span, Proof::Formed, alone, free) {
            true => end,
            false => start + 1,
        }
    }

    /// Where the next group of digits begins: after a sign or two, and without the `(0)` of long distance.
    fn between_groups(&self, at: usize, plus: bool) -> Option<usize> {
        let sign = |c: u8| matches!(c, b' ' | b'-' | b'.' | b'(' | b')' | b'/');
        let signs = (0..3).take_while(|n| sign(self.byte(at + n))).count();
        let next = at + signs;
        if signs == 0 || !self.byte(next).is_ascii_digit() {
            return None;
        }
        let trunk = plus
            && self.byte(next - 1) == b'('
            && self.byte(next) == b'0'
            && self.byte(next + 1) == b')';
        if !trunk {
            return (signs < 3).then_some(next);
        }
        let signs = (2..5).take_while(|n| sign(self.byte(next + n))).count();
        let next = next + 2 + signs;
        self.byte(next).is_ascii_digit().then_some(next)
    }

    /// A date that begins with so many digits; where it ends. Reported where something says that it is one of birth.
    pub(super) fn date(&mut self, start: usize, first: usize) -> Option<usize> {
        let end = start + first;
        let sign = self.byte(end);
        let (from, to) = match first {
            4 if matches!(sign, b'-' | b'/' | b'.') => (start, self.year_first(start, sign)?),
            1 | 2 if matches!(sign, b'-' | b'/' | b'.') => {
                (start, self.year_last(start, first, sign)?)
            }
            8 => {
                let text = self.slice(&(start..end));
                let part = |range| checks::number(text.get(range).unwrap_or_default());
                if checks::lived(part(0..4), part(4..6), part(6..8)) {
                    self.weigh(
                        Kind::BirthDate,
                        start..end,
                        Proof::Formed,
                        Alone::Unseen,
                        true,
                    );
                }
                // Eight digits may be many things.
                return None;
            }
            1 | 2 if sign.is_ascii_whitespace() || sign == b',' || sign.is_ascii_alphabetic() => {
                self.named_month(start, first)?
            }
            1 | 2 | 4 if sign >= 0x80 => self.japanese(start, first)?,
            _ => return None,
        };
        self.work += (to - from) as u64;
        self.weigh(
            Kind::BirthDate,
            from..to,
            Proof::Formed,
            Alone::Unseen,
            true,
        );
        Some(to)
    }

    /// One or two digits here: their value, and where they end.
    fn one_or_two(&self, at: usize) -> Option<(u64, usize)> {
        let count = (0..2)
            .take_while(|n| self.byte(at + n).is_ascii_digit())
            .count();
        let end = at + count;
        let whole = count > 0 && !self.byte(end).is_ascii_digit();
        whole.then(|| (checks::number(self.slice(&(at..end))), end))
    }

    fn year(&self, at: usize) -> Option<u64> {
        let text = self.slice(&(at..at + 4));
        let whole = text.len() == 4
            && text.iter().all(u8::is_ascii_digit)
            && !self.byte(at + 4).is_ascii_digit();
        whole.then(|| checks::number(text))
    }

    /// `1990-01-02`, with a time after it or not.
    fn year_first(&self, start: usize, sign: u8) -> Option<usize> {
        let (month, at) = self.one_or_two(start + 5)?;
        let (day, end) = (self.byte(at) == sign)
            .then(|| self.one_or_two(at + 1))
            .flatten()?;
        let ends = !self.byte(end).is_ascii_alphanumeric() || self.byte(end) == b'T';
        (ends && checks::lived(self.year(start)?, month, day)).then_some(end)
    }

    /// `02.01.1990`, or with the month first.
    fn year_last(&self, start: usize, first: usize, sign: u8) -> Option<usize> {
        let (one, _) = self.one_or_two(start)?;
        let (two, at) = self.one_or_two(start + first + 1)?;
        let year = (self.byte(at) == sign)
            .then(|| self.year(at + 1))
            .flatten()?;
        let date = checks::lived(year, one, two) || checks::lived(year, two, one);
        (date && !self.byte(at + 5).is_ascii_alphanumeric()).then_some(at + 5)
    }

    /// `2 January 1990`, `January 2, 1990`.
    fn named_month(&self, start: usize, first: usize) -> Option<(usize, usize)> {
        let (day, end) = self.one_or_two(start)?;
        let suffix = self.slice(&(end..end + 2));
        let end = match suffix {
            b"st" | b"nd" | b"rd" | b"th" => end + 2,
            _ => start + first,
        };
        let month = |word: &[u8]| {
            let head = word.get(..3)?;
            MONTHS
                .iter()
                .position(|month| head.eq_ignore_ascii_case(month.as_bytes()))
                .map(|at| at as u64 + 1)
        };
        let letters = |at: usize| {
            (0..10)
                .take_while(|n| self.byte(at + n).is_ascii_alphabetic())
                .count()
        };
        let after = end + 1;
        let word = letters(after);
        if word >= 3
            && let Some(month) = month(self.slice(&(after..after + word)))
        {
            let at = after + word;
            let at = at
                + (0..2)
                    .take_while(|n| matches!(self.byte(at + n), b' ' | b'.' | b','))
                    .count();
            return checks::lived(self.year(at)?, month, day).then_some((start, at + 4));
        }
        let back = (2..12)
            .take_while(|n| self.back(start, *n).is_ascii_alphabetic())
            .count();
        let from = start.checked_sub(back + 1)?;
        let month = (back >= 3)
            .then(|| month(self.slice(&(from..start))))
            .flatten()?;
        let at = end
            + (0..2)
                .take_while(|n| matches!(self.byte(end + n), b' ' | b','))
                .count();
        checks::lived(self.year(at)?, month, day).then_some((from, at + 4))
    }

    /// `1990年1月2日`, `昭和55年3月4日`.
    fn japanese(&self, start: usize, first: usize) -> Option<(usize, usize)> {
        let sign = |at: usize, sign: &str| self.slice(&(at..at + 3)) == sign.as_bytes();
        let at = start + first;
        let (month, at) = sign(at, "年").then(|| self.one_or_two(at + 3)).flatten()?;
        let (day, at) = sign(at, "月").then(|| self.one_or_two(at + 3)).flatten()?;
        if !sign(at, "日") {
            return None;
        }
        let era = start.checked_sub(6).filter(|from| {
            ["明治", "大正", "昭和", "平成", "令和"]
                .iter()
                .any(|era| self.slice(&(*from..start)) == era.as_bytes())
        });
        let (from, year) = match (first, era) {
            (4, _) => (start, self.year(start)?),
            (_, Some(from)) => (from, 1990),
            _ => return None,
        };
        checks::lived(year, month, day).then_some((from, at + 3))
    }
}
