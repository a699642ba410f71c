//! Values that the host puts into requests, unseen by the tool.

use crate::capability::Capability;

/// Says that this tool wants encrypted values delivered: where a request to a granted host has a handle in its body, its query or a
/// header field, the host gets the value. Kind `deliver`.
///
/// There is nothing to call. A tool that takes it is asked about, and others of its package are not; requests are made by
/// [`Http`](crate::Http), one after the other, with a body of JSON, of a form, or of plain text.
///
/// ```
/// use bailiwick_sdk::{Deliver, Http, ToolError, tool};
///
/// /// Sends a letter.
/// #[tool]
/// fn send(to: String, http: Http, _deliver: Deliver) -> Result<String, ToolError> {
///     let body = format!("{{\"to\": \"{to}\"}}");
///     let answer = http
///         .post("https://mail.example.com/letters")
///         .header("content-type", "application/json")
///         .body(body)
///         .send()?;
///     Ok(answer.status().to_string())
/// }
/// ```
#[derive(Debug)]
pub struct Deliver {
    _nothing: (),
}

impl Capability for Deliver {
    const KIND: &'static str = "deliver";

    fn handle() -> Self {
        Self { _nothing: () }
    }
}
