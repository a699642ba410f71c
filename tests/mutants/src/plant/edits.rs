//! What is written into a text at its places, and in which order where places are the same.

use std::ops::Range;

/// What is to be written.
#[derive(Default)]
pub(super) struct Edits(Vec<Edit>);

struct Edit {
    at: usize,
    /// At one place what ends comes before what begins, the inner end first and the outer beginning first.
    order: i64,
    text: String,
}

impl Edits {
    /// Writes around a part of the text. Outer parts come before inner ones.
    pub(super) fn around(&mut self, range: Range<usize>, before: String, after: &str) {
        let nth = self.nth();
        self.insert(range.start, before);
        self.0.push(Edit {
            at: range.end,
            order: i64::MIN / 2 - nth,
            text: after.to_owned(),
        });
    }

    pub(super) fn insert(&mut self, at: usize, text: String) {
        let order = self.nth();
        self.0.push(Edit { at, order, text });
    }

    fn nth(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }

    /// The text with all of it.
    pub(super) fn made(mut self, text: &str) -> String {
        self.0.sort_by_key(|edit| (edit.at, edit.order));
        let mut made = String::with_capacity(text.len() * 2);
        let mut from = 0;
        for edit in self.0 {
            made.push_str(&text[from..edit.at]);
            made.push_str(&edit.text);
            from = edit.at;
        }
        made.push_str(&text[from..]);
        made
    }
}
