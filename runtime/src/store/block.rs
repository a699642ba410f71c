//! What is noted of the records of the audit log, so that a search need not read them all: of each block of them, between which
//! times they lie, and hints of the words by which they can be found.
//!
//! Nothing is decided by it. A hint says that a word may stand in a block; where there is none, it does not. Whoever can write the
//! file can write other hints, and so make a search pass over records: `bailiwick audit verify` compares them with the records. What
//! stands here of a record is so in every state of this format: where it is to be otherwise, that is another format, and all is made anew.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use serde::Deserialize;

use super::StoreError;
use super::log::{Chained, Head};
use crate::clock::Timestamp;
use crate::ids::Digest;

/// Records of a block. With fewer, hints take more room; with more, a search reads more that does not fit.
pub const BLOCK_RECORDS: u64 = 64;
/// Hints that a block may have, of two bytes each: more fit too often to be of use. Ordinary ones have some 150.
const HINTS_MAX: usize = 4_096;

/// Something by which a record can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// The name of the tool, or the name that was asked for.
    Tool(&'a str),
    /// The pseudonym of the user.
    Subject(&'a str),
    /// The type, or a family of types before a point.
    Kind(&'a str),
    /// A rule that the decision names.
    Rule(&'a str),
    /// The call, or one that it lies in.
    Call(&'a str),
    /// The client.
    Client(&'a str),
    /// A consent.
    Consent(&'a str),
    /// The status, or the stage that refused.
    Decision(&'a str),
}

impl Word<'_> {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Tool(text) => ("tool", text),
            Self::Subject(text) => ("subject", text),
            Self::Kind(text) => ("kind", text),
            Self::Rule(text) => ("rule", text),
            Self::Call(text) => ("call", text),
            Self::Client(text) => ("client", text),
            Self::Consent(text) => ("consent", text),
            Self::Decision(text) => ("decision", text),
        }
    }
}

/// Hands on a type and the families that it is of.
pub fn kinds(kind: &str, each: &mut dyn FnMut(Word<'_>)) {
    each(Word::Kind(kind));
    for (end, _) in kind.match_indices('.') {
        each(Word::Kind(kind.get(..end).unwrap_or_default()));
    }
}

/// That a word may be there: the first two bytes of SHA-256 of its kind, a zero byte and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint([u8; 2]);

impl Hint {
    /// That of a word.
    pub fn of(word: Word<'_>) -> Self {
        let (kind, text) = word.parts();
        let digest = Digest::of(&[kind.as_bytes(), &[0], text.as_bytes()].concat());
        let [first, second, ..] = *digest.as_bytes();
        Self([first, second])
    }

    /// Its two bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What is noted of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which: its records are those behind the first 64 times so many.
    pub number: u64,
    /// No record of it is older.
    pub at_min: Timestamp,
    /// No record of it is newer.
    pub at_max: Timestamp,
    /// Its hints in their order, one behind the other; none where anything may stand in it.
    pub hints: Option<Vec<u8>>,
}

impl Block {
    /// A block of which nothing is known: anything may stand in it.
    pub fn unknown(number: u64) -> Self {
        Self {
            number,
            at_min: Timestamp(i64::MIN),
            at_max: Timestamp(i64::MAX),
            hints: None,
        }
    }

    /// Whether a search that goes by this comes upon all records of the block, of which `made` is so.
    pub fn may_be(&self, made: &Self) -> bool {
        self == made || *self == Self::unknown(made.number)
    }

    /// The block of a record.
    pub fn of(seq: u64) -> u64 {
        seq.saturating_sub(1) / BLOCK_RECORDS
    }

    /// The first record of a block.
    pub fn first(number: u64) -> u64 {
        number.saturating_mul(BLOCK_RECORDS).saturating_add(1)
    }

    /// The last record of a block.
    pub fn last(number: u64) -> u64 {
        number.saturating_add(1).saturating_mul(BLOCK_RECORDS)
    }

    /// How many blocks are whole in a log of so many records.
    pub fn whole(records: u64) -> u64 {
        records / BLOCK_RECORDS
    }
}

/// What is noted of a block while its records come.
#[derive(Debug, Clone, Default)]
pub struct Gathering {
    times: Option<(Timestamp, Timestamp)>,
    hints: BTreeSet<Hint>,
    /// The words of those: most come again in the next record, and a digest costs more than a look.
    words: HashMap<&'static str, HashSet<String>>,
    is_unknown: bool,
}

impl Gathering {
    /// Adds a record.
    pub fn add(&mut self, record: &dyn Chained) {
        self.at(record.at());
        record.words(&mut |word| self.word(word));
    }

    fn word(&mut self, word: Word<'_>) {
        let (kind, text) = word.parts();
        let known = self.words.entry(kind).or_default();
        if !known.contains(text) {
            known.insert(text.to_owned());
            self.hints.insert(Hint::of(word));
        }
    }

    /// Adds a record by its text. Where that is no record, a search has to come upon it.
    pub fn add_text(&mut self, text: &str) {
        match serde_json::from_str::<Facts<'_>>(text) {
            Ok(facts) => {
                self.at(facts.at);
                facts.words(&mut |word| self.word(word));
            }
            Err(_) => self.add_unknown(),
        }
    }

    /// Adds what cannot be read.
    pub fn add_unknown(&mut self) {
        self.is_unknown = true;
    }

    fn at(&mut self, at: Timestamp) {
        let (min, max) = self.times.unwrap_or((at, at));
        self.times = Some((min.min(at), max.max(at)));
    }

    /// The block whose last record this was that was added, if it was the last of one.
    pub fn close_behind(&mut self, seq: u64) -> Option<Block> {
        let number = Block::of(seq);
        (seq == Block::last(number)).then(|| self.close(number))
    }

    /// The block of this number; what comes is of the next.
    pub fn close(&mut self, number: u64) -> Block {
        let one = std::mem::take(self);
        let Some((at_min, at_max)) = one.times.filter(|_| !one.is_unknown) else {
            return Block::unknown(number);
        };
        let bytes = || one.hints.iter().flat_map(|hint| hint.0).collect();
        Block {
            number,
            at_min,
            at_max,
            hints: (one.hints.len() <= HINTS_MAX).then(bytes),
        }
    }
}

/// The block at the end of a log, which is not whole yet.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The end of the log of which it is.
    pub head: Head,
    /// What is noted of its records.
    pub gathering: Gathering,
}

/// What a search looks for. A record that fits lies in these times and has all of these words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// Hints of the words.
    pub hints: Vec<Hint>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Older than this.
    pub until: Option<Timestamp>,
}

impl Sought {
    /// Whether every record fits.
    pub fn is_anything(&self) -> bool {
        self.hints.is_empty() && self.since.is_none() && self.until.is_none()
    }
}

/// Where records may stand that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Their numbers, in order; others have none that fits. Nothing is known of what stands in the last where it has no end.
    pub ranges: Vec<RangeInclusive<u64>>,
    /// From which record on to ask again; none where the last range has no end.
    pub next: Option<u64>,
}

/// What the store keeps of blocks.
#[async_trait]
pub trait LogBlocks: Send + Sync {
    /// At most `max` blocks from this one on, in order.
    async fn blocks(&self, number: u64, max: u32) -> Result<Vec<Block>, StoreError>;

    /// Where records from number `from` on may fit. Blocks of which nothing is noted are among them.
    async fn places(&self, from: u64, sought: &Sought) -> Result<Places, StoreError>;

    /// Notes anew what stands in all blocks. How many records they have.
    async fn index_anew(&self) -> Result<u64, StoreError>;
}

/// A part of the text of a record, as it stands there where nothing in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What of the text of a record it can be found by.
#[derive(Deserialize)]
struct Facts<'a> {
    at: Timestamp,
    #[serde(borrow, default)]
    asked_tool: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    consents: Vec<Text<'a>>,
    #[serde(borrow, default)]
    decision: Option<Decision<'a>>,
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow, default)]
    parent: Option<Text<'a>>,
    #[serde(borrow, default)]
    result: Option<Ending<'a>>,
    #[serde(borrow, default)]
    root: Option<Text<'a>>,
    #[serde(borrow, default)]
    subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool: Option<Named<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct Decision<'a> {
    #[serde(borrow, default)]
    erred: Vec<Text<'a>>,
    #[serde(borrow, default)]
    rules: Vec<Text<'a>>,
    #[serde(borrow, default)]
    trial: Vec<Trial<'a>>,
}

