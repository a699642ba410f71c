//! What the operator sets for a package: texts under keys. No secrets, for the tool sees them.

use std::collections::BTreeMap;

use toml::Spanned;

use super::parse::Checker;
use crate::ids::{ConfigKey, ToolName};
use crate::limits::{CONFIG_KEYS_MAX, CONFIG_VALUE_BYTES_MAX};

/// By the package's name, each key with its value.
pub(super) type RawSettings = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<String>>>;

pub(super) fn settings(
    check: &mut Checker<'_>,
    raw: &RawSettings,
) -> BTreeMap<ToolName, BTreeMap<ConfigKey, String>> {
    let mut all = BTreeMap::new();
    for (package, values) in raw {
        let name: Option<ToolName> = check.name(package, "write the name of a package");
        if values.len() > CONFIG_KEYS_MAX {
            let message = format!("more than {CONFIG_KEYS_MAX} values are set for a package");
            check.wrong(package, message, "set fewer");
        }
        let mut own = BTreeMap::new();
        for (key, value) in values {
            if value.get_ref().len() > CONFIG_VALUE_BYTES_MAX {
                let message = format!("`{}` is too long", key.get_ref());
                let help = format!("write at most {CONFIG_VALUE_BYTES_MAX} bytes");
                check.wrong(value, message, &help);
            }
            if let Some(key) = check.name(key, "choose a short name") {
                own.insert(key, value.get_ref().clone());
            }
        }
        if let Some(name) = name {
            all.insert(name, own);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn values_are_set_for_one_package() {
        let config = parse("[tools.config.weather]\nregion = \"eu\"\n\"a.b\" = \"\"\n").unwrap();
        let weather = &config.tools.config[&"weather".parse().unwrap()];
        assert_eq!(weather[&"region".parse().unwrap()], "eu");
        assert_eq!(weather[&"a.b".parse().unwrap()], "");
        assert_eq!(config.tools.config.len(), 1);
    }

    #[test]
    fn what_no_manifest_can_ask_for_is_refused_with_its_line() {
        let long = "x".repeat(CONFIG_VALUE_BYTES_MAX + 1);
        let many: String = (0..=CONFIG_KEYS_MAX)
            .map(|n| format!("k{n} = \"\"\n"))
            .collect();
        for (wrong, line, says) in [
            (
                "[tools.config.\"a b\"]\n".to_owned(),
                8,
                "the tool name holds",
            ),
            (
                "[tools.config.a]\n\"b c\" = \"\"\n".to_owned(),
                9,
                "the configuration key",
            ),
            (
                "[tools.config.a]\nn = 1\n".to_owned(),
                9,
                "invalid type: integer",
            ),
            (
                format!("[tools.config.a]\nlong = \"{long}\"\n"),
                9,
                "`long` is too long",
            ),
            (format!("[tools.config.a]\n{many}"), 8, "more than 64"),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
            assert!(!format!("{problems:?}").contains("xxxxx"), "no values");
        }
    }
}
