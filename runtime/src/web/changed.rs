//! How pages show what is different about a tool.

use super::page::NAME_CHARS_MAX;
use super::words::{day, marked, plain};
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
    pub(super) fn new(changed: &Changed) -> Self {
        Self {
            summary: summary(changed),
            texts: changed.texts.iter().flatten().map(TextView::new).collect(),
        }
    }
}

impl TextView {
    fn new(change: &TextChange) -> Self {
        let (name, by_line) = match change.text {
            Text::Title => ("Title", false),
            Text::Description => ("Description", false),
            Text::Input => ("What it takes (schema)", true),
            Text::Output => ("What it returns (schema)", true),
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
fn summary(changed: &Changed) -> String {
    let when = day(changed.agreed_at);
    let mut text = match &changed.publisher {
        Some(before) => format!(
            "This tool has another publisher than the one that you agreed to on {when}, which was “{}”. What you agreed to then does not hold for this one.",
            plain(before.as_str(), NAME_CHARS_MAX)
        ),
        None => {
            let version = changed.version.as_deref().map(|version| {
                let version = plain(version, 40);
                format!(" (version {version})")
            });
            format!(
                "The tool has changed since you agreed to something of it on {when}{}.",
                version.unwrap_or_default()
            )
        }
    };
    if changed.needs {
        text.push_str(" It asks for other things than then.");
    }
    text.push_str(match &changed.texts {
        None => " What it said of itself then is not on record.",
        Some(texts) if texts.is_empty() => {
            " What it says of itself is the same; the program is another."
        }
        Some(_) => " What it says of itself differs:",
    });
    text
}
