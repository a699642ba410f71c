//! Texts of others as the pages show them: nothing in them hides, reorders, or passes for something else unseen.

use unicode_security::{RestrictionLevel, RestrictionLevelDetection, skeleton};

use crate::protect::is_unseen;

/// Text that somebody else wrote, for a page: on one line and bounded. What shows nothing or reorders what stands around it is
/// named in its place, as in `⟨U+200B⟩`.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars();
    for c in chars.by_ref().take(chars_max) {
        if matches!(c, '\n' | '\r' | '\t') {
            out.push(' ');
        } else if c == '\u{3000}' || chooses_emoji(before, c) {
            // Japanese writes the first; the second only says how the sign before it is drawn.
            out.push(c);
        } else {
            push(&mut out, c);
        }
        before = c;
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// The same for a text in which every character counts: whatever is no plain space is named as well. On one line.
pub(super) fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' {
            out.push_str("↵ ");
        } else {
            push(&mut out, c);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    if c != ' ' && (c.is_control() || c.is_whitespace() || is_invisible(c)) {
        out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
    } else {
        out.push(c);
    }
}

/// A variation selector behind a symbol, as in every other emoji.
fn chooses_emoji(before: char, c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}') && !before.is_ascii() && !before.is_alphanumeric()
}

/// Characters that show nothing or change the order of what stands around them: what is read would not be what is there. A page
/// also names the blank of Braille, which looks like space.
fn is_invisible(c: char) -> bool {
    is_unseen(c) || matches!(c, '\u{2800}' | '\u{e0000}'..='\u{e0fff}')
}

/// Why a name may be taken for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deceptive {
    /// It holds characters that show nothing or reorder others.
    Hidden,
    /// A word of it mixes scripts that nobody mixes, such as Latin and Cyrillic.
    Mixed,
    /// A word of it looks as if it were written in Latin letters, and is not.
    Imitates,
}

/// Whether a name may be taken for another one (Unicode TS 39).
pub(super) fn deceptive(name: &str) -> Option<Deceptive> {
    let mut before = ' ';
    for c in name.chars() {
        if (c.is_control() || is_invisible(c)) && !chooses_emoji(before, c) {
            return Some(Deceptive::Hidden);
        }
        before = c;
    }
    let words = || name.split(|c: char| !c.is_alphabetic()).map(narrow);
    let mixed = |word: &String| {
        // Greek and Cyrillic beside Latin is what this level leaves out; kana and Han beside Latin is within.
        word.as_str().detect_restriction_level() > RestrictionLevel::ModeratelyRestrictive
            && word.chars().any(|c| c.is_ascii())
    };
    if words().any(|word| mixed(&word)) {
        return Some(Deceptive::Mixed);
    }
    let imitates =
        |word: String| !word.is_ascii() && skeleton(&word).all(|c| c.is_ascii_alphanumeric());
    words().any(imitates).then_some(Deceptive::Imitates)
}

/// Without the wide and narrow forms in which Japanese is also written: nobody takes them for the ordinary ones.
fn narrow(word: &str) -> String {
    let ordinary = |c: &char| !matches!(c, '\u{ff00}'..='\u{ffef}');
    word.chars().filter(ordinary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_reorders_in_a_text_of_others_is_named() {
        assert_eq!(plain("Read  your\nnotes\t.", 100), "Read  your notes .");
        assert_eq!(
            plain("pay\u{202e}lave\u{200b}\u{feff}\u{7}", 100),
            "pay⟨U+202E⟩lave⟨U+200B⟩⟨U+FEFF⟩⟨U+0007⟩"
        );
        assert_eq!(plain("a\u{a0}b\u{2028}c", 100), "a⟨U+00A0⟩b⟨U+2028⟩c");
        assert_eq!(plain("日本語　é", 100), "日本語　é");
        assert_eq!(plain("⚠\u{fe0f} a\u{fe0f}", 100), "⚠\u{fe0f} a⟨U+FE0F⟩");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
    }

    #[test]
    fn where_every_character_counts_each_space_is_named_as_well() {
        assert_eq!(marked("a b\nc"), "a b↵ c");
        assert_eq!(
            marked("a\u{202e}b\u{a0}\u{7}\u{3000}"),
            "a⟨U+202E⟩b⟨U+00A0⟩⟨U+0007⟩⟨U+3000⟩"
        );
        assert_eq!(marked("日本語"), "日本語");
    }

    #[test]
    fn names_that_may_be_taken_for_others_are_noticed() {
        for (name, why) in [
            ("pay\u{200b}pal", Deceptive::Hidden),
            ("notes\u{202e}", Deceptive::Hidden),
            ("Pаypal", Deceptive::Mixed), // the first a is Cyrillic
            ("My Αpple notes", Deceptive::Mixed), // the A is Greek
            ("аррӏе", Deceptive::Imitates), // Cyrillic alone
            ("example-соре", Deceptive::Imitates),
        ] {
            assert_eq!(deceptive(name), Some(why), "{name}");
        }
    }

    #[test]
    fn ordinary_names_of_any_script_are_not() {
        for name in [
            "",
            "Notes",
            "notes_write-2.0",
            "https://client.example/metadata.json",
            "メモ帳",
            "APIで天気を調べる",
            "Notes メモ",
            "日本語とEnglish",
            "Заметки",
            "Σημειώσεις",
            "Café Zürich",
            "Погода API",
            "날씨",
            "ＡＰＩ連携",
            "APIﾃﾞｰﾀ",
            "10 m²",
            "⚠\u{fe0f} alerts",
        ] {
            assert_eq!(deceptive(name), None, "{name}");
        }
    }
}
