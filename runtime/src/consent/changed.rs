//! What is different about a tool since its user last agreed to something of it. Pure: texts in, differences out.
//!
//! A description is what a model acts on and a user trusts, so a change of it is shown, and not only that there is one.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::clock::Timestamp;
use crate::ids::Publisher;
use crate::store::{ConsentKey, ConsentRow, Pinned};

/// Lines of a schema that are compared. The longest schema that is admitted has more; then the rest is not.
const LINES_MAX: usize = 2_000;
/// Pieces of one text that are kept: more than anybody reads.
const PIECES_MAX: usize = 120;
/// Characters of one text that are kept.
const CHARS_MAX: usize = 4_000;
/// Characters of unchanged text that are kept on each side of a change.
const AROUND: usize = 60;
/// Unchanged lines that are kept on each side of a change.
const LINES_AROUND: usize = 2;

/// What changed about a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// When the user agreed to the one before.
    pub agreed_at: Timestamp,
    /// Its version, where that was recorded.
    pub version: Option<String>,
    /// Its publisher, where that was another.
    pub publisher: Option<Publisher>,
    /// Whether it asked for something else.
    pub needs: bool,
    /// What it says of itself otherwise now; nothing where what it said then was not recorded.
    pub texts: Option<Vec<TextChange>>,
}

/// How one of its texts changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextChange {
    /// Which text.
    pub text: Text,
    /// It, in pieces: what is in both, what went, what came.
    pub pieces: Vec<Piece>,
    /// Whether more changed than there is room for.
    pub cut: bool,
}

/// A text that a tool says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Text {
    /// Its title.
    Title,
    /// What it does.
    Description,
    /// The schema of its arguments, by lines.
    Input,
    /// The schema of its structured output, by lines.
    Output,
}

/// A piece of a text; of a schema, a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where it stands.
    pub kind: PieceKind,
    /// It.
    pub text: String,
}

/// Where a piece of text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PieceKind {
    /// In both.
    Same,
    /// In the old one alone.
    Gone,
    /// In the new one alone.
    New,
    /// Something that is in both is left out here.
    Gap,
}

impl Changed {
    /// What changed since this record; nothing where the very same tool is meant. `before` and `after` are canonical
    /// definitions.
    pub(super) fn since(
        row: &ConsentRow,
        key: &ConsentKey,
        pinned: &Pinned,
        before: Option<&str>,
        after: &str,
    ) -> Option<Self> {
        let publisher = (row.key.publisher != key.publisher).then(|| row.key.publisher.clone());
        if publisher.is_none() && row.pinned.component == pinned.component {
            return None;
        }
        let texts = if row.pinned.definition == pinned.definition {
            Some(Vec::new())
        } else {
            before.map(|before| texts(before, after))
        };
        Some(Self {
            agreed_at: row.decided_at,
            version: row.evidence.version.clone(),
            publisher,
            needs: row.pinned.manifest != pinned.manifest,
            texts,
        })
    }
}

