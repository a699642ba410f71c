//! What is known of each file in the tools folder, and what is served of it.
//!
//! Pure: it is told what was found and what became of it, and answers what to serve and what changed. The file is the
//! truth: a file that is gone, or whose new contents are refused, serves nothing.
//!
//! A name belongs to the file that first served it, until that file is gone or serves something else, also from one start
//! to the next. While the file is refused its names serve nothing, and nobody else gets them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::admit::AdmissionError;
use super::folder::{Found, Stamp};
use super::names::Owned;
use super::tool::{Package, Tool};
use crate::ids::{Digest, ToolName};
use crate::limits::PACKAGES_MAX;

/// All that is served at one instant.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The tools by the names under which they are served.
    pub tools: BTreeMap<ToolName, Tool>,
    /// The files that are not served.
    pub refused: Vec<Refused>,
}

/// A file that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name in the tools folder.
    pub file: String,
    /// Why, and what to do.
    pub reason: String,
}

/// Something that became different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file in the tools folder.
    pub file: String,
    /// The package, where one could be read.
    pub name: Option<ToolName>,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is served from now on.
    Admitted {
        digest: Digest,
        tools: Vec<ToolName>,
    },
    /// It is not served any more.
    Retired { digest: Digest },
    /// It is not served, and why.
    Refused { reason: String },
}

/// A file whose bytes are to be admitted.
pub(super) struct Job {
    pub(super) file: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// What is known of one file.
#[derive(Default)]
struct Entry {
    stamp: Option<Stamp>,
    /// Of the bytes that were read last, whatever became of them.
    digest: Option<Digest>,
    /// What it serves, until its newer bytes are judged.
    package: Option<Arc<Package>>,
    refusal: Option<AdmissionError>,
    /// Its place among all packages: the order in which they were first admitted. Who comes later yields.
    place: Option<u64>,
    /// The names that it served last. A refusal does not take them.
    held: Option<Held>,
}

impl Entry {
    /// Refuses what the file holds now; its place and its names stay its own.
    fn refuse(&mut self, error: AdmissionError) {
        *self = Self {
            refusal: Some(error),
            place: self.place,
            held: self.held.take(),
            ..Self::default()
        };
    }
}

/// The names of a package, as its author wrote them.
#[derive(PartialEq, Eq)]
struct Held {
    package: ToolName,
    tools: Vec<ToolName>,
}

impl Held {
    fn of(package: &Package) -> Self {
        let manifest = package.manifest();
        Self {
            package: manifest.name.clone(),
            tools: manifest
                .tools
                .iter()
                .map(|tool| tool.name.clone())
                .collect(),
        }
    }
}

/// What was last told of one file.
#[derive(Clone, PartialEq, Eq)]
enum Told {
    Served {
        digest: Digest,
        name: ToolName,
        tools: Vec<ToolName>,
    },
    Refused {
        name: Option<ToolName>,
        reason: String,
    },
}

/// What is known of all files.
#[derive(Default)]
pub(super) struct State {
    files: BTreeMap<String, Entry>,
    told: BTreeMap<String, Told>,
    places: u64,
}

impl State {
    /// With the names that files had when the server ended. A file that is gone by now loses them at the first look.
    pub(super) fn remembering(owned: Vec<Owned>) -> Self {
        let mut state = Self::default();
        for Owned {
            file,
            package,
            tools,
        } in owned
        {
            let entry = Entry {
                place: Some(state.places),
                held: Some(Held { package, tools }),
                ..Entry::default()
            };
            state.files.insert(file, entry);
            state.places = state.places.saturating_add(1);
        }
        state
    }

    /// The names that files have, in the order in which the files came.
    pub(super) fn owned(&self) -> Vec<Owned> {
        let mut all: Vec<_> = self
            .files
            .iter()
            .filter_map(|(file, entry)| Some((entry.place, file, entry.held.as_ref()?)))
            .collect();
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter()
            .map(|(_, file, held)| Owned {
                file: file.clone(),
                package: held.package.clone(),
                tools: held.tools.clone(),
            })
            .collect()
    }

    /// The stamps that tell a known file.
    pub(super) fn stamps(&self) -> BTreeMap<String, Stamp> {
        let all = self.files.iter();
        all.filter_map(|(file, entry)| Some((file.clone(), entry.stamp?)))
            .collect()
    }

