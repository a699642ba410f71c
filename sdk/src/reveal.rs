//! Values that were encrypted before the tool was given them.

use std::collections::BTreeMap;
use std::fmt;

use crate::capability::Capability;

/// Opens what was encrypted for the package: the tool holds a handle in place of the value. Kind `reveal`.
///
/// ```
/// use bailiwick_sdk::{Reveal, ToolError, tool};
///
/// /// Shows the address of a customer.
/// #[tool]
/// fn address(handle: String, reveal: Reveal) -> Result<String, ToolError> {
///     Ok(reveal.open(&handle)?)
/// }
///
/// let handle = "sealed_aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// let reveal = Reveal::of([(handle, "ada@example.com")]);
/// assert_eq!(address(handle.to_owned(), reveal).unwrap(), "ada@example.com");
/// ```
pub struct Reveal {
    kept: Kept,
}

enum Kept {
    /// What the host keeps.
    #[cfg(target_family = "wasm")]
    Host,
    /// What a test keeps.
    Given(BTreeMap<String, String>),
}

/// Why a value is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevealError {
    /// The call has no grant for this value, or there is none. A tool can go on without.
    Denied,
    /// The key of the value was destroyed; it will never be opened again.
    Destroyed,
    /// The call has opened as many values as it may.
    TooMany,
    /// The value cannot be opened now, and perhaps later.
    Unavailable,
    /// A case of a later host.
    Other(String),
}

impl Capability for Reveal {
    const KIND: &'static str = "reveal";

    fn handle() -> Self {
        #[cfg(target_family = "wasm")]
        let kept = Kept::Host;
        #[cfg(not(target_family = "wasm"))]
        let kept = Kept::Given(BTreeMap::new());
        Self { kept }
    }
}

impl Reveal {
    /// These values under their handles: for tests outside a sandbox. Every other handle is denied.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = values.into_iter();
        let values = values.map(|(handle, value)| (handle.to_owned(), value.to_owned()));
        Self {
            kept: Kept::Given(values.collect()),
        }
    }

    /// The value behind a handle. From then on nothing that the tool logs is kept.
    ///
    /// # Errors
    ///
    /// [`RevealError::Denied`] without a grant for the class of the value and the field in which it stood.
    pub fn open(&self, handle: &str) -> Result<String, RevealError> {
        match &self.kept {
            #[cfg(target_family = "wasm")]
            Kept::Host => crate::guest::reveal(handle),
            Kept::Given(values) => values.get(handle).cloned().ok_or(RevealError::Denied),
        }
    }
}

impl fmt::Debug for Reveal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reveal")
    }
}

impl fmt::Display for RevealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "the call may not open this value",
            Self::Destroyed => "the key of this value was destroyed",
            Self::TooMany => "the call has opened as many values as it may",
            Self::Unavailable => "the value cannot be opened now",
            Self::Other(what) => what,
        })
    }
}

impl std::error::Error for RevealError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_opened_by_its_handle_and_no_other() {
        let reveal = Reveal::of([("sealed_a", "ada@example.com")]);
        assert_eq!(reveal.open("sealed_a").as_deref(), Ok("ada@example.com"));
        assert_eq!(reveal.open("sealed_b"), Err(RevealError::Denied));
        assert!(!format!("{reveal:?}").contains("ada"));
    }
}
