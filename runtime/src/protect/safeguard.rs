//! Decides what becomes of the data that stands in one call: facts in, decision out.
//!
//! To a tool goes only what it may be given: its manifest asks for the class, the rules permit it and the user agreed, or the
//! operator says that a finding is of no matter. What comes from it is masked unless the same holds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Action, Class, DataRules, Detector, Direction, Finding, Scan, mask_text};
use crate::ids::ToolName;

/// What is looked for, and what is done about it.
#[derive(Clone)]
pub struct Safeguard {
    detector: Detector,
    rules: DataRules,
}

/// What one call may hold.
#[derive(Debug, Clone, Copy)]
pub struct May<'a> {
    /// Which tool.
    pub tool: &'a ToolName,
    /// The classes that the tool may be given.
    pub granted: &'a BTreeSet<Class>,
    /// The only classes that the rules let through, whatever else is said; none where no rule names any.
    pub bound: Option<&'a BTreeSet<Class>>,
}

/// What was found and what becomes of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was found.
    pub counts: Counts,
    /// What must be masked before it goes on; or why it does not go on.
    pub pass: Result<Vec<Finding>, Withheld>,
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

    /// How much of which class is masked.
    pub fn masked(&self) -> BTreeMap<Class, u64> {
        let masked = self.0.iter();
        let masked = masked.filter(|((_, action), _)| *action == Some(Action::Mask));
        masked
            .map(|((class, _), count)| (class.clone(), *count))
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
        "{} holds personal data as a number, which cannot be masked",
        place(pointer)
    )]
    Number { pointer: String },
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
            Self::Number { .. } => "it holds personal data as a number".to_owned(),
            Self::Shape | Self::Unsearched => self.to_string(),
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
        Self { detector, rules }
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
        let (mut counts, mut mask) = (Counts::default(), Vec::new());
        let mut withheld = scan.truncated.then_some(Withheld::Unsearched);
        for finding in &scan.findings {
            let counted = finding.confidence >= self.rules.act_on;
            let action = counted.then(|| self.action(direction, finding, may));
            let key = (finding.class.clone(), action.map(|(action, _)| action));
            let count = counts.0.entry(key).or_default();
            *count = count.saturating_add(1);
            match action {
                Some((Action::Mask, _)) => mask.push(finding.clone()),
                Some((Action::Reject, why)) => {
                    withheld.get_or_insert_with(|| why(scan.place(finding), finding.class.clone()));
                }
                Some((Action::Allow, _)) | None => {}
            }
        }
        let pass = withheld.map_or(Ok(mask), Err);
        Judged { counts, pass }
    }

    /// What is done about one finding, and how its refusal is told.
    fn action(
        &self,
        direction: Direction,
        finding: &Finding,
        may: May<'_>,
    ) -> (Action, fn(String, Class) -> Withheld) {
        let default = match direction {
            Direction::Arguments => Action::Reject,
            Direction::Reply => Action::Mask,
        };
        let bounded = may
            .bound
            .is_some_and(|bound| !bound.contains(&finding.class));
        match self.rules.action(direction, may.tool, finding) {
            Some(Action::Reject) => (Action::Reject, rejected),
            Some(Action::Mask) => (Action::Mask, rejected),
            // A rule about the call bounds what the configuration lets through, too.
            Some(Action::Allow) if !bounded => (Action::Allow, rejected),
            None if !bounded && may.granted.contains(&finding.class) => (Action::Allow, rejected),
            Some(Action::Allow) | None => (default, ungranted),
        }
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
