//! One form for what people read as one: wide digits, hyphens of all kinds, digits of other scripts, hidden characters.
//!
//! Every folded byte knows the character it came from, so that a finding has its place in the original.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::char::{compose, decompose_compatible};

use super::unseen::{is_stray_control, is_unseen};

/// A text in folded form.
pub(super) struct Folded<'a> {
    original: &'a str,
    text: Cow<'a, str>,
    /// For each folded byte where its character begins in the original; empty where nothing was folded.
    begins: Vec<u32>,
}

impl<'a> Folded<'a> {
    pub(super) fn new(original: &'a str) -> Self {
        if is_folded(original) {
            return Self {
                original,
                text: Cow::Borrowed(original),
                begins: Vec::new(),
            };
        }
        let mut fold = Fold {
            text: String::with_capacity(original.len()),
            begins: Vec::with_capacity(original.len()),
        };
        let mut chars = original.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            fold.push(at as u32, c, next);
        }
        Self {
            original,
            text: Cow::Owned(fold.text),
            begins: fold.begins,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original that folded bytes came from.
    pub(super) fn span(&self, folded: &Range<usize>) -> Range<usize> {
        if self.begins.is_empty() {
            return folded.clone();
        }
        let begin = |at: usize| self.begins.get(at).map(|begin| *begin as usize);
        let start = begin(folded.start).unwrap_or(self.original.len());
        let last = folded.end.checked_sub(1).and_then(begin).unwrap_or(start);
        let rest = self.original.get(last..).unwrap_or_default();
        let width = rest.chars().next().map_or(0, char::len_utf8);
        start..last + width
    }
}

/// Whether nothing in a text folds: plain letters, kana, ideographs, Hangul and their signs.
fn is_folded(text: &str) -> bool {
    let plain = |c: char| {
        matches!(
            c,
            '\t' | '\n' | '\r' | ' '..='~'
                | '\u{3001}'..='\u{3003}'
                | '\u{300a}'..='\u{3011}'
                | '\u{3041}'..='\u{3096}'
                | '\u{30a1}'..='\u{30fb}'
                | '\u{30fd}'..='\u{30fe}'
                | '\u{4e00}'..='\u{9fff}'
                | '\u{ac00}'..='\u{d7a3}'
        )
    };
    let mut digit = false;
    text.chars().all(|c| {
        // After a digit it is a hyphen.
        let long = c == 'ー' && !digit;
        digit = c.is_ascii_digit();
        plain(c) || long
    })
}

/// A word in folded form and in small letters.
pub(super) fn word(text: &str) -> String {
    Folded::new(text).text().to_ascii_lowercase()
}

struct Fold {
    text: String,
    begins: Vec<u32>,
}

impl Fold {
    fn push(&mut self, at: u32, c: char, next: Option<char>) {
        match c {
            '\t' | '\n' | '\r' | ' '..='~' => self.add(at, c),
            // Combining accents.
            '\u{300}'..='\u{33f}' => {}
            // They separate what stands on either side.
            '\u{2028}' | '\u{2029}' => self.add(at, '\n'),
            // What nobody sees does not keep it apart; controls are taken out of replies.
            c if is_unseen(c) || is_stray_control(c) => {}
            // Hyphens, dashes and what Japanese keyboards put in their place.
            '\u{58a}'
            | '\u{5be}'
            | '\u{2010}'..='\u{2015}'
            | '\u{2043}'
            | '\u{207b}'
            | '\u{208b}'
            | '\u{2212}'
            | '\u{2500}'
            | '\u{2501}'
            | '\u{2796}'
            | '\u{fe58}'
            | '\u{fe63}'
            | '\u{ff0d}' => self.add(at, '-'),
            '\u{30fc}' | '\u{ff70}' if self.after_digit() => self.add(at, '-'),
            // Voiced sound marks that follow their letter.
            '\u{3099}' | '\u{ff9e}' => self.voice(at, '\u{3099}'),
            '\u{309a}' | '\u{ff9f}' => self.voice(at, '\u{309a}'),
            // Kana, ideographs and Hangul stand for themselves, and are most of what is read.
            '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fe}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}' => self.add(at, c),
            _ => match digit(c).or_else(|| self.lookalike(c, next)) {
                Some(digit) => self.add(at, digit),
                None => decompose_compatible(c, |part| match part {
                    '\u{300}'..='\u{33f}' => {}
                    '\u{2010}'..='\u{2015}' | '\u{2212}' => self.add(at, '-'),
                    part => self.add(at, part),
                }),
            },
        }
    }

