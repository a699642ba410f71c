//! What became of the mutants, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::plant::Mutant;
use crate::trial::Outcome;

/// A table by module, and a list of those that nobody noticed.
pub fn text(mutants: &[Mutant], outcomes: &BTreeMap<u32, Outcome>) -> String {
    let mut modules: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut left = Vec::new();
    for mutant in mutants {
        let Some(outcome) = outcomes.get(&mutant.number) else {
            continue;
        };
        let module = mutant.file.split(['/', '.']).next().unwrap_or_default();
        let at = match outcome {
            Outcome::Caught => 0,
            Outcome::TimedOut => 1,
            Outcome::Missed => 2,
            Outcome::Unreached => 3,
        };
        for counted in [module, "all"] {
            if let Some(count) = modules.entry(counted).or_default().get_mut(at) {
                *count += 1;
            }
        }
        if at >= 2 {
            left.push((mutant, outcome));
        }
    }
    let all = modules.remove("all");
    let mut text = String::from(
        "| module | mutants | caught | timed out | missed | unreached | left |\n|---|---|---|---|---|---|---|\n",
    );
    let rows = modules.into_iter().chain(all.map(|all| ("all", all)));
    for (module, [caught, timed_out, missed, unreached]) in rows {
        let count = caught + timed_out + missed + unreached;
        let left = (missed + unreached) * 1000 / count.max(1);
        let _ = writeln!(
            text,
            "| {module} | {count} | {caught} | {timed_out} | {missed} | {unreached} | {}.{} % |",
            left / 10,
            left % 10
        );
    }
    let _ = writeln!(text);
    for (mutant, outcome) in left {
        let Mutant {
            file,
            line,
            function,
            change,
            ..
        } = mutant;
        let what = outcome.word();
        let _ = writeln!(text, "- {what}: `{file}:{line}` in `{function}`: {change}");
    }
    text
}