    /// Takes in all that is in the folder; answers what is to be admitted.
    pub(super) fn found(&mut self, all: Vec<Found>) -> Vec<Job> {
        let mut before = std::mem::take(&mut self.files);
        let mut jobs = Vec::new();
        for Found { file, stamp, bytes } in all {
            let mut entry = before.remove(&file).unwrap_or_default();
            match bytes {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    let digest = Digest::of(&bytes);
                    entry.stamp = stamp;
                    if entry.digest != Some(digest) {
                        entry.digest = Some(digest);
                        jobs.push(Job {
                            file: file.clone(),
                            digest,
                            bytes,
                        });
                    }
                }
                Err(error) => entry.refuse(error),
            }
            self.files.insert(file, entry);
        }
        jobs
    }

    /// Takes in what became of the bytes with this digest. If the file has others by now, nothing.
    pub(super) fn judged(
        &mut self,
        file: &str,
        digest: Digest,
        outcome: Result<Arc<Package>, AdmissionError>,
    ) {
        let Some(entry) = self.files.get_mut(file) else {
            return;
        };
        if entry.digest != Some(digest) {
            return;
        }
        match outcome {
            Ok(package) => {
                if entry.place.is_none() {
                    entry.place = Some(self.places);
                    self.places = self.places.saturating_add(1);
                }
                entry.package = Some(package);
                entry.refusal = None;
            }
            Err(error) => {
                let known = (entry.stamp, entry.digest);
                let again = error.may_pass_later();
                entry.refuse(error);
                if !again {
                    (entry.stamp, entry.digest) = known;
                }
            }
        }
    }

    /// What is to be served now, and what is different from the last time.
    ///
    /// A refused file that goes away is no change to tell of, yet what is served is another value: `None` is answered
    /// only when nothing at all is different.
    pub(super) fn publish(
        &mut self,
        prefixes: &[(String, String)],
    ) -> Option<(Snapshot, Vec<Change>)> {
        let before = self.told.clone();
        let (snapshot, changes) = self.serve(prefixes);
        (before != self.told).then_some((snapshot, changes))
    }

    fn serve(&mut self, prefixes: &[(String, String)]) -> (Snapshot, Vec<Change>) {
        let mut snapshot = Snapshot::default();
        let mut told = BTreeMap::new();
        let mut loaded = Vec::new();
        for (file, entry) in &self.files {
            if let Some(error) = &entry.refusal {
                told.insert(file.clone(), refused(None, error));
            } else if let Some(package) = &entry.package {
                loaded.push((
                    entry.held.is_none(),
                    entry.place,
                    file.clone(),
                    package.clone(),
                ));
            }
        }
        // Who holds names comes before who wants some, then who came first.
        loaded.sort_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
        let mut owners = Owners::of(&self.files, prefixes);
        let mut served = 0_usize;
        for (_, _, file, package) in loaded {
            let name = package.manifest().name.clone();
            let outcome = match served {
                PACKAGES_MAX.. => Err(AdmissionError::TooMany(served)),
                _ => owners.named(&file, &package, prefixes),
            };
            let now = match outcome {
                Ok(tools) => {
                    served = served.saturating_add(1);
                    let held = Held::of(&package);
                    if let Some(entry) = self.files.get_mut(&file)
                        && entry.held.as_ref() != Some(&held)
                        && entry.held.replace(held).is_some()
                    {
                        owners.take(&file);
                    }
                    owners.give(&file, &name, &tools);
                    let names = tools.iter().map(|tool| tool.name().clone()).collect();
                    let keyed = tools.into_iter().map(|tool| (tool.name().clone(), tool));
                    snapshot.tools.extend(keyed);
                    Told::Served {
                        digest: package.component_digest(),
                        name,
                        tools: names,
                    }
                }
                Err(error) => refused(Some(name), &error),
            };
            told.insert(file, now);
        }
        snapshot.refused = told
            .iter()
            .filter_map(|(file, told)| match told {
                Told::Refused { reason, .. } => Some(Refused {
                    file: file.clone(),
                    reason: reason.clone(),
                }),
                Told::Served { .. } => None,
            })
            .collect();
        let changes = changes(&self.told, &told);
        self.told = told;
        (snapshot, changes)
    }
}

