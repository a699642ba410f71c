//! What can be granted: small, comparable atoms and the meet that only narrows them.
//!
//! No I/O and no decision is made here. A capability has one canonical text (`http GET api.example.com /v1/`), which
//! is what consent records and the audit log hold.

mod budget;
mod claim;
mod deliver;
mod host_name;
mod kind;
mod parts;
mod pick;
mod reveal;
mod secret;
mod set;
mod text;
mod tier;

use serde::{Deserialize, Serialize};

pub use budget::HttpBudget;
pub use claim::{ClaimName, NotAClaim};
pub use deliver::Deliver;
pub use host_name::{HostName, HostSelector};
pub use kind::Kind;
pub use parts::{Access, KeyPrefix, Methods, PathPrefix, SubPath};
pub use reveal::{NotAField, Reveal, SealedField};
pub use secret::{Authority, Secret, SecretForm};
pub use set::CapabilitySet;
#[cfg(test)]
pub(crate) use set::tests as set_tests;
pub use tier::{NotATier, Tier};

use crate::ids::{ConfigKey, MountName, StoreName, ToolName};
use crate::protect::{Class, ClassError};

/// A text is not a capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The first word names no kind.
    #[error(
        "`{0}` is not a kind of capability; use `http`, `files`, `clock`, `progress`, `data`, `ask`, `kv`, `config`, `secret`, `call`, `claims`, `reveal` or `deliver`"
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
    /// A part of a budget is none, or more than every call has.
    #[error(
        "`{0}` is no part of a budget; write `requests`, `send`, `receive`, `ms` and `parallel` in this order, each `=` a number below what every call has"
    )]
    Budget(String),
    /// Keys cannot be bounded by this.
    #[error("`{0}` is not a prefix of keys; write at most 128 bytes of visible characters")]
    Prefix(String),
    /// A secret is bound to no exact host.
    #[error(
        "`{0}` is not the host of a secret; write its exact name, with a port where it is not that of the scheme"
    )]
    Authority(String),
    /// A secret is not attached in this way.
    #[error(
        "`{0}` is not the form of a secret; use `bearer`, `basic`, `header NAME`, `query NAME` or `aws-sigv4`"
    )]
    Form(String),
    /// No tool is told this of its caller.
    #[error(transparent)]
    Claim(#[from] NotAClaim),
    /// No encrypted value stood there.
    #[error(transparent)]
    Field(#[from] NotAField),
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
    /// How much of it one call may use. Mostly the whole, so it stands apart.
    pub budget: Box<HttpBudget>,
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
    /// A secret that the host attaches to requests and never shows.
    Secret(Secret),
    /// Calls of another tool, by the name under which it is served.
    Call(ToolName),
    /// One thing that the token says of the user, or a pseudonym of the user.
    Claims(ClaimName),
    /// To open values that were encrypted for its package.
    Reveal(Reveal),
    /// To have the host put values that were encrypted for its package into requests.
    Deliver(Deliver),
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
            Self::Secret(_) => Kind::Secret,
            Self::Call(_) => Kind::Call,
            Self::Claims(_) => Kind::Claims,
            Self::Reveal(_) => Kind::Reveal,
            Self::Deliver(_) => Kind::Deliver,
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
            // Whoever is asked there takes the tool for the holder of the secret.
            Self::Secret(_) => Tier::T2,
            // What the other tool may do then is bounded by what this one may do itself, and asked about there.
            Self::Call(_) => Tier::T1,
            // It names nobody, and no two tools can put their pseudonyms together.
            Self::Claims(claim) if claim.is_pseudonym() => Tier::T0,
            Self::Claims(_) => Tier::T1,
            // Somebody's data in the clear, which was kept from the tool until then.
            Self::Reveal(_) => Tier::T3,
            // Somebody's data leaves for another host.
            Self::Deliver(_) => Tier::T3,
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
                budget: Box::new(a.budget.meet(&b.budget)),
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
            (Self::Secret(a), Self::Secret(b)) if a == b => Some(Self::Secret(a.clone())),
            (Self::Call(a), Self::Call(b)) if a == b => Some(Self::Call(a.clone())),
            (Self::Claims(a), Self::Claims(b)) if a == b => Some(Self::Claims(a.clone())),
            (Self::Reveal(a), Self::Reveal(b)) => a.meet(b).map(Self::Reveal),
            (Self::Deliver(a), Self::Deliver(b)) => a.meet(b).map(Self::Deliver),
            (
                Self::Http(_)
                | Self::Files(_)
                | Self::Clock
                | Self::Progress
                | Self::Data(_)
                | Self::Ask
                | Self::Kv(_)
                | Self::Config(_)
                | Self::Secret(_)
                | Self::Call(_)
                | Self::Claims(_)
                | Self::Reveal(_)
                | Self::Deliver(_),
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
                let path = match http.path.is_root() {
                    true => String::new(),
                    false => format!(", below {}", http.path),
                };
                format!("{verb} {place}{port}{path}{}", http.budget.sentence())
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
            Self::Secret(secret) if secret.form.signs() => format!(
                "Have its requests to {} signed in the name of the operator of this server, with the key “{}”; the tool never sees the key",
                secret.at, secret.name
            ),
            Self::Secret(secret) => format!(
                "Use the key “{}” of this server with {}; the tool never sees it",
                secret.name, secret.at
            ),
            Self::Call(tool) => format!("Use the tool “{tool}” for you"),
            Self::Claims(claim) => claim.english(),
            Self::Reveal(reveal) => {
                let what = reveal.class.english();
                match &reveal.field {
                    None => {
                        format!("Read {what} that were given to it encrypted, and answer with them")
                    }
                    Some(field) => {
                        format!(
                            "Read {what} that were given to it encrypted in “{field}”, and answer with them"
                        )
                    }
                }
            }
            Self::Deliver(deliver) => {
                let (what, at) = (deliver.what.class.english(), &deliver.at);
                let place = deliver.what.field.as_ref();
                let place = place.map_or_else(String::new, |field| format!(" in “{field}”"));
                format!(
                    "Have this server send {what} that were given to it encrypted{place} to {at}; the tool never sees them"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
