//! A small client for the hosts that the operator allowed and the user agreed to.

mod request;
mod url;

#[cfg(target_family = "wasm")]
#[path = "wasi.rs"]
mod backend;
#[cfg(not(target_family = "wasm"))]
#[path = "native.rs"]
mod backend;

use std::fmt;

use crate::capability::Capability;

pub use request::{BODY_BYTES_MAX, Request, Response};
pub use url::Url;

/// Speaks to hosts outside. Kind `http`.
///
/// Redirects are not followed: the next address may be one that this call was not granted, so following it is the
/// tool's own step, with [`Url::join`].
///
/// ```
/// use bailiwick_sdk::{Http, ToolError, tool};
///
/// /// The first line of a page.
/// #[tool]
/// fn first_line(http: Http) -> Result<String, ToolError> {
///     let page = http.get("https://example.com/").header("accept", "text/plain").send()?;
///     Ok(page.text().lines().next().unwrap_or_default().to_owned())
/// }
/// ```
#[derive(Debug)]
pub struct Http(());

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The call has no grant for this host, method or path, whether or not it exists.
    Denied,
    /// The address or a header is not written as it must be.
    InvalidRequest(String),
    /// The other side took too long.
    TimedOut,
    /// The body is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It did not work.
    Failed(String),
}

impl Capability for Http {
    const KIND: &'static str = "http";

    fn handle() -> Self {
        Self(())
    }
}

impl Http {
    /// A request to read.
    pub fn get(&self, url: impl Into<String>) -> Request {
        self.request("GET", url)
    }

    /// A request that sends a body, which [`Request::body`] or [`Request::json`] gives.
    pub fn post(&self, url: impl Into<String>) -> Request {
        self.request("POST", url)
    }

    /// A request of any method.
    pub fn request(&self, method: impl Into<String>, url: impl Into<String>) -> Request {
        Request::new(method.into(), url.into())
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("this call may not reach that address"),
            Self::InvalidRequest(what) => write!(f, "the request is not valid: {what}"),
            Self::TimedOut => f.write_str("the other side took too long"),
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::Failed(what) => write!(f, "the request failed: {what}"),
        }
    }
}

impl std::error::Error for HttpError {}
