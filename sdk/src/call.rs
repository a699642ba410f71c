//! Calls of other tools.

use std::fmt;

use serde::Serialize;

use crate::capability::Capability;
use crate::reply::Reply;

/// Calls other tools, for the user of this call. Kind `call`.
///
/// The other tool may do what it is allowed **and** what this tool is allowed: a tool that has pages read by another must be
/// allowed to read pages itself. Its user is asked about it as if it were called alone.
///
/// **Call first, then act.** A call does not wait for a person: where the user has to agree to what the other tool does, this
/// run ends, and when that is decided the tool is called again from its start. After an effect such a call is
/// [`CallError::NeedsConsent`].
///
/// A reply is data, as untrusted as the arguments: the other tool wrote it.
///
/// ```
/// use bailiwick_sdk::{Call, Reply, ToolError, tool};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Address<'a> {
///     url: &'a str,
/// }
///
/// /// Reads the front page.
/// #[tool]
/// fn front_page(call: Call) -> Result<Reply, ToolError> {
///     Ok(call.tool("fetch", &Address { url: "https://example.com/" })?)
/// }
///
/// let call = Call::answering(|name, arguments| {
///     assert_eq!((name, arguments), ("fetch", r#"{"url":"https://example.com/"}"#));
///     Ok(Reply::text("Example Domain"))
/// });
/// assert_eq!(front_page(call).unwrap(), Reply::text("Example Domain"));
/// ```
pub struct Call {
    #[cfg(not(target_family = "wasm"))]
    tools: Box<StandIn>,
}

#[cfg(not(target_family = "wasm"))]
type StandIn = dyn Fn(&str, &str) -> Result<Reply, CallError>;

/// Why another tool has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The tool may not be called so, or is not there; which of the two is not told. A tool can go on without.
    Denied,
    /// The tool cannot be called now.
    Unavailable,
    /// The arguments are not what the tool takes, or hold what it may not be given.
    InvalidArguments(String),
    /// Too many calls lie in each other.
    TooDeep,
    /// All calls that belong together have called as often as they may.
    TooMany,
    /// The tool waits for this very call.
    Cycle,
    /// The user has to agree first, and cannot be asked any more, since this call has had an effect.
    NeedsConsent,
    /// The tool has no reply; what is told of it.
    Failed(String),
    /// A case of a later host.
    Other(String),
}

impl Capability for Call {
    const KIND: &'static str = "call";

    fn handle() -> Self {
        Self {
            #[cfg(not(target_family = "wasm"))]
            tools: Box::new(|_, _| Err(CallError::Denied)),
        }
    }
}

impl Call {
    /// Answers the calls of a test with what this makes of a name and the text of the arguments. Exists outside a sandbox
    /// alone.
    #[cfg(not(target_family = "wasm"))]
    pub fn answering(tools: impl Fn(&str, &str) -> Result<Reply, CallError> + 'static) -> Self {
        Self {
            tools: Box::new(tools),
        }
    }

    /// Calls a tool with these arguments, a struct or a map, and waits for its reply.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; [`CallError::InvalidArguments`] also when the arguments have no JSON form.
    pub fn tool(&self, name: &str, arguments: &impl Serialize) -> Result<Reply, CallError> {
        let arguments = serde_json::to_string(arguments);
        let arguments =
            arguments.map_err(|error| CallError::InvalidArguments(error.to_string()))?;
        self.tool_with(name, &arguments)
    }

    /// The same with the text of a JSON object.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn tool_with(&self, name: &str, arguments: &str) -> Result<Reply, CallError> {
        #[cfg(target_family = "wasm")]
        return crate::guest::call_tool(name, arguments);
        #[cfg(not(target_family = "wasm"))]
        (self.tools)(name, arguments)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the tool may not be called"),
            Self::Unavailable => f.write_str("the tool cannot be called now"),
            Self::InvalidArguments(what) => write!(f, "the tool does not take this: {what}"),
            Self::TooDeep => f.write_str("too many calls lie in each other"),
            Self::TooMany => f.write_str("no further call of a tool can be made"),
            Self::Cycle => f.write_str("the tool waits for this call"),
            Self::NeedsConsent => {
                f.write_str("the user has to agree to what the tool does, and cannot be asked now")
            }
            Self::Failed(what) => write!(f, "the tool has no reply: {what}"),
            Self::Other(what) => write!(f, "the tool could not be called: {what}"),
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn without_a_stand_in_nothing_can_be_called() {
        let made = Call::handle().tool_with("fetch", "{}");
        assert_eq!(made, Err(CallError::Denied));
    }

    #[test]
    fn arguments_without_a_json_form_are_told_before_the_call() {
        let call = Call::answering(|_, _| panic!("called"));
        let made = call.tool("fetch", &std::collections::BTreeMap::from([((1, 2), 3)]));
        assert!(
            matches!(made, Err(CallError::InvalidArguments(_))),
            "{made:?}"
        );
    }
}
