//! Binds granted mounts to directories of the operator.
//!
//! A directory is opened segment by segment, and below the operator's own prefix no symbolic link is followed: a guest
//! that may write could have put one there. What leaves this module is an open directory, never a path to open again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, mkdirat, open, openat};
use rustix::io::Errno;

use super::meter::Meter;
use crate::capability::{Access, Capability, Files};
use crate::config::{Mount, Quota};
use crate::grant::Holder;
use crate::ids::{Digest, MountName};
use crate::revocation::Standing;
use crate::sandbox::Effect;

pub mod begun;
pub mod desk;
pub mod space;

use desk::{Reach, is_kernels};
use space::Spaces;

/// Longest escaped value within a path, in bytes; a longer one is replaced by its digest. Names have at most 255.
const VALUE_BYTES_MAX: usize = 100;
/// How much of a replaced value stays readable, in bytes.
const VALUE_BYTES_KEPT: usize = 32;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Why the operator's mounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A placeholder is not known.
    #[error(
        "mount `{mount}`: `{path}` has an unknown placeholder; use `{{tenant}}`, `{{iss}}` or `{{sub}}`"
    )]
    Placeholder {
        /// The operator's name for it.
        mount: MountName,
        /// Its path, as configured.
        path: String,
    },
    /// The path leaves itself.
    #[error("mount `{mount}`: `{path}` must not be empty or hold `..`")]
    Path {
        /// The operator's name for it.
        mount: MountName,
        /// Its path, as configured.
        path: String,
    },
    /// Two users could share a directory that is meant to be one user's.
    #[error(
        "mount `{mount}`: `{path}` has `{{sub}}` and there are several issuers, whose subjects may be equal; add `{{iss}}`"
    )]
    Ambiguous {
        /// The operator's name for it.
        mount: MountName,
        /// Its path, as configured.
        path: String,
    },
    /// Two values stand in one segment of the path.
    #[error(
        "mount `{mount}`: `{path}` has two placeholders in one segment; put a `/` between them"
    )]
    Joined { mount: MountName, path: String },
    /// The name is bound twice.
    #[error("mount `{0}` is bound twice")]
    Twice(MountName),
}

/// Why a granted mount cannot be given to a call.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operator bound no directory to the name.
    #[error("the mount `{0}` is not bound on this server")]
    Unbound(MountName),
    /// The granted part does not exist, and reading does not create it.
    #[error("`{path}` of the mount `{mount}` does not exist")]
    Missing {
        /// The operator's name for it.
        mount: MountName,
        /// The granted part.
        path: String,
    },
    /// The directory could not be opened; for the log alone.
    #[error("the directory of mount `{mount}` could not be opened")]
    Open {
        /// The operator's name for it.
        mount: MountName,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// GHSA-4ch3: hard links and renames have crossed from a writable directory to a read-only one.
    #[error(
        "one call cannot have `{read}` for reading and `{write}` for writing: they lie on one file system"
    )]
    Mixed {
        /// One that is granted for reading.
        read: MountName,
        /// One that is granted for writing.
        write: MountName,
    },
}

impl BindError {
    /// Whether the caller may see the text: it then names mounts alone, which the user was asked about.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unbound(_) | Self::Missing { .. } | Self::Mixed { .. } => true,
            Self::Open { .. } => false,
        }
    }
}

/// The directories that an operator bound, by name.
#[derive(Debug, Default)]
pub struct Mounts {
    templates: BTreeMap<MountName, Template>,
    spaces: Spaces,
}

/// A directory for one call.
#[derive(Debug)]
pub struct Bound {
    /// The directory itself.
    pub directory: OwnedFd,
    /// Where the guest finds it: `/MOUNT` or `/MOUNT/PATH`.
    pub guest_path: String,
    /// Reading alone, or reading and writing.
    pub access: Access,
    /// What may be done in it, and how much.
    pub reach: Reach,
    mount: MountName,
    device: u64,
}

