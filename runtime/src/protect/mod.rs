//! Finds personal data and secrets in JSON and in text, and masks them.
//!
//! Detection is by structure, check digits and the words around a value; names of people in running text are not looked for.
//! What becomes of a finding is decided by the operator's rules and by what the tool was granted ([`Safeguard`]).
//! Everything here is a function of its input: no clock, no I/O. What was scanned is in no `Debug` output and no error.

mod actions;
mod checks;
mod class;
mod find;
mod fold;
mod forms;
mod handle;
mod hush;
mod lent;
mod mask;
mod rewrite;
mod rules;
mod safeguard;
mod secrets;
mod sensitive;
mod unseen;
mod visible;
mod walk;
mod words;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde_json::Value;

pub use actions::{
    Action, DataRule, DataRules, Direction, FieldPattern, PatternError, ToolPattern,
};
pub use checks::Validator;
pub use class::{BuiltIn, Class, ClassError, built_in};
pub use handle::{Handle, NotAHandle, handles_in};
pub use hush::Hush;
pub use lent::{Lent, SecretValue, Stream as LentStream, ValueError, encoded};
pub use mask::{mask, mask_text};
pub use rewrite::{Change, Piece, Unfit, Way, rewrite, rewrite_text};
pub use rules::{CustomRule, RuleError};
pub use safeguard::{Counts, Judged, May, Safeguard, Withheld};
pub use sensitive::Sensitive;
pub use unseen::{clean, is_unseen};
pub use visible::Marker;
pub use walk::wants_encryption;

use class::Id;
use find::{Finder, Forms, Hit};
use words::{Field, Words};

/// How well a finding is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// By its form or its check digit alone.
    Likely,
    /// By a form that nothing else has, or by its form or check digit together with something that says what it is.
    Sure,
}

impl fmt::Display for Confidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Likely => "likely",
            Self::Sure => "sure",
        })
    }
}

/// What a finding rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The tool's author marked the field in its schema.
    Annotated,
    /// The name of its field.
    FieldName,
    /// The title or the description of its field.
    Schema,
    /// A word beside it.
    Context,
    /// A check digit, and an issuer, a country or a date that few numbers have.
    Range,
    /// A check digit.
    Checksum,
    /// The prefix and length of a key.
    Prefix,
    /// The way it is written.
    Form,
    /// A rule of the operator's own.
    Rule,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Annotated => "annotated",
            Self::FieldName => "field name",
            Self::Schema => "schema",
            Self::Context => "context",
            Self::Range => "range",
            Self::Checksum => "checksum",
            Self::Prefix => "prefix",
            Self::Form => "form",
            Self::Rule => "rule",
        })
    }
}

/// One piece of personal data, or one secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// JSON Pointer of the value; for a key that of its parent and the key. Keys may be personal data: [`Scan::place`] masks them.
    pub pointer: String,
    /// The same with `*` for every place in an array and for every name that the schema does not list.
    pub field: String,
    /// What it is.
    pub class: Class,
    /// How well that is founded.
    pub confidence: Confidence,
    /// The same from 0 to 100: 50 and below is `Likely` by form, 100 is the author's word.
    pub score: u8,
    /// What it rests on.
    pub reason: Reason,
    /// Its bytes in the string, the key, or the digits of the number.
    pub span: Range<usize>,
    /// It stands in a key.
    pub in_key: bool,
    /// The tool's author wants a handle in its place.
    pub sealed: bool,
}

/// Neither the value nor the pointer, whose keys may be data.
impl fmt::Debug for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Finding")
            .field("class", &self.class)
            .field("confidence", &self.confidence)
            .field("score", &self.score)
            .field("reason", &self.reason)
            .field("in_key", &self.in_key)
            .finish_non_exhaustive()
    }
}

impl Finding {
    /// What was found in `value`, masked: for people to read.
    pub fn shown(&self, value: &Value) -> Option<String> {
        let piece = match self.in_key {
            true => self.key()?.get(self.span.clone())?.to_owned(),
            false => self.piece(value)?,
        };
        let whole = Self {
            span: 0..piece.len(),
            ..self.clone()
        };
        Some(mask_text(&piece, &[whole]))
    }

    /// The key in which it stands.
    fn key(&self) -> Option<String> {
        let (_, key) = self.pointer.rsplit_once('/')?;
        Some(key.replace("~1", "/").replace("~0", "~"))
    }

    /// The text that was found.
    fn piece(&self, value: &Value) -> Option<String> {
        let text = match value.pointer(&self.pointer)? {
            Value::String(text) if !self.in_key => text.clone(),
            Value::Number(number) if !self.in_key => number.to_string(),
            _ => return None,
        };
        text.get(self.span.clone()).map(str::to_owned)
    }
}

