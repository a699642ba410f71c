//! The operator's own rules: patterns without backtracking, compiled to one automaton within bounds.
//!
//! A pattern is tried where a word begins, and must end where one ends. It sees the folded text.

use std::ops::Range;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, nfa::thompson};

use super::checks::Validator;
use super::class::{Class, Id, built_in};
use crate::limits;

/// A rule of the operator's own.
#[derive(Clone, Debug)]
pub struct CustomRule {
    /// What it finds; may be a class that is shipped.
    pub class: Class,
    /// A regular expression with an end to what it can match.
    pub pattern: String,
    /// Words beside a value that make it sure; without any, the pattern is enough.
    pub words: Vec<String>,
    /// A check that a match must pass.
    pub validator: Option<Validator>,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// More rules than a text can be asked for.
    #[error("there are {found} rules for personal data; at most {max} are allowed")]
    TooMany { found: usize, max: usize },
    /// A pattern too long to read.
    #[error("the pattern of `{class}` has {found} bytes; at most {max} are allowed")]
    TooLong {
        class: Class,
        found: usize,
        max: usize,
    },
    /// No regular expression.
    #[error("the pattern of `{class}` is no regular expression: {reason}")]
    Syntax { class: Class, reason: String },
    /// A pattern that matches nothing at all, or everything.
    #[error("the pattern of `{class}` matches the empty text; name what must be there")]
    Empty { class: Class },
    /// A pattern without an end.
    #[error(
        "the pattern of `{class}` may match more than {max} bytes; write `{{1,20}}` in place of `+` and `*`"
    )]
    Endless { class: Class, max: usize },
    /// Words that are none.
    #[error(
        "`{class}` has more than {words} context words, an empty one or one of more than {bytes} bytes"
    )]
    Words {
        class: Class,
        words: usize,
        bytes: usize,
    },
    /// What the automaton cannot do, such as Unicode word borders, or more memory than allowed.
    #[error(
        "the patterns cannot be compiled within {max} bytes: {reason}; a pattern needs no `\\b`, and shorter ones need less"
    )]
    Compile { max: usize, reason: String },
}

/// A compiled rule.
pub(super) struct Rule {
    pub(super) id: Id,
    pub(super) has_words: bool,
    validator: Option<Validator>,
}

/// All rules of an operator, compiled.
pub(super) struct Rules {
    find: dense::DFA<Vec<u32>>,
    all: Vec<Rule>,
}

/// Where each rule's class stands in the list, and the classes that are new.
pub(super) fn classes(rules: &[CustomRule]) -> (Vec<Id>, Vec<Class>) {
    let mut new: Vec<Class> = Vec::new();
    let shipped = built_in().len();
    let ids = rules.iter().map(|rule| {
        let name = rule.class.as_str();
        let at = built_in()
            .iter()
            .position(|one| one.name == name)
            .unwrap_or_else(|| {
                let at = new.iter().position(|class| *class == rule.class);
                shipped
                    + at.unwrap_or_else(|| {
                        new.push(rule.class.clone());
                        new.len() - 1
                    })
            });
        at as Id
    });
    let ids = ids.collect();
    (ids, new)
}

