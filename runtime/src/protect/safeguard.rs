//! Decides what becomes of the data that stands in one call: facts in, decision out.
//!
//! To a tool goes only what it may be given: its manifest asks for the class, the rules permit it and the user agreed, or the
//! operator says that a finding is of no matter. What comes from it is masked unless the same holds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::hush::HUSHED;
use super::{
    Action, Change, Class, DataRules, Detector, Direction, Finding, Hush, Lent, Scan, Unfit, Way,
    mask_text,
};
use crate::ids::ToolName;

/// What is looked for, and what is done about it.
#[derive(Clone)]
pub struct Safeguard {
    detector: Detector,
    rules: DataRules,
    /// What the call lent to its requests.
    lent: Lent,
    /// Whether the call may say anything any more.
    hush: Hush,
}

/// What one call may hold.
#[derive(Debug, Clone, Copy)]
pub struct May<'a> {
    /// Which tool, by the name under which it is served.
    pub tool: &'a ToolName,
    /// The same by the name that its author gave it.
    pub defined: &'a ToolName,
    /// The classes that the tool may be given.
    pub granted: &'a BTreeSet<Class>,
    /// The only classes that the rules let through, whatever else is said; none where no rule names any.
    pub bound: Option<&'a BTreeSet<Class>>,
    /// Whether there is a key to encrypt with.
    pub key: bool,
}

/// What was found and what becomes of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was found.
    pub counts: Counts,
    /// What must be replaced before it goes on; or why it does not go on.
    pub pass: Result<Vec<Change>, Withheld>,
}

/// How often which class was treated in which way. Without an action is a finding that is not sure enough to count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<(Class, Option<Action>), u64>);

impl Counts {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes up what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        for (key, count) in other.0 {
            let all = self.0.entry(key).or_default();
            *all = all.saturating_add(count);
        }
    }

    fn count(&mut self, finding: &Finding, action: Option<Action>) {
        let count = self.0.entry((finding.class.clone(), action)).or_default();
        *count = count.saturating_add(1);
    }

    /// How much of which class was treated in this way.
    pub fn of(&self, action: Action) -> BTreeMap<Class, u64> {
        let all = self.0.iter();
        let all = all.filter(|((_, one), _)| *one == Some(action));
        all.map(|((class, _), count)| (class.clone(), *count))
            .collect()
    }

    /// For the log: classes, actions and counts, and nothing of what was found.
    pub fn facts(&self) -> Value {
        let mut classes: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for ((class, action), count) in &self.0 {
            let word = action.map_or("unsure", Action::as_str);
            let of_class = classes.entry(class.as_str()).or_default();
            of_class.insert(word, *count);
        }
        serde_json::json!(classes)
    }
}

/// Why something does not pass. The place is for whoever sent the value, and for nobody else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The tool may not be given this class.
    #[error(
        "{} holds data of class `{class}`, which this tool may not be given",
        place(pointer)
    )]
    Ungranted { pointer: String, class: Class },
    /// The operator wants it refused.
    #[error(
        "{} holds data of class `{class}`, which the operator does not let through",
        place(pointer)
    )]
    Rejected { pointer: String, class: Class },
    /// It is a number, and whatever took its place would be a lie.
    #[error(
        "{} holds personal data as a number, which can be neither masked nor encrypted",
        place(pointer)
    )]
    Number { pointer: String },
    /// It is the name of a field, which nobody would find again.
    #[error(
        "{} holds personal data in the name of a field, which cannot be encrypted",
        place(pointer)
    )]
    Key { pointer: String },
    /// It is to be encrypted, and there is nothing to do that with.
    #[error(
        "{} holds data of class `{class}`, which is to be encrypted, and the operator has set no key for that",
        place(pointer)
    )]
    NoKey { pointer: String, class: Class },
    /// With that masked it is not what its schema promises.
    #[error("with personal data masked, it is not what the tool promises")]
    Shape,
    /// There is more than is searched.
    #[error("there is more in it than can be searched for personal data")]
    Unsearched,
}

impl Withheld {
    /// Its name in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ungranted { .. } => "data-ungranted",
            Self::Rejected { .. } => "data-rejected",
            Self::Number { .. } => "data-number",
            Self::Key { .. } => "data-key",
            Self::NoKey { .. } => "data-no-key",
            Self::Shape => "data-shape",
            Self::Unsearched => "data-unsearched",
        }
    }

    /// The same of a reply, in which the place may itself be data.
    pub fn of_reply(&self) -> String {
        match self {
            Self::Ungranted { class, .. } | Self::Rejected { class, .. } => {
                format!("it holds data of class `{class}`")
            }
            Self::NoKey { class, .. } => format!(
                "it holds data of class `{class}`, and the operator has set no key to encrypt it with"
            ),
            Self::Number { .. } => "it holds personal data as a number".to_owned(),
            Self::Key { .. } => "it holds personal data in the name of a field".to_owned(),
            Self::Shape | Self::Unsearched => self.to_string(),
        }
    }
}

