//! What can be granted: small, comparable atoms and the meet that only narrows them.
//!
//! No I/O and no decision is made here. A capability has one canonical text (`http GET api.example.com /v1/`), which
//! is what consent records and the audit log hold.

mod host_name;
mod parts;
mod set;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use host_name::{HostName, HostSelector};
pub use parts::{Access, KeyPrefix, Methods, PathPrefix, SubPath};
pub use set::CapabilitySet;

use crate::ids::{ConfigKey, MountName, StoreName};
use crate::protect::{Class, ClassError};

/// A text is not a capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The first word names no kind.
    #[error(
        "`{0}` is not a kind of capability; use `http`, `files`, `clock`, `progress`, `data`, `ask`, `kv` or `config`"
    )]
    Kind(String),
    /// A part is missing or there is one too many.
    #[error("a capability of this kind is written `{0}`")]
    Shape(&'static str),
    /// A host is not a host selector.
    #[error("`{0}` is not a host; use an exact name, `*.suffix` or `*`")]
    Host(String),
    /// A method is unknown.
    #[error("`{0}` is not a method that can be granted; use GET, HEAD, POST, PUT, PATCH or DELETE")]
    Method(String),
    /// A path is not absolute and normal.
    #[error(
        "`{0}` is not a path prefix; write an absolute path without `..`, `//`, `%`, `?` or `#`"
    )]
    Path(String),
    /// An access is neither read nor write.
    #[error("`{0}` is not an access; use `read` or `write`")]
    Access(String),
    /// A mount, a store or a key of the configuration has no valid name.
    #[error(transparent)]
    Name(#[from] crate::ids::NameError),
    /// A class of data has no valid name.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// Keys cannot be bounded by this.
    #[error("`{0}` is not a prefix of keys; write at most 128 bytes of visible characters")]
    Prefix(String),
}

/// The kinds that this build knows, in the words of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Requests to web hosts.
    Http,
    /// A directory that the operator bound.
    Files,
    /// Real time instead of the frozen instant at which the call began.
    Clock,
    /// Progress messages to the caller while the call runs.
    Progress,
    /// Personal data or a secret of one class in arguments and replies.
    Data,
    /// Questions to the user, as forms.
    Ask,
    /// Values under keys, in a store that the operator bound.
    Kv,
    /// What the operator set for the package.
    Config,
}

impl Kind {
    /// Every kind, in the order of [`Capability`].
    pub const ALL: [Self; 8] = [
        Self::Http,
        Self::Files,
        Self::Clock,
        Self::Progress,
        Self::Data,
        Self::Ask,
        Self::Kv,
        Self::Config,
    ];

    /// The word for it in manifests, rules and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Files => "files",
            Self::Clock => "clock",
            Self::Progress => "progress",
            Self::Data => "data",
            Self::Ask => "ask",
            Self::Kv => "kv",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| CapabilityError::Kind(text.to_owned()))
    }
}

/// How much harm a capability can do, and so how it must be consented to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// No effect outside the sandbox: no question.
    T0,
    /// Bounded reading of a named resource.
    T1,
    /// Writing, or sending the user's data out.
    T2,
    /// Destructive, or about money or administration: asked at every call.
    T3,
}

impl Tier {
    /// The word for it in rules, records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::T0 => "T0",
            Self::T1 => "T1",
            Self::T2 => "T2",
            Self::T3 => "T3",
        }
    }
}

/// A text is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tier; write `T0`, `T1`, `T2` or `T3`")]
pub struct NotATier(String);

impl FromStr for Tier {
    type Err = NotATier;

    fn from_str(text: &str) -> Result<Self, NotATier> {
        let all = [Self::T0, Self::T1, Self::T2, Self::T3];
        let found = all.into_iter().find(|tier| tier.as_str() == text);
        found.ok_or_else(|| NotATier(text.to_owned()))
    }
}

/// Requests to web hosts: which hosts, methods and paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Http {
    /// The methods.
    pub methods: Methods,
    /// The hosts.
    pub host: HostSelector,
    /// The port; none is the default port of the scheme.
    pub port: Option<u16>,
    /// Where paths must begin.
    pub path: PathPrefix,
}

/// Part of a directory that the operator bound under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Files {
    /// The operator's name for the directory.
    pub mount: MountName,
    /// Reading alone, or reading and writing.
    pub access: Access,
    /// The part below the mount; empty is the whole of it.
    pub path: SubPath,
}

