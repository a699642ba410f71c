//! The kinds of capability.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CapabilityError;

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
    /// A secret of the operator, attached to requests to one host.
    Secret,
    /// Another tool, used for this call.
    Call,
    /// What the token says of the user.
    Claims,
    /// Values that were encrypted for the package, opened.
    Reveal,
    /// Values that were encrypted for the package, put into requests.
    Deliver,
}

impl Kind {
    /// Every kind, in the order of [`Capability`](super::Capability).
    pub const ALL: [Self; 13] = [
        Self::Http,
        Self::Files,
        Self::Clock,
        Self::Progress,
        Self::Data,
        Self::Ask,
        Self::Kv,
        Self::Config,
        Self::Secret,
        Self::Call,
        Self::Claims,
        Self::Reveal,
        Self::Deliver,
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
            Self::Secret => "secret",
            Self::Call => "call",
            Self::Claims => "claims",
            Self::Reveal => "reveal",
            Self::Deliver => "deliver",
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