impl From<Unfit> for Withheld {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Number(pointer) => Self::Number { pointer },
            Unfit::Key(pointer) => Self::Key { pointer },
        }
    }
}

fn place(pointer: &str) -> String {
    match pointer {
        "" => "it".to_owned(),
        pointer => format!("`{pointer}`"),
    }
}

impl Default for Safeguard {
    /// What is built in, and the rules of an operator who says nothing.
    fn default() -> Self {
        Self::new(Detector::built_in(), DataRules::default())
    }
}

impl Safeguard {
    /// Looks for what `detector` knows, and does what `rules` say.
    pub fn new(detector: Detector, rules: DataRules) -> Self {
        Self {
            detector,
            rules,
            lent: Lent::default(),
            hush: Hush::default(),
        }
    }

    /// The same for a call that lends secrets: none of them is readable in what is silenced.
    pub fn lending(mut self, lent: Lent) -> Self {
        self.lent = lent;
        self
    }

    /// Whether a rule has something encrypted.
    pub fn encrypts(&self) -> bool {
        let mut rules = self.rules.rules.iter();
        rules.any(|rule| rule.action == Action::Encrypt)
    }

    /// The same for a call that can be made silent.
    pub fn hushed_by(mut self, hush: Hush) -> Self {
        self.hush = hush;
        self
    }

    /// What stands in a value.
    pub fn search(&self, value: &Value, schema: &Value) -> Scan {
        self.detector.scan(value, schema)
    }

    /// What stands in a text that is no part of a value.
    pub fn search_text(&self, text: &str) -> Scan {
        self.detector.scan_text(text, "")
    }

    /// A text for the operator's log, or for whoever watches a call: nothing that was found is readable in it, whoever may
    /// be given it otherwise.
    pub fn silence<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.hush.is_hushed() {
            return Cow::Borrowed(HUSHED);
        }
        match self.lent.text(text) {
            Cow::Borrowed(text) => self.silence_data(text),
            Cow::Owned(text) => Cow::Owned(self.silence_data(&text).into_owned()),
        }
    }

    fn silence_data<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Scan {
            mut findings,
            truncated,
            ..
        } = self.detector.scan_text(text, "");
        findings.retain(|finding| finding.confidence >= self.rules.act_on);
        match (truncated, findings.is_empty()) {
            (true, _) => Cow::Borrowed("(too long to be searched for personal data)"),
            (false, true) => Cow::Borrowed(text),
            (false, false) => Cow::Owned(mask_text(text, &findings)),
        }
    }

    /// What becomes of what was found. By itself what the tool may not be given refuses a call, and is masked in a reply.
    pub fn judge(&self, direction: Direction, scan: &Scan, may: May<'_>) -> Judged {
        let counted = |one: &&Finding| one.confidence >= self.rules.act_on;
        let decided: Vec<(&Finding, Verdict)> = scan
            .findings
            .iter()
            .filter(counted)
            .map(|finding| (finding, self.verdict(direction, finding, may)))
            .collect();
        let encrypted: Vec<&Finding> = decided
            .iter()
            .filter(|(finding, verdict)| verdict.action == Action::Encrypt && !finding.in_key)
            .map(|(finding, _)| *finding)
            .collect();
        let mut judged = Judged {
            counts: Counts::default(),
            pass: Ok(Vec::new()),
        };
        if scan.truncated {
            judged.pass = Err(Withheld::Unsearched);
        }
        for finding in scan.findings.iter().filter(|one| !counted(one)) {
            judged.counts.count(finding, None);
        }
        for (finding, mut verdict) in decided {
            let whole = match encrypted.is_empty() {
                true => finding.span.clone(),
                false => group(finding, &scan.findings),
            };
            let beneath = |one: &&&Finding| {
                !std::ptr::eq(**one, finding)
                    && one.pointer == finding.pointer
                    && one.span.start < whole.end
                    && whole.start < one.span.end
            };
            for around in encrypted.iter().filter(beneath).filter(|_| !finding.in_key) {
                verdict = verdict.beneath(finding, around, direction);
            }
            judged.counts.count(finding, Some(verdict.action));
            let withheld = match verdict.action {
                Action::Allow => continue,
                Action::Mask => {
                    judged.change(finding, Way::Mask);
                    continue;
                }
                Action::Encrypt if !may.key => Withheld::NoKey {
                    pointer: scan.place(finding),
                    class: finding.class.clone(),
                },
                Action::Encrypt => {
                    let field = field(may.defined, direction, &finding.field);
                    let equal = verdict.equal;
                    judged.change(finding, Way::Encrypt { field, equal });
                    continue;
                }
                Action::Reject => (verdict.told)(scan.place(finding), finding.class.clone()),
            };
            if judged.pass.is_ok() {
                judged.pass = Err(withheld);
            }
        }
        judged
    }

    /// What is done about one finding by itself.
    fn verdict(&self, direction: Direction, finding: &Finding, may: May<'_>) -> Verdict {
        let default = match direction {
            Direction::Arguments => Action::Reject,
            Direction::Reply => Action::Mask,
        };
        let bounded = may
            .bound
            .is_some_and(|bound| !bound.contains(&finding.class));
        let rule = self.rules.about(direction, may.tool, finding);
        let verdict = |action, ordered, told| Verdict {
            action,
            ordered,
            equal: rule.is_some_and(|rule| rule.equal),
            told,
        };
        match rule.map(|rule| rule.action) {
            Some(action @ (Action::Reject | Action::Mask | Action::Encrypt)) => {
                verdict(action, action != Action::Encrypt, rejected)
            }
            // The author wants to hold less than it could be given.
            Some(Action::Allow) | None if finding.sealed => {
                verdict(Action::Encrypt, false, rejected)
            }
            // A rule about the call bounds what the configuration lets through, too.
            Some(Action::Allow) if !bounded => verdict(Action::Allow, false, rejected),
            None if !bounded && may.granted.contains(&finding.class) => {
                verdict(Action::Allow, false, rejected)
            }
            Some(Action::Allow) | None => verdict(default, false, ungranted),
        }
    }
}

