//! Masks what was found. Secrets leave nothing; of a few numbers the last digits stay.

use serde_json::Value;

use super::Finding;
use super::rewrite::{Change, Unfit, Way, rewrite, rewrite_text};

/// What stands for a secret, however long it is.
pub(super) const SECRET: &str = "********";
/// Fewest letters and digits of which some may stay.
const KEPT_OF_MIN: usize = 10;

/// A text with its findings masked: letters and digits become `*`, what stands between them stays.
///
/// The last four of a card or an IBAN and the last two of a telephone number stay. A secret becomes eight `*`, whatever its length.
pub fn mask_text(text: &str, findings: &[Finding]) -> String {
    rewrite_text(text, &masks(findings), &mut |_| SECRET.to_owned())
}

/// Masks strings and object keys in place, and returns the pointers of numbers that hold findings: those cannot be masked.
///
/// Keys that become the same are told apart by a number.
pub fn mask(value: &mut Value, findings: &[Finding]) -> Vec<String> {
    let unfit = rewrite(value, &masks(findings), &mut |_| SECRET.to_owned());
    let pointers = unfit.into_iter().map(|one| match one {
        Unfit::Number(pointer) | Unfit::Key(pointer) => pointer,
    });
    pointers.collect()
}

fn masks(findings: &[Finding]) -> Vec<Change> {
    let all = findings.iter().cloned();
    all.map(|finding| Change {
        finding,
        way: Way::Mask,
    })
    .collect()
}

pub(super) fn push_masked(out: &mut String, text: &str, kept: usize) {
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
