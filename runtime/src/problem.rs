//! One thing that is wrong in a file which a person wrote: where, what, and how to mend it.

use std::fmt;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        write!(out, ": {}", self.message)?;
        self.help
            .as_ref()
            .map_or(Ok(()), |help| write!(out, "; {help}"))
    }
}

/// The same problems by what they are about: several about one line of one file are one to mend.
pub fn by_line(problems: &[Problem]) -> Vec<Vec<&Problem>> {
    let mut all: Vec<Vec<&Problem>> = Vec::new();
    for problem in problems {
        let same = |group: &&mut Vec<&Problem>| {
            let first = group.first().filter(|_| problem.line.is_some());
            first.is_some_and(|first| (&first.file, first.line) == (&problem.file, problem.line))
        };
        match all.iter_mut().find(same) {
            Some(group) => group.push(problem),
            None => all.push(vec![problem]),
        }
    }
    all
}

/// The line, from 1, of a byte offset in a text.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// An error with its causes.
pub fn caused(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_one_line_are_one_and_those_without_a_line_are_each_their_own() {
        let problem = |file: &str, line| Problem {
            file: file.to_owned(),
            line,
            message: String::new(),
            help: None,
        };
        let all = [
            problem("a", Some(1)),
            problem("b", Some(1)),
            problem("a", Some(1)),
            problem("a", None),
            problem("a", None),
            problem("a", Some(2)),
        ];
        let sizes: Vec<_> = by_line(&all).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 1]);
    }
}
