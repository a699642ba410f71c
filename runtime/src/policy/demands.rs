//! The author's demands on callers (`requires` of the manifest). They only narrow.

use super::Refusal;
use crate::catalog::Tool;
use crate::identity::Caller;

/// Whether the caller meets them all.
pub(super) fn demanded(caller: &Caller, tool: &Tool) -> Result<(), Refusal> {
    if let Some(role) = missing_role(caller, tool) {
        return Err(Refusal::MissingRole {
            role: role.to_owned(),
        });
    }
    let requires = &tool.package().manifest().requires;
    if let Some(wanted) = requires.acr.as_ref().filter(|acr| !caller.reaches_acr(acr)) {
        return Err(Refusal::WeakSignIn {
            wanted: wanted.clone(),
        });
    }
    let scopes: Vec<_> = requires
        .scopes
        .iter()
        .filter(|scope| !caller.scopes().contains(*scope))
        .cloned()
        .collect();
    if scopes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::MissingScopes { scopes })
    }
}

/// A role that the author demands and the caller lacks.
pub(super) fn missing_role<'a>(caller: &Caller, tool: &'a Tool) -> Option<&'a str> {
    let roles = tool.package().manifest().requires.roles.iter();
    roles
        .map(String::as_str)
        .find(|role| !caller.roles().contains(*role))
}
