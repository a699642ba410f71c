//! `tool.toml`: what an author says of a package, parsed strictly.
//!
//! It asks; it never grants. Every problem of the file is reported at once, with its line and its mending.

use std::fmt;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::capability::{Capability, CapabilitySet, Files, Kind, Kv, Methods};
use crate::catalog::check;
use crate::catalog::manifest::{Definition, Manifest, Need, Requires, Wishes};
use crate::ids::{Publisher, ToolName};
use crate::problem::{Problem, line_at};

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
struct RawNeed {
    id: String,
    kind: Spanned<String>,
    reason: String,
    #[serde(default)]
    optional: bool,
    hosts: Option<Vec<Spanned<String>>>,
    methods: Option<Spanned<Vec<String>>>,
    mount: Option<Spanned<String>>,
    access: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    classes: Option<Vec<Spanned<String>>>,
    store: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    keys: Option<Vec<Spanned<String>>>,
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

    /// The value, or none and a problem that says what the kind needs.
    fn there<'a, T>(
        &mut self,
        need: &Spanned<RawNeed>,
        field: &str,
        of: Option<&'a T>,
    ) -> Option<&'a T> {
        if of.is_none() {
            let kind = need.get_ref().kind.get_ref();
            let message = format!("a need of kind `{kind}` has no `{field}`");
            self.problem(Some(need.span()), message, Some(&format!("add `{field}`")));
        }
        of
    }

    /// A problem for each key that belongs to another kind.
    fn absent(&mut self, spanned: &Spanned<RawNeed>, has: &[&str]) {
        let need = spanned.get_ref();
        let fields = [
            ("hosts", need.hosts.as_ref().map(|_| spanned.span())),
            ("methods", need.methods.as_ref().map(Spanned::span)),
            ("mount", need.mount.as_ref().map(Spanned::span)),
            ("access", need.access.as_ref().map(Spanned::span)),
            ("path", need.path.as_ref().map(Spanned::span)),
            ("classes", need.classes.as_ref().map(|_| spanned.span())),
            ("store", need.store.as_ref().map(Spanned::span)),
            ("prefix", need.prefix.as_ref().map(Spanned::span)),
            ("keys", need.keys.as_ref().map(|_| spanned.span())),
        ];
        for (field, at) in fields {
            if at.is_some() && !has.contains(&field) {
                let message = format!(
                    "`{field}` has no meaning in a need of kind `{}`",
                    need.kind.get_ref()
                );
                self.problem(at, message, Some("remove it"));
            }
        }
    }

    fn need(&mut self, spanned: &Spanned<RawNeed>) -> Option<Need> {
        let raw = spanned.get_ref();
        let kind: Kind = self.parsed(&raw.kind)?;
        let has: &[&str] = match kind {
            Kind::Http => &["hosts", "methods", "path"],
            Kind::Files => &["mount", "access", "path"],
            Kind::Clock | Kind::Progress | Kind::Ask => &[],
            Kind::Data => &["classes"],
            Kind::Kv => &["store", "access", "prefix"],
            Kind::Config => &["keys"],
        };
        self.absent(spanned, has);
        let all: Option<Vec<Capability>> = match kind {
            Kind::Http => self.http(spanned),
            Kind::Files => self.files(spanned).map(|one| vec![one]),
            // Their text is their name.
            Kind::Clock | Kind::Progress | Kind::Ask => self.parsed(&raw.kind).map(|one| vec![one]),
            Kind::Data => self.data(spanned),
            Kind::Kv => self.kv(spanned).map(|one| vec![one]),
            Kind::Config => self.config(spanned),
        };
        Some(Need {
            id: raw.id.clone(),
            kind,
            capabilities: CapabilitySet::from_iter(all?),
            reason: raw.reason.clone(),
            optional: raw.optional,
        })
    }

    fn http(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let raw = spanned.get_ref();
        let hosts = self.there(spanned, "hosts", raw.hosts.as_ref())?;
        let spelled = self.there(spanned, "methods", raw.methods.as_ref())?;
        let methods = match Methods::of(spelled.get_ref().iter().map(String::as_str)) {
            Ok(methods) => methods,
            Err(error) => {
                self.problem(Some(spelled.span()), error.to_string(), None);
                return None;
            }
        };
        let path = raw.path.as_ref().map_or("/", |path| path.get_ref());
        let mut all = Vec::new();
        for host in hosts {
            // One word, so that it cannot bring other parts along.
            let capability = match host.get_ref().contains(char::is_whitespace) {
                true => Err(crate::capability::CapabilityError::Host(
                    host.get_ref().clone(),
                )),
                false => format!("http {methods} {} {path}", host.get_ref()).parse(),
            };
            match capability {
                Ok(capability) => all.push(capability),
                Err(error @ crate::capability::CapabilityError::Path(_)) => {
                    let at = raw.path.as_ref().map(Spanned::span);
                    self.problem(at, error.to_string(), None);
                    return None;
                }
                Err(error) => self.problem(Some(host.span()), error.to_string(), None),
            }
        }
        Some(all)
    }

    fn files(&mut self, spanned: &Spanned<RawNeed>) -> Option<Capability> {
        let raw = spanned.get_ref();
        let mount = self.there(spanned, "mount", raw.mount.as_ref());
        let access = self.there(spanned, "access", raw.access.as_ref());
        let (mount, access) = (self.parsed(mount?)?, self.parsed(access?)?);
        let path = match &raw.path {
            Some(path) => self.parsed(path)?,
            None => crate::capability::SubPath::default(),
        };
        Some(Capability::Files(Files {
            mount,
            access,
            path,
        }))
    }

    fn data(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let classes = self.there(spanned, "classes", spanned.get_ref().classes.as_ref())?;
        let all = classes.iter();
        let all = all.filter_map(|class| self.parsed(class).map(Capability::Data));
        Some(all.collect())
    }

    fn kv(&mut self, spanned: &Spanned<RawNeed>) -> Option<Capability> {
        let raw = spanned.get_ref();
        let store = self.there(spanned, "store", raw.store.as_ref());
        let access = self.there(spanned, "access", raw.access.as_ref());
        let (store, access) = (self.parsed(store?)?, self.parsed(access?)?);
        let prefix = match &raw.prefix {
            Some(prefix) => self.parsed(prefix)?,
            None => crate::capability::KeyPrefix::default(),
        };
        Some(Capability::Kv(Kv {
            store,
            access,
            prefix,
        }))
    }

    fn config(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let keys = self.there(spanned, "keys", spanned.get_ref().keys.as_ref())?;
        let all = keys.iter().map(|key| self.parsed(key));
        // Every wrong one is told.
        let all: Vec<_> = all.collect();
        all.into_iter()
            .map(|key| key.map(Capability::Config))
            .collect()
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