    fn add(&mut self, at: u32, c: char) {
        self.text.push(c);
        self.begins.resize(self.text.len(), at);
    }

    fn after_digit(&self) -> bool {
        self.text
            .bytes()
            .next_back()
            .is_some_and(|c| c.is_ascii_digit())
    }

    /// Puts a sound mark on the letter before it; where they make no letter, it is dropped.
    fn voice(&mut self, at: u32, mark: char) {
        let Some(voiced) = self.text.chars().next_back().and_then(|c| compose(c, mark)) else {
            return;
        };
        let begin = self.begins.last().copied().unwrap_or(at);
        self.text.pop();
        self.begins.truncate(self.text.len());
        self.add(begin, voiced);
    }

    /// Letters of other scripts that look like digits, where digits stand beside them.
    fn lookalike(&self, c: char, next: Option<char>) -> Option<char> {
        let looks = match c {
            'О' | 'о' | 'Ο' | 'ο' | 'օ' => '0',
            'І' | 'і' | 'Ι' | 'ι' | 'ӏ' | 'Ӏ' => '1',
            'З' | 'з' | 'Ʒ' | 'ӡ' | 'Ӡ' => '3',
            'Ч' | 'ч' => '4',
            'б' => '6',
            _ => return None,
        };
        let beside = self.after_digit()
            || next.is_some_and(|next| next.is_ascii_digit() || digit(next).is_some());
        beside.then_some(looks)
    }
}

/// The zeros of decimal digits (general category Nd of Unicode 16) outside ASCII; nine more follow each.
const ZEROS: [u32; 65] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
    0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The ASCII digit that a digit of another script, or a circled one, stands for.
fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let value = match code {
        0x2460..=0x2468 => code - 0x245F,
        0x24EA | 0x24FF | 0x3007 => 0,
        0x2776..=0x277E => code - 0x2775,
        0x2780..=0x2788 => code - 0x277F,
        _ => {
            let after = ZEROS.partition_point(|zero| *zero <= code);
            let zero = ZEROS.get(after.checked_sub(1)?)?;
            code - zero
        }
    };
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn folds(original: &str, folded: &str) {
        assert_eq!(Folded::new(original).text(), folded);
    }

    #[test]
    fn wide_and_foreign_digits_hyphens_and_hidden_characters_become_plain() {
        folds("０９０－１２３４", "090-1234");
        folds("090‐12–34−56ー78", "090-12-34-56-78");
        folds("４１１１\u{200b}１１１１", "41111111");
        folds("٠٩٠ ०९० 𝟎𝟗𝟎 ①②③ 〇", "090 090 090 123 0");
        folds("taro＠example．jp", "taro@example.jp");
        folds("4О1З", "4013");
    }

    #[test]
    fn words_stay_words() {
        folds("クレジットカード", "クレジットカード");
        folds("ｸﾚｼﾞｯﾄｶｰﾄﾞ ﾊﾟｽﾜｰﾄﾞ", "クレジットカード パスワード");
        folds("ハ\u{309a}スワート\u{3099}", "パスワード");
        folds(
            "téléphone, Москва, 주민등록번호",
            "telephone, Москва, 주민등록번호",
        );
    }

    #[test]
    fn a_place_in_the_folded_text_leads_back_to_the_original() {
        let original = "電話：０９０－１２３４。";
        let folded = Folded::new(original);
        let at = folded.text().find("090-1234").unwrap();
        assert_eq!(&original[folded.span(&(at..at + 8))], "０９０－１２３４");
        let plain = Folded::new("call 090");
        assert_eq!(plain.span(&(5..8)), 5..8);
    }
}
