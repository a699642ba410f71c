//! Puts something else where data was found: marks, or the handles of what was encrypted.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::class::Kind;
use super::mask::{SECRET, push_masked};
use super::{Class, Finding};
use crate::limits;

/// What is put in the place of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Marks.
    Mask,
    /// A handle.
    Encrypt {
        /// Where the value stands: the tool, and the place with `*` for every place in an array.
        field: String,
        /// Whether the handle shows which values are equal.
        equal: bool,
    },
}

/// A finding and what is put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The finding.
    pub finding: Finding,
    /// What is put there.
    pub way: Way,
}

/// A piece of text that is to be encrypted.
pub struct Piece<'a> {
    /// Where it stands.
    pub field: &'a str,
    /// What it is.
    pub class: &'a Class,
    /// Whether its handle shall show which values are equal.
    pub equal: bool,
    /// The piece.
    pub text: &'a str,
}

/// A place, by its pointer, in which nothing else can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is a number; whatever took its place would be a lie.
    Number(String),
    /// It is the name of a field, which nobody would find again.
    Key(String),
}

/// Gives a piece and gets what is put in its place.
pub type Seal<'a> = dyn FnMut(Piece<'_>) -> String + 'a;

/// A text with its findings replaced.
pub fn rewrite_text(text: &str, changes: &[Change], seal: &mut Seal<'_>) -> String {
    let all: Vec<_> = changes.iter().map(|one| (&one.finding, &one.way)).collect();
    rewritten(text, &all, seal)
}

/// Replaces findings in strings and object keys in place, and returns where that cannot be done.
///
/// Keys that become the same are told apart by a number.
pub fn rewrite(value: &mut Value, changes: &[Change], seal: &mut Seal<'_>) -> Vec<Unfit> {
    let mut places = Places::new();
    let mut unfit = Vec::new();
    for change in changes {
        let finding = &change.finding;
        if finding.in_key && change.way != Way::Mask {
            unfit.push(Unfit::Key(finding.pointer.clone()));
            continue;
        }
        let place = (finding.pointer.as_str(), finding.in_key);
        places
            .entry(place)
            .or_default()
            .push((finding, &change.way));
    }
    if !places.is_empty() {
        let mut walk = Walk {
            places,
            seal,
            unfit: &mut unfit,
        };
        walk.visit(value, &mut String::new(), 0);
    }
    unfit
}

type Found<'a> = (&'a Finding, &'a Way);
type Places<'a> = HashMap<(&'a str, bool), Vec<Found<'a>>>;

struct Walk<'a, 'b, 'c> {
    places: Places<'a>,
    seal: &'b mut Seal<'c>,
    unfit: &'b mut Vec<Unfit>,
}

impl Walk<'_, '_, '_> {
    fn visit(&mut self, value: &mut Value, pointer: &mut String, depth: usize) {
        // Nothing is found any deeper.
        if depth > limits::PROTECT_DEPTH_MAX {
            return;
        }
        let length = pointer.len();
        match value {
            Value::String(text) => {
                if let Some(found) = self.places.get(&(pointer.as_str(), false)) {
                    *text = rewritten(text, found, self.seal);
                }
            }
            Value::Number(_) if self.places.contains_key(&(pointer.as_str(), false)) => {
                self.unfit.push(Unfit::Number(pointer.clone()));
            }
            Value::Array(items) => {
                for (nth, item) in items.iter_mut().enumerate() {
                    super::walk::push_index(pointer, nth);
                    self.visit(item, pointer, depth + 1);
                    pointer.truncate(length);
                }
            }
            Value::Object(fields) => {
                let mut renamed = false;
                for (key, item) in fields.iter_mut() {
                    super::walk::push_key(pointer, key);
                    renamed |= self.places.contains_key(&(pointer.as_str(), true));
                    self.visit(item, pointer, depth + 1);
                    pointer.truncate(length);
                }
                if renamed {
                    *fields = self.rename(std::mem::take(fields), pointer);
                }
            }
            _ => {}
        }
    }

    fn rename(&mut self, fields: Map<String, Value>, pointer: &mut String) -> Map<String, Value> {
        let length = pointer.len();
        let mut all = Map::with_capacity(fields.len());
        let mut same: HashMap<String, usize> = HashMap::new();
        for (key, value) in fields {
            super::walk::push_key(pointer, &key);
            let found = self.places.get(&(pointer.as_str(), true));
            let new = found.map(|found| rewritten(&key, found, self.seal));
            pointer.truncate(length);
            let mut name = new.unwrap_or(key);
            if all.contains_key(&name) {
                let base = name.clone();
                let times = same.entry(base.clone()).or_insert(1);
                while all.contains_key(&name) {
                    *times += 1;
                    name = format!("{base}#{times}");
                }
            }
            all.insert(name, value);
        }
        all
    }
}

