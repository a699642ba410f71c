//! What became of the mutants, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::plant::Mutant;
use crate::trial::Outcome;

/// A table by module, and a list of those that nobody noticed.
pub fn text(mutants: &[&Mutant], outcomes: &BTreeMap<u32, Outcome>) -> String {
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
        let Name(file, function, change) = name(mutant);
        let (what, line) = (outcome.word(), mutant.line);
        let _ = writeln!(text, "- {what}: `{file}:{line}` in `{function}`: {change}");
    }
    text
}

/// What a mutant is known by where lines have moved: its file, its function, and what is changed there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String, String, String);

pub fn name(mutant: &Mutant) -> Name {
    let Mutant {
        file,
        function,
        change,
        ..
    } = mutant;
    Name(file.clone(), function.clone(), change.clone())
}

/// Those that a report lists.
pub fn left(text: &str) -> BTreeSet<Name> {
    let listed = text.lines().filter_map(|line| {
        let (_, rest) = line.strip_prefix("- ")?.split_once(": `")?;
        let (place, rest) = rest.split_once("` in `")?;
        let (function, change) = rest.split_once("`: ")?;
        let (file, _) = place.rsplit_once(':')?;
        Some(Name(file.into(), function.into(), change.into()))
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_lists_is_found_again_where_lines_have_moved() {
        let mutant = |number, line, change: &str| Mutant {
            number,
            file: "policy/near.rs".to_owned(),
            line,
            function: "Near::of".to_owned(),
            change: change.to_owned(),
        };
        let (missed, caught) = (
            mutant(1, 7, "`a: b` is `true`"),
            mutant(2, 8, "`c` is `true`"),
        );
        let outcomes = BTreeMap::from([(1, Outcome::Missed), (2, Outcome::Caught)]);
        let text = text(&[&missed, &caught], &outcomes);
        let moved = mutant(9, 70, "`a: b` is `true`");
        assert_eq!(left(&text), BTreeSet::from([name(&moved)]));
    }
}
