//! Who holds the keys with which values are encrypted, and how long these are kept. Never a key.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::EgressHost;
use super::parse::Checker;
use super::vault::{VaultToken, address, file_path, segments, token};
use crate::limits::{SEALED_KEEP_DEFAULT, SEALED_KEEP_MAX, SEALED_VALUES_MAX};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// How values are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealConfig {
    /// The file with keys. Beside a vault it only opens what it encrypted before.
    pub key_file: Option<PathBuf>,
    /// A key that never leaves its vault.
    pub vault: Option<TransitSource>,
    /// How long a value is kept.
    pub keep: Duration,
    /// Values of one tenant.
    pub values_max: u64,
    /// Values of one package for a tenant.
    pub package_values_max: u64,
}

/// A key of the transit engine of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitSource {
    /// Scheme, host and port.
    pub address: Url,
    /// Where the engine is mounted, by segments.
    pub mount: Vec<String>,
    /// The name of the key.
    pub key: String,
    /// What opens the vault.
    pub token: VaultToken,
    /// Certificates of further authorities by which it may prove itself.
    pub ca_file: Option<PathBuf>,
    /// Whether it is on this machine or on a host that the operator bound.
    pub local: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSeal {
    key_file: Option<Spanned<String>>,
    vault: Option<Spanned<RawTransit>>,
    keep_days: Option<Spanned<u64>>,
    values_max: Option<Spanned<u64>>,
    package_values_max: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTransit {
    address: Spanned<String>,
    mount: Spanned<String>,
    key: Spanned<String>,
    token_file: Option<Spanned<String>>,
    token_env: Option<Spanned<String>>,
    ca_file: Option<PathBuf>,
}

pub(super) fn seal(
    check: &mut Checker<'_>,
    raw: &Spanned<RawSeal>,
    hosts: &[EgressHost],
) -> Option<SealConfig> {
    let one = raw.get_ref();
    let key_file = one.key_file.as_ref();
    let key_file = key_file.and_then(|file| file_path(check, file, false));
    let vault = one.vault.as_ref();
    let vault = vault.and_then(|vault| transit(check, vault, hosts));
    if one.key_file.is_none() && one.vault.is_none() {
        let help = "write `key_file` or `vault`, or remove `[seal]`";
        check.wrong(raw, "nothing holds the keys to encrypt with", help);
    }
    let most = SEALED_KEEP_MAX.as_secs() / DAY;
    let usual = SEALED_KEEP_DEFAULT.as_secs() / DAY;
    let days = bounded(check, one.keep_days.as_ref(), "keep_days", usual, most);
    let values_max = bounded(
        check,
        one.values_max.as_ref(),
        "values_max",
        SEALED_VALUES_MAX,
        SEALED_VALUES_MAX,
    );
    // Half, unless the operator says something else: no package fills it for all others.
    let package_values_max = bounded(
        check,
        one.package_values_max.as_ref(),
        "package_values_max",
        values_max.div_ceil(2),
        values_max,
    );
    Some(SealConfig {
        key_file: key_file.map(PathBuf::from),
        vault,
        keep: Duration::from_secs(days.saturating_mul(DAY)),
        values_max,
        package_values_max,
    })
}

fn bounded(
    check: &mut Checker<'_>,
    raw: Option<&Spanned<u64>>,
    key: &str,
    usual: u64,
    most: u64,
) -> u64 {
    let Some(raw) = raw else { return usual };
    if !(1..=most).contains(raw.get_ref()) {
        let message = format!("`{key}` is out of range");
        check.wrong(raw, message, &format!("choose 1 to {most}"));
    }
    (*raw.get_ref()).min(most)
}

fn transit(
    check: &mut Checker<'_>,
    raw: &Spanned<RawTransit>,
    hosts: &[EgressHost],
) -> Option<TransitSource> {
    let one = raw.get_ref();
    let token = token(check, raw, one.token_file.as_ref(), one.token_env.as_ref());
    let address = address(check, &one.address, hosts);
    let mount = segments(check, &one.mount, false);
    let key = segments(check, &one.key, false).filter(|key| {
        if key.len() > 1 {
            check.wrong(&one.key, "this is no name of a key", "write it without `/`");
        }
        key.len() == 1
    });
    let (address, local) = address?;
    Some(TransitSource {
        address,
        mount: mount?,
        key: key?.pop()?,
        token: token?,
        ca_file: one.ca_file.as_deref().map(|file| check.path(file)),
        local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn without_a_word_of_the_operator_nothing_is_encrypted() {
        assert_eq!(parse("").unwrap().seal, None);
        let file = parse("[seal]\nkey_file = \"seal.keys\"\n").unwrap().seal;
        let file = file.unwrap();
        assert_eq!(file.key_file, Some("/srv/seal.keys".into()));
        assert_eq!(
            (file.keep, file.values_max),
            (SEALED_KEEP_DEFAULT, SEALED_VALUES_MAX)
        );
        let vault = "vault = {address = \"https://vault.example:8200\", mount = \"transit\", key = \"bailiwick\", token_env = \"T\", ca_file = \"ca.pem\"}";
        let text = format!("[seal]\n{vault}\nkeep_days = 30\nvalues_max = 7\n");
        let seal = parse(&text).unwrap().seal.unwrap();
        assert_eq!(seal.keep, Duration::from_secs(30 * DAY));
        assert_eq!((seal.key_file, seal.values_max), (None, 7));
        // Half of it, rounded up: one value is always room for one.
        assert_eq!(seal.package_values_max, 4);
        let text = "[seal]\nkey_file = \"k\"\nvalues_max = 7\npackage_values_max = 7\n";
        let whole = parse(text).unwrap().seal.unwrap();
        assert_eq!(whole.package_values_max, 7);
        let vault = seal.vault.unwrap();
        assert_eq!((&*vault.key, vault.local), ("bailiwick", false));
        assert_eq!(vault.mount, ["transit"]);
        assert_eq!(vault.ca_file, Some("/srv/ca.pem".into()));
        assert_eq!(vault.token, VaultToken::Env("T".to_owned()));
    }

    #[test]
    fn what_holds_no_keys_or_keeps_too_much_is_refused_with_its_line() {
        let file = "[seal]\nkey_file = \"k\"\n";
        let vault = |rest: &str| {
            format!(
                "[seal]\nvault = {{mount = \"transit\", key = \"a\", token_env = \"T\", {rest}}}\n"
            )
        };
        for (wrong, line, says) in [
            ("[seal]\n".to_owned(), 8, "nothing holds the keys"),
            ("[seal]\nkeep_days = 3\n".to_owned(), 8, "nothing holds"),
            (format!("{file}keep_days = 0\n"), 10, "`keep_days`"),
            (format!("{file}keep_days = 3651\n"), 10, "`keep_days`"),
            (format!("{file}values_max = 0\n"), 10, "`values_max`"),
            (format!("{file}values_max = 5000001\n"), 10, "`values_max`"),
            (format!("{file}package_values_max = 0\n"), 10, "`package_values_max`"),
            (format!("{file}values_max = 7\npackage_values_max = 8\n"), 11, "`package_values_max`"),
            (format!("{file}key = \"AAAA\"\n"), 10, "unknown field"),
            ("[seal]\nkey_file = \"a/\"\n".to_owned(), 9, "no path"),
            (
                vault("address = \"http://vault.example\""),
                9,
                "no address of a vault",
            ),
            (
                vault("address = \"https://vault.example\", token_file = \"t\""),
                9,
                "exactly one token",
            ),
            (
                "[seal]\nvault = {address = \"https://v.example\", mount = \"../x\", key = \"a\", token_env = \"T\"}\n".to_owned(),
                9,
                "no path in a vault",
            ),
            (
                "[seal]\nvault = {address = \"https://v.example\", mount = \"transit\", key = \"a/b\", token_env = \"T\"}\n".to_owned(),
                9,
                "no name of a key",
            ),
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
