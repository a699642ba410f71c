//! Rules that decide nothing yet: what they would have changed.

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy::PolicySet;

use super::ask::{self, Question, Step};
use super::{Caller, Circumstances, Rules, Tool};

/// Rules under trial, with all that decide beside them.
pub(super) struct Trial {
    /// The rules that decide, and those under trial.
    pub(super) policies: PolicySet,
    /// The rules under trial, by id.
    pub(super) rules: BTreeSet<String>,
}

/// What a rule under trial would have changed. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What was asked: `list`, `call` or `use …`.
    pub question: String,
    /// The rules under trial that would have changed it, by id.
    pub rules: Vec<String>,
    /// In which way.
    pub would: Would,
}

/// What would have become of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Would {
    /// It would have been allowed.
    Allow,
    /// It would have been refused.
    Refuse,
    /// It would have been allowed less far, or for a shorter time.
    Bound,
    /// The rule could not be evaluated, and would have refused.
    Fail,
}

impl fmt::Display for Would {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
            Self::Bound => "bound",
            Self::Fail => "fail",
        })
    }
}

impl Rules {
    /// What the rules under trial would have changed of this call. Nothing rests on the answer.
    pub fn observe<'a>(
        &self,
        caller: &Caller,
        tool: &Tool,
        call: impl Into<Circumstances<'a>>,
    ) -> Vec<Observation> {
        let Circumstances { arguments, now: at } = call.into();
        let Some(trial) = &self.trial else {
            return Vec::new();
        };
        let needs = tool.package().manifest().needs();
        let uses = needs.iter().map(Question::Use);
        let questions = [Question::List, Question::Call(arguments)]
            .into_iter()
            .chain(uses);
        let observed = questions.filter_map(|question| {
            let asking = self.asking_for(caller, tool, question, at);
            let now = ask::ask(
                &self.policies.about(tool).rules,
                &self.schema,
                &asking,
                question,
            );
            let then = ask::ask(&trial.policies, &self.schema, &asking, question);
            self.compared(trial, &now, then)
        });
        observed.collect()
    }

    fn compared(&self, trial: &Trial, now: &Step, then: Step) -> Option<Observation> {
        let named = |rule: &&String| {
            then.errors
                .iter()
                .any(|error| error.contains(&format!("`{rule}`")))
        };
        let failed: Vec<String> = trial.rules.iter().filter(named).cloned().collect();
        let decided = then.rules.iter().filter(|rule| trial.rules.contains(*rule));
        let decided: Vec<String> = decided.cloned().collect();
        let (would, rules) = match (now.allowed, then.allowed) {
            _ if !failed.is_empty() => (Would::Fail, failed),
            (false, true) => (Would::Allow, decided),
            (true, false) => (Would::Refuse, decided),
            (true, true) if self.bounds(&now.rules) != self.bounds(&then.rules) => {
                (Would::Bound, decided)
            }
            (true, true) | (false, false) => return None,
        };
        Some(Observation {
            question: then.question,
            rules,
            would,
        })
    }
}