/// Part of a store of keys and values that the operator bound under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kv {
    /// The operator's name for the store.
    pub store: StoreName,
    /// Reading alone, or reading and writing.
    pub access: Access,
    /// What keys must begin with; empty is every key.
    pub prefix: KeyPrefix,
}

/// One thing that a tool can do outside its sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Capability {
    /// Requests to web hosts.
    Http(Http),
    /// Files below a mount.
    Files(Files),
    /// Real time.
    Clock,
    /// Progress messages.
    Progress,
    /// To be given, and to answer with, data of this class.
    Data(Class),
    /// Questions to the user.
    Ask,
    /// Values in a store.
    Kv(Kv),
    /// One value that the operator set.
    Config(ConfigKey),
}

impl Capability {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Http(_) => Kind::Http,
            Self::Files(_) => Kind::Files,
            Self::Clock => Kind::Clock,
            Self::Progress => Kind::Progress,
            Self::Data(_) => Kind::Data,
            Self::Ask => Kind::Ask,
            Self::Kv(_) => Kind::Kv,
            Self::Config(_) => Kind::Config,
        }
    }

    /// The tier, computed by us from what it does; a tool's own hints do not count.
    pub fn tier(&self) -> Tier {
        match self {
            Self::Http(http) if http.methods.only_read() => Tier::T1,
            Self::Http(_) => Tier::T2,
            Self::Files(files) => match files.access {
                Access::Read => Tier::T1,
                Access::Write => Tier::T2,
            },
            // Whoever holds a secret can act with it.
            Self::Data(class) if class.is_secret() => Tier::T2,
            Self::Data(_) => Tier::T1,
            Self::Kv(kv) => match kv.access {
                Access::Read => Tier::T1,
                Access::Write => Tier::T2,
            },
            // What comes back is data that the user gave for this call; it grants nothing.
            Self::Clock | Self::Progress | Self::Ask => Tier::T0,
            // The operator wrote it for this package; nothing of the user's is read.
            Self::Config(_) => Tier::T0,
        }
    }

    /// The largest capability that lies within both; none when they have nothing in common.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => Some(Self::Http(Http {
                methods: a.methods.meet(&b.methods)?,
                host: a.host.meet(&b.host)?,
                port: (a.port == b.port).then_some(a.port)?,
                path: a.path.meet(&b.path)?,
            })),
            (Self::Files(a), Self::Files(b)) if a.mount == b.mount => Some(Self::Files(Files {
                mount: a.mount.clone(),
                access: a.access.min(b.access),
                path: a.path.meet(&b.path)?,
            })),
            (Self::Clock, Self::Clock) => Some(Self::Clock),
            (Self::Progress, Self::Progress) => Some(Self::Progress),
            (Self::Data(a), Self::Data(b)) => (a == b).then(|| Self::Data(a.clone())),
            (Self::Ask, Self::Ask) => Some(Self::Ask),
            (Self::Kv(a), Self::Kv(b)) if a.store == b.store => Some(Self::Kv(Kv {
                store: a.store.clone(),
                access: a.access.min(b.access),
                prefix: a.prefix.meet(&b.prefix)?,
            })),
            (Self::Config(a), Self::Config(b)) if a == b => Some(Self::Config(a.clone())),
            (
                Self::Http(_)
                | Self::Files(_)
                | Self::Clock
                | Self::Progress
                | Self::Data(_)
                | Self::Ask
                | Self::Kv(_)
                | Self::Config(_),
                _,
            ) => None,
        }
    }

    /// Whether all that this allows is allowed by `other` as well.
    pub fn within(&self, other: &Self) -> bool {
        self.meet(other).as_ref() == Some(self)
    }

    /// One sentence that a user understands, for the consent page.
    pub fn sentence(&self) -> String {
        match self {
            Self::Http(http) => {
                let verb = if http.methods.only_read() {
                    "Read from"
                } else {
                    "Send data to and read from"
                };
                let place = match &http.host {
                    HostSelector::Any => "any public web site".to_owned(),
                    HostSelector::Suffix(name) => format!("any web site under {name}"),
                    HostSelector::Exact(name) => name.to_string(),
                };
                let port = http
                    .port
                    .map(|port| format!(" on port {port}"))
                    .unwrap_or_default();
                if http.path.is_root() {
                    format!("{verb} {place}{port}")
                } else {
                    format!("{verb} {place}{port}, below {}", http.path)
                }
            }
            Self::Files(files) => {
                let verb = match files.access {
                    Access::Read => "Read files in",
                    Access::Write => "Read, create, change and delete files in",
                };
                if files.path.is_whole() {
                    format!("{verb} your folder “{}”", files.mount)
                } else {
                    format!("{verb} “{}” of your folder “{}”", files.path, files.mount)
                }
            }
            Self::Clock => "See the current time".to_owned(),
            Self::Progress => "Report its progress while it works".to_owned(),
            Self::Data(class) => format!(
                "Be given {} in what it is asked, and answer with them",
                class.english()
            ),
            Self::Ask => "Ask you questions before it acts".to_owned(),
            Self::Kv(kv) => {
                let verb = match kv.access {
                    Access::Read => "Read what is kept",
                    Access::Write => "Read, add, change and delete what is kept",
                };
                if kv.prefix.is_whole() {
                    format!("{verb} in the store “{}”", kv.store)
                } else {
                    format!(
                        "{verb} in the store “{}” under keys that begin with “{}”",
                        kv.store, kv.prefix
                    )
                }
            }
            Self::Config(key) => {
                format!("See what the operator of this server set for it as “{key}”")
            }
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => {
                write!(out, "http {} {}", http.methods, http.host)?;
                if let Some(port) = http.port {
                    write!(out, ":{port}")?;
                }
                write!(out, " {}", http.path)
            }
            Self::Files(files) => {
                write!(out, "files {} {}", files.access, files.mount)?;
                if files.path.is_whole() {
                    Ok(())
                } else {
                    write!(out, " {}", files.path)
                }
            }
            Self::Clock => out.write_str("clock"),
            Self::Progress => out.write_str("progress"),
            Self::Data(class) => write!(out, "data {class}"),
            Self::Ask => out.write_str("ask"),
            Self::Kv(kv) => {
                write!(out, "kv {} {}", kv.access, kv.store)?;
                if kv.prefix.is_whole() {
                    Ok(())
                } else {
                    write!(out, " {}", kv.prefix)
                }
            }
            Self::Config(key) => write!(out, "config {key}"),
        }
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        const HTTP: &str = "http METHOD[,METHOD] HOST[:PORT] /PATH";
        const FILES: &str = "files read|write MOUNT [PATH]";
        const DATA: &str = "data CLASS";
        const KV: &str = "kv read|write STORE [PREFIX]";
        const CONFIG: &str = "config KEY";
        let mut words = text.split(' ');
        let kind: Kind = words.next().unwrap_or_default().parse()?;
        let capability = match kind {
            Kind::Http => {
                let methods = words.next().ok_or(CapabilityError::Shape(HTTP))?.parse()?;
                let place = words.next().ok_or(CapabilityError::Shape(HTTP))?;
                let path = words.next().ok_or(CapabilityError::Shape(HTTP))?.parse()?;
                let (host, port) = parts::host_and_port(place)?;
                Self::Http(Http {
                    methods,
                    host,
                    port,
                    path,
                })
            }
            Kind::Files => {
                let access = words.next().ok_or(CapabilityError::Shape(FILES))?.parse()?;
                let mount = words.next().ok_or(CapabilityError::Shape(FILES))?.parse()?;
                // A path may hold spaces; it is all that is left.
                let path = words.by_ref().collect::<Vec<_>>().join(" ").parse()?;
                Self::Files(Files {
                    mount,
                    access,
                    path,
                })
            }
            Kind::Clock => Self::Clock,
            Kind::Progress => Self::Progress,
            Kind::Data => Self::Data(words.next().ok_or(CapabilityError::Shape(DATA))?.parse()?),
            Kind::Ask => Self::Ask,
            Kind::Kv => {
                let access = words.next().ok_or(CapabilityError::Shape(KV))?.parse()?;
                let store = words.next().ok_or(CapabilityError::Shape(KV))?.parse()?;
                // Not written where it is every key, so that a capability has one text.
                let prefix = match words.next() {
                    Some("") => return Err(CapabilityError::Shape(KV)),
                    Some(prefix) => prefix.parse()?,
                    None => KeyPrefix::default(),
                };
                Self::Kv(Kv {
                    store,
                    access,
                    prefix,
                })
            }
            Kind::Config => Self::Config(
                words
                    .next()
                    .ok_or(CapabilityError::Shape(CONFIG))?
                    .parse()?,
            ),
        };
        match words.next() {
            None => Ok(capability),
            Some(_) => Err(CapabilityError::Shape(
                "the kind and its parts, nothing after them",
            )),
        }
    }
}

impl TryFrom<String> for Capability {
    type Error = CapabilityError;

    fn try_from(text: String) -> Result<Self, CapabilityError> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> String {
        capability.to_string()
    }
}
