//! What a rule says of itself, for those who look at the rules in force.

use std::collections::BTreeMap;

use cedar_policy::{Effect, Policy};
use serde::Serialize;

/// One rule: where it stands and what its author wrote about it. Not what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleFacts {
    /// Its `@id`, or `file:line`.
    pub id: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// `tools` or `admin`.
    pub about: &'static str,
    /// All of its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl RuleFacts {
    pub(super) fn of(
        policy: &Policy,
        id: &str,
        place: &(String, Option<usize>),
        is_admin: bool,
    ) -> Self {
        let annotations = policy.annotations();
        Self {
            id: id.to_owned(),
            file: place.0.clone(),
            line: place.1,
            effect: match policy.effect() {
                Effect::Permit => "permit",
                Effect::Forbid => "forbid",
            },
            about: if is_admin { "admin" } else { "tools" },
            annotations: annotations
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}
