//! Addresses, as far as a client needs to understand them.

use std::fmt;

use super::HttpError;

/// An address with the scheme `http` or `https`, in its parts.
///
/// It holds what was written and decides nothing: which host an authority means, and whether it may be reached, is for
/// the host to say.
///
/// ```
/// use bailiwick_sdk::http::Url;
///
/// let page = Url::parse("https://example.com/a/b?c#d").unwrap();
/// assert_eq!(page.authority(), "example.com");
/// assert_eq!(page.join("../e").unwrap().to_string(), "https://example.com/e");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    https: bool,
    authority: String,
    path: String,
    query: Option<String>,
}

impl Url {
    /// Reads an absolute address. A fragment is left out, since it is never sent.
    ///
    /// # Errors
    ///
    /// [`HttpError::InvalidRequest`] for another scheme, for a name or password before the host, and for characters
    /// that an address cannot hold.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let (scheme, rest) = checked(text)?
            .split_once("://")
            .ok_or_else(|| invalid("it begins with neither `http://` nor `https://`"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(invalid("its scheme is neither `http` nor `https`")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.is_empty() {
            return Err(invalid("it names no host"));
        }
        // What stands before `@` looks like a host and is none: the oldest way to disguise an address.
        if authority.contains('@') {
            return Err(invalid("it has a name or password before the host"));
        }
        let (path, query) = split_query(tail);
        Ok(Self {
            https,
            authority: authority.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            query: query.map(str::to_owned),
        })
    }

    /// Reads an address that may be relative to this one (RFC 3986, section 5.2), such as that of a redirect.
    ///
    /// # Errors
    ///
    /// As for [`Url::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, HttpError> {
        let reference = checked(reference)?;
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        if has_scheme(reference) {
            return Self::parse(reference);
        }
        let (path, query) = split_query(reference);
        let mut joined = self.clone();
        if path.is_empty() {
            joined.query = query.map(str::to_owned).or(joined.query);
            return Ok(joined);
        }
        let folder = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
        joined.path = match path.starts_with('/') {
            true => without_dots(path),
            false => without_dots(&format!("{folder}{path}")),
        };
        joined.query = query.map(str::to_owned);
        Ok(joined)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The host and perhaps a port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and, behind `?`, the query.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = (self.scheme(), self.path_and_query());
        write!(f, "{scheme}://{}{rest}", self.authority)
    }
}

/// The text without its fragment, if all of its characters may stand in an address.
fn checked(text: &str) -> Result<&str, HttpError> {
    let text = text.split('#').next().unwrap_or_default();
    if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
        return Err(invalid(
            "it has a space, a backslash or a character beyond ASCII; write those encoded",
        ));
    }
    Ok(text)
}

fn has_scheme(text: &str) -> bool {
    let end = text.find([':', '/', '?']);
    end.is_some_and(|at| text[at..].starts_with(':'))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." if last => kept.push(""),
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            "." => {}
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

fn invalid(why: &str) -> HttpError {
    HttpError::InvalidRequest(format!("the address cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_parts() {
        let url = Url::parse("HTTPS://example.com:8443/a?b=c/d#e").unwrap();
        assert_eq!(url.to_string(), "https://example.com:8443/a?b=c/d");
        assert_eq!(Url::parse("http://h?q").unwrap().path_and_query(), "/?q");
    }

    #[test]
    fn a_disguised_address_is_refused() {
        for text in [
            "",
            "example.com",
            "file:///etc/passwd",
            "http://",
            "http://good.example@evil.example/",
            "http://evil.example\\good.example/",
            "http://a b/",
            "http://a\r\nb/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_joined_as_the_standard_says() {
        let base = Url::parse("http://a/b/c/d?q").unwrap();
        for (reference, want) in [
            ("g", "http://a/b/c/g"),
            ("./g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("", "http://a/b/c/d?q"),
            ("..", "http://a/b/"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("https://x/y", "https://x/y"),
        ] {
            let joined = base.join(reference).unwrap().to_string();
            assert_eq!(joined, want, "{reference}");
        }
        assert!(base.join("javascript:alert(1)").is_err());
    }
}
