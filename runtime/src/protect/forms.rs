//! How numbers are written: groups of digits, what stands between them, and the check they must pass.

use super::checks as check;
use super::class::Kind;

/// Most digits in one number that is looked at: a card has 19.
pub(super) const DIGITS_MAX: usize = 20;

/// What may stand between two groups.
#[derive(Clone, Copy)]
pub(super) enum Between {
    /// The same one of these everywhere.
    Same(&'static [u8]),
    /// Exactly these, in order.
    Each(&'static [u8]),
}

/// What a number shows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A check digit.
    Checked,
    /// A check digit, and a part that few numbers have: an issuer, a date, a country.
    Ranged,
    /// The way it is written.
    Formed,
}

/// What is made of it when nothing around it says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alone {
    /// Nothing.
    Unseen,
    /// It may be one.
    Likely,
    /// It is one.
    Sure,
}

/// One way of writing one kind of number.
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) groups: &'static [u8],
    pub(super) between: Between,
    pub(super) check: fn(&[u8]) -> bool,
    pub(super) proof: Proof,
    pub(super) alone: Alone,
}

const fn form(
    kind: Kind,
    groups: &'static [u8],
    between: &'static [u8],
    check: fn(&[u8]) -> bool,
    proof: Proof,
    alone: Alone,
) -> Form {
    Form {
        kind,
        groups,
        between: Between::Same(between),
        check,
        proof,
        alone,
    }
}

fn any(_: &[u8]) -> bool {
    true
}

/// Not what a birthday, a year or a number of zeros looks like.
fn varied(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair.first() != pair.last())
}

use Alone::{Likely, Sure, Unseen};
use Proof::{Checked, Formed, Ranged};