fn rewritten(text: &str, found: &[Found<'_>], seal: &mut Seal<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for part in parts(text, found) {
        out.push_str(text.get(at..part.span.start).unwrap_or_default());
        let inside = text.get(part.span.clone()).unwrap_or_default();
        match part.sealed {
            Some((class, field, equal)) => out.push_str(&seal(Piece {
                field,
                class,
                equal,
                text: inside,
            })),
            None if part.secret => out.push_str(SECRET),
            None => push_masked(&mut out, inside, part.kept),
        }
        at = part.span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// A stretch of text under one or more findings.
struct Part<'a> {
    span: Range<usize>,
    kept: usize,
    secret: bool,
    /// The class, the field, and whether equal values show. It hides more than marks do, and so it wins.
    sealed: Option<(&'a Class, &'a str, bool)>,
}

/// The findings of a text as stretches that do not overlap, on borders of characters.
fn parts<'a>(text: &str, found: &[Found<'a>]) -> Vec<Part<'a>> {
    let mut spans: Vec<Part<'a>> = found.iter().map(|one| part(text, *one)).collect();
    spans.sort_by_key(|part| part.span.start);
    let mut all: Vec<Part<'a>> = Vec::with_capacity(spans.len());
    for part in spans {
        match all.last_mut() {
            Some(last) if part.span.start < last.span.end => {
                last.span.end = last.span.end.max(part.span.end);
                last.kept = last.kept.min(part.kept);
                last.secret |= part.secret;
                last.sealed = last.sealed.or(part.sealed);
            }
            _ => all.push(part),
        }
    }
    all
}

fn part<'a>(text: &str, (finding, way): Found<'a>) -> Part<'a> {
    let (mut start, mut end) = (
        finding.span.start.min(text.len()),
        finding.span.end.min(text.len()),
    );
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Part {
        span: start..end.max(start),
        kept: Kind::kept(finding.class.as_str()),
        secret: finding.class.built_in().is_some_and(|one| one.secret),
        sealed: match way {
            Way::Mask => None,
            Way::Encrypt { field, equal } => Some((&finding.class, field, *equal)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protect::{Confidence, Reason};

    fn change(pointer: &str, span: Range<usize>, class: &str, way: Way) -> Change {
        let finding = Finding {
            pointer: pointer.to_owned(),
            field: pointer.to_owned(),
            class: class.parse().unwrap(),
            confidence: Confidence::Sure,
            score: 95,
            reason: Reason::Form,
            span,
            in_key: false,
            sealed: false,
        };
        Change { finding, way }
    }

    fn encrypt(field: &str) -> Way {
        Way::Encrypt {
            field: field.to_owned(),
            equal: false,
        }
    }

    #[test]
    fn what_is_encrypted_is_given_away_piece_by_piece_and_the_rest_stays() {
        let mut value = serde_json::json!({"to": "mail a@b.example and c@d.example", "n": [1]});
        let changes = [
            change("/to", 5..16, "email", encrypt("t:/to")),
            change("/to", 21..32, "email", Way::Mask),
        ];
        let mut given = Vec::new();
        let unfit = rewrite(&mut value, &changes, &mut |piece| {
            given.push((piece.field.to_owned(), piece.text.to_owned()));
            "H".to_owned()
        });
        assert_eq!(unfit, []);
        assert_eq!(given, [("t:/to".to_owned(), "a@b.example".to_owned())]);
        assert_eq!(value["to"], "mail H and *@*.*******");
    }

    #[test]
    fn what_overlaps_is_one_piece_and_encryption_wins() {
        let text = "Hanako +81 90 1234 5678";
        let changes = [
            change("", 7..23, "phone", Way::Mask),
            change("", 0..23, "contact", encrypt("t:/c")),
        ];
        let mut given = Vec::new();
        let out = rewrite_text(text, &changes, &mut |piece| {
            given.push(piece.text.to_owned());
            "H".to_owned()
        });
        assert_eq!((out.as_str(), given), ("H", vec![text.to_owned()]));
    }

    #[test]
    fn numbers_and_names_of_fields_are_not_replaced_by_handles() {
        let mut value = serde_json::json!({"n": 4111, "a@b.example": 1});
        let mut key = change("/a@b.example", 0..11, "email", encrypt("t:/x"));
        key.finding.in_key = true;
        let changes = [change("/n", 0..4, "card", encrypt("t:/n")), key];
        let unfit = rewrite(&mut value, &changes, &mut |_| unreachable!());
        let key = Unfit::Key("/a@b.example".to_owned());
        assert_eq!(unfit, [key, Unfit::Number("/n".to_owned())]);
    }
}
