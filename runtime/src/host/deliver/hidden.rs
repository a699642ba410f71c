//! Handles that only another reader would find: behind escapes, in an encoding, or in either inside the other.
//!
//! The host of a request may undo any of these. So a text with such a handle is not sent: what is opened, or not, must not depend on
//! who reads.

use std::sync::LazyLock;

use crate::protect::{encoded, handles_in};

/// What every handle begins with.
const BEGINNING: &str = "sealed_";
/// How often escapes are undone. A text in which there are some still is not read to its end, and so is not sent.
const ROUNDS_MAX: usize = 4;

/// The beginning of a handle in base64 at every offset, in both alphabets, and in hexadecimal.
static ENCODED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let forms = encoded(BEGINNING).into_iter();
    let forms = forms.filter_map(|form| String::from_utf8(form).ok());
    forms.filter(|form| form != BEGINNING).collect()
});

/// Whether another reader could find a handle in this text, as it is apart.
pub(super) fn is_in(text: &str) -> bool {
    within(text, ROUNDS_MAX)
}

fn within(text: &str, rounds: usize) -> bool {
    if ENCODED.iter().any(|form| text.contains(form)) {
        return true;
    }
    let undone = [without_percent(text), without_escapes(text)];
    let mut undone = undone.into_iter().flatten();
    match rounds.checked_sub(1) {
        None => undone.next().is_some(),
        Some(left) => undone.any(|read| handles_in(&read).next().is_some() || within(&read, left)),
    }
}

/// The text with its percent escapes undone (RFC 3986 §2.1); none where it has none.
fn without_percent(text: &str) -> Option<String> {
    let read = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    (read != text).then(|| read.into_owned())
}

/// The text with its JSON escapes undone (RFC 8259 §7), whatever stands around them; none where it has none.
fn without_escapes(text: &str) -> Option<String> {
    text.contains('\\').then_some(())?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut undone = false;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let meant = after.chars().next().and_then(|letter| match letter {
            '"' | '\\' | '/' => Some((letter, 1)),
            'n' => Some(('\n', 1)),
            'r' => Some(('\r', 1)),
            't' => Some(('\t', 1)),
            'b' => Some(('\u{8}', 1)),
            'f' => Some(('\u{c}', 1)),
            'u' => {
                let digits = after.get(1..5)?;
                let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let code = hex
                    .then(|| u32::from_str_radix(digits, 16).ok())
                    .flatten()?;
                // Half of a pair is no letter of a handle.
                Some((char::from_u32(code).unwrap_or('\u{fffd}'), 5))
            }
            _ => None,
        });
        match meant {
            Some((letter, length)) => {
                out.push(letter);
                undone = true;
                rest = after.get(length..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    undone.then_some(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;
    use crate::protect::Handle;

    #[test]
    fn a_handle_is_found_behind_escapes_and_in_encodings_and_in_each_other() {
        let handle = Handle::new([7; 16], None).to_string();
        let json = handle.replace('s', "\\u0073");
        let percent = handle.replace('s', "%73");
        for hidden in [
            json.clone(),
            percent.clone(),
            percent.replace('%', "%25"),
            json.replace('\\', "\\\\"),
            json.replace('\\', "%5C"),
            percent.replace('%', "\\u0025"),
            format!("\\n{percent}"),
            STANDARD.encode(&handle),
            URL_SAFE.encode(format!("x{handle}")),
            STANDARD.encode(format!("xy{handle}")),
            hex::encode(&handle),
            hex::encode_upper(&handle),
            hex::encode(&handle).replace('7', "%37"),
        ] {
            assert!(is_in(&format!("{{\"a\": \"{hidden}\"}}")), "{hidden}");
        }
        for open in [
            "",
            "nothing 100% \\ here",
            "sealed_ letters",
            "C:\\new\\users",
            "%C3%96 \\ud83d\\ude00 \\u00",
            &handle,
        ] {
            assert!(!is_in(open), "{open}");
        }
    }

    #[test]
    fn what_is_escaped_too_often_to_be_read_is_taken_for_one() {
        let mut text = "%41".to_owned();
        for _ in 0..ROUNDS_MAX {
            assert!(!is_in(&text), "{text}");
            text = text.replace('%', "%25");
        }
        assert!(is_in(&text), "{text}");
    }
}
