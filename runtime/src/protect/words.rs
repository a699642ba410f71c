//! The words that stand beside values: in field names, in the text around a value, in titles and descriptions.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::class::{Id, Kind, OTHER, Set};
use super::fold;

mod lists;

use lists::{LABELS, OTHER_ENDINGS, OTHERS, PLAIN, WORDS};

/// Bytes before a value in which a word counts: a label, or half a sentence. A Japanese letter has three.
pub(super) const BEFORE_BYTES: usize = 72;
/// Bytes after a value in which a word counts, such as "is my card".
pub(super) const AFTER_BYTES: usize = 32;
/// Bytes between words that make one label, such as "My Number (個人番号)".
const LABEL_GAP_BYTES: usize = 4;

/// What the words around a value say of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    /// Said near it, and not of an id since.
    pub(super) said: Set,
    /// Said nearest to it: its label.
    pub(super) label: Set,
}

/// What the name of a field, its schema and its object say of its value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field {
    /// Said by the name.
    pub(super) name: Set,
    /// Said by the schema's title or description.
    pub(super) schema: Set,
    /// The name is that of an id, a time or a count.
    pub(super) other: bool,
}

/// Every context word, in one automaton.
pub(super) struct Words {
    find: AhoCorasick,
    /// The class of each word, and whether it is plain ASCII and so needs a border.
    of: Vec<Id>,
}

impl Words {
    /// The words that are shipped, and some more.
    pub(super) fn new(more: &[(Id, String)]) -> Result<Self, aho_corasick::BuildError> {
        let own = WORDS
            .iter()
            .flat_map(|(kind, words)| words.iter().map(|word| (kind.id(), (*word).to_owned())));
        let others = OTHERS.iter().map(|word| (OTHER, (*word).to_owned()));
        let (mut of, mut words) = (Vec::new(), Vec::new());
        for (id, word) in own.chain(others).chain(more.iter().cloned()) {
            let word = plain(&fold::word(&word));
            if word.contains(' ') {
                of.push(id);
                words.push(word.replace(' ', ""));
            }
            of.push(id);
            words.push(word);
        }
        let find = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&words)?;
        Ok(Self { find, of })
    }

    /// Calls back for each word in a text that is in plain form: its class and its place.
    fn each(&self, text: &[u8], mut say: impl FnMut(Id, Range<usize>)) {
        let byte = |at: usize| text.get(at).copied().unwrap_or(b' ');
        for hit in self.find.find_overlapping_iter(text) {
            let (start, mut end) = (hit.start(), hit.end());
            let before = start.checked_sub(1).map_or(b' ', byte);
            if byte(start).is_ascii_alphanumeric() && before.is_ascii_alphabetic() {
                continue;
            }
            if byte(end.wrapping_sub(1)).is_ascii_alphabetic() {
                // A plural.
                if byte(end) == b's' {
                    end += 1;
                }
                if byte(end).is_ascii_alphabetic() {
                    continue;
                }
            }
            if let Some(id) = self.of.get(hit.pattern().as_usize()) {
                say(*id, start..end);
            }
        }
    }

    /// Every class that a text speaks of.
    pub(super) fn said(&self, text: &str) -> Set {
        let mut all = Set::default();
        self.each(plain(&fold::word(text)).as_bytes(), |id, _| {
            all |= Set::of(id)
        });
        all
    }

    /// What a field name says.
    pub(super) fn field(&self, name: &str) -> Named {
        let name = split(name);
        let (mut said, mut end) = (Set::default(), 0);
        self.each(name.as_bytes(), |id, at| {
            said |= Set::of(id);
            if id != OTHER {
                end = end.max(at.end);
            }
        });
        let last = name.rsplit(' ').next().unwrap_or_default();
        let other = said.has(OTHER) || OTHER_ENDINGS.contains(&last) && end < name.len();
        Named {
            said: if other { Set::default() } else { said },
            other,
            plain: PLAIN.contains(&name.as_str()),
            label: LABELS.contains(&name.as_str()),
        }
    }

    /// What the text before a value says; `folded` is the whole text.
    pub(super) fn before(&self, folded: &[u8], start: usize, work: &mut u64) -> Near {
        let from = start.saturating_sub(BEFORE_BYTES);
        let before = own_label(folded.get(from..start).unwrap_or_default());
        let mut room = [b' '; BEFORE_BYTES];
        let text = plain_into(before, &mut room);
        *work += text.len() as u64;
        let (mut near, mut end) = (Near::default(), None::<usize>);
        self.each(text, |id, at| {
            let joined = end.is_some_and(|end| at.start <= end + LABEL_GAP_BYTES);
            if id == OTHER {
                near.said = Set::default();
            }
            near.said |= Set::of(id);
            if id == OTHER || !joined {
                near.label = Set::default();
            }
            near.label |= Set::of(id);
            end = Some(end.map_or(at.end, |end| end.max(at.end)));
        });
        near
    }

    /// Adds what the text after a value says; it labels what has no label before.
    pub(super) fn after(&self, folded: &[u8], end: usize, near: Near, work: &mut u64) -> Near {
        let rest = folded.get(end..).unwrap_or_default();
        let after = rest.get(..AFTER_BYTES).unwrap_or(rest);
        let cut = after
            .iter()
            .position(|c| matches!(c, b',' | b';' | b'\n' | b'|' | b'"'));
        let after = after.get(..cut.unwrap_or(after.len())).unwrap_or_default();
        let mut room = [b' '; BEFORE_BYTES];
        let text = plain_into(after, &mut room);
        *work += text.len() as u64;
        let labelled = !near.label.is_empty();
        let (mut near, mut end) = (near, None::<usize>);
        self.each(text, |id, at| {
            if id == OTHER {
                return;
            }
            near.said |= Set::of(id);
            let first = end.is_none_or(|end| at.start <= end + LABEL_GAP_BYTES);
            if !labelled && first {
                near.label |= Set::of(id);
                end = Some(at.end);
            }
        });
        near
    }
}

