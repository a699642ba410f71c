//! What the operator set for packages: of it, a call sees what it is granted, and knows of nothing else.

use std::collections::BTreeMap;

use crate::capability::{Capability, CapabilitySet};
use crate::ids::{ConfigKey, ToolName};

/// The operator's values, by package.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<ToolName, BTreeMap<ConfigKey, String>>);

impl Settings {
    /// Takes the operator's values.
    pub fn new(all: BTreeMap<ToolName, BTreeMap<ConfigKey, String>>) -> Self {
        Self(all)
    }

    /// What a call of this package may see: the keys that are granted and set.
    pub fn granted(&self, package: &ToolName, granted: &CapabilitySet) -> Vec<(String, String)> {
        let Some(own) = self.0.get(package) else {
            return Vec::new();
        };
        let keys = granted.iter().filter_map(Capability::as_config);
        keys.filter_map(|key| Some((key.to_string(), own.get(key)?.clone())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(of: &str, capabilities: &[&str]) -> Vec<(String, String)> {
        let set = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (key.parse().unwrap(), (*value).to_owned()))
                .collect()
        };
        let all = BTreeMap::from([
            (
                "weather".parse().unwrap(),
                set(&[("region", "eu"), ("units", "metric")]),
            ),
            ("mail".parse().unwrap(), set(&[("region", "us")])),
        ]);
        let capabilities = capabilities.iter().map(|text| text.parse().unwrap());
        Settings::new(all).granted(&of.parse().unwrap(), &capabilities.collect())
    }

    #[test]
    fn a_call_sees_the_keys_that_are_granted_and_set_for_its_own_package() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let both = ["config region", "config units"];
        assert_eq!(
            granted("weather", &both),
            [pair("region", "eu"), pair("units", "metric")]
        );
        assert_eq!(granted("mail", &both), [pair("region", "us")]);
    }

    #[test]
    fn what_is_not_granted_or_not_set_is_absent() {
        assert_eq!(granted("weather", &[]), []);
        assert_eq!(granted("weather", &["clock", "kv read region"]), []);
        assert_eq!(granted("weather", &["config reg"]), []);
        assert_eq!(granted("other", &["config region"]), []);
    }
}
