//! Check digits and the inner rules of numbers. Every function takes ASCII digits, or capital letters and digits.

use std::str::FromStr;

/// A check by its name, for the operator's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validator {
    /// ISO/IEC 7812-1: payment cards.
    Luhn,
    /// ISO 7064 MOD 97-10 with the first four characters moved to the end: IBAN.
    Mod97,
    /// The dihedral check of Verhoeff: Aadhaar.
    Verhoeff,
    /// Weights 1, 2, 3 … from the right, the sum a multiple of 11, `X` at the end is ten: NHS numbers, ISBN-10.
    Mod11,
    /// ISO 7064 MOD 11,10: German tax numbers.
    Mod11_10,
    /// ISO 7064 MOD 11-2: Chinese resident numbers.
    Mod11_2,
}

/// There is no check of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no check `{0}`; use {names}", names = Validator::NAMES)]
pub struct UnknownValidator(String);

impl FromStr for Validator {
    type Err = UnknownValidator;

    fn from_str(name: &str) -> Result<Self, UnknownValidator> {
        Ok(match name {
            "luhn" => Self::Luhn,
            "mod97" => Self::Mod97,
            "verhoeff" => Self::Verhoeff,
            "mod11" => Self::Mod11,
            "mod11-10" => Self::Mod11_10,
            "mod11-2" => Self::Mod11_2,
            _ => return Err(UnknownValidator(name.to_owned())),
        })
    }
}

impl Validator {
    /// The names, as an operator writes them.
    pub const NAMES: &str = "luhn, mod97, verhoeff, mod11, mod11-10, mod11-2";

    /// Whether the letters and digits of a text pass.
    pub(super) fn accepts(self, text: &str) -> bool {
        let plain: Vec<u8> = text
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        match self {
            Self::Luhn => luhn(&plain),
            Self::Mod97 => mod97(&plain),
            Self::Verhoeff => verhoeff(&plain),
            Self::Mod11 => mod11(&plain),
            Self::Mod11_10 => mod11_10(&plain),
            Self::Mod11_2 => mod11_2(&plain),
        }
    }
}

fn value(c: u8) -> u32 {
    u32::from(c.wrapping_sub(b'0'))
}

fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The number that digits spell; at most 18 of them.
pub(super) fn number(text: &[u8]) -> u64 {
    let add = |all: u64, c: &u8| all.wrapping_mul(10).wrapping_add(value(*c).into());
    text.iter().fold(0, add)
}

fn at(text: &[u8], range: std::ops::Range<usize>) -> u64 {
    number(text.get(range).unwrap_or_default())
}

fn weighted(text: &[u8], weights: &[u32]) -> u32 {
    let pairs = text.iter().zip(weights);
    pairs.map(|(c, weight)| value(*c) * weight).sum()
}

fn last(text: &[u8]) -> u32 {
    text.last().map_or(99, |c| value(*c))
}

fn same(text: &[u8]) -> bool {
    text.windows(2).all(|pair| pair.first() == pair.last())
}

