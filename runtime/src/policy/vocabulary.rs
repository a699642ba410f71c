//! What the configuration adds to the words of rules: claims with their types, and tags of tools.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{ClaimType, IssuerConfig};
use crate::ids::ToolName;
use crate::protect::Class;

/// The operator's own words, which rules are checked against.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// Claims by name, and whether every caller has them.
    pub(super) claims: BTreeMap<String, (ClaimType, bool)>,
    /// Tags by the name under which a tool is served.
    pub(super) tags: BTreeMap<String, BTreeSet<String>>,
    /// Whether callers without a token may list.
    pub(super) anonymous: bool,
    /// Whether two issuers can give a role or a group of one name.
    pub(super) shared_roles: bool,
    /// The classes of rate limits that there are.
    pub(super) rates: BTreeSet<String>,
    /// The classes of data that are looked for.
    pub(super) data: BTreeSet<Class>,
}

impl Vocabulary {
    /// The claims of these issuers, these tags, and whether callers without a token may list.
    pub fn new(
        issuers: &[IssuerConfig],
        tags: &BTreeMap<String, BTreeSet<String>>,
        anonymous: bool,
    ) -> Self {
        let mut claims = BTreeMap::new();
        for (name, claim) in issuers.iter().flat_map(|issuer| &issuer.claims.extra) {
            // A rule may rely on a claim only if no caller of any issuer can be without it.
            let always = issuers.iter().all(|issuer| {
                let same = issuer.claims.extra.get(name);
                same.is_some_and(|same| same.required)
            });
            claims.insert(name.clone(), (claim.kind, always));
        }
        Self {
            claims,
            tags: tags.clone(),
            anonymous,
            shared_roles: shared_roles(issuers),
            rates: BTreeSet::new(),
            data: BTreeSet::new(),
        }
    }

    /// The same, with these classes of rate limits.
    #[must_use]
    pub fn with_rates<'a>(self, names: impl IntoIterator<Item = &'a String>) -> Self {
        Self {
            rates: names.into_iter().cloned().collect(),
            ..self
        }
    }

    /// The same, with these classes of data.
    #[must_use]
    pub fn with_data(self, classes: impl IntoIterator<Item = Class>) -> Self {
        Self {
            data: classes.into_iter().collect(),
            ..self
        }
    }

    /// The same, with the door open to callers without a token.
    #[cfg(test)]
    pub(super) fn open(self) -> Self {
        Self {
            anonymous: true,
            ..self
        }
    }

    /// The operator's tags of a tool. An author has no word in them.
    pub(super) fn tags_of(&self, tool: &ToolName) -> impl Iterator<Item = &str> {
        let tags = self.tags.get(tool.as_str()).into_iter().flatten();
        tags.map(String::as_str)
    }
}

/// An issuer says what it likes behind its prefix, so prefixes keep two apart where neither begins with the other.
fn shared_roles(issuers: &[IssuerConfig]) -> bool {
    let prefixes: Vec<_> = issuers.iter().map(|one| &one.claims.role_prefix).collect();
    prefixes.iter().enumerate().any(|(n, one)| {
        let mut others = prefixes.iter().skip(n + 1);
        others.any(|other| one.starts_with(other.as_str()) || other.starts_with(one.as_str()))
    })
}
