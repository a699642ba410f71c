//! What the operator set for the package.

use std::collections::BTreeMap;

use crate::capability::Capability;

/// The values that the operator of the server set for this package, as far as the call was granted their keys. Kind `config`.
///
/// They are no secrets: a tool may show them.
#[derive(Debug)]
pub struct Config {
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Those of the host.
    #[cfg(target_family = "wasm")]
    Host,
    /// Those of a test.
    Given(BTreeMap<String, String>),
}

impl Capability for Config {
    const KIND: &'static str = "config";

    fn handle() -> Self {
        #[cfg(target_family = "wasm")]
        let values = Values::Host;
        #[cfg(not(target_family = "wasm"))]
        let values = Values::Given(BTreeMap::new());
        Self { values }
    }
}

impl Config {
    /// These values: for tests outside a sandbox.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = values.into_iter();
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            values: Values::Given(values.collect()),
        }
    }

    /// The value under a key; none where it was not set, or not granted.
    pub fn get(&self, key: &str) -> Option<String> {
        match &self.values {
            #[cfg(target_family = "wasm")]
            Values::Host => crate::guest::config::get(key),
            Values::Given(values) => values.get(key).cloned(),
        }
    }

    /// Every key that is set and granted, with its value.
    pub fn all(&self) -> BTreeMap<String, String> {
        match &self.values {
            #[cfg(target_family = "wasm")]
            Values::Host => crate::guest::config::all(),
            Values::Given(values) => values.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_absent() {
        let config = Config::of([("region", "eu")]);
        assert_eq!(config.get("region").as_deref(), Some("eu"));
        assert_eq!(config.get("units"), None);
        assert_eq!(config.all().len(), 1);
        assert!(Config::handle().all().is_empty());
    }
}
