//! How pages show what is different about a tool.

use super::page::{NAME_CHARS_MAX, VERSION_CHARS_MAX};
use super::text::{marked, plain};
use super::words::{ChangedWords, Words};
use crate::consent::{Changed, PieceKind, Text, TextChange};

/// What changed, for a template.
pub(super) struct ChangedView {
    /// In sentences.
    pub(super) summary: String,
    /// The texts that differ.
    pub(super) texts: Vec<TextView>,
}

/// A text that differs.
pub(super) struct TextView {
    pub(super) name: &'static str,
    /// Whether its pieces are lines.
    pub(super) by_line: bool,
    pub(super) pieces: Vec<PieceView>,
    pub(super) cut: bool,
}

/// A piece of it.
pub(super) struct PieceView {
    pub(super) gone: bool,
    pub(super) new: bool,
    /// Escaped by the template; whatever hides or reorders is named instead.
    pub(super) text: String,
}

impl ChangedView {
    pub(super) fn new(w: &Words, changed: &Changed) -> Self {
        let texts = changed.texts.iter().flatten();
        Self {
            summary: summary(w, changed),
            texts: texts.map(|text| TextView::new(&w.changed, text)).collect(),
        }
    }
}

impl TextView {
    fn new(w: &ChangedWords, change: &TextChange) -> Self {
        let (name, by_line) = match change.text {
            Text::Title => (w.title, false),
            Text::Description => (w.description, false),
            Text::Input => (w.input, true),
            Text::Output => (w.output, true),
        };
        let pieces = change.pieces.iter().map(|piece| PieceView {
            gone: piece.kind == PieceKind::Gone,
            new: piece.kind == PieceKind::New,
            text: match piece.kind {
                PieceKind::Same | PieceKind::Gone | PieceKind::New => marked(&piece.text),
                PieceKind::Gap => " … ".to_owned(),
            },
        });
        Self {
            name,
            by_line,
            pieces: pieces.collect(),
            cut: change.cut,
        }
    }
}

/// What changed, in sentences of ours.
fn summary(w: &Words, changed: &Changed) -> String {
    let when = (w.day)(changed.agreed_at);
    let mut text = match &changed.publisher {
        Some(before) => {
            let before = plain(before.as_str(), NAME_CHARS_MAX);
            (w.changed.publisher)(&when, &before)
        }
        None => {
            let version = changed.version.as_deref();
            let version = version.map(|version| plain(version, VERSION_CHARS_MAX));
            (w.changed.since)(&when, version.as_deref())
        }
    };
    if changed.needs {
        text.push_str(w.changed.needs);
    }
    text.push_str(match &changed.texts {
        None => w.changed.texts_unknown,
        Some(texts) if texts.is_empty() => w.changed.texts_same,
        Some(_) => w.changed.texts_differ,
    });
    text
}
