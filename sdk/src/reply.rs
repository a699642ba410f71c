//! What a tool answers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::content::Content;
use crate::error::ToolError;
use crate::schema;
use schemars::JsonSchema;

/// What a tool answers: blocks for the model, and perhaps the same as structured JSON.
///
/// ```
/// use bailiwick_sdk::{Content, Reply};
///
/// let reply = Reply::text("Two pixels:").with(Content::image([0x89, b'P'], "image/png"));
/// assert_eq!(reply.content().len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    content: Vec<Content>,
    structured: Option<String>,
}

impl Reply {
    /// A reply with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn of(content: Vec<Content>, structured: Option<String>) -> Self {
        Self {
            content,
            structured,
        }
    }

    /// A reply of one block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().with(Content::text(text))
    }

    /// The reply with one more block at its end.
    #[must_use]
    pub fn with(mut self, block: impl Into<Content>) -> Self {
        self.content.push(block.into());
        self
    }

    /// The reply with structured JSON beside its blocks.
    ///
    /// The signature of the function does not show this, so there is no output schema; return [`Json`] to have one.
    ///
    /// # Errors
    ///
    /// [`ToolError::Failed`] when the value has no JSON form, such as a map whose keys are no strings.
    pub fn with_structured(mut self, value: &impl Serialize) -> Result<Self, ToolError> {
        self.structured = Some(to_json(value)?);
        Ok(self)
    }

    /// The blocks, in order.
    pub fn content(&self) -> &[Content] {
        &self.content
    }

    /// The structured JSON, as text.
    pub fn structured(&self) -> Option<&str> {
        self.structured.as_deref()
    }

    /// The structured JSON as a `T`, which a tool reads of another one's reply.
    ///
    /// # Errors
    ///
    /// [`ToolError::Failed`] when there is none, or it is no `T`.
    pub fn structured_as<T: DeserializeOwned>(&self) -> Result<T, ToolError> {
        let text = self.structured.as_deref();
        let text = text.ok_or_else(|| ToolError::failed("the reply has no structured part"))?;
        serde_json::from_str(text).map_err(|error| {
            ToolError::failed(format_args!("the reply is of another form: {error}"))
        })
    }

    /// The blocks and the structured JSON.
    pub fn into_parts(self) -> (Vec<Content>, Option<String>) {
        (self.content, self.structured)
    }
}

/// A reply of structured JSON, which the model also gets as text. The tool declares the JSON Schema of `T` as its
/// output schema.
///
/// `T` is a struct or a map: older clients take only objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What a tool function may return.
///
/// Text, [`Json`], [`Reply`], blocks, nothing at all; or a `Result` of one of them, with any error that a [`ToolError`]
/// can be made from.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    note = "return a `String`, `Json<T>`, a `Reply`, `()`, or a `Result` of one of them with a `ToolError`"
)]
pub trait IntoReply {
    /// The reply, or why there is none.
    ///
    /// # Errors
    ///
    /// The error of the tool, or [`ToolError::Failed`] when a value has no JSON form.
    fn into_reply(self) -> Result<Reply, ToolError>;

    /// The JSON Schema of the structured part, when every reply has one.
    fn output_schema() -> Option<String> {
        None
    }
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(self)
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(Reply::new())
    }
}

impl IntoReply for String {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(Reply::text(self))
    }
}

impl IntoReply for &str {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(Reply::text(self))
    }
}

impl IntoReply for Content {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(Reply::new().with(self))
    }
}

impl IntoReply for Vec<Content> {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Ok(Reply {
            content: self,
            structured: None,
        })
    }
}

impl<T: Serialize + JsonSchema> IntoReply for Json<T> {
    fn into_reply(self) -> Result<Reply, ToolError> {
        let json = to_json(&self.0)?;
        Ok(Reply {
            content: vec![Content::text(json.clone())],
            structured: Some(json),
        })
    }

    fn output_schema() -> Option<String> {
        Some(schema::output::<T>())
    }
}

impl<T: IntoReply, E: Into<ToolError>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Reply, ToolError> {
        self.map_err(Into::into)?.into_reply()
    }

    fn output_schema() -> Option<String> {
        T::output_schema()
    }
}

fn to_json(value: &impl Serialize) -> Result<String, ToolError> {
    serde_json::to_string(value)
        .map_err(|error| ToolError::failed(format_args!("the reply has no JSON form: {error}")))
}
