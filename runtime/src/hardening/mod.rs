//! What the process lets go of before it serves anybody: whoever gets past the sandbox, or past us, finds little to use.
//!
//! Applied once, while there is a single thread: what follows inherits it. It decides nothing about calls, and a layer that the
//! kernel does not have is named and never taken for granted.

mod calls;
mod files;
mod places;

use std::collections::BTreeMap;

use rlimit::Resource;
use rustix::process::DumpableBehavior;

pub use places::{Network, Places};

use crate::config::Hardening;
use crate::limits::SERVE_FILES_MAX;

/// One thing that the process let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// No program that it starts has more rights than it has.
    NoNewPrivileges,
    /// No core dump, and no other process of the same user reads its memory.
    NoDumps,
    /// No more open files than it needs.
    Descriptors,
    /// No files but those of the configuration.
    Files,
    /// No TCP port to listen on but its own.
    Ports,
    /// No signals to processes outside, and none of their abstract sockets.
    Scope,
    /// No system calls that a server has no use for.
    SystemCalls,
}

impl Layer {
    const ALL: [Self; 7] = [
        Self::NoNewPrivileges,
        Self::NoDumps,
        Self::Descriptors,
        Self::Files,
        Self::Ports,
        Self::Scope,
        Self::SystemCalls,
    ];

    /// Its name where machines read it.
    fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "new-privileges",
            Self::NoDumps => "core-dumps",
            Self::Descriptors => "descriptors",
            Self::Files => "files",
            Self::Ports => "ports",
            Self::Scope => "signals",
            Self::SystemCalls => "system-calls",
        }
    }

    /// What is let go of, in words.
    fn text(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "new privileges",
            Self::NoDumps => "core dumps",
            Self::Descriptors => "open files beyond a bound",
            Self::Files => "files outside of the configuration (Landlock)",
            Self::Ports => "listening on other TCP ports (Landlock, Linux 6.7)",
            Self::Scope => "signals and abstract sockets to the outside (Landlock, Linux 6.12)",
            Self::SystemCalls => "system calls that no server needs (seccomp)",
        }
    }
}

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is in force for the life of the process.
    Active,
    /// It is not, and this is why.
    Absent(String),
}

/// What became of all layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(Vec<(Layer, State)>);

impl Report {
    /// Where nothing was wanted.
    pub fn off() -> Self {
        let off = State::Absent("`hardening = \"off\"`".to_owned());
        Self(Layer::ALL.map(|layer| (layer, off.clone())).to_vec())
    }

    /// Each layer and what became of it.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, &State)> {
        self.0.iter().map(|(layer, state)| (*layer, state))
    }

    /// Each layer by its name: `active`, or why it is not.
    pub fn named(&self) -> BTreeMap<&'static str, String> {
        let all = self.layers().map(|(layer, state)| match state {
            State::Active => (layer.name(), "active".to_owned()),
            State::Absent(why) => (layer.name(), format!("absent: {why}")),
        });
        all.collect()
    }

    /// What is not in force, one line each.
    pub fn absent(&self) -> Vec<String> {
        let lines = self.layers().filter_map(|(layer, state)| match state {
            State::Active => None,
            State::Absent(why) => Some(format!("{}: {why}", layer.text())),
        });
        lines.collect()
    }

    fn note(&mut self, layer: Layer, outcome: Result<(), String>) {
        let state = outcome.map_or_else(State::Absent, |()| State::Active);
        self.0.push((layer, state));
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::off()
    }
}

/// A layer is missing that the operator requires.
#[derive(Debug, thiserror::Error)]
#[error(
    "`hardening = \"require\"`, and this process cannot give up {}; use a kernel that can, or `hardening = \"prefer\"`",
    .0.join("; nor ")
)]
pub struct Unhardened(Vec<String>);

/// Lets go, for the life of this process and of all that it starts.
///
/// Only where no other thread runs yet: the kernel applies some of it to the thread that asks.
pub fn apply(wanted: Hardening, places: &Places) -> Result<Report, Unhardened> {
    let report = match wanted {
        Hardening::Off => return Ok(Report::off()),
        Hardening::Prefer | Hardening::Require => let_go(places),
    };
    match (wanted, report.absent()) {
        (Hardening::Require, absent) if !absent.is_empty() => Err(Unhardened(absent)),
        _ => Ok(report),
    }
}

/// Lets go of what can be let go of, and says of what.
pub fn let_go(places: &Places) -> Report {
    let mut report = let_go_but_calls(places);
    // Last: the filter may refuse what the others are made with.
    report.0.extend(let_go_of_calls(places).0);
    report
}

/// All of it but system calls: what holds where no filter answers before it.
pub(crate) fn let_go_but_calls(places: &Places) -> Report {
    let mut report = Report(Vec::new());
    report.note(Layer::NoNewPrivileges, no_new_privileges());
    report.note(
        Layer::NoDumps,
        no_dumps().map_err(|error| error.to_string()),
    );
    report.note(Layer::Descriptors, descriptors());
    files::restrict(places, &mut report);
    report
}

/// The system calls.
pub(crate) fn let_go_of_calls(places: &Places) -> Report {
    let mut report = Report(Vec::new());
    report.note(Layer::SystemCalls, calls::restrict(places.network));
    report
}

fn no_new_privileges() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())
}

/// Forbids core files for this process and for those that it starts, and keeps others of its user from reading its memory: it holds
/// keys, secrets and tokens.
///
/// The limit alone does not hold where the kernel hands cores to a program (core(5)); the second does not pass to another program
/// that is started.
pub fn no_dumps() -> std::io::Result<()> {
    Resource::CORE.set(0, 0)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

fn descriptors() -> Result<(), String> {
    // A process that is limited already has no more.
    let (_, hard) = Resource::NOFILE.get().map_err(|error| error.to_string())?;
    let most = hard.min(SERVE_FILES_MAX);
    Resource::NOFILE
        .set(most, most)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