/// Every form of plain digits.
#[rustfmt::skip]
pub(super) static FORMS: &[Form] = &[
    form(Kind::Card, &[16], b"", check::card, Ranged, Sure),
    form(Kind::Card, &[4, 4, 4, 4], b" -", check::card, Ranged, Sure),
    form(Kind::Card, &[15], b"", check::card, Ranged, Sure),
    form(Kind::Card, &[4, 6, 5], b" -", check::card, Ranged, Sure),
    form(Kind::Card, &[14], b"", check::card, Ranged, Likely),
    form(Kind::Card, &[4, 6, 4], b" -", check::card, Ranged, Sure),
    // JAN codes have 13 digits and begin with 4 as the oldest cards do.
    form(Kind::Card, &[13], b"", check::card, Ranged, Unseen),
    form(Kind::Card, &[12], b"", check::card, Ranged, Unseen),
    form(Kind::Card, &[17], b"", check::card, Ranged, Likely),
    form(Kind::Card, &[18], b"", check::card, Ranged, Likely),
    form(Kind::Card, &[19], b"", check::card, Ranged, Likely),
    form(Kind::Card, &[4, 4, 4, 4, 3], b" -", check::card, Ranged, Sure),
    form(Kind::Card, &[6, 13], b" -", check::card, Ranged, Sure),
    form(Kind::MyNumber, &[12], b"", check::my_number, Checked, Likely),
    form(Kind::MyNumber, &[4, 4, 4], b" -", check::my_number, Checked, Likely),
    form(Kind::DrivingLicence, &[12], b"", varied, Formed, Unseen),
    form(Kind::DrivingLicence, &[4, 4, 4], b" -", varied, Formed, Unseen),
    form(Kind::Pension, &[4, 6], b" -", varied, Formed, Unseen),
    form(Kind::Pension, &[10], b"", varied, Formed, Unseen),
    form(Kind::HealthInsurance, &[6], b"", varied, Formed, Unseen),
    form(Kind::HealthInsurance, &[7], b"", varied, Formed, Unseen),
    form(Kind::HealthInsurance, &[8], b"", varied, Formed, Unseen),
    form(Kind::HealthInsurance, &[10], b"", varied, Formed, Unseen),
    form(Kind::Postcode, &[3, 4], b" -", any, Formed, Unseen),
    form(Kind::Postcode, &[7], b"", any, Formed, Unseen),
    form(Kind::Postcode, &[5], b"", any, Formed, Unseen),
    form(Kind::Postcode, &[5, 4], b"-", any, Formed, Unseen),
    form(Kind::Passport, &[9], b"", varied, Formed, Unseen),
    form(Kind::Ssn, &[3, 2, 4], b" -", check::ssn, Formed, Likely),
    form(Kind::Ssn, &[9], b"", check::ssn, Formed, Unseen),
    form(Kind::Itin, &[3, 2, 4], b" -", check::itin, Formed, Likely),
    form(Kind::Itin, &[9], b"", check::itin, Formed, Unseen),
    form(Kind::Nhs, &[3, 3, 4], b" -", check::nhs, Checked, Likely),
    form(Kind::Nhs, &[10], b"", check::nhs, Checked, Unseen),
    form(Kind::TaxId, &[11], b"", check::tax_id, Checked, Likely),
    form(Kind::TaxId, &[2, 3, 3, 3], b" ", check::tax_id, Checked, Likely),
    form(Kind::Nir, &[15], b"", check::nir, Ranged, Sure),
    form(Kind::Nir, &[13, 2], b" -", check::nir, Ranged, Sure),
    form(Kind::Nir, &[1, 2, 2, 2, 3, 3, 2], b" -.", check::nir, Ranged, Sure),
    form(Kind::Pesel, &[11], b"", check::pesel, Checked, Likely),
    form(Kind::Personnummer, &[6, 4], b"-+", check::personnummer, Checked, Likely),
    form(Kind::Personnummer, &[8, 4], b"-+", check::personnummer, Checked, Likely),
    form(Kind::Personnummer, &[10], b"", check::personnummer, Checked, Unseen),
    form(Kind::Personnummer, &[12], b"", check::personnummer, Checked, Unseen),
    form(Kind::Cpf, &[11], b"", check::cpf, Checked, Likely),
    Form {
        kind: Kind::Cpf, groups: &[3, 3, 3, 2], between: Between::Each(b"..-"),
        check: check::cpf, proof: Ranged, alone: Sure,
    },
    form(Kind::Aadhaar, &[4, 4, 4], b" -", check::aadhaar, Checked, Likely),
    form(Kind::Aadhaar, &[12], b"", check::aadhaar, Checked, Unseen),
    form(Kind::Rrn, &[6, 7], b"-", check::rrn, Ranged, Sure),
    form(Kind::Rrn, &[6, 7], b"-", check::rrn_form, Formed, Likely),
    form(Kind::Rrn, &[13], b"", check::rrn, Ranged, Likely),
    form(Kind::ResidentId, &[18], b"", check::resident_id, Ranged, Sure),
];

/// A number that is one word of capital letters and digits: its length, its check, and what that shows.
pub(super) struct WordForm(
    pub(super) Kind,
    pub(super) usize,
    pub(super) fn(&[u8]) -> bool,
    pub(super) Proof,
    pub(super) Alone,
);

/// Every such form.
#[rustfmt::skip]
pub(super) static WORD_FORMS: &[WordForm] = &[
    WordForm(Kind::Nino, 9, check::nino, Formed, Likely),
    WordForm(Kind::ResidenceCard, 12, residence_card, Formed, Likely),
    WordForm(Kind::Passport, 9, passport_2_7, Formed, Unseen),
    WordForm(Kind::Passport, 9, passport_1_8, Formed, Unseen),
    WordForm(Kind::Passport, 8, passport_1_7, Formed, Unseen),
    WordForm(Kind::Nif, 9, check::nif, Checked, Likely),
    WordForm(Kind::Nie, 9, check::nie, Checked, Likely),
    WordForm(Kind::Nric, 9, check::nric, Checked, Likely),
    WordForm(Kind::CodiceFiscale, 16, check::codice_fiscale, Ranged, Sure),
    WordForm(Kind::ResidentId, 18, check::resident_id, Ranged, Sure),
    WordForm(Kind::Nir, 15, check::nir, Ranged, Sure),
];

