use proptest::prelude::*;

use super::*;

/// Texts around a value that are part of no form of it.
const AROUND: &str = "[ \n\u{e9}\u{7f}]{0,12}";

fn lent(values: &[&str]) -> Lent {
    let lent = Lent::default();
    for (place, value) in values.iter().enumerate() {
        let value = SecretValue::of(value.as_bytes()).unwrap();
        lent.add(&format!("s{place}").parse().unwrap(), &Arc::new(value));
    }
    lent
}

/// What comes out where `bytes` come in pieces that end at these places.
fn passed(lent: &Lent, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut stream = lent.stream();
    let mut out = Vec::new();
    for pair in cuts.windows(2) {
        out.extend(stream.push(&bytes[pair[0]..pair[1]]));
        assert_eq!(
            out.len() + stream.held(),
            pair[1],
            "no byte is lost or made"
        );
    }
    out.extend(stream.finish());
    out
}

fn percent(value: &str, escaped: impl Fn(usize, u8) -> bool, upper: bool) -> String {
    let one = |(nth, byte)| match (escaped(nth, byte), upper) {
        (true, true) => format!("%{byte:02X}"),
        (true, false) => format!("%{byte:02x}"),
        (false, _) => char::from(byte).to_string(),
    };
    value.bytes().enumerate().map(one).collect()
}

fn unicode(value: &str, escaped: impl Fn(usize) -> bool) -> String {
    let one = |(nth, byte): (usize, u8)| match (escaped(nth), byte) {
        (true, byte) if nth % 2 == 0 => format!("\\u{byte:04x}"),
        (true, byte) => format!("\\u{byte:04X}"),
        (false, b'"') => "\\\"".to_owned(),
        (false, b'\\') => "\\\\".to_owned(),
        (false, byte) => char::from(byte).to_string(),
    };
    value.bytes().enumerate().map(one).collect()
}

/// The value in the form of that number. In each of them every byte belongs to the value.
fn form(value: &str, number: usize, choice: u64) -> String {
    let chosen = move |nth: usize| choice >> (nth % 64) & 1 == 1;
    let reserved = |_, byte: u8| !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match number {
        0 => value.to_owned(),
        1 => hex::encode(value),
        2 => hex::encode_upper(value),
        3 => percent(value, reserved, true),
        4 => percent(value, reserved, false),
        5 => percent(value, |_, _| true, true),
        6 => percent(value, |_, _| true, false),
        // A percent sign as it is would be another text.
        7 => percent(value, move |nth, byte| byte == b'%' || chosen(nth), true),
        8 => unicode(value, |_| true),
        9 => unicode(value, |_| false),
        10 => unicode(value, chosen),
        11 => serde_json::to_string(value)
            .unwrap()
            .trim_matches('"')
            .replace('/', "\\/"),
        _ => unreachable!(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_form_of_a_value_comes_through_however_it_is_cut(
        value in "[!-~]{8,40}",
        before in AROUND,
        after in AROUND,
        number in 0..12_usize,
        choice in any::<u64>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        // Two quotes at an end of a value are no quotes around it.
        prop_assume!(number != 11 || !value.starts_with('"') && !value.ends_with('"'));
        let written = form(&value, number, choice);
        let text = format!("{before}{written}{after}");
        let out = passed(&lent(&[&value, "another-value"]), text.as_bytes(), &cuts);
        let wanted = format!("{before}{}{after}", "*".repeat(written.len()));
        prop_assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn no_base64_of_a_value_comes_through_at_any_offset(
        value in "[!-~]{8,40}",
        before in proptest::collection::vec(any::<u8>(), 0..9),
        after in proptest::collection::vec(any::<u8>(), 0..9),
        standard in any::<bool>(),
        escaped in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let whole = [&before[..], value.as_bytes(), &after[..]].concat();
        let mut text = match standard {
            true => STANDARD.encode(&whole),
            false => URL_SAFE.encode(&whole),
        };
        if escaped {
            text = text.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        }
        let out = passed(&lent(&[&value]), text.as_bytes(), &cuts);
        prop_assert_eq!(out.len(), text.len());
        let out = String::from_utf8(out).unwrap();
        // All letters that are the value's alone are masked, and no others.
        let (from, to) = ((before.len() * 8).div_ceil(6), (before.len() + value.len()) * 8 / 6);
        let letters = |text: &str| text.replace("%2B", "+").replace("%2f", "/").replace("%3D", "=");
        let kept = |text: &str| (letters(text)[..from].to_owned(), letters(text));
        let (head, all) = kept(&text);
        prop_assert!(out.starts_with(&text[..text.len() - tail(&text, all.len() - from)]), "{head} {out}");
        prop_assert!(out.ends_with(&text[text.len() - tail(&text, all.len() - to)..]));
        prop_assert_eq!(out.bytes().filter(|byte| *byte == b'*').count(),
            text.len() - tail(&text, all.len() - to) - (text.len() - tail(&text, all.len() - from)));
    }

    #[test]
    fn what_is_no_value_is_as_it_was(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), Just(b'\\'), Just(b'u'), Just(b'0'), Just(b'4'), Just(b'1')], 0..400),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        // Eight letters that the text cannot hold, escaped or not.
        let text: Vec<u8> = bytes.into_iter().filter(|byte| !b"zZ".contains(byte)).collect();
        let out = passed(&lent(&["zz/zz+zz"]), &text, &cuts);
        prop_assert_eq!(out, text);
    }

    #[test]
    fn a_piece_that_begins_no_value_is_not_held_back(text in "[ -!#-$&-Z^-y]{0,200}") {
        let mut stream = lent(&["~canary~value"]).stream();
        let out = stream.push(text.as_bytes());
        let tail = stream.held();
        // Only what may be hexadecimal or base64 of the value is.
        prop_assert!(tail <= 60);
        prop_assert_eq!(out.len() + tail, text.len());
    }
}