/// What is done about one finding, and how its refusal is told.
struct Verdict {
    action: Action,
    /// The operator says so, whatever stands around it.
    ordered: bool,
    equal: bool,
    told: fn(String, Class) -> Withheld,
}

impl Verdict {
    /// The same for what stands in or across what is encrypted, with which it would go.
    fn beneath(self, finding: &Finding, around: &Finding, direction: Direction) -> Self {
        let goes_along = match self.action {
            // Encrypted for its own sake, where nobody else chose the class under which it is opened.
            Action::Encrypt => !around.sealed || around.class == finding.class,
            Action::Allow => true,
            // The class by which it could be opened is the author's choice, and this is of another.
            Action::Reject => !self.ordered && around.class == finding.class,
            // What a tool answers with it had before.
            Action::Mask => !self.ordered && direction == Direction::Reply,
        };
        match goes_along {
            true => Self {
                action: Action::Encrypt,
                ..self
            },
            false if self.action == Action::Reject => self,
            false => Self {
                action: Action::Reject,
                told: rejected,
                ..self
            },
        }
    }
}

impl Judged {
    fn change(&mut self, finding: &Finding, way: Way) {
        if let Ok(changes) = &mut self.pass {
            changes.push(Change {
                finding: finding.clone(),
                way,
            });
        }
    }
}

/// The stretch of text that is replaced with this finding: all that overlap, also by way of others, are one piece.
fn group(finding: &Finding, all: &[Finding]) -> Range<usize> {
    let mut whole = finding.span.clone();
    loop {
        let mut wider = whole.clone();
        for other in all {
            let overlaps = other.span.start < whole.end && whole.start < other.span.end;
            if overlaps && !other.in_key && other.pointer == finding.pointer {
                wider = wider.start.min(other.span.start)..wider.end.max(other.span.end);
            }
        }
        if wider == whole {
            return whole;
        }
        whole = wider;
    }
}

/// Where a value stands, as it is bound to what encrypts it.
fn field(tool: &ToolName, direction: Direction, place: &str) -> String {
    match direction {
        Direction::Arguments => format!("{tool}:{place}"),
        Direction::Reply => format!("{tool}:reply{place}"),
    }
}

fn rejected(pointer: String, class: Class) -> Withheld {
    Withheld::Rejected { pointer, class }
}

fn ungranted(pointer: String, class: Class) -> Withheld {
    Withheld::Ungranted { pointer, class }
}

#[cfg(test)]
#[path = "safeguard_tests.rs"]
mod tests;
