//! Rules that decide nothing yet: what they would have changed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cedar_policy::PolicySet;

use super::ask::{self, Question, Step};
use super::slice::Sliced;
use super::{Caller, Ceilings, Circumstances, Rules, Tool};

/// Rules under trial, with all that decide beside them.
pub(super) struct Trial {
    /// The rules that decide, and those under trial.
    pub(super) policies: Sliced,
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
    /// Whether it was allowed; that decided.
    pub allowed: bool,
    /// What would have become of it.
    pub would: Would,
    /// The bounds that there would have been, where they alone differ.
    pub bounds: Option<Ceilings>,
}

impl Observation {
    /// What was decided, in the words of [`Would`].
    pub fn decided(&self) -> Would {
        if self.allowed {
            Would::Allow
        } else {
            Would::Refuse
        }
    }
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
        let with = Arc::clone(&trial.policies.about(tool).rules);
        let mut concerning = with.policies();
        if !concerning.any(|policy| trial.rules.contains(AsRef::<str>::as_ref(policy.id()))) {
            return Vec::new();
        }
        let rules = Arc::clone(&self.policies.about(tool).rules);
        let asked = |question: Question<'_>| {
            let asking = self.asking_for(caller, tool, question, at);
            let ask = |rules: &PolicySet| ask::ask(rules, &self.schemas, &asking, question);
            (ask(&rules), ask(&with))
        };
        let bounds =
            |(now, then): &(Step, Step)| (self.bounds(&now.rules), self.bounds(&then.rules));
        let call = asked(Question::Call(arguments));
        let of_call = bounds(&call);
        let mut seen = Vec::new();
        let list = asked(Question::List);
        seen.extend(compared(
            trial,
            list,
            (Ceilings::default(), Ceilings::default()),
        ));
        seen.extend(compared(trial, call, of_call.clone()));
        for capability in tool.wants().iter() {
            let mut step = asked(Question::Use(capability));
            let (now, then) = bounds(&step);
            let bounds = (of_call.0.meet(&now), of_call.1.meet(&then));
            // What is above the highest tier is as if no rule had allowed it.
            step.0.allowed &= bounds.0.allows(capability);
            step.1.allowed &= bounds.1.allows(capability);
            seen.extend(compared(trial, step, bounds));
        }
        seen
    }
}

fn compared(
    trial: &Trial,
    (now, then): (Step, Step),
    bounds: (Ceilings, Ceilings),
) -> Option<Observation> {
    let on_trial = |rules: &[String]| -> Vec<String> {
        let found = rules.iter().filter(|rule| trial.rules.contains(*rule));
        found.cloned().collect()
    };
    let (failed, decided) = (on_trial(&then.erred), on_trial(&then.rules));
    let (would, rules) = match (now.allowed, then.allowed) {
        _ if !failed.is_empty() => (Would::Fail, failed),
        (false, true) => (Would::Allow, decided),
        (true, false) => (Would::Refuse, decided),
        (true, true) if bounds.0 != bounds.1 => (Would::Bound, decided),
        (true, true) | (false, false) => return None,
    };
    Some(Observation {
        question: then.question,
        rules,
        allowed: now.allowed,
        would,
        bounds: (would == Would::Bound).then_some(bounds.1),
    })
}