/// How many bytes the last `letters` letters take, escapes counted whole.
fn tail(text: &str, letters: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut left) = (bytes.len(), letters);
    while left > 0 {
        at -= if at >= 3 && bytes[at - 3] == b'%' {
            3
        } else {
            1
        };
        left -= 1;
    }
    bytes.len() - at
}

#[test]
fn each_place_counts_once_and_for_its_own_secret() {
    let lent = lent(&["first-value", "second-value"]);
    let text = lent.text("first-value first%2Dvalue \\u0066irst-value second-value first-valu");
    assert_eq!(
        text,
        "*********** ************* **************** ************ first-valu"
    );
    let masked = lent.masked();
    assert_eq!(masked[&"s0".parse().unwrap()], 3);
    assert_eq!(masked[&"s1".parse().unwrap()], 1);
}

#[test]
fn values_that_overlap_are_both_masked() {
    let lent = lent(&["abcdefgh", "efghijkl"]);
    assert_eq!(lent.text("abcdefghijkl abcdefg"), "************ abcdefg");
}

#[test]
fn what_is_lent_while_a_stream_runs_is_looked_for_in_it() {
    let lent = lent(&["old-value-1"]);
    let mut stream = lent.stream();
    let mut out = stream.push(b"old-value-1 old-val");
    let value = SecretValue::of(b"new-value-2").unwrap();
    lent.add(&"s0".parse().unwrap(), &Arc::new(value));
    out.extend(stream.push(b"ue-1 new-va"));
    out.extend(stream.push(b"lue-2"));
    out.extend(stream.finish());
    assert_eq!(out, b"*********** *********** ***********");
    assert_eq!(lent.masked()[&"s0".parse().unwrap()], 3);
}

#[test]
fn a_stream_under_which_nothing_was_lent_yet_passes_at_once() {
    let lent = Lent::default();
    let mut stream = lent.stream();
    assert_eq!(stream.push(b"canary-val"), b"canary-val");
    assert_eq!(stream.finish(), b"");
    assert!(matches!(lent.text("canary-value"), Cow::Borrowed(_)));
}

#[test]
fn a_value_in_the_name_of_a_field_is_found_in_lower_case() {
    let lent = lent(&["Canary-Value"]);
    assert!(lent.is_named_in("x-canary-value-y"));
    assert!(!lent.is_named_in("x-canary-valu"));
}

/// As many signs as this has bytes.
fn masked(text: &str) -> String {
    "*".repeat(text.len())
}

#[test]
fn any_text_is_found_in_a_form_and_behind_escapes_of_ascii_alone() {
    let value = "Ö 😀 \"a\"+b";
    let lent = Lent::default();
    lent.deliver(&Arc::new(SecretValue::delivered(value).unwrap()));
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    for written in [
        value.to_owned(),
        form.clone(),
        form.replacen('+', "%20", 1),
        form.replace("%22", "\""),
        "\\u00d6 \\uD83D\\ude00 \\\"a\\\"\\u002bb".to_owned(),
        "\\u00D6\\u0020😀 \\u0022a\\\"+b".to_owned(),
        hex::encode(value),
    ] {
        let text = format!("\\ud83d\\n%+{written}+%2");
        let wanted = format!("\\ud83d\\n%+{}+%2", masked(&written));
        for cut in 0..text.len() {
            let out = passed(&lent, text.as_bytes(), &[cut]);
            assert_eq!(String::from_utf8_lossy(&out), wanted, "{cut}");
        }
    }
    for other in [
        "Ö 😀 \"a\" b",
        "Ö+😀+\"a\" b",
        "\\ud83dÖ 😀",
        "\\u00d6 \\ud83d",
        "Ö\\u",
    ] {
        assert_eq!(lent.text(other), other);
    }
}

#[test]
fn the_longest_value_is_found_too() {
    let value: String = (0..crate::limits::SECRET_BYTES_MAX)
        .map(|n| char::from(b'!' + u8::try_from(n * 7 % 94).unwrap()))
        .collect();
    let lent = lent(&[&value]);
    let text = format!("<{}>", percent(&value, |_, _| true, true));
    let out = passed(&lent, text.as_bytes(), &[1, 777, 7_777]);
    assert_eq!(out, format!("<{}>", "*".repeat(text.len() - 2)).as_bytes());
}
