//! The tools of a component: what they are, and how one is called.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ToolError;
use crate::reply::Reply;

/// The tools that a component serves.
///
/// [`tool`](macro@crate::tool) and [`tools`](macro@crate::tools) write a constant `TOOLS` of this type beside what they
/// stand on. It lets a test take the whole path of a call on the author's own machine:
///
/// ```
/// # use bailiwick_sdk::{Content, tool};
/// /// Says good morning.
/// #[tool]
/// fn morning() -> &'static str {
///     "Good morning!"
/// }
///
/// let reply = TOOLS.call("morning", "{}").unwrap();
/// assert_eq!(reply.content(), [Content::text("Good morning!")]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Tools(&'static [Entry]);

/// One tool, as a client will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name in the protocol.
    pub name: String,
    /// A title for people.
    pub title: Option<String>,
    /// What the tool does, for the model.
    pub description: String,
    /// JSON Schema of the arguments, as text.
    pub input_schema: String,
    /// JSON Schema of the structured output, as text.
    pub output_schema: Option<String>,
    /// The kinds of capability that the function takes.
    pub capabilities: Vec<String>,
}

/// One tool, as the attributes write it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    pub title: Option<&'static str>,
    pub description: &'static str,
    pub input_schema: fn() -> String,
    pub output_schema: fn() -> Option<String>,
    pub capabilities: &'static [&'static str],
    pub call: fn(&str) -> Result<Reply, ToolError>,
}

impl Tools {
    #[doc(hidden)]
    pub const fn new(entries: &'static [Entry]) -> Self {
        Self(entries)
    }

    /// What every tool is.
    pub fn describe(self) -> Vec<Definition> {
        self.0.iter().map(Entry::definition).collect()
    }

    /// Runs the tool of this name with the text of one JSON object.
    ///
    /// # Errors
    ///
    /// The error of the tool, or [`ToolError::InvalidArguments`] when the text does not hold its arguments.
    pub fn call(self, name: &str, arguments: &str) -> Result<Reply, ToolError> {
        match self.0.iter().find(|entry| entry.name == name) {
            Some(entry) => (entry.call)(arguments),
            None => Err(ToolError::failed(format_args!(
                "there is no tool `{name}` in this component"
            ))),
        }
    }
}

impl Entry {
    fn definition(&self) -> Definition {
        Definition {
            name: self.name.into(),
            title: self.title.map(Into::into),
            description: self.description.into(),
            input_schema: (self.input_schema)(),
            output_schema: (self.output_schema)(),
            capabilities: self.capabilities.iter().map(|&kind| kind.into()).collect(),
        }
    }
}

/// Reads the arguments of a tool that has some.
#[doc(hidden)]
pub fn arguments<T: DeserializeOwned>(text: &str) -> Result<T, ToolError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // A field that is missing is named by the message, and its path is the object around it.
        match path.as_str() {
            "." | "?" => ToolError::invalid_arguments(error.inner()),
            path => ToolError::invalid_arguments(format_args!("`{path}`: {}", error.inner())),
        }
    })?;
    json.end().map_err(ToolError::invalid_arguments)?;
    Ok(value)
}

/// Reads the arguments of a tool that has none.
#[doc(hidden)]
pub fn no_arguments(text: &str) -> Result<(), ToolError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    arguments::<Nothing>(text).map(|Nothing {}| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only its errors are read")]
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    struct Line {
        #[expect(dead_code, reason = "only its errors are read")]
        count: u8,
    }

    fn complaint(text: &str) -> String {
        arguments::<Order>(text).unwrap_err().to_string()
    }

    #[test]
    fn wrong_arguments_name_the_field() {
        assert_eq!(
            complaint(r#"{"lines":[{"count":1},{"count":-1}]}"#),
            "invalid arguments: `lines[1].count`: invalid value: integer `-1`, expected u8 at line 1 column 33"
        );
        assert!(complaint("{}").contains("missing field `lines`"));
        assert!(complaint(r#"{"lines":[]} x"#).contains("trailing characters"));
    }

    #[test]
    fn a_tool_without_arguments_takes_none() {
        assert_eq!(no_arguments("{}"), Ok(()));
        let error = no_arguments(r#"{"name":"Ada"}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `name`"),
            "{error}"
        );
    }
}
