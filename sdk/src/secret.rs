//! Secrets that the host attaches to requests.

use std::collections::BTreeSet;

use crate::capability::Capability;

/// The secrets that the host attaches to the requests of this call. Kind `secret`.
///
/// A tool never sees one. A need names the secret, the host to which it goes and the form in which it is attached; every
/// request of [`Http`](crate::Http) to that host then carries it, and a request that sets the same header or query parameter
/// itself is refused. Where its value stands in what comes back, it is masked.
#[derive(Debug)]
pub struct Secret {
    names: Names,
}

#[derive(Debug)]
enum Names {
    /// Those of the host.
    #[cfg(target_family = "wasm")]
    Host,
    /// Those of a test.
    Given(BTreeSet<String>),
}

impl Capability for Secret {
    const KIND: &'static str = "secret";

    fn handle() -> Self {
        #[cfg(target_family = "wasm")]
        let names = Names::Host;
        #[cfg(not(target_family = "wasm"))]
        let names = Names::Given(BTreeSet::new());
        Self { names }
    }
}

impl Secret {
    /// As if these were attached: for tests outside a sandbox.
    pub fn attached<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        Self {
            names: Names::Given(names),
        }
    }

    /// Whether requests carry the secret of this name: it is granted, and the operator bound it. Its value is not to be had.
    pub fn exists(&self, name: &str) -> bool {
        match &self.names {
            #[cfg(target_family = "wasm")]
            Names::Host => crate::guest::secret_exists(name),
            Names::Given(names) => names.contains(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_not_attached_does_not_exist() {
        let secret = Secret::attached(["tracker"]);
        assert!(secret.exists("tracker"));
        assert!(!secret.exists("mail"));
        assert!(!Secret::handle().exists("tracker"));
    }
}