/// The texts of two canonical definitions that differ.
fn texts(before: &str, after: &str) -> Vec<TextChange> {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let (before, after): (Value, Value) = (parse(before), parse(after));
    let both = |name: &str| (member(&before, name), member(&after, name));
    let words = |text, name: &str| {
        let (before, after) = both(name);
        let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (before != after).then(|| words(text, &of(before), &of(after)))
    };
    let lines = |text, name: &str| {
        let (before, after) = both(name);
        (before != after).then(|| lines(text, before, after))
    };
    [
        words(Text::Title, "title"),
        words(Text::Description, "description"),
        lines(Text::Input, "input_schema"),
        lines(Text::Output, "output_schema"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn member<'a>(definition: &'a Value, name: &str) -> &'a Value {
    definition.get(name).unwrap_or(&Value::Null)
}

fn kind(tag: ChangeTag) -> PieceKind {
    match tag {
        ChangeTag::Equal => PieceKind::Same,
        ChangeTag::Delete => PieceKind::Gone,
        ChangeTag::Insert => PieceKind::New,
    }
}

/// Compares by words, as Unicode bounds them, so that a text without spaces has words as well.
fn words(text: Text, before: &str, after: &str) -> TextChange {
    let diff = TextDiff::from_unicode_words(before, after);
    let mut pieces: Vec<Piece> = Vec::new();
    for change in diff.iter_all_changes() {
        let kind = kind(change.tag());
        match pieces.last_mut() {
            Some(last) if last.kind == kind => last.text.push_str(change.value()),
            Some(_) | None => pieces.push(Piece {
                kind,
                text: change.value().to_owned(),
            }),
        }
    }
    let last = pieces.len().saturating_sub(1);
    let mut shown = Vec::new();
    for (n, piece) in pieces.into_iter().enumerate() {
        let chars = piece.text.chars().count();
        if piece.kind != PieceKind::Same || chars <= 2 * AROUND {
            shown.push(piece);
            continue;
        }
        let same = |text: String| Piece {
            kind: PieceKind::Same,
            text,
        };
        if n > 0 {
            shown.push(same(piece.text.chars().take(AROUND).collect()));
        }
        shown.push(gap());
        if n < last {
            shown.push(same(piece.text.chars().skip(chars - AROUND).collect()));
        }
    }
    bounded(text, shown, false)
}

/// Compares what two schemas look like, by lines.
fn lines(text: Text, before: &Value, after: &Value) -> TextChange {
    let mut cut = false;
    let mut of = |value: &Value| {
        let all = match value {
            Value::Null => String::new(),
            value => format!("{value:#}"),
        };
        cut |= all.lines().count() > LINES_MAX;
        all.lines().take(LINES_MAX).collect::<Vec<_>>().join("\n")
    };
    let (before, after) = (of(before), of(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut pieces = Vec::new();
    for (n, group) in diff.grouped_ops(LINES_AROUND).iter().enumerate() {
        if n > 0 {
            pieces.push(gap());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            pieces.push(Piece {
                kind: kind(change.tag()),
                text: change.value().trim_end_matches('\n').to_owned(),
            });
        }
    }
    bounded(text, pieces, cut)
}

fn gap() -> Piece {
    Piece {
        kind: PieceKind::Gap,
        text: String::new(),
    }
}

/// As many of these pieces as there is room for.
fn bounded(text: Text, pieces: Vec<Piece>, mut cut: bool) -> TextChange {
    let (mut room, mut kept) = (CHARS_MAX, Vec::new());
    for mut piece in pieces {
        let chars = piece.text.chars().count();
        if kept.len() == PIECES_MAX || room == 0 {
            cut = true;
            break;
        }
        if chars > room {
            cut = true;
            piece.text = piece.text.chars().take(room).collect();
        }
        room = room.saturating_sub(chars);
        kept.push(piece);
    }
    TextChange {
        text,
        pieces: kept,
        cut,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(description: &str, schema: &Value) -> String {
        json!({"name": "n", "title": "N", "description": description, "input_schema": schema, "output_schema": null})
            .to_string()
    }

    fn of(pieces: &[Piece], kind: PieceKind) -> Vec<&str> {
        let some = pieces.iter().filter(|piece| piece.kind == kind);
        some.map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn a_changed_description_is_shown_by_words_and_what_is_far_away_is_left_out() {
        let long = "Nothing of note here. ".repeat(40);
        let before = definition(&format!("Reads notes. {long}Then ends."), &json!({}));
        let after = definition(&format!("Sends notes. {long}Then ends."), &json!({}));
        let changed = texts(&before, &after);
        assert_eq!(changed.len(), 1);
        let change = &changed[0];
        assert_eq!((change.text, change.cut), (Text::Description, false));
        assert_eq!(of(&change.pieces, PieceKind::Gone), ["Reads"]);
        assert_eq!(of(&change.pieces, PieceKind::New), ["Sends"]);
        assert_eq!(of(&change.pieces, PieceKind::Gap), [""]);
        let shown: usize = change.pieces.iter().map(|one| one.text.len()).sum();
        assert!(shown < 200, "{shown}");
    }

    #[test]
    fn words_of_a_text_without_spaces_are_told_apart() {
        let changed = texts(
            &definition("メモを読みます。", &json!({})),
            &definition("メモを書きます。", &json!({})),
        );
        let pieces = &changed[0].pieces;
        assert_eq!(of(pieces, PieceKind::Gone), ["読み"]);
        assert_eq!(of(pieces, PieceKind::New), ["書き"]);
    }

    #[test]
    fn a_difference_of_characters_that_show_nothing_is_a_difference() {
        let changed = texts(
            &definition("Reads notes.", &json!({})),
            &definition("Reads \u{202e}notes.", &json!({})),
        );
        assert!(
            of(&changed[0].pieces, PieceKind::New)
                .concat()
                .contains('\u{202e}')
        );
    }

    #[test]
    fn a_changed_schema_is_shown_by_lines_with_a_few_around_each() {
        let schema = |kind: &str| {
            let mut properties = serde_json::Map::new();
            for n in 0..40 {
                properties.insert(format!("p{n:02}"), json!({"type": "string"}));
            }
            properties.insert("p20".to_owned(), json!({"type": kind}));
            json!({"type": "object", "properties": properties})
        };
        let changed = texts(
            &definition("d", &schema("string")),
            &definition("d", &schema("integer")),
        );
        let change = &changed[0];
        assert_eq!((change.text, change.pieces.len()), (Text::Input, 6));
        assert_eq!(
            of(&change.pieces, PieceKind::Gone),
            ["      \"type\": \"string\""]
        );
        assert_eq!(
            of(&change.pieces, PieceKind::New),
            ["      \"type\": \"integer\""]
        );
    }

    #[test]
    fn unchanged_words_are_shown_beside_each_change_and_left_out_beyond() {
        let word = |letter: &str| letter.repeat(200);
        let (start, middle, end) = (word("s"), word("m"), word("e"));
        let text = |word: &str| format!("{start} {word} {middle} {word} {end}");
        let change = words(Text::Description, &text("old"), &text("new"));
        assert_eq!(of(&change.pieces, PieceKind::Gone), ["old", "old"]);
        assert_eq!(of(&change.pieces, PieceKind::New), ["new", "new"]);
        let unchanged: Vec<_> = change
            .pieces
            .iter()
            .filter(|piece| [PieceKind::Same, PieceKind::Gap].contains(&piece.kind))
            .map(|piece| piece.text.as_str())
            .collect();
        let before = |letter: &str| format!("{} ", letter.repeat(AROUND - 1));
        let after = |letter: &str| format!(" {}", letter.repeat(AROUND - 1));
        assert_eq!(
            unchanged,
            [
                "",
                &before("s"),
                &after("m"),
                "",
                &before("m"),
                &after("e"),
                ""
            ]
        );
    }

    #[test]
    fn what_is_as_short_as_what_is_shown_around_changes_is_shown_whole() {
        let between = |chars: usize| {
            let text = |word: &str| format!("{word} {} {word}", "m".repeat(chars - 2));
            words(Text::Description, &text("old"), &text("new")).pieces
        };
        let short = between(2 * AROUND);
        let whole = format!(" {} ", "m".repeat(2 * AROUND - 2));
        assert_eq!(of(&short, PieceKind::Same), [whole.as_str()]);
        assert!(of(&short, PieceKind::Gap).is_empty());
        let long = between(2 * AROUND + 1);
        assert_eq!(of(&long, PieceKind::Same).len(), 2);
        assert_eq!(of(&long, PieceKind::Gap), [""]);
    }

    #[test]
    fn lines_between_changes_that_lie_apart_are_left_out() {
        let schema = |word: &str| {
            let mut all = vec!["same"; 20];
            (all[0], all[19]) = (word, word);
            json!({"enum": all})
        };
        let change = lines(Text::Input, &schema("old"), &schema("new"));
        let kinds: Vec<_> = change.pieces.iter().map(|piece| piece.kind).collect();
        let around = {
            use PieceKind::{Gone, New, Same};
            [Same, Same, Gone, New, Same, Same]
        };
        assert_eq!(kinds, [&around[..], &[PieceKind::Gap], &around].concat());
    }

    #[test]
    fn a_schema_of_more_lines_than_are_compared_says_so() {
        let changed = |count: usize| {
            // It is printed with two lines before these, and two after them.
            let schema = |first: &str| {
                let mut all = vec!["same"; count - 4];
                all[0] = first;
                json!({"enum": all})
            };
            lines(Text::Output, &schema("old"), &schema("new"))
        };
        let (whole, long) = (changed(LINES_MAX), changed(LINES_MAX + 1));
        assert_eq!((whole.cut, long.cut), (false, true));
        assert_eq!(whole.pieces, long.pieces);
        assert_eq!(of(&long.pieces, PieceKind::New), ["    \"new\","]);
    }

    #[test]
    fn pieces_that_fill_the_room_are_whole_and_nothing_is_kept_beyond() {
        let piece = |chars: usize| Piece {
            kind: PieceKind::New,
            text: "x".repeat(chars),
        };
        let full = vec![piece(CHARS_MAX - 1), piece(1)];
        let whole = bounded(Text::Title, full.clone(), false);
        assert_eq!((&whole.pieces, whole.cut), (&full, false));
        let more = [full.clone(), vec![piece(1)]].concat();
        let cut = bounded(Text::Title, more, false);
        assert_eq!((&cut.pieces, cut.cut), (&full, true));
    }

    #[test]
    fn what_changed_all_over_is_cut_and_says_so() {
        let many = |word: &str| {
            (0..900)
                .map(|n| format!("{word}{n} same "))
                .collect::<String>()
        };
        let changed = texts(
            &definition(&many("a"), &json!({})),
            &definition(&many("b"), &json!({})),
        );
        let change = &changed[0];
        assert!(change.cut && change.pieces.len() <= PIECES_MAX);
        let huge = texts(
            &definition("", &json!({})),
            &definition(&"x".repeat(1_000_000), &json!({})),
        );
        let change = &huge[0];
        let chars: usize = change
            .pieces
            .iter()
            .map(|one| one.text.chars().count())
            .sum();
        assert!(change.cut && chars <= CHARS_MAX, "{chars}");
    }
}
