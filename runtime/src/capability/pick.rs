//! What a capability is about, for whoever deals with one kind and leaves the others alone.
//!
//! A new kind changes nothing here for those: where every kind must be thought of, the place matches on all of them.

use std::collections::BTreeSet;

use super::{Capability, CapabilitySet, ClaimName, Deliver, Files, Http, Kind, Kv, Reveal, Secret};
use crate::ids::{ConfigKey, ToolName};
use crate::protect::Class;

/// One function for each kind that has a scope.
macro_rules! picks {
    ($($(#[$doc:meta])* $name:ident: $kind:ident => $scope:ty,)*) => {
        impl Capability {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<&$scope> {
                match self {
                    Self::$kind(scope) => Some(scope),
                    _ => None,
                }
            })*
        }
    };
}

picks! {
    /// The hosts, methods and paths of `http`.
    as_http: Http => Http,
    /// The part of a mount of `files`.
    as_files: Files => Files,
    /// The class of `data`.
    as_data: Data => Class,
    /// The part of a store of `kv`.
    as_kv: Kv => Kv,
    /// The key of `config`.
    as_config: Config => ConfigKey,
    /// The secret and where it goes.
    as_secret: Secret => Secret,
    /// The tool that is called.
    as_call: Call => ToolName,
    /// The claim that is told.
    as_claim: Claims => ClaimName,
    /// What is opened.
    as_reveal: Reveal => Reveal,
    /// What is delivered, and to whom.
    as_deliver: Deliver => Deliver,
}

impl CapabilitySet {
    /// Whether something of this kind is in the set.
    pub fn has(&self, kind: Kind) -> bool {
        self.iter().any(|one| one.kind() == kind)
    }

    /// The classes that may stand in an answer: those of data, and what may be opened.
    pub fn shown(&self) -> BTreeSet<Class> {
        let opened = self.iter().filter_map(Capability::as_reveal);
        let opened = opened.map(|reveal| reveal.class.clone());
        self.classes().into_iter().chain(opened).collect()
    }

    /// The classes of data in the set.
    pub fn classes(&self) -> BTreeSet<Class> {
        self.iter()
            .filter_map(Capability::as_data)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_kinds_of_its_members_and_no_other() {
        let of = |text: &str| text.parse::<Capability>().unwrap();
        let set: CapabilitySet = ["clock", "kv read memory"].into_iter().map(of).collect();
        for kind in Kind::ALL {
            let is_member = matches!(kind, Kind::Clock | Kind::Kv);
            assert_eq!(set.has(kind), is_member, "{kind}");
            assert!(!CapabilitySet::none().has(kind), "{kind}");
        }
    }
}
