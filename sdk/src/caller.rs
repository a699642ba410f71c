//! What a tool is told of the user of its call.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;

use crate::capability::Capability;

/// What the call may know of its user: a pseudonym, and single claims of the sign-in. Kind `claims`.
///
/// ```
/// use bailiwick_sdk::{Caller, ToolError, tool};
///
/// /// Greets whoever calls.
/// #[tool]
/// fn greet(caller: Caller) -> Result<String, ToolError> {
///     let name: Option<String> = caller.claim("given_name")?;
///     Ok(format!("Hello, {}!", name.as_deref().unwrap_or("you")))
/// }
///
/// let caller = Caller::of("3b1c", [("given_name", r#""Ada""#)]);
/// assert_eq!(greet(caller).unwrap(), "Hello, Ada!");
/// ```
#[derive(Debug)]
pub struct Caller {
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// What the host tells.
    #[cfg(target_family = "wasm")]
    Host,
    /// What a test tells.
    Given(Option<String>, BTreeMap<String, String>),
}

/// Why a tool is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerError {
    /// The call has no grant for this claim. A tool can go on without.
    Denied,
    /// The claim is of another form than the tool wants.
    Form(String),
    /// A case of a later host.
    Other(String),
}

impl Capability for Caller {
    const KIND: &'static str = "claims";

    fn handle() -> Self {
        #[cfg(target_family = "wasm")]
        let told = Told::Host;
        #[cfg(not(target_family = "wasm"))]
        let told = Told::Given(None, BTreeMap::new());
        Self { told }
    }
}

impl Caller {
    /// A user with this pseudonym and these claims, which are JSON texts: for tests outside a sandbox. Every other claim is
    /// denied.
    pub fn of<'a>(subject: &str, claims: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let claims = claims.into_iter();
        let claims = claims.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            told: Told::Given(Some(subject.to_owned()), claims.collect()),
        }
    }

    /// A pseudonym of the user, the same in every call of the tools of this package. It can be used as a key.
    ///
    /// # Errors
    ///
    /// [`CallerError::Denied`] without a grant of `subject`.
    pub fn subject(&self) -> Result<String, CallerError> {
        match &self.told {
            #[cfg(target_family = "wasm")]
            Told::Host => crate::guest::subject(),
            Told::Given(subject, _) => subject.clone().ok_or(CallerError::Denied),
        }
    }

    /// One claim; none where the sign-in does not have it.
    ///
    /// # Errors
    ///
    /// [`CallerError::Denied`] without a grant of exactly this claim, [`CallerError::Form`] when it is no `T`.
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, CallerError> {
        let text = self.claim_text(name)?;
        let read = text.map(|text| serde_json::from_str(&text)).transpose();
        // What is wrong could quote the value; that it is of another form says enough.
        read.map_err(|_| CallerError::Form(format!("the claim `{name}` is of another form")))
    }

    /// The same as the text of its JSON value.
    ///
    /// # Errors
    ///
    /// [`CallerError::Denied`] without a grant of exactly this claim.
    pub fn claim_text(&self, name: &str) -> Result<Option<String>, CallerError> {
        match &self.told {
            #[cfg(target_family = "wasm")]
            Told::Host => crate::guest::claim(name),
            Told::Given(_, claims) => {
                let value = claims.get(name).cloned();
                value.map(Some).ok_or(CallerError::Denied)
            }
        }
    }
}

impl fmt::Display for CallerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the call may not be told this of its user"),
            Self::Form(what) | Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for CallerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_told_as_what_it_is_and_nothing_else_is() {
        let caller = Caller::of("3b1c", [("email", r#""a@b.example""#)]);
        assert_eq!(caller.subject().as_deref(), Ok("3b1c"));
        assert_eq!(caller.claim("email"), Ok(Some("a@b.example".to_owned())));
        let wrong = caller.claim::<bool>("email").unwrap_err().to_string();
        assert_eq!(wrong, "the claim `email` is of another form");
        assert_eq!(caller.claim_text("name"), Err(CallerError::Denied));
    }
}