#[derive(Debug)]
struct Template {
    /// The part without placeholders: the operator's own, links and all.
    prefix: PathBuf,
    /// The segments below it.
    rest: Vec<Vec<Piece>>,
    /// How much each directory that it leads to may hold.
    quota: Quota,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Tenant,
    Issuer,
    Subject,
}

impl Mounts {
    /// Takes the operator's mounts. `issuers` is how many issuers of tokens there are.
    pub fn new(mounts: &[Mount], issuers: usize) -> Result<Self, MountError> {
        let mut all = BTreeMap::new();
        for mount in mounts {
            let template = Template::new(mount, issuers)?;
            if all.insert(mount.name.clone(), template).is_some() {
                return Err(MountError::Twice(mount.name.clone()));
            }
        }
        Ok(Self {
            templates: all,
            spaces: Spaces::default(),
        })
    }

    /// Opens what is granted, for this holder. Touches the disk: not for a thread that must not wait.
    pub fn bind(
        &self,
        granted: &[Files],
        holder: &Holder,
        standing: &Standing,
        meter: &Meter,
    ) -> Result<Vec<Bound>, BindError> {
        let mut bound = Vec::with_capacity(granted.len());
        for files in granted {
            // scope
            let template = self
                .templates
                .get(&files.mount)
                .ok_or_else(|| BindError::Unbound(files.mount.clone()))?;
            // act
            let given = (standing, meter);
            bound.push(template.open(files, holder, &self.spaces, given)?);
        }
        // limit
        refuse_mixed(&bound)?;
        // record
        for (files, _) in granted.iter().zip(&bound) {
            let effect = Effect {
                count: 1,
                ..Effect::default()
            };
            // That a folder is at hand is no effect; what is done in it is noticed where it is done.
            meter.note(format!("files {} {}", files.access, files.mount), effect);
        }
        Ok(bound)
    }
}

/// No call has a read-only and a writable directory of one file system.
fn refuse_mixed(bound: &[Bound]) -> Result<(), BindError> {
    let writable: BTreeSet<u64> = bound
        .iter()
        .filter(|one| one.access == Access::Write)
        .map(|one| one.device)
        .collect();
    let readable = bound
        .iter()
        .find(|one| one.access == Access::Read && writable.contains(&one.device));
    let Some(read) = readable else {
        return Ok(());
    };
    let write = bound
        .iter()
        .find(|one| one.access == Access::Write && one.device == read.device);
    Err(BindError::Mixed {
        read: read.mount.clone(),
        write: write.map_or_else(|| read.mount.clone(), |one| one.mount.clone()),
    })
}

impl Template {
    fn new(mount: &Mount, issuers: usize) -> Result<Self, MountError> {
        let (name, path) = (mount.name.clone(), mount.path.clone());
        let mut prefix = PathBuf::new();
        let mut rest: Vec<Vec<Piece>> = Vec::new();
        for component in Path::new(&mount.path).components() {
            match component {
                Component::RootDir => prefix.push("/"),
                Component::CurDir => {}
                Component::Prefix(_) | Component::ParentDir => {
                    return Err(MountError::Path { mount: name, path });
                }
                Component::Normal(segment) => {
                    let pieces = segment.to_str().and_then(pieces);
                    let Some(pieces) = pieces else {
                        return Err(MountError::Placeholder { mount: name, path });
                    };
                    // Two values side by side run together: (`a`, `b-c`) and (`a-b`, `c`) would be one directory.
                    if pieces
                        .iter()
                        .filter(|piece| !matches!(piece, Piece::Text(_)))
                        .count()
                        > 1
                    {
                        return Err(MountError::Joined { mount: name, path });
                    }
                    match pieces.as_slice() {
                        [Piece::Text(text)] if rest.is_empty() => prefix.push(text),
                        _ => rest.push(pieces),
                    }
                }
            }
        }
        let has = |piece: &Piece| rest.iter().flatten().any(|other| other == piece);
        if issuers > 1 && has(&Piece::Subject) && !has(&Piece::Issuer) {
            return Err(MountError::Ambiguous { mount: name, path });
        }
        if prefix.as_os_str().is_empty() {
            if rest.is_empty() {
                return Err(MountError::Path { mount: name, path });
            }
            prefix.push(".");
        }
        Ok(Self {
            prefix,
            rest,
            quota: mount.quota,
        })
    }

