//! Rules as text: where each stands, and how what is wrong with one is told.

use cedar_policy::{Policy, PolicySet};
use miette::Diagnostic;

use crate::problem::{Problem, line_at};

/// Where a rule stands.
pub(super) type Place = (String, Option<usize>);

pub(super) fn problem((file, line): &Place, message: &str, help: &str) -> Problem {
    Problem {
        file: file.clone(),
        line: *line,
        message: message.to_owned(),
        help: Some(help.to_owned()),
    }
}

pub(super) fn help(diagnostic: &dyn Diagnostic) -> Option<String> {
    diagnostic.help().map(|help| help.to_string())
}

pub(super) fn rendered(file: &str, text: &str, error: &cedar_policy::ParseErrors) -> Vec<Problem> {
    error
        .iter()
        .map(|one| Problem {
            file: file.to_owned(),
            line: one
                .labels()
                .and_then(|mut labels| labels.next())
                .map(|label| line_at(text, label.offset())),
            message: one.to_string(),
            help: help(one),
        })
        .collect()
}

/// The rules of one file in its order, each with its line.
pub(super) fn in_order(parsed: &PolicySet, text: &str) -> Vec<(Policy, Option<usize>)> {
    // Cedar names parsed rules `policy0`, `policy1`, … in the order of the text.
    let place = |policy: &Policy| {
        policy
            .id()
            .to_string()
            .strip_prefix("policy")
            .and_then(|n| n.parse::<usize>().ok())
    };
    let mut all: Vec<_> = parsed
        .policies()
        .map(|policy| (place(policy), policy.clone()))
        .collect();
    all.sort_by_key(|(place, _)| *place);
    let mut from = 0;
    let located = all.into_iter().map(|(_, policy)| {
        let line = policy.to_cedar().and_then(|own| {
            let at = text.get(from..)?.find(own.trim())? + from;
            from = at + own.trim().len();
            Some(line_at(text, at))
        });
        (policy, line)
    });
    located.collect()
}