/// Which file each name belongs to.
#[derive(Default)]
struct Owners {
    packages: BTreeMap<ToolName, String>,
    tools: BTreeMap<ToolName, String>,
}

impl Owners {
    /// The names that files hold. Where a changed prefix makes two names one, it is the one's that came first.
    fn of(files: &BTreeMap<String, Entry>, prefixes: &[(String, String)]) -> Self {
        let mut holders: Vec<_> = files
            .iter()
            .filter_map(|(file, entry)| Some((entry.place, file, entry.held.as_ref()?)))
            .collect();
        holders.sort_by_key(|(place, ..)| *place);
        let mut owners = Self::default();
        for (_, file, held) in holders {
            let prefix = prefix(prefixes, &held.package);
            let owner = owners.packages.entry(held.package.clone());
            owner.or_insert_with(|| file.clone());
            for tool in &held.tools {
                // A name that the prefix makes invalid is nobody's.
                if let Ok(name) = format!("{prefix}{tool}").parse() {
                    owners.tools.entry(name).or_insert_with(|| file.clone());
                }
            }
        }
        owners
    }

    /// The tools of a package under the names that the operator gives them, if nobody else has those or its own.
    fn named(
        &self,
        file: &str,
        package: &Arc<Package>,
        prefixes: &[(String, String)],
    ) -> Result<Vec<Tool>, AdmissionError> {
        let name = &package.manifest().name;
        if let Some(other) = self.packages.get(name).filter(|other| *other != file) {
            return Err(AdmissionError::PackageTwice {
                name: name.clone(),
                other: other.clone(),
            });
        }
        let prefix = prefix(prefixes, name);
        let tools = package
            .tools(prefix)
            .map_err(|source| AdmissionError::Prefix {
                prefix: prefix.to_owned(),
                name: name.clone(),
                source,
            })?;
        for tool in &tools {
            if let Some(other) = self.tools.get(tool.name()).filter(|other| *other != file) {
                return Err(AdmissionError::Collision {
                    name: tool.name().clone(),
                    other: other.clone(),
                    package: name.clone(),
                });
            }
        }
        Ok(tools)
    }

    /// From now on the file has no name.
    fn take(&mut self, file: &str) {
        self.packages.retain(|_, owner| owner != file);
        self.tools.retain(|_, owner| owner != file);
    }

    /// From now on these names are the file's.
    fn give(&mut self, file: &str, package: &ToolName, tools: &[Tool]) {
        self.packages.insert(package.clone(), file.to_owned());
        let named = tools
            .iter()
            .map(|tool| (tool.name().clone(), file.to_owned()));
        self.tools.extend(named);
    }
}

/// What the operator puts before the names of this package's tools.
fn prefix<'a>(prefixes: &'a [(String, String)], package: &ToolName) -> &'a str {
    prefixes
        .iter()
        .find(|(name, _)| name == package.as_str())
        .map_or("", |(_, prefix)| prefix.as_str())
}

fn refused(name: Option<ToolName>, error: &AdmissionError) -> Told {
    Told::Refused {
        name,
        reason: error.to_string(),
    }
}

fn changes(before: &BTreeMap<String, Told>, now: &BTreeMap<String, Told>) -> Vec<Change> {
    let mut changes = Vec::new();
    // What goes is told before what comes: a name may pass from one file to another.
    for (file, told) in before {
        if let Told::Served { digest, name, .. } = told
            && now.get(file) != Some(told)
        {
            changes.push(Change {
                file: file.clone(),
                name: Some(name.clone()),
                kind: ChangeKind::Retired { digest: *digest },
            });
        }
    }
    for (file, told) in now {
        if before.get(file) == Some(told) {
            continue;
        }
        let (name, kind) = match told.clone() {
            Told::Served {
                digest,
                name,
                tools,
            } => (Some(name), ChangeKind::Admitted { digest, tools }),
            Told::Refused { name, reason } => (name, ChangeKind::Refused { reason }),
        };
        changes.push(Change {
            file: file.clone(),
            name,
            kind,
        });
    }
    changes
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
