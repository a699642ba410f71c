//! Values that were encrypted for a package and that the host puts into requests to one host, unseen by the tool.

use std::fmt;

use super::{Authority, Reveal};

/// Encrypted values that the host may put into requests: which ones, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deliver {
    /// Which values.
    pub what: Reveal,
    /// The one host that gets them.
    pub at: Authority,
}

impl Deliver {
    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        if self.at != other.at {
            return None;
        }
        let at = self.at.clone();
        self.what.meet(&other.what).map(|what| Self { what, at })
    }
}

impl fmt::Display for Deliver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.at, self.what)
    }
}
