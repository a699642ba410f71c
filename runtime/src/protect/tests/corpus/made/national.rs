//! Identifiers of countries, each with the check digits that it has.

use super::{CAPITALS, Chance, checks, grouped};

fn four(chance: &mut Chance, text: &str) -> String {
    match chance.below(3) {
        0 => grouped(text, &[4, 4, 4], "-"),
        1 => grouped(text, &[4, 4, 4], " "),
        _ => text.to_owned(),
    }
}

pub(super) fn my_number(chance: &mut Chance) -> String {
    let text = chance.checked(checks::my_number, "", 12);
    four(chance, &text)
}

pub(super) fn residence(chance: &mut Chance) -> String {
    format!(
        "{}{}{}",
        chance.of(CAPITALS, 2),
        chance.digits(8),
        chance.of(CAPITALS, 2)
    )
}

pub(super) fn licence(chance: &mut Chance) -> String {
    format!("{}{}", chance.one(&["30", "43", "62"]), chance.digits(10))
}

pub(super) fn pension(chance: &mut Chance) -> String {
    format!("{}-{}", chance.digits(4), chance.digits(6))
}

pub(super) fn insurance(chance: &mut Chance) -> String {
    format!(
        "{}{}",
        chance.one(&["01", "06", "34", "39"]),
        chance.digits(6)
    )
}

pub(super) fn ssn(chance: &mut Chance) -> String {
    let text = chance.checked(checks::ssn, "", 9);
    match chance.below(3) {
        0 => text,
        _ => grouped(&text, &[3, 2, 4], "-"),
    }
}

pub(super) fn itin(chance: &mut Chance) -> String {
    let text = chance.checked(checks::itin, "9", 8);
    grouped(&text, &[3, 2, 4], "-")
}

pub(super) fn nino(chance: &mut Chance) -> String {
    let text = format!(
        "{}{}{}",
        chance.one(&["AB", "CE", "JG", "SX"]),
        chance.digits(6),
        chance.of("ABCD", 1)
    );
    match chance.below(2) {
        0 => text,
        _ => grouped(&text, &[2, 2, 2, 2, 1], " "),
    }
}

pub(super) fn nhs(chance: &mut Chance) -> String {
    let text = chance.checked(checks::nhs, "", 10);
    match chance.below(2) {
        0 => text,
        _ => grouped(&text, &[3, 3, 4], " "),
    }
}

pub(super) fn tax_id(chance: &mut Chance) -> String {
    let text = chance.checked(checks::tax_id, "", 11);
    match chance.below(2) {
        0 => text,
        _ => grouped(&text, &[2, 3, 3, 3], " "),
    }
}

pub(super) fn nir(chance: &mut Chance) -> String {
    let (year, month, _) = chance.date();
    let head = format!(
        "{}{:02}{month:02}{:02}{}",
        chance.between(1, 2),
        year % 100,
        chance.between(1, 95),
        chance.digits(6)
    );
    let key = 97 - checks::number(head.as_bytes()) % 97;
    let text = format!("{head}{key:02}");
    match chance.below(2) {
        0 => text,
        _ => grouped(&text, &[1, 2, 2, 2, 3, 3, 2], " "),
    }
}

/// A number with the letter that fits.
fn lettered(check: fn(&[u8]) -> bool, head: &str) -> String {
    let all = CAPITALS.chars().map(|letter| format!("{head}{letter}"));
    let mut right = all.filter(|text| check(text.as_bytes()));
    right.next().unwrap()
}

pub(super) fn nif(chance: &mut Chance) -> String {
    lettered(checks::nif, &chance.digits(8))
}

pub(super) fn nie(chance: &mut Chance) -> String {
    let head = format!("{}{}", chance.of("XYZ", 1), chance.digits(7));
    lettered(checks::nie, &head)
}

pub(super) fn codice(chance: &mut Chance) -> String {
    let (year, _, day) = chance.date();
    let head = format!(
        "{}{:02}{}{day:02}{}{}",
        chance.of("BCDFGLMNPRST", 6),
        year % 100,
        chance.of("ABCDEHLMPRST", 1),
        chance.of("ABCDEFGHIL", 1),
        chance.digits(3)
    );
    lettered(checks::codice_fiscale, &head)
}

pub(super) fn pesel(chance: &mut Chance) -> String {
    let (year, month, day) = chance.date();
    let month = if year < 2000 { month } else { month + 20 };
    chance.checked(
        checks::pesel,
        &format!("{:02}{month:02}{day:02}", year % 100),
        5,
    )
}

pub(super) fn personnummer(chance: &mut Chance) -> String {
    let (year, month, day) = chance.date();
    let text = chance.checked(
        checks::personnummer,
        &format!("{:02}{month:02}{day:02}", year % 100),
        4,
    );
    match chance.below(2) {
        0 => grouped(&text, &[6, 4], "-"),
        _ => format!("{}{}", year / 100, grouped(&text, &[6, 4], "-")),
    }
}

pub(super) fn cpf(chance: &mut Chance) -> String {
    let text = chance.checked(checks::cpf, "", 11);
    match chance.below(2) {
        0 => text,
        _ => format!(
            "{}.{}.{}-{}",
            &text[..3],
            &text[3..6],
            &text[6..9],
            &text[9..]
        ),
    }
}

pub(super) fn aadhaar(chance: &mut Chance) -> String {
    let text = chance.checked(checks::aadhaar, "", 12);
    match chance.below(2) {
        0 => text,
        _ => grouped(&text, &[4, 4, 4], " "),
    }
}

pub(super) fn rrn(chance: &mut Chance) -> String {
    let (year, month, day) = chance.date();
    let head = format!(
        "{:02}{month:02}{day:02}{}",
        year % 100,
        chance.between(1, 4)
    );
    let text = chance.checked(checks::rrn, &head, 6);
    grouped(&text, &[6, 7], "-")
}

pub(super) fn nric(chance: &mut Chance) -> String {
    let head = format!("{}{}", chance.of("STFGM", 1), chance.digits(7));
    lettered(checks::nric, &head)
}

pub(super) fn resident(chance: &mut Chance) -> String {
    let (year, month, day) = chance.date();
    let head = format!(
        "{}{year}{month:02}{day:02}{}",
        chance.one(&["110105", "310115", "440305"]),
        chance.digits(3)
    );
    let all = "0123456789X".chars().map(|last| format!("{head}{last}"));
    let mut right = all.filter(|text| checks::resident_id(text.as_bytes()));
    right.next().unwrap()
}
