//! A set of capabilities and its intersection.

use std::collections::BTreeSet;
use std::ops::BitAnd;

use serde::{Deserialize, Serialize};

use super::{Capability, Kind, Tier};

/// A set of capabilities in which none lies within another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeSet<Capability>", into = "BTreeSet<Capability>")]
pub struct CapabilitySet(BTreeSet<Capability>);

impl CapabilitySet {
    /// The set that allows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many capabilities there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The capabilities in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.0.iter()
    }

    /// Whether all that `capability` allows is allowed by one member.
    pub fn covers(&self, capability: &Capability) -> bool {
        self.0.iter().any(|member| capability.within(member))
    }

    /// Whether some part of `capability` is allowed.
    pub fn touches(&self, capability: &Capability) -> bool {
        self.0
            .iter()
            .any(|member| member.meet(capability).is_some())
    }

    /// The kinds in the set.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.0.iter().map(Capability::kind).collect()
    }

    /// The highest tier in the set.
    pub fn tier(&self) -> Tier {
        self.0
            .iter()
            .map(Capability::tier)
            .max()
            .unwrap_or(Tier::T0)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        BTreeSet::from_iter(capabilities).into()
    }
}

impl From<BTreeSet<Capability>> for CapabilitySet {
    fn from(all: BTreeSet<Capability>) -> Self {
        let outermost =
            |one: &&Capability| !all.iter().any(|other| other != *one && one.within(other));
        Self(all.iter().filter(outermost).cloned().collect())
    }
}

impl From<CapabilitySet> for BTreeSet<Capability> {
    fn from(set: CapabilitySet) -> Self {
        set.0
    }
}

impl BitAnd for &CapabilitySet {
    type Output = CapabilitySet;

