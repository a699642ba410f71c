//! The stores of keys and values that tools may ask for by name.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use crate::ids::StoreName;
use crate::limits::{KV_BYTES_MAX, KV_KEYS_MAX, KV_STORES_MAX, KV_TTL_MAX};

/// A store under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvStore {
    /// The name that a manifest asks for.
    pub name: StoreName,
    /// Who finds the same values in it.
    pub share: Share,
    /// Bytes of keys and values, for each who has a part of their own.
    pub bytes_max: u64,
    /// Keys, for each who has a part of their own.
    pub keys_max: u64,
    /// How long a value is kept after it was written; without it, until it is deleted.
    pub ttl: Option<Duration>,
}

/// Who finds the same values in a store. Never two tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Each user of a tenant has a part of their own.
    #[default]
    User,
    /// All users of a tenant share one part.
    Tenant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKv {
    name: Spanned<String>,
    #[serde(default)]
    share: Share,
    bytes_max: Option<Spanned<u64>>,
    keys_max: Option<Spanned<u64>>,
    ttl_seconds: Option<Spanned<u64>>,
}

pub(super) fn stores(check: &mut Checker<'_>, raw: &[RawKv]) -> Vec<KvStore> {
    let mut all: Vec<KvStore> = Vec::new();
    for one in raw {
        let bytes_max = lowered(check, one.bytes_max.as_ref(), "bytes_max", KV_BYTES_MAX);
        let keys_max = lowered(check, one.keys_max.as_ref(), "keys_max", KV_KEYS_MAX);
        let longest = KV_TTL_MAX.as_secs();
        let ttl = one.ttl_seconds.as_ref().map(|seconds| {
            let seconds = lowered(check, Some(seconds), "ttl_seconds", longest);
            Duration::from_secs(seconds)
        });
        let Some(name) = check.name::<StoreName>(&one.name, "choose a short name") else {
            continue;
        };
        if all.iter().any(|known| known.name == name) {
            let message = format!("the store `{name}` is bound twice");
            check.wrong(&one.name, message, "keep one `[[kv]]` of that name");
        }
        if all.len() == KV_STORES_MAX {
            let message = format!("there are more than {KV_STORES_MAX} stores");
            check.wrong(&one.name, message, "let tools share stores by prefixes");
        }
        all.push(KvStore {
            name,
            share: one.share,
            bytes_max,
            keys_max,
            ttl,
        });
    }
    all
}

/// A bound that an operator may lower, and not raise.
fn lowered(check: &mut Checker<'_>, raw: Option<&Spanned<u64>>, key: &str, most: u64) -> u64 {
    let Some(raw) = raw else { return most };
    if !(1..=most).contains(raw.get_ref()) {
        let message = format!("`{key}` of a store is out of range");
        check.wrong(raw, message, &format!("choose 1 to {most}"));
    }
    (*raw.get_ref()).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn a_store_is_each_users_own_unless_the_operator_says_otherwise() {
        let config = parse(
            "[[kv]]\nname = \"memory\"\n[[kv]]\nname = \"board\"\nshare = \"tenant\"\nbytes_max = 1000\nkeys_max = 7\nttl_seconds = 60\n",
        );
        let config = config.unwrap();
        let [memory, board] = config.kv_stores.as_slice() else {
            panic!("{:?}", config.kv_stores)
        };
        assert_eq!((memory.share, memory.ttl), (Share::User, None));
        assert_eq!(
            (memory.bytes_max, memory.keys_max),
            (KV_BYTES_MAX, KV_KEYS_MAX)
        );
        assert_eq!(board.share, Share::Tenant);
        assert_eq!((board.bytes_max, board.keys_max), (1000, 7));
        assert_eq!(board.ttl, Some(Duration::from_secs(60)));
        assert_eq!(parse("").unwrap().kv_stores, []);
    }

    #[test]
    fn what_raises_a_bound_or_says_nothing_is_refused_with_its_line() {
        let many: String = (0..=KV_STORES_MAX)
            .map(|n| format!("[[kv]]\nname = \"s{n}\"\n"))
            .collect();
        let more = |key: &str, most: u64| format!("[[kv]]\nname = \"a\"\n{key} = {}\n", most + 1);
        for (wrong, line, says) in [
            (more("bytes_max", KV_BYTES_MAX), 10, "`bytes_max`"),
            (more("keys_max", KV_KEYS_MAX), 10, "`keys_max`"),
            (
                more("ttl_seconds", KV_TTL_MAX.as_secs()),
                10,
                "`ttl_seconds`",
            ),
            ("[[kv]]\nname = \"a\"\nkeys_max = 0\n".into(), 10, "range"),
            ("[[kv]]\nname = \"a b\"\n".into(), 9, "the store name"),
            (
                "[[kv]]\nname = \"a\"\nshare = \"all\"\n".into(),
                10,
                "unknown variant",
            ),
            (
                "[[kv]]\nname = \"a\"\nread = true\n".into(),
                10,
                "unknown field",
            ),
            (
                "[[kv]]\nname = \"a\"\n[[kv]]\nname = \"a\"\n".into(),
                11,
                "bound twice",
            ),
            (many, 8 + 2 * 64 + 1, "more than 64"),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
