//! The name of a value that was encrypted, which a tool holds in its place.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};

/// What every handle begins with.
const PREFIX: &str = "sealed_";
/// Bytes of a handle's own part: nobody guesses one, and no two are the same.
const ID_BYTES: usize = 16;
/// Letters of 16 bytes in base32.
const ID_LETTERS: usize = 26;

/// Stands for a value that was encrypted: `sealed_` and 26 letters and digits, which say nothing of the value.
///
/// Where the operator asked for it, a second part of 26 letters follows: equal for equal values of one tenant and class, and of no
/// use to whoever does not hold the tenant's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    id: [u8; ID_BYTES],
    equal: Option<[u8; ID_BYTES]>,
}

/// A text is no handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no handle of an encrypted value")]
pub struct NotAHandle;

impl Handle {
    /// One with these random bytes.
    pub fn new(id: [u8; ID_BYTES], equal: Option<[u8; ID_BYTES]>) -> Self {
        Self { id, equal }
    }

    /// Under what the value is kept.
    pub fn id(&self) -> &[u8; ID_BYTES] {
        &self.id
    }

    /// What is the same for equal values.
    pub fn equal(&self) -> Option<&[u8; ID_BYTES]> {
        self.equal.as_ref()
    }

    /// Whether a text has the form of one. What has it is no data: it is searched for nothing.
    pub fn is_one(text: &str) -> bool {
        text.parse::<Self>().is_ok()
    }
}

/// The handles that stand in a text, with nothing behind them that could belong to them. What stands before may be an escape, which
/// ends in letters and digits.
pub fn handles_in(text: &str) -> impl Iterator<Item = (Range<usize>, Handle)> + '_ {
    const SHORT: usize = PREFIX.len() + ID_LETTERS;
    const LONG: usize = SHORT + 1 + ID_LETTERS;
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(PREFIX).filter_map(move |(at, _)| {
        let fits = |length: &usize| {
            let end = at.checked_add(*length)?;
            let ends = !text.get(end..)?.starts_with(part);
            let handle = text.get(at..end)?.parse().ok()?;
            ends.then_some((at..end, handle))
        };
        [LONG, SHORT].iter().find_map(fits)
    })
}

impl fmt::Display for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = |bytes: &[u8]| BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
        write!(out, "{PREFIX}{}", letters(&self.id))?;
        match &self.equal {
            Some(equal) => write!(out, "_{}", letters(equal)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl FromStr for Handle {
    type Err = NotAHandle;

    fn from_str(text: &str) -> Result<Self, NotAHandle> {
        let rest = text.strip_prefix(PREFIX).ok_or(NotAHandle)?;
        let (id, equal) = match rest.split_once('_') {
            Some((id, equal)) => (id, Some(bytes(equal)?)),
            None => (rest, None),
        };
        Ok(Self {
            id: bytes(id)?,
            equal,
        })
    }
}

/// Only the one spelling that we write is read.
fn bytes(letters: &str) -> Result<[u8; ID_BYTES], NotAHandle> {
    let small = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if letters.len() != ID_LETTERS || !letters.bytes().all(small) {
        return Err(NotAHandle);
    }
    let encoding: &Encoding = &BASE32_NOPAD;
    let decoded = encoding.decode(letters.to_ascii_uppercase().as_bytes());
    decoded
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(NotAHandle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_its_own_text_and_has_no_other() {
        for handle in [
            Handle::new([0; 16], None),
            Handle::new([255; 16], Some([7; 16])),
        ] {
            let text = handle.to_string();
            assert_eq!(text.parse::<Handle>(), Ok(handle));
            for other in [
                text.to_uppercase(),
                format!("{text}a"),
                format!(" {text}"),
                text.replace("sealed_", "sealed-"),
                text.replace("sealed_", ""),
                format!("{text}_"),
                text.chars().take(text.len() - 1).collect(),
            ] {
                assert!(!Handle::is_one(&other), "{other}");
            }
        }
        // The last letter has bits that mean nothing; they must be 0.
        let zero = Handle::new([0; 16], None).to_string();
        assert!(!Handle::is_one(&(zero[..zero.len() - 1].to_owned() + "b")));
    }

    #[test]
    fn handles_are_found_in_text_and_parts_of_words_are_none() {
        let (short, long) = (
            Handle::new([1; 16], None),
            Handle::new([2; 16], Some([3; 16])),
        );
        let text = format!(
            "{{\"to\": \"{short}\", \"cc\":\"é{long}\"}} \\n{short} %20{short} {short}a {short}_"
        );
        let found: Vec<_> = handles_in(&text).collect();
        let handles: Vec<_> = found.iter().map(|(_, handle)| *handle).collect();
        assert_eq!(handles, [short, long, short, short]);
        for (span, handle) in found {
            assert_eq!(text[span], handle.to_string());
        }
        assert_eq!(handles_in("sealed_").count(), 0);
    }
}
