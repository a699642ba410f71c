//! Cookies: `__Host-` alone, so that no other host and no subdomain can set or read them.

use std::time::Duration;

use axum::http::{HeaderMap, header};

/// The browser's session.
pub(super) const SESSION: &str = "__Host-bw-session";
/// The sign-ins that this browser began.
pub(super) const FLOW: &str = "__Host-bw-flow";

/// The cookie of this name, if there is exactly one.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// A `Set-Cookie` line. `__Host-` demands `Secure`, `Path=/` and no `Domain`; browsers take loopback for secure as well.
///
/// `Lax` and not `Strict`: the way back from the issuer is a navigation that another site began.
pub(super) fn set(name: &str, value: &str, lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

/// A `Set-Cookie` line that takes the cookie away.
pub(super) fn clear(name: &str) -> String {
    set(name, "", Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_read_by_its_exact_name() {
        let headers = headers(&["a=1; __Host-bw-session=x.y", "bw-session=2"]);
        assert_eq!(read(&headers, SESSION), Some("x.y"));
        assert_eq!(read(&headers, FLOW), None);
    }

    #[test]
    fn two_cookies_of_one_name_count_as_none() {
        for lines in [
            &["__Host-bw-session=1; __Host-bw-session=2"][..],
            &["__Host-bw-session=1", "__Host-bw-session=1"],
        ] {
            assert_eq!(read(&headers(lines), SESSION), None);
        }
    }
}