/// What a field name says by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named {
    pub(super) said: Set,
    pub(super) other: bool,
    /// It says nothing.
    pub(super) plain: bool,
    /// It labels the fields beside it.
    pub(super) label: bool,
}

/// Where a label stands directly before the value ("tel: "), what was said before that label is of something else.
fn own_label(before: &[u8]) -> &[u8] {
    let end = before.trim_ascii_end();
    let end = end.strip_suffix(b"\"").unwrap_or(end).trim_ascii_end();
    let Some(label) = end.strip_suffix(b":").or_else(|| end.strip_suffix(b"=")) else {
        return before;
    };
    let border = |c: &u8| {
        matches!(
            c,
            b',' | b';' | b'\n' | b'\t' | b'|' | b'{' | b'[' | b'&' | b'?'
        )
    };
    let cut = label.iter().rposition(border).map_or(0, |at| at + 1);
    label.get(cut..).unwrap_or_default()
}

/// Small letters; hyphens and underscores are spaces.
fn plain(text: &str) -> String {
    let space = |c: char| match c {
        '-' | '_' => ' ',
        c => c.to_ascii_lowercase(),
    };
    text.chars().map(space).collect()
}

fn plain_into<'a>(text: &[u8], room: &'a mut [u8; BEFORE_BYTES]) -> &'a [u8] {
    for (to, c) in room.iter_mut().zip(text) {
        *to = match c {
            b'-' | b'_' => b' ',
            c => c.to_ascii_lowercase(),
        };
    }
    room.get(..text.len()).unwrap_or_default()
}

/// The words of a field name: `phoneNumber`, `phone_number` and `Phone-Number` are `phone number`.
fn split(name: &str) -> String {
    let folded = fold::Folded::new(name);
    let mut words = String::with_capacity(name.len() + 8);
    let mut chars = folded.text().chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let begins = c.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && next.is_ascii_lowercase());
        if begins {
            words.push(' ');
        }
        words.push(match c {
            '-' | '_' | '.' | '/' | ':' => ' ',
            c => c.to_ascii_lowercase(),
        });
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words::new(&[]).unwrap()
    }

    fn field(name: &str) -> Named {
        words().field(name)
    }

    #[test]
    fn a_field_name_speaks_however_its_words_are_joined() {
        for name in [
            "phoneNumber",
            "phone_number",
            "Phone-Number",
            "homePhone",
            "phones",
            "customer.phone",
            "PHONE",
            "電話番号",
            "ｹｰﾀｲ電話",
        ] {
            assert!(field(name).said.has(Kind::Phone.id()), "{name}");
        }
        for name in [
            "dateOfBirth",
            "date_of_birth",
            "dateofbirth",
            "DOB",
            "birthDate",
            "生年月日",
        ] {
            assert!(field(name).said.has(Kind::BirthDate.id()), "{name}");
        }
        assert!(field("myNumber").said.has(Kind::MyNumber.id()));
        assert!(field("mynumber").said.has(Kind::MyNumber.id()));
        assert!(field("ssn").said.has(Kind::Ssn.id()));
    }

    #[test]
    fn a_word_inside_a_word_says_nothing() {
        for name in [
            "hotel",
            "telemetry",
            "discard",
            "panel",
            "zipper",
            "administrator",
            "emailer",
        ] {
            assert!(field(name).said.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_name_of_an_id_a_time_or_a_count_is_no_label() {
        for name in [
            "phoneId",
            "card_id",
            "phoneUpdatedAt",
            "orderPhone",
            "phone_count",
            "passportExpiresOn",
        ] {
            assert!(field(name).other && field(name).said.is_empty(), "{name}");
        }
        for name in ["tax_id", "residentId", "phone"] {
            assert!(!field(name).other, "{name}");
        }
    }

    #[track_caller]
    fn near(text: &str) -> Near {
        let folded = fold::Folded::new(text);
        let at = folded.text().find("123").unwrap();
        let (words, text) = (words(), folded.text().as_bytes());
        let before = words.before(text, at, &mut 0);
        words.after(text, at + 3, before, &mut 0)
    }

    #[test]
    fn the_nearest_word_is_the_label_and_an_id_between_ends_what_was_said() {
        assert!(near("call my phone 123").label.has(Kind::Phone.id()));
        assert!(
            near("マイナンバー（個人番号）は123です")
                .label
                .has(Kind::MyNumber.id())
        );
        assert!(near("123 is my phone").label.has(Kind::Phone.id()));
        assert!(
            near("phone: 5, passport 123")
                .label
                .has(Kind::Passport.id())
        );
        assert!(near("phone: 5, passport 123").said.has(Kind::Phone.id()));
        let order = near("the phone of order 123");
        assert!(!order.said.has(Kind::Phone.id()) && order.label.has(OTHER));
        assert!(near("phone: 5, ref: 123").said.is_empty());
        assert!(near("Tel: 123").label.has(Kind::Phone.id()));
    }
}