/// Letters, digits, letters: so many of each.
fn shape(text: &[u8], letters: usize, digits: usize, tail: usize) -> bool {
    let capital =
        |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(u8::is_ascii_uppercase));
    let number = text.get(letters..letters + digits);
    text.len() == letters + digits + tail
        && capital(text.get(..letters))
        && number.is_some_and(|part| part.iter().all(u8::is_ascii_digit))
        && capital(text.get(letters + digits..))
}

fn residence_card(text: &[u8]) -> bool {
    shape(text, 2, 8, 2)
}

fn passport_2_7(text: &[u8]) -> bool {
    shape(text, 2, 7, 0)
}

fn passport_1_8(text: &[u8]) -> bool {
    shape(text, 1, 8, 0)
}

fn passport_1_7(text: &[u8]) -> bool {
    shape(text, 1, 7, 0)
}

/// What a telephone number shows by its digits and the way it is written.
pub(super) fn phone(digits: &[u8], groups: &[u8], plus: bool) -> Alone {
    if plus {
        return international(digits);
    }
    match digits {
        // Japan: mobile and IP telephones, then everything else; 0800 has eleven digits.
        [b'0', b'5' | b'7' | b'8' | b'9', b'0', ..] if digits.len() == 11 => match groups {
            [3, 4, 4] => Alone::Sure,
            _ => Alone::Likely,
        },
        [b'0', b'1'..=b'9', ..] if digits.len() == 10 => match groups {
            [2, 4, 4] | [3, 3, 4] | [4, 2, 4] | [5, 1, 4] | [4, 3, 3] | [3, 4, 3] => Alone::Likely,
            _ => Alone::Unseen,
        },
        // North America.
        [b'2'..=b'9', _, _, b'2'..=b'9', ..] if digits.len() == 10 && groups == [3, 3, 4] => {
            Alone::Likely
        }
        [b'1', b'2'..=b'9', _, _, b'2'..=b'9', ..]
            if digits.len() == 11 && groups == [1, 3, 3, 4] =>
        {
            Alone::Likely
        }
        _ => Alone::Unseen,
    }
}

/// E.164: a country, and as many digits as it gives out.
fn international(digits: &[u8]) -> Alone {
    let national = |code: usize| digits.len().saturating_sub(code);
    let fits = match digits {
        [b'1', b'2'..=b'9', _, _, b'2'..=b'9', ..] => national(1) == 10,
        [b'1', ..] => false,
        [b'7', ..] => national(1) == 10,
        [b'8', b'1', ..] => matches!(national(2), 9 | 10),
        [b'4', b'4', ..] => matches!(national(2), 9 | 10),
        [b'3', b'3', ..] => national(2) == 9,
        [b'4', b'9', ..] => (6..=13).contains(&national(2)),
        [b'8', b'6', ..] => (9..=11).contains(&national(2)),
        [b'8', b'2', ..] => (7..=10).contains(&national(2)),
        [b'9', b'1', ..] => national(2) == 10,
        // The rest of the codes that are given out.
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0' | b'1' | b'2' | b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3' | b'5'..=b'8', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'4', ..]
        | [b'9', b'0' | b'2'..=b'5' | b'8', ..] => (7..=12).contains(&national(2)),
        [b'2', b'1'..=b'6' | b'9', ..]
        | [b'3', b'5' | b'7' | b'8', ..]
        | [b'4', b'2', ..]
        | [b'5', b'0' | b'9', ..]
        | [b'6', b'7'..=b'9', ..]
        | [b'8', b'0' | b'5' | b'7' | b'8', ..]
        | [b'9', b'6' | b'7' | b'9', ..] => (6..=12).contains(&national(3)),
        _ => false,
    };
    match fits {
        true => Alone::Sure,
        false => Alone::Unseen,
    }
}