    /// What both sets allow: every pairwise meet.
    fn bitand(self, other: Self) -> CapabilitySet {
        self.0
            .iter()
            .flat_map(|a| other.0.iter().filter_map(|b| a.meet(b)))
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::{
        Access, Deliver, Files, HostSelector, Http, HttpBudget, Kv, Methods, Reveal, Secret,
    };
    use super::*;

    fn capability() -> impl Strategy<Value = Capability> {
        let methods = proptest::sample::subsequence(vec!["GET", "HEAD", "POST"], 1..=3)
            .prop_map(|methods| Methods::of(methods).unwrap());
        let host = proptest::sample::select(vec![
            "*",
            "*.example",
            "*.a.example",
            "a.example",
            "b.a.example",
            "example",
            "other.test",
        ])
        .prop_map(|host| host.parse::<HostSelector>().unwrap());
        let path = proptest::sample::select(vec!["/", "/v1", "/v1/", "/v1/x", "/v10", "/v2/"])
            .prop_map(|path| path.parse().unwrap());
        let port = proptest::sample::select(vec![None, Some(8443)]);
        let budget = proptest::sample::select(vec!["", "requests=5", "requests=7 send=9", "ms=3"])
            .prop_map(|text| HttpBudget::of_words(text.split_whitespace()).unwrap());
        let http =
            (methods, host, port, path, budget).prop_map(|(methods, host, port, path, budget)| {
                Capability::Http(Http {
                    methods,
                    host,
                    port,
                    path,
                    budget: Box::new(budget),
                })
            });
        let files = (
            proptest::sample::select(vec!["notes", "mail"]),
            proptest::sample::select(vec![Access::Read, Access::Write]),
            proptest::sample::select(vec!["", "a", "a/b", "ab"]),
        )
            .prop_map(|(mount, access, path)| {
                Capability::Files(Files {
                    mount: mount.parse().unwrap(),
                    access,
                    path: path.parse().unwrap(),
                })
            });
        let data = proptest::sample::select(vec!["email", "card"])
            .prop_map(|class| Capability::Data(class.parse().unwrap()));
        let kv = (
            proptest::sample::select(vec!["memory", "cache"]),
            proptest::sample::select(vec![Access::Read, Access::Write]),
            proptest::sample::select(vec!["", "a", "a/", "a/b", "ab", "é"]),
        )
            .prop_map(|(store, access, prefix)| {
                Capability::Kv(Kv {
                    store: store.parse().unwrap(),
                    access,
                    prefix: prefix.parse().unwrap(),
                })
            });
        let config = proptest::sample::select(vec!["region", "region.x"])
            .prop_map(|key| Capability::Config(key.parse().unwrap()));
        let secret = (
            proptest::sample::select(vec!["tracker", "mail"]),
            proptest::sample::select(vec!["a.example", "a.example:8443", "b.a.example"]),
            proptest::sample::select(vec![
                "bearer",
                "basic",
                "header x-key",
                "query key",
                "aws-sigv4",
            ]),
        )
            .prop_map(|(name, at, form)| {
                Capability::Secret(Secret {
                    name: name.parse().unwrap(),
                    at: at.parse().unwrap(),
                    form: form.parse().unwrap(),
                })
            });
        let call = proptest::sample::select(vec!["fetch", "memory"])
            .prop_map(|tool| Capability::Call(tool.parse().unwrap()));
        let claims = proptest::sample::select(vec!["subject", "email", "name"])
            .prop_map(|claim| Capability::Claims(claim.parse().unwrap()));
        let reveal = (
            proptest::sample::select(vec!["email", "card"]),
            proptest::sample::select(vec![None, Some("a:/x"), Some("a:/x/*"), Some("a:/xy")]),
        )
            .prop_map(|(class, field)| Reveal {
                class: class.parse().unwrap(),
                field: field.map(|field| field.parse().unwrap()),
            });
        let at = proptest::sample::select(vec!["a.example", "a.example:8443"]);
        let deliver = (reveal.clone(), at).prop_map(|(what, at)| {
            let at = at.parse().unwrap();
            Capability::Deliver(Deliver { what, at })
        });
        let reveal = reveal.prop_map(Capability::Reveal);
        prop_oneof![
            4 => http,
            3 => files,
            1 => Just(Capability::Clock),
            1 => Just(Capability::Progress),
            1 => data,
            1 => Just(Capability::Ask),
            3 => kv,
            1 => config,
            2 => secret,
            1 => call,
            1 => claims,
            2 => reveal,
            2 => deliver,
        ]
    }

    pub(crate) fn set() -> impl Strategy<Value = CapabilitySet> {
        proptest::collection::vec(capability(), 0..5).prop_map(CapabilitySet::from_iter)
    }

    proptest! {
        #[test]
        fn a_meet_lies_within_both(a in capability(), b in capability()) {
            if let Some(meet) = a.meet(&b) {
                prop_assert!(meet.within(&a) && meet.within(&b));
            }
            prop_assert_eq!(a.meet(&b), b.meet(&a));
            prop_assert_eq!(a.meet(&a), Some(a.clone()));
        }

        #[test]
        fn a_meet_is_the_largest(a in capability(), b in capability(), c in capability()) {
            if c.within(&a) && c.within(&b) {
                prop_assert!(a.meet(&b).is_some_and(|meet| c.within(&meet)));
            }
        }

        #[test]
        fn an_intersection_never_widens(a in set(), b in set()) {
            let both = &a & &b;
            prop_assert!(both.iter().all(|one| a.covers(one) && b.covers(one)));
            prop_assert_eq!(&both, &(&b & &a));
            prop_assert_eq!(&a & &a, a.clone());
            prop_assert!((&a & &CapabilitySet::none()).is_empty());
        }

        #[test]
        fn more_consent_never_takes_away(a in set(), b in set(), c in set()) {
            let wider: CapabilitySet = b.iter().chain(c.iter()).cloned().collect();
            let (small, large) = (&a & &b, &a & &wider);
            prop_assert!(small.iter().all(|one| large.covers(one)));
        }

        #[test]
        fn a_capability_survives_its_own_text(a in capability()) {
            prop_assert_eq!(a.to_string().parse::<Capability>(), Ok(a));
        }
    }

    #[test]
    fn a_store_has_one_text_and_a_prefix_shows_where_it_ends() {
        for text in [
            "kv read memory",
            "kv write memory a/",
            "config region",
            "call fetch",
            "claims email",
        ] {
            assert_eq!(text.parse::<Capability>().unwrap().to_string(), text);
        }
        let long = format!("kv read memory {}", "a".repeat(129));
        for wrong in [
            "kv",
            "kv read",
            "kv read memory ",
            "kv read memory a b",
            "kv read memory a\u{a0}b",
            "kv read memory a\0",
            "kv append memory",
            "kv read me/mory",
            "config",
            "config ",
            "config a b",
            "config ../a",
            "call",
            "call ",
            "call a b",
            "call ../a",
            "claims",
            "claims ",
            "claims email name",
            "claims jti",
            &long,
        ] {
            assert!(wrong.parse::<Capability>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let prefix: super::super::PathPrefix = "/v1".parse().unwrap();
        assert!(prefix.contains("/v1") && prefix.contains("/v1/x"));
        for outside in [
            "/v10",
            "/",
            "/v1/%2e%2e/x",
            "/v1/..%2fx",
            "/v1//x",
            "/v1/\\x",
        ] {
            assert!(!prefix.contains(outside), "{outside}");
        }
    }

    fn of(texts: &[&str]) -> CapabilitySet {
        let capability = |text: &&str| text.parse::<Capability>().unwrap();
        texts.iter().map(capability).collect()
    }

    #[test]
    fn a_set_counts_what_lies_within_no_other_of_it() {
        for (texts, count) in [
            (&["clock"][..], 1),
            (&[], 0),
            (&["clock", "clock"], 1),
            (&["clock", "ask", "files read notes"], 3),
            (&["files read notes", "files read notes a"], 1),
        ] {
            let set = of(texts);
            assert_eq!(set.len(), count, "{texts:?}");
            assert_eq!(set.iter().count(), count, "{texts:?}");
            assert_eq!(set.is_empty(), count == 0, "{texts:?}");
        }
    }

    #[test]
    fn a_set_touches_what_it_allows_in_part_and_covers_what_it_allows_whole() {
        let set = of(&["clock", "http GET *.example /v1"]);
        for (text, touches, covers) in [
            ("clock", true, true),
            ("http GET a.example /v1/x", true, true),
            ("http GET,POST * /", true, false),
            ("http POST a.example /v1", false, false),
            ("http GET a.test /v1", false, false),
            ("http GET a.example /v2", false, false),
            ("ask", false, false),
        ] {
            let capability: Capability = text.parse().unwrap();
            assert_eq!(set.touches(&capability), touches, "{text}");
            assert_eq!(set.covers(&capability), covers, "{text}");
            assert!(!CapabilitySet::none().touches(&capability), "{text}");
        }
    }
}
