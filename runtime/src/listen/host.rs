//! For which host a request is.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

/// Why it cannot be told for which host a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Its target and `Host` name different ones, or `Host` stands there twice.
    #[error("the request names two hosts")]
    Two,
    /// What it names is no host.
    #[error("the host of the request cannot be read")]
    Unreadable,
}

/// The host for which a request is, if it names one: in its target, which is `:authority` over HTTP/2, or in `Host`.
///
/// Whatever stands before us may have judged the one, and we would serve the other. The target would win (RFC 9112 §3.2.2); who
/// names two is refused, as RFC 9113 §8.3.1 has it.
pub fn host(headers: &HeaderMap, uri: &Uri) -> Result<Option<Authority>, HostError> {
    let mut fields = headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        // RFC 9110 §7.2: two hosts are none.
        (_, Some(_)) => return Err(HostError::Two),
        (field, None) => field.map(read).transpose()?,
    };
    let target = uri.authority().cloned().map(plain).transpose()?;
    match (target, field) {
        (Some(target), Some(field)) => match is_same(&target, &field, uri.scheme_str()) {
            true => Ok(Some(target)),
            false => Err(HostError::Two),
        },
        (target, field) => Ok(target.or(field)),
    }
}

fn read(field: &HeaderValue) -> Result<Authority, HostError> {
    let field = Authority::try_from(field.as_bytes());
    field.map_err(|_| HostError::Unreadable).and_then(plain)
}

/// A user before the host deceives whoever reads it, and nobody sends one (RFC 9110 §4.2.4).
fn plain(authority: Authority) -> Result<Authority, HostError> {
    match authority.as_str().contains('@') {
        true => Err(HostError::Unreadable),
        false => Ok(authority),
    }
}

/// Names are the same in capitals and without the port that the scheme has anyway (RFC 3986 §6.2).
fn is_same(one: &Authority, other: &Authority, scheme: Option<&str>) -> bool {
    one.host().eq_ignore_ascii_case(other.host()) && port(one, scheme) == port(other, scheme)
}

/// The port as it stands there; none where it is that of the scheme.
fn port<'a>(authority: &'a Authority, scheme: Option<&str>) -> &'a str {
    let rest = authority.as_str().strip_prefix(authority.host());
    match (rest.unwrap_or_default().trim_start_matches(':'), scheme) {
        ("80", Some("http")) | ("443", Some("https")) => "",
        (port, _) => port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(target: &str, fields: &[&str]) -> Result<Option<String>, HostError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HOST, HeaderValue::from_str(field).unwrap());
        }
        let host = host(&headers, &target.parse().unwrap())?;
        Ok(host.map(|host| host.as_str().to_owned()))
    }

    #[test]
    fn a_host_is_named_in_one_place_or_the_same_in_two() {
        let host = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(named("/mcp", &[]), Ok(None));
        assert_eq!(named("/mcp", &["a.test:1"]), host("a.test:1"));
        assert_eq!(named("http://a.test/mcp", &[]), host("a.test"));
        for field in ["a.test", "A.test", "a.test:80", "a.test:"] {
            let host = host("a.test");
            assert_eq!(named("http://a.test/mcp", &[field]), host, "{field}");
        }
        let other = named("https://a.test:443/mcp", &["a.test"]);
        assert_eq!(other, host("a.test:443"));
        assert_eq!(named("http://[::1]:81/", &["[::1]:81"]), host("[::1]:81"));
    }

    #[test]
    fn two_hosts_are_none() {
        for (target, field) in [
            ("http://a.test/", "b.test"),
            ("http://a.test/", "a.test:443"),
            ("https://a.test/", "a.test:80"),
            ("http://a.test/", "a.test:8080"),
            ("http://a.test:8080/", "a.test"),
            ("http://a.test:99999/", "a.test"),
            ("http://a.test/", "a.test."),
            ("http://a.test/", "x.a.test"),
            ("http://[::1]/", "[::2]"),
            ("a.test:80", "a.test:81"),
        ] {
            let named = named(target, &[field]);
            assert_eq!(named, Err(HostError::Two), "{target} {field}");
        }
        assert_eq!(named("/", &["a.test", "a.test"]), Err(HostError::Two));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for field in ["", "a b", "a.test/path", "a@b.test", "a.test, b.test"] {
            let named = named("/", &[field]);
            assert_eq!(named, Err(HostError::Unreadable), "{field}");
        }
        let user = named("http://a@b.test/", &[]);
        assert_eq!(user, Err(HostError::Unreadable));
    }
}
