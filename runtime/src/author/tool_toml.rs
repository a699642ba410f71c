//! `tool.toml`: what an author says of a package, parsed strictly.
//!
//! It asks; it never grants. Every problem of the file is reported at once, with its line and its mending.

mod needs;

use std::fmt;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::catalog::check;
use crate::catalog::manifest::{Definition, Manifest, Need, Requires, Wishes};
use crate::ids::{Publisher, ToolName};
use crate::problem::{Problem, line_at};
use needs::RawNeed;

/// What an author says of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolToml {
    /// Name of the package.
    pub name: ToolName,
    /// Version, as the author counts.
    pub version: String,
    /// Title for people.
    pub title: String,
    /// What the package is for.
    pub description: String,
    /// Who publishes it.
    pub publisher: Publisher,
    /// What it asks for.
    pub needs: Vec<Need>,
    /// The limits that it wishes.
    pub limits: Wishes,
    /// What it demands of callers.
    pub requires: Requires,
    /// How it is built, where that is not cargo's business.
    pub build: Option<BuildCommand>,
}

/// How a package in another language is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildCommand {
    /// The program and its arguments, run in the folder of `tool.toml`.
    pub command: Vec<String>,
    /// The component that it makes, below that folder.
    pub artifact: PathBuf,
}

/// What is wrong with a `tool.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlError {
    /// Every problem, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for TomlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TomlError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    version: Spanned<String>,
    title: String,
    description: String,
    publisher: Spanned<String>,
    #[serde(default)]
    needs: Vec<Spanned<RawNeed>>,
    #[serde(default)]
    limits: Wishes,
    #[serde(default)]
    requires: Requires,
    build: Option<Spanned<RawBuild>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBuild {
    command: Vec<String>,
    artifact: PathBuf,
}

impl ToolToml {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TomlError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(TomlError {
                problems: vec![Problem {
                    file,
                    line: None,
                    message: format!("cannot be read: {error}"),
                    help: Some("a package has a `tool.toml` beside its source".to_owned()),
                }],
            }),
        }
    }

    /// Parses a text; `file` is its name in problems.
    pub fn parse(file: &str, text: &str) -> Result<Self, TomlError> {
        let mut reader = Reader {
            file,
            text,
            problems: Vec::new(),
        };
        let raw: Raw = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                reader.problem(error.span(), error.message().to_owned(), None);
                return Err(reader.error());
            }
        };
        let name = reader.parsed(&raw.name);
        let publisher = reader.parsed(&raw.publisher);
        let needs = raw
            .needs
            .iter()
            .filter_map(|need| reader.need(need))
            .collect();
        let build = raw.build.as_ref().and_then(|build| reader.build(build));
        let (Some(name), Some(publisher)) = (name, publisher) else {
            return Err(reader.error());
        };
        let toml = Self {
            name,
            version: raw.version.into_inner(),
            title: raw.title,
            description: raw.description,
            publisher,
            needs,
            limits: raw.limits,
            requires: raw.requires,
            build,
        };
        // The rules of admission, so that nothing is built that would be refused.
        match check::package(&toml.manifest(Vec::new())) {
            Err(error) if reader.problems.is_empty() => {
                reader.problem(None, error.to_string(), None)
            }
            Ok(()) | Err(_) => {}
        }
        if reader.problems.is_empty() {
            Ok(toml)
        } else {
            Err(reader.error())
        }
    }

    /// The manifest of a package that serves these tools.
    pub fn manifest(&self, tools: Vec<Definition>) -> Manifest {
        Manifest {
            format: 1,
            name: self.name.clone(),
            version: self.version.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            publisher: self.publisher.clone(),
            needs: self.needs.clone(),
            limits: self.limits.clone(),
            requires: self.requires.clone(),
            tools,
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: Option<Range<usize>>, message: String, help: Option<&str>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: at.map(|span| line_at(self.text, span.start)),
            message,
            help: help.map(str::to_owned),
        });
    }

    fn error(mut self) -> TomlError {
        self.problems.sort_by_key(|problem| problem.line);
        TomlError {
            problems: self.problems,
        }
    }

    /// The parsed value, or none and a problem.
    fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        &mut self,
        of: &Spanned<String>,
    ) -> Option<T> {
        of.get_ref()
            .parse()
            .map_err(|error: T::Err| self.problem(Some(of.span()), error.to_string(), None))
            .ok()
    }

    fn build(&mut self, spanned: &Spanned<RawBuild>) -> Option<BuildCommand> {
        let raw = spanned.get_ref();
        if raw.command.is_empty() {
            let help = "write `command = [\"program\", \"argument\"]`";
            self.problem(
                Some(spanned.span()),
                "the build command is empty".to_owned(),
                Some(help),
            );
            return None;
        }
        if !raw
            .artifact
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            let message = format!(
                "the artifact `{}` lies outside the folder",
                raw.artifact.display()
            );
            self.problem(Some(spanned.span()), message, Some("write a path below it"));
            return None;
        }
        Some(BuildCommand {
            command: raw.command.clone(),
            artifact: raw.artifact.clone(),
        })
    }
}

#[cfg(test)]
#[path = "tool_toml_tests.rs"]
mod tests;
