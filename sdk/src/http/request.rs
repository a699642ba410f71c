//! A request in the making, and what came back.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{HttpError, Url, backend};

/// Most bytes of a response body that are taken up when nothing else is said.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Result<Vec<u8>, HttpError>,
    pub(super) limit: usize,
    pub(super) cut: bool,
    pub(super) timeout: Option<Duration>,
}

/// What came back, with the whole of its body.
#[derive(Debug, Clone)]
pub struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) cut: bool,
}

impl Request {
    pub(super) fn new(method: String, url: String) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Ok(Vec::new()),
            limit: BODY_BYTES_MAX,
            cut: false,
            timeout: None,
        }
    }

    /// Adds a header. The host may refuse some, such as `host` and `connection`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends these bytes as the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(body.into());
        self
    }

    /// Sends this value as JSON.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(value)
            .map_err(|error| HttpError::InvalidRequest(format!("the body: {error}")));
        self.header("content-type", "application/json")
    }

    /// Takes up at most so many bytes of the response; more is [`HttpError::TooLarge`].
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self.cut = false;
        self
    }

    /// Takes up the first so many bytes of the response and leaves the rest.
    pub fn limit_cut(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self.cut = true;
        self
    }

    /// Gives up after this time without an answer. The deadline of the call and the host may be shorter.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Sends the request and waits for the whole response, whatever its status.
    ///
    /// # Errors
    ///
    /// See [`HttpError`].
    pub fn send(self) -> Result<Response, HttpError> {
        let url = Url::parse(&self.url)?;
        let body = self.body.clone()?;
        backend::send(&self, &url, &body)
    }
}

impl Response {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in any case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All headers, in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether [`Request::limit_cut`] left a part of the body behind.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The body as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`HttpError::Failed`] when it is not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| HttpError::Failed(format!("the body is not as expected: {error}")))
    }
}
