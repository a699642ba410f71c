//! How much harm a capability can do.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