pub(super) fn luhn(text: &[u8]) -> bool {
    let doubled = |(at, c): (usize, &u8)| match (at % 2, value(*c)) {
        (0, value) => value,
        (_, value) if value < 5 => value * 2,
        (_, value) => value * 2 - 9,
    };
    digits(text) && text.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn mod97(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(4) else {
        return false;
    };
    let mut rest = 0u32;
    for c in tail.iter().chain(head) {
        rest = match c {
            b'0'..=b'9' => (rest * 10 + value(*c)) % 97,
            b'A'..=b'Z' => (rest * 100 + u32::from(c - b'A') + 10) % 97,
            _ => return false,
        };
    }
    rest == 1
}

pub(super) fn verhoeff(text: &[u8]) -> bool {
    const TIMES: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const TURNED: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let look = |table: &[[u8; 10]], row: usize, column: u8| {
        let row = table.get(row).unwrap_or(&[0; 10]);
        row.get(usize::from(column)).copied().unwrap_or(0)
    };
    let turn = |sum: u8, (at, c): (usize, &u8)| {
        let turned = look(&TURNED, at % 8, c.wrapping_sub(b'0'));
        look(&TIMES, usize::from(sum), turned)
    };
    digits(text) && text.iter().rev().enumerate().fold(0, turn) == 0
}

pub(super) fn mod11(text: &[u8]) -> bool {
    let Some((check, rest)) = text.split_last() else {
        return false;
    };
    let check = match check {
        b'X' => 10,
        c if c.is_ascii_digit() => value(*c),
        _ => return false,
    };
    let pairs = rest.iter().rev().zip(2u32..);
    digits(rest) && (pairs.map(|(c, weight)| value(*c) * weight).sum::<u32>() + check) % 11 == 0
}

fn mod11_10(text: &[u8]) -> bool {
    let Some((_, rest)) = text.split_last() else {
        return false;
    };
    let step = |product: u32, c: &u8| {
        let sum = match (value(*c) + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    };
    digits(text) && (rest.iter().fold(10, step) + last(text)) % 10 == 1
}

fn mod11_2(text: &[u8]) -> bool {
    let Some((check, rest)) = text.split_last() else {
        return false;
    };
    let check = match check {
        b'X' => 10,
        c if c.is_ascii_digit() => value(*c),
        _ => return false,
    };
    let step = |sum: u32, c: &u8| (sum + value(*c)) * 2 % 11;
    digits(rest) && (rest.iter().fold(0, step) + check) % 11 == 1
}

/// A day that was or can be: the month and the day within it, whatever the year.
fn day(month: u64, day: u64) -> bool {
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=longest).contains(&day)
}

/// Year, month and day of somebody alive, or dead not long.
pub(super) fn lived(year: u64, month: u64, in_month: u64) -> bool {
    (1880..=2100).contains(&year) && day(month, in_month)
}

/// What an issuer of payment cards gives out, with its check digit.
pub(super) fn card(text: &[u8]) -> bool {
    let (two, three, four) = (at(text, 0..2), at(text, 0..3), at(text, 0..4));
    let issued = match text.len() {
        12 | 17 | 18 => {
            four == 5018 || four == 6304 || four == 6759 || two == 62 && text.len() > 16
        }
        13 => text.first() == Some(&b'4'),
        14 => (300..=305).contains(&three) || two == 36 || two == 38 || two == 39,
        15 => two == 34 || two == 37,
        16 | 19 => {
            text.first() == Some(&b'4')
                || two == 62
                || two == 65
                || four == 6011
                || (644..=649).contains(&three)
                || (3528..=3589).contains(&four)
                || matches!(four, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
                || text.len() == 16
                    && ((51..=55).contains(&two)
                        || (2221..=2720).contains(&four)
                        || (2200..=2204).contains(&four))
        }
        _ => false,
    };
    issued && luhn(text) && !same(text)
}

/// Length of an IBAN by country (SWIFT registry, release 99).
fn iban_length(country: &[u8]) -> usize {
    match country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FK" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"CR" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HN" | b"HU" | b"LB" | b"NI" | b"PL"
        | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => 0,
    }
}

/// How long an IBAN that begins so must be; nothing for a country that has none.
pub(super) fn iban_country(text: &[u8]) -> Option<usize> {
    let length = iban_length(text.get(..2)?);
    let check = text.get(2..4)?;
    (length > 0 && digits(check)).then_some(length)
}

pub(super) fn iban(text: &[u8]) -> bool {
    iban_country(text) == Some(text.len()) && mod97(text)
}

/// The ordinance of the Ministry of Internal Affairs (2014, no. 85) article 5: 個人番号.
pub(super) fn my_number(text: &[u8]) -> bool {
    let sum = weighted(text, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let check = match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    digits(text) && text.len() == 12 && last(text) == check && !same(text)
}

pub(super) fn ssn(text: &[u8]) -> bool {
    let (area, group, serial) = (at(text, 0..3), at(text, 3..5), at(text, 5..9));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0 && !same(text)
}

pub(super) fn itin(text: &[u8]) -> bool {
    let (area, group) = (at(text, 0..3), at(text, 3..5));
    area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

pub(super) fn nino(text: &[u8]) -> bool {
    let (Some(prefix), Some(middle), Some(suffix)) = (text.get(..2), text.get(2..8), text.get(8..))
    else {
        return false;
    };
    let never = |c: &u8| matches!(c, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V');
    prefix.iter().all(u8::is_ascii_uppercase)
        && !prefix.iter().any(never)
        && prefix.last() != Some(&b'O')
        && !matches!(
            prefix,
            b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ"
        )
        && digits(middle)
        && matches!(suffix, b"A" | b"B" | b"C" | b"D")
}

pub(super) fn nhs(text: &[u8]) -> bool {
    digits(text) && text.len() == 10 && mod11(text) && !same(text)
}

/// § 139b AO and the order on it: eleven digits, of the first ten one stands two or three times and no other twice.
pub(super) fn tax_id(text: &[u8]) -> bool {
    let Some(ten) = text.get(..10) else {
        return false;
    };
    let mut counts = [0u8; 10];
    for c in ten {
        if let Some(count) = counts.get_mut(value(*c) as usize) {
            *count += 1;
        }
    }
    let often = counts.iter().filter(|count| **count > 1);
    let repeated: Vec<_> = often.collect();
    text.first() != Some(&b'0')
        && matches!(repeated.as_slice(), [2 | 3])
        && text.len() == 11
        && mod11_10(text)
}

/// Sex, year, month, department, commune, order, key; in Corsica the department is 2A or 2B.
pub(super) fn nir(text: &[u8]) -> bool {
    if text.len() != 15 {
        return false;
    }
    let department = text.get(5..7).unwrap_or_default();
    let stands_for = match department {
        b"2A" => Some(*b"19"),
        b"2B" => Some(*b"18"),
        _ => None,
    };
    let mut plain = text.to_vec();
    if let (Some(stands_for), Some(place)) = (stands_for, plain.get_mut(5..7)) {
        place.copy_from_slice(&stands_for);
    }
    let month = at(&plain, 3..5);
    digits(&plain)
        && matches!(text.first(), Some(b'1'..=b'4' | b'7' | b'8'))
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && 97 - at(&plain, 0..13) % 97 == at(&plain, 13..15)
}

fn nif_letter(number: u64) -> Option<u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE"
        .get((number % 23) as usize)
        .copied()
}

pub(super) fn nif(text: &[u8]) -> bool {
    let number = text.get(..8).unwrap_or_default();
    text.len() == 9 && digits(number) && text.last().copied() == nif_letter(self::number(number))
}

pub(super) fn nie(text: &[u8]) -> bool {
    let first = match text.first() {
        Some(b'X') => 0,
        Some(b'Y') => 1,
        Some(b'Z') => 2,
        _ => return false,
    };
    let number = text.get(1..8).unwrap_or_default();
    let whole = first * 10_000_000 + self::number(number);
    text.len() == 9 && digits(number) && text.last().copied() == nif_letter(whole)
}

/// Decree of 12 March 1974: consonants, year, month, day, place, check letter; digits may stand as letters.
pub(super) fn codice_fiscale(text: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let shape = b"LLLLLLDDMDDLDDDL";
    let fits = |(c, shape): (&u8, &u8)| match shape {
        b'L' => c.is_ascii_uppercase(),
        b'M' => b"ABCDEHLMPRST".contains(c),
        _ => c.is_ascii_digit() || b"LMNPQRSTUV".contains(c),
    };
    if text.len() != 16 || !text.iter().zip(shape).all(fits) {
        return false;
    }
    let rank = |c: u8| match c {
        b'0'..=b'9' => value(c),
        _ => u32::from(c.wrapping_sub(b'A')),
    };
    let weight = |(at, c): (usize, &u8)| match at % 2 {
        0 => ODD.get(rank(*c) as usize).copied().unwrap_or(0),
        _ => rank(*c),
    };
    let sum: u32 = text.iter().take(15).enumerate().map(weight).sum();
    text.last().map(|c| rank(*c)) == Some(sum % 26)
}

pub(super) fn pesel(text: &[u8]) -> bool {
    let sum = weighted(text, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    let month = at(text, 2..4);
    text.len() == 11
        && month < 93
        && day(month % 20, at(text, 4..6))
        && (sum + last(text)).is_multiple_of(10)
}

/// Ten digits, or twelve with the century; the day of a coordination number is 60 more.
pub(super) fn personnummer(text: &[u8]) -> bool {
    let Some((_, ten)) = text.split_at_checked(text.len().saturating_sub(10)) else {
        return false;
    };
    let in_month = at(ten, 4..6);
    let century = text.len() == 10 || matches!(at(text, 0..2), 18..=20);
    century && day(at(ten, 2..4), in_month % 60) && in_month < 92 && luhn(ten)
}

pub(super) fn cpf(text: &[u8]) -> bool {
    let check = |count: usize, first: u32| {
        let head = text.get(..count).unwrap_or_default();
        let weights: Vec<u32> = (2..=first).rev().collect();
        match weighted(head, &weights) * 10 % 11 {
            10 => 0,
            rest => rest,
        }
    };
    let digit = |at: usize| text.get(at).map(|c| value(*c));
    text.len() == 11
        && !same(text)
        && digit(9) == Some(check(9, 10))
        && digit(10) == Some(check(10, 11))
}

pub(super) fn aadhaar(text: &[u8]) -> bool {
    text.len() == 12 && matches!(text.first(), Some(b'2'..=b'9')) && verhoeff(text) && !same(text)
}

/// A date and a digit for sex and century: since October 2020 the last digit checks nothing.
pub(super) fn rrn_form(text: &[u8]) -> bool {
    text.len() == 13
        && day(at(text, 2..4), at(text, 4..6))
        && !matches!(text.get(6), Some(b'9' | b'0'))
}

pub(super) fn rrn(text: &[u8]) -> bool {
    let sum = weighted(text, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    rrn_form(text) && (11 - sum % 11) % 10 == last(text)
}

pub(super) fn nric(text: &[u8]) -> bool {
    let (Some(first), Some(number)) = (text.first(), text.get(1..8)) else {
        return false;
    };
    let (more, letters) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let sum = weighted(number, &[2, 7, 6, 5, 4, 3, 2]) + more;
    text.len() == 9 && digits(number) && text.last() == letters.get((sum % 11) as usize)
}

/// GB 11643: region, date, order, check.
pub(super) fn resident_id(text: &[u8]) -> bool {
    let region = matches!(
        at(text, 0..2),
        11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83
    );
    let born = lived(at(text, 6..10), at(text, 10..12), at(text, 12..14));
    text.len() == 18 && region && born && mod11_2(text)
}

#[cfg(test)]
mod tests;
