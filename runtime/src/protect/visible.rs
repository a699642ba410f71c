//! What a reply shows is what is in it: characters that nobody sees are named in their place.
//!
//! A model reads what a person does not: text can be written in tag characters, in runs of joiners or selectors, or out of order.
//! Such text is marked and not removed, so that both see the same. What a script or an emoji needs stays.

use serde_json::{Map, Value};

use super::unseen::{is_joining, is_stray_control, is_unseen};

/// Marks texts and counts what it marked.
#[derive(Debug, Default)]
pub struct Marker {
    marked: u64,
}

impl Marker {
    /// Hidden characters so far.
    pub fn marked(&self) -> u64 {
        self.marked
    }

    /// The text with every run of hidden characters named: `⟨U+202E⟩`, or `⟨U+E0041 and 40 more⟩`, so that a text grows by little.
    pub fn text(&mut self, text: String) -> String {
        if !text.chars().any(is_hidden) {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        let mut before = None;
        while let Some(c) = chars.next() {
            if !is_hidden(c) {
                out.push(c);
                before = Some(c);
                continue;
            }
            let mut more = 0_u64;
            while chars.next_if(|next| is_hidden(*next)).is_some() {
                more += 1;
            }
            // One of them joins or selects; two in a row do nothing that can be seen.
            if more == 0 && joins(before, c) {
                out.push(c);
                continue;
            }
            match more {
                0 => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
                more => out.push_str(&format!("⟨U+{:04X} and {more} more⟩", u32::from(c))),
            }
            self.marked = self.marked.saturating_add(more).saturating_add(1);
        }
        out
    }

    /// Every text in a value, names of fields among them. Its depth was bounded when it was read.
    pub fn json(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(all) => all.into_iter().map(|one| self.json(one)).collect(),
            Value::Object(fields) => {
                let marked: Map<_, _> = fields
                    .into_iter()
                    .map(|(name, value)| (self.text(name), self.json(value)))
                    .collect();
                Value::Object(marked)
            }
            other => other,
        }
    }
}

fn is_hidden(c: char) -> bool {
    is_unseen(c) || is_stray_control(c)
}

/// Whether the character before has a use for it.
fn joins(before: Option<char>, c: char) -> bool {
    match c {
        // How a sign is drawn: digits too, in the emoji of keys.
        '\u{fe0e}' | '\u{fe0f}' => {
            before.is_some_and(|c| !c.is_ascii_alphabetic() && !c.is_whitespace())
        }
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => {
            before.is_some_and(|c| !c.is_ascii())
        }
        other => is_joining(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marked(text: &str) -> (String, u64) {
        let mut marker = Marker::default();
        let text = marker.text(text.to_owned());
        (text, marker.marked())
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "plain\r\n\ttext",
            "日本語　全角",
            "葛\u{e0100}城市",
            "می\u{200c}خواهم",
            "שלום\u{200f}!",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f} 1\u{fe0f}\u{20e3}",
            "ä e\u{301}",
            "⠀braille",
        ] {
            assert_eq!(marked(text), (text.to_owned(), 0));
        }
    }

    #[test]
    fn what_nobody_sees_is_named_and_counted() {
        for (text, shown, count) in [
            ("a\u{200b}b", "a⟨U+200B⟩b", 1),
            (
                "\u{202e}desrever\u{2066}x\u{2069}",
                "⟨U+202E⟩desrever⟨U+2066⟩x⟨U+2069⟩",
                3,
            ),
            ("x\u{e0041}\u{e0042}\u{e0043}y", "x⟨U+E0041 and 2 more⟩y", 3),
            ("a\u{200d}\u{200c}\u{200d}b", "a⟨U+200D and 2 more⟩b", 3),
            ("a\u{e0141}b\u{fe01}", "a⟨U+E0141⟩b⟨U+FE01⟩", 2),
            ("a\u{200d}b", "a⟨U+200D⟩b", 1),
            ("\u{fe0f}x", "⟨U+FE0F⟩x", 1),
            ("\u{1d173}\u{1bca0}", "⟨U+1D173 and 1 more⟩", 2),
            ("葛\u{e0100}\u{1}\u{e0101}", "葛⟨U+E0100 and 2 more⟩", 3),
            ("a\u{1}b\u{85}", "a⟨U+0001⟩b⟨U+0085⟩", 2),
            ("a\u{fe00}\u{fe01}\u{e0101}", "a⟨U+FE00 and 2 more⟩", 3),
            ("\u{2028}\u{feff}", "⟨U+2028 and 1 more⟩", 2),
        ] {
            assert_eq!(marked(text), (shown.to_owned(), count), "{text:?}");
        }
    }

    #[test]
    fn a_flood_of_hidden_characters_becomes_shorter() {
        let (text, count) = marked(&"\u{e0041}".repeat(60_000));
        assert_eq!((text.as_str(), count), ("⟨U+E0041 and 59999 more⟩", 60_000));
        // The worst is one beside each letter: nine bytes more for each two characters of at least three bytes.
        let worst = "a\u{ad}".repeat(1_000);
        assert!(marked(&worst).0.len() <= 5 * worst.len());
    }

    #[test]
    fn names_of_fields_and_deep_texts_are_marked_as_well() {
        let mut marker = Marker::default();
        let value = marker.json(json!({"a\u{200b}": [{"b": "\u{202e}c"}, 1, null]}));
        assert_eq!(value, json!({"a⟨U+200B⟩": [{"b": "⟨U+202E⟩c"}, 1, null]}));
        assert_eq!(marker.marked(), 2);
    }
}
