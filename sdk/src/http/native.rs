//! Outside a sandbox there is no host to ask.

use super::{HttpError, Request, Response, Url};

pub fn send(request: &Request, url: &Url, _: &[u8]) -> Result<Response, HttpError> {
    Err(HttpError::Failed(format!(
        "there is no network outside a sandbox for `{} {url}`",
        request.method
    )))
}