/// Everything that was found in a value.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// What was found, in the order of the value.
    pub findings: Vec<Finding>,
    /// A bound was reached, and something was not looked at: this value is not clean.
    pub truncated: bool,
    /// Bytes looked at beyond the one pass over the text.
    work: u64,
}

impl Scan {
    /// Nothing was found, and everything was looked at.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && !self.truncated
    }

    /// Where a finding is, for people to read: its pointer, in which keys that hold findings are masked.
    pub fn place(&self, finding: &Finding) -> String {
        let mut place = String::new();
        let mut pointer = String::new();
        for part in finding.pointer.split('/').skip(1) {
            pointer.push('/');
            pointer.push_str(part);
            place.push('/');
            let inside = |other: &&Finding| other.in_key && other.pointer == pointer;
            let found: Vec<Finding> = self.findings.iter().filter(inside).cloned().collect();
            if found.is_empty() {
                place.push_str(part);
            } else {
                let key = part.replace("~1", "/").replace("~0", "~");
                let mut masked = String::new();
                walk::push_key(&mut masked, &mask_text(&key, &found));
                place.push_str(masked.trim_start_matches('/'));
            }
        }
        place
    }
}

/// Looks for personal data. Cheap to clone.
#[derive(Clone)]
pub struct Detector(Arc<Inner>);

impl fmt::Debug for Detector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Detector({} classes)", self.0.classes.len())
    }
}

/// Tables that are made once.
struct Inner {
    classes: Vec<Class>,
    words: Words,
    forms: Forms,
    rules: Option<rules::Rules>,
}

/// What was found in one text, at bytes of the original.
struct Found {
    hits: Vec<Hit>,
    full: bool,
    work: u64,
}

static BUILT_IN: LazyLock<Detector> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the shipped tables are the same in every run, and tests make them"
    )]
    Detector::with(&[]).expect("the shipped tables")
});

impl Detector {
    /// Looks for every class that is shipped.
    pub fn built_in() -> Self {
        BUILT_IN.clone()
    }

    /// Looks for what the operator's own rules find as well.
    pub fn with(rules: &[CustomRule]) -> Result<Self, RuleError> {
        let (ids, new) = rules::classes(rules);
        let compiled = rules::Rules::new(rules, &ids)?;
        let more: Vec<(Id, String)> = rules
            .iter()
            .zip(&ids)
            .flat_map(|(rule, id)| rule.words.iter().map(|word| (*id, word.clone())))
            .collect();
        let words = Words::new(&more).map_err(|error| RuleError::Compile {
            max: crate::limits::PROTECT_RULES_COMPILED_BYTES_MAX,
            reason: error.to_string(),
        })?;
        let shipped = built_in().iter().filter_map(|one| one.name.parse().ok());
        Ok(Self(Arc::new(Inner {
            classes: shipped.chain(new).collect(),
            words,
            forms: Forms::new(),
            rules: compiled,
        })))
    }

    /// Everything found in `value`. Its JSON Schema, or null, gives annotations (`x-pii`), titles and descriptions.
    pub fn scan(&self, value: &Value, schema: &Value) -> Scan {
        walk::scan(&self.0, value, schema)
    }

    /// Everything found in a text, of which `context` says what it is, as the name of a field does.
    pub fn scan_text(&self, text: &str, context: &str) -> Scan {
        walk::scan_text(&self.0, text, context)
    }

    /// Every class that may be found.
    pub fn classes(&self) -> impl Iterator<Item = &Class> {
        self.0.classes.iter()
    }
}

impl Inner {
    fn find(&self, text: &str, field: Field, room: usize) -> Found {
        let folded = fold::Folded::new(text);
        let mut finder = Finder::new(&self.words, &self.forms, folded.text(), field, room);
        finder.run();
        if let Some(rules) = &self.rules {
            finder.rules(rules);
        }
        let (full, work) = (finder.full, finder.work);
        let mut hits = match finder.hits.is_empty() {
            true => Vec::new(),
            false => find::settle(finder.hits),
        };
        for hit in &mut hits {
            hit.span = folded.span(&hit.span);
        }
        Found { hits, full, work }
    }

    fn find_number(&self, text: &str, field: Field, room: usize) -> Found {
        let mut finder = Finder::new(&self.words, &self.forms, text, field, room).of_number();
        finder.run();
        Found {
            full: finder.full,
            work: finder.work,
            hits: find::settle(finder.hits),
        }
    }
}

#[cfg(test)]
mod tests;