#[derive(Deserialize)]
struct Trial<'a> {
    #[serde(borrow)]
    rules: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Ending<'a> {
    #[serde(borrow, default)]
    stage: Option<Text<'a>>,
    #[serde(borrow)]
    status: Text<'a>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

impl Facts<'_> {
    fn words(&self, each: &mut dyn FnMut(Word<'_>)) {
        let tool = self.tool.iter().map(|tool| &tool.name);
        tool.chain(&self.asked_tool)
            .for_each(|name| each(Word::Tool(&name.0)));
        self.subject
            .iter()
            .for_each(|subject| each(Word::Subject(&subject.0)));
        kinds(&self.kind.0, each);
        if let Some(decision) = &self.decision {
            let tried = decision.trial.iter().flat_map(|one| &one.rules);
            let all = decision.rules.iter().chain(&decision.erred).chain(tried);
            all.for_each(|rule| each(Word::Rule(&rule.0)));
        }
        let around = self.parent.iter().chain(&self.root);
        std::iter::once(&self.event_id)
            .chain(around)
            .for_each(|call| each(Word::Call(&call.0)));
        self.client_id
            .iter()
            .for_each(|client| each(Word::Client(&client.0)));
        self.consents
            .iter()
            .for_each(|consent| each(Word::Consent(&consent.0)));
        if let Some(result) = &self.result {
            let words = std::iter::once(&result.status).chain(&result.stage);
            words.for_each(|word| each(Word::Decision(&word.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_that_of_its_word_as_what_it_stands() {
        let hint = |word| hex::encode(Hint::of(word).as_bytes());
        // printf 'tool\0notes' | sha256sum
        assert_eq!(hint(Word::Tool("notes")), "8da9");
        assert_ne!(hint(Word::Client("notes")), hint(Word::Tool("notes")));
    }

    #[test]
    fn a_record_lies_in_one_block() {
        for (seq, number) in [(1, 0), (64, 0), (65, 1), (128, 1), (129, 2)] {
            assert_eq!(Block::of(seq), number, "{seq}");
            assert!((Block::first(number)..=Block::last(number)).contains(&seq));
        }
        assert_eq!(
            (Block::whole(63), Block::whole(64), Block::whole(129)),
            (0, 1, 2)
        );
    }

    #[test]
    fn a_block_says_of_its_records_no_less_than_is_so() {
        let mut one = Gathering::default();
        let text = |at: i64, kind: &str| {
            format!(r#"{{"at":{at},"event_id":"e","phase":"event","type":"{kind}"}}"#)
        };
        one.add_text(&text(7, "tool.call"));
        one.add_text(&text(5, "tool.\\u0063all"));
        let block = one.close(3);
        assert_eq!(
            (block.number, block.at_min, block.at_max),
            (3, Timestamp(5), Timestamp(7))
        );
        let mut expected =
            [Word::Kind("tool.call"), Word::Kind("tool"), Word::Call("e")].map(Hint::of);
        expected.sort();
        let expected: Vec<u8> = expected.iter().flat_map(|hint| hint.0).collect();
        assert_eq!(block.hints.as_ref(), Some(&expected));
        let block_4 = Block {
            number: 4,
            ..block.clone()
        };
        // What cannot be read, and what would fit everything: a search comes upon it.
        one.add_text(&text(7, "tool.call"));
        one.add_text("{}");
        assert_eq!(one.close(4), Block::unknown(4));
        assert!(Block::unknown(4).may_be(&block_4) && !block.may_be(&block_4));
        for many in 0..=HINTS_MAX + 200 {
            one.add_text(&text(7, &format!("k{many}")));
        }
        let many = one.close(5);
        assert_eq!((many.at_min, many.hints), (Timestamp(7), None));
        // The next one begins with nothing: of no record nothing is known.
        assert_eq!(one.close(6), Block::unknown(6));
    }
}