impl Rules {
    pub(super) fn new(rules: &[CustomRule], ids: &[Id]) -> Result<Option<Self>, RuleError> {
        if rules.is_empty() {
            return Ok(None);
        }
        if rules.len() > limits::PROTECT_RULES_MAX {
            return Err(RuleError::TooMany {
                found: rules.len(),
                max: limits::PROTECT_RULES_MAX,
            });
        }
        for rule in rules {
            check(rule)?;
        }
        let max = limits::PROTECT_RULES_COMPILED_BYTES_MAX;
        let patterns: Vec<_> = rules.iter().map(|rule| rule.pattern.as_str()).collect();
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(max))
            .determinize_size_limit(Some(max));
        let find = dense::Builder::new()
            .configure(config)
            .thompson(thompson::Config::new().nfa_size_limit(Some(max)))
            .build_many(&patterns)
            .map_err(|error| RuleError::Compile {
                max,
                reason: error.to_string(),
            })?;
        let all = rules.iter().zip(ids).map(|(rule, id)| Rule {
            id: *id,
            has_words: !rule.words.is_empty(),
            validator: rule.validator,
        });
        Ok(Some(Self {
            find,
            all: all.collect(),
        }))
    }

    /// Calls back for each match that stands between borders of words: for each rule and place, the longest.
    pub(super) fn each(
        &self,
        text: &[u8],
        work: &mut u64,
        mut found: impl FnMut(&Rule, Range<usize>),
    ) {
        let word = |at: Option<usize>| {
            at.and_then(|at| text.get(at))
                .is_some_and(u8::is_ascii_alphanumeric)
        };
        let mut ends = vec![None::<usize>; self.all.len()];
        let mut done = 0;
        for at in 0..text.len() {
            let inside = word(at.checked_sub(1)) && word(Some(at));
            let continues = text.get(at).is_some_and(|c| (0x80..0xc0).contains(c));
            if inside || continues || at < done {
                continue;
            }
            self.matches(text, at, &mut ends, work);
            for (rule, end) in self.all.iter().zip(&mut ends) {
                let Some(end) = end.take() else {
                    continue;
                };
                let matched = text.get(at..end).unwrap_or_default();
                let passes = |check: Validator| {
                    std::str::from_utf8(matched).is_ok_and(|text| check.accepts(text))
                };
                if rule.validator.is_none_or(passes) {
                    found(rule, at..end);
                    done = done.max(at + 1);
                }
            }
        }
    }

    /// The longest match of each rule that begins here and ends with a word.
    fn matches(&self, text: &[u8], at: usize, ends: &mut [Option<usize>], work: &mut u64) {
        let input = Input::new(text).anchored(Anchored::Yes).range(at..);
        let Ok(mut state) = self.find.start_state_forward(&input) else {
            return;
        };
        let last = text
            .len()
            .min(at + limits::PROTECT_RULE_MATCH_BYTES_MAX + 1);
        let mut end = at;
        loop {
            // What was matched shows one byte later.
            let c = text.get(end).copied();
            state = match c {
                Some(c) => self.find.next_state(state, c),
                None => self.find.next_eoi_state(state),
            };
            *work += 1;
            if self.find.is_match_state(state) {
                let before = end.checked_sub(1).and_then(|at| text.get(at));
                let border = !(before.is_some_and(u8::is_ascii_alphanumeric)
                    && c.is_some_and(|c| c.is_ascii_alphanumeric()));
                for nth in 0..self.find.match_len(state) {
                    let pattern = self.find.match_pattern(state, nth).as_usize();
                    if let Some(to) = ends.get_mut(pattern).filter(|_| border && end > at) {
                        *to = Some(end);
                    }
                }
            }
            if c.is_none()
                || end >= last
                || self.find.is_dead_state(state)
                || self.find.is_quit_state(state)
            {
                return;
            }
            end += 1;
        }
    }
}

fn check(rule: &CustomRule) -> Result<(), RuleError> {
    let class = || rule.class.clone();
    if rule.pattern.len() > limits::PROTECT_RULE_PATTERN_BYTES_MAX {
        return Err(RuleError::TooLong {
            class: class(),
            found: rule.pattern.len(),
            max: limits::PROTECT_RULE_PATTERN_BYTES_MAX,
        });
    }
    let parsed = syntax::parse(&rule.pattern).map_err(|error| RuleError::Syntax {
        class: class(),
        reason: error.to_string(),
    })?;
    let properties = parsed.properties();
    if properties.minimum_len().is_none_or(|least| least == 0) {
        return Err(RuleError::Empty { class: class() });
    }
    let max = limits::PROTECT_RULE_MATCH_BYTES_MAX;
    if properties.maximum_len().is_none_or(|most| most > max) {
        return Err(RuleError::Endless {
            class: class(),
            max,
        });
    }
    let (words, bytes) = (
        limits::PROTECT_RULE_WORDS_MAX,
        limits::PROTECT_RULE_WORD_BYTES_MAX,
    );
    let fits = |word: &String| !word.trim().is_empty() && word.len() <= bytes;
    if rule.words.len() > words || !rule.words.iter().all(fits) {
        return Err(RuleError::Words {
            class: class(),
            words,
            bytes,
        });
    }
    Ok(())
}