    fn open(
        &self,
        files: &Files,
        holder: &Holder,
        spaces: &Spaces,
        (standing, meter): (&Standing, &Meter),
    ) -> Result<Bound, BindError> {
        let mount = &files.mount;
        let failed = |source: std::io::Error| BindError::Open {
            mount: mount.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.prefix)
            .map_err(failed)?;
        let mut directory =
            open(&self.prefix, DIRECTORY, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        for segment in &self.rest {
            directory = enter(&directory, &expand(segment, holder), true)
                .map_err(|errno| failed(errno.into()))?;
        }
        let space = match files.access {
            Access::Read => None,
            Access::Write => {
                let root = directory.try_clone().map_err(failed)?;
                let space = spaces.of(root, self.quota);
                Some(space.map_err(|errno| failed(errno.into()))?)
            }
        };
        for segment in files.path.segments() {
            directory = match enter(&directory, segment, files.access == Access::Write) {
                Ok(inner) => inner,
                Err(Errno::NOENT) => {
                    return Err(BindError::Missing {
                        mount: mount.clone(),
                        path: files.path.to_string(),
                    });
                }
                Err(errno) => return Err(failed(errno.into())),
            };
        }
        if is_kernels(&directory) {
            return Err(failed(Errno::OPNOTSUPP.into()));
        }
        let device = fstat(&directory)
            .map_err(|errno| failed(errno.into()))?
            .st_dev;
        let guest_path = if files.path.is_whole() {
            format!("/{mount}")
        } else {
            format!("/{mount}/{}", files.path)
        };
        Ok(Bound {
            directory,
            guest_path,
            access: files.access,
            reach: Reach::new(
                files,
                space,
                standing.of(&Capability::Files(files.clone())),
                meter.clone(),
            ),
            mount: mount.clone(),
            device,
        })
    }
}

/// Opens one segment below `parent` and follows no link; makes it first where it may.
fn enter(parent: &OwnedFd, segment: &str, create: bool) -> Result<OwnedFd, Errno> {
    let flags = DIRECTORY | OFlags::NOFOLLOW;
    match openat(parent, segment, flags, Mode::empty()) {
        Err(Errno::NOENT) if create => {
            match mkdirat(parent, segment, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            openat(parent, segment, flags, Mode::empty())
        }
        opened => opened,
    }
}

/// The pieces of one segment; none when a placeholder is unknown.
pub(super) fn pieces(segment: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some((text, after)) = rest.split_once('{') {
        if text.contains('}') {
            return None;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let (name, after) = after.split_once('}')?;
        pieces.push(match name {
            "tenant" => Piece::Tenant,
            "iss" => Piece::Issuer,
            "sub" => Piece::Subject,
            _ => return None,
        });
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(pieces)
}

pub(super) fn expand(segment: &[Piece], holder: &Holder) -> String {
    segment
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Tenant => escape(holder.tenant.as_str()),
            Piece::Issuer => escape(holder.user.issuer.as_str()),
            Piece::Subject => escape(holder.user.subject.as_str()),
        })
        .collect()
}

/// A file name for a value, another one for every other value: letters, digits, `_` and `-` stand for themselves, every
/// other byte is `%XX`. A value that would be too long ends in `~` and its digest, which no escaped value holds.
fn escape(value: &str) -> String {
    let mut name = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() > VALUE_BYTES_MAX {
        name.truncate(VALUE_BYTES_KEPT);
        name.push('~');
        name.push_str(&Digest::of(value.as_bytes()).to_string());
    }
    name
}

#[cfg(test)]
mod tests;
