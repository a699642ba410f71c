//! Encrypted values, as a component sees them.

use super::super::bindings::bailiwick::tool::protected;
use super::super::state::State;
use crate::host::reveal::RevealError;

/// Linked where `reveal` is granted.
impl protected::Host for State {
    async fn reveal(&mut self, handle: String) -> Result<String, protected::RevealError> {
        let Some(opener) = &mut self.opener else {
            return Err(protected::RevealError::Denied);
        };
        let value = opener.reveal(&handle).await.map_err(|error| match error {
            RevealError::Denied => protected::RevealError::Denied,
            RevealError::Destroyed => protected::RevealError::Destroyed,
            RevealError::TooMany => protected::RevealError::TooMany,
            RevealError::Unavailable => protected::RevealError::Unavailable,
        })?;
        // It is the guest's from here on.
        Ok(value.as_str().to_owned())
    }
}
