//! Parses where a request wants to go, once.
//!
//! Pure: never resolves a name. Only the parsed [`Target`] travels on; the request line, the `Host` field, the TLS name and
//! the connection are all made from it, so there is no second reading that could differ.

use url::{Position, Url};

use super::error::Reason;
use crate::capability::{HostName, Http};
use crate::limits::HTTP_URL_BYTES_MAX;

/// Where a request goes: a web origin by name, a path and a query.
///
/// ```compile_fail,E0451
/// fn forge(one: bailiwick::egress::Target) -> bailiwick::egress::Target {
///     bailiwick::egress::Target { port: 1, ..one }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Target {
    url: Url,
    host: HostName,
    secure: bool,
    port: u16,
}

impl Target {
    /// Parses a URL that a guest wrote. What two parsers could read differently is refused, not mended.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        if text.len() > HTTP_URL_BYTES_MAX {
            return Err(Reason::Url("it is too long"));
        }
        // WHATWG drops tabs and line ends and turns a backslash into a slash.
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(Reason::Url("it holds a space, a control or a backslash"));
        }
        if text.contains('#') {
            return Err(Reason::Url("it has a fragment"));
        }
        let written = authority(text).ok_or(Reason::Url("it is not `https://HOST/…`"))?;
        if written.contains('@') {
            return Err(Reason::Url("it has user information"));
        }
        if written.contains('%') {
            return Err(Reason::Url("its host is percent-encoded"));
        }
        let url = Url::parse(text).map_err(|_| Reason::Url("it cannot be parsed"))?;
        let target = Self::from_url(url)?;
        // An ASCII host must have been written as it was understood: no number became an address, nothing was mapped.
        let host = written.rsplit_once(':').map_or(written, |(host, _)| host);
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_ascii() && !host.eq_ignore_ascii_case(target.host.as_str()) {
            return Err(Reason::Url("its host has another spelling"));
        }
        Ok(target)
    }

    /// Takes over a URL that is parsed already.
    pub fn from_url(url: Url) -> Result<Self, Reason> {
        if url.as_str().len() > HTTP_URL_BYTES_MAX {
            return Err(Reason::Url("it is too long"));
        }
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(Reason::Url("its scheme is not https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Reason::Url("it has user information"));
        }
        if url.fragment().is_some() {
            return Err(Reason::Url("it has a fragment"));
        }
        let host = HostName::from_url(&url).ok_or(Reason::Url("its host is not a name"))?;
        let port = url
            .port_or_known_default()
            .filter(|port| *port != 0)
            .ok_or(Reason::Url("its port is not one"))?;
        Ok(Self {
            url,
            host,
            secure,
            port,
        })
    }

    /// The host, by its one spelling.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The port, written or of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the port is the scheme's.
    pub fn has_default_port(&self) -> bool {
        self.port == if self.secure { 443 } else { 80 }
    }

    /// The path, normalised.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The request target in origin form (RFC 9112 §3.2.1).
    pub fn origin_form(&self) -> &str {
        // A parsed http URL has a path of at least `/`, and this one has no fragment.
        &self.url[Position::BeforePath..]
    }

    /// The query as it is written, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// Whether there is a query, empty or not.
    pub(super) fn has_any_query(&self) -> bool {
        self.url.query().is_some()
    }

    /// Whether the query has a parameter of this name, in whatever case.
    pub(super) fn has_query(&self, name: &str) -> bool {
        // Some servers take a semicolon for an ampersand.
        let query = self.url.query().unwrap_or_default().replace(';', "&");
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The value of the `Host` field (RFC 9112 §3.2).
    pub fn host_field(&self) -> String {
        if self.has_default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether a capability allows this method here. `bound` is the port of the operator's binding, if there is one:
    /// a bound host is reached at that port alone, under that number or under none.
    pub fn is_granted(&self, scope: &Http, method: &str, bound: Option<u16>) -> bool {
        let port = match scope.port {
            Some(port) => port == self.port,
            None => self.has_default_port() || bound == Some(self.port),
        };
        port && scope.methods.contains(method)
            && scope.host.selects(&self.host)
            && scope.path.contains(self.path())
    }
}

/// The authority of `https://AUTHORITY/…`, as it is written.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let written = rest.split(['/', '?']).next().unwrap_or_default();
    (known && !written.is_empty()).then_some(written)
}

/// Whether a name is never public: a single label, or below a name that is set aside.
pub fn is_special_name(name: &HostName) -> bool {
    match name.as_str().rsplit_once('.') {
        None => true,
        Some((_, top)) => SPECIAL_TOPS.contains(&top),
    }
}

/// Top-level names that are set aside: IANA special-use domain names (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476),
/// `internal` (ICANN 2024), the names that ICANN never delegates because private networks use them, and their relatives.
const SPECIAL_TOPS: [&str; 17] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "svc",
    "test",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capability::Capability;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    fn scope(text: &str) -> Http {
        match text.parse().unwrap() {
            Capability::Http(http) => http,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_plain_url_is_read_into_its_parts() {
        let target = target("https://API.example.com.:8443/a/../b/%41?q=1&r=%20");
        assert_eq!(target.host().as_str(), "api.example.com");
        assert_eq!(target.origin_form(), "/b/%41?q=1&r=%20");
        assert_eq!(target.host_field(), "api.example.com:8443");
        assert!(target.is_secure());
        let short = Target::parse("http://api.example.com?q").unwrap();
        assert_eq!(short.origin_form(), "/?q");
        assert_eq!(short.host_field(), "api.example.com");
        assert_eq!(
            Target::parse("https://bücher.de/").unwrap().host().as_str(),
            "xn--bcher-kva.de"
        );
    }

    #[test]
    fn an_address_in_any_spelling_is_refused() {
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "127",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0X7F.1",
            "0177.0.0.1",
            "017700000001",
            "00000177.1",
            "0x7f.0x0.0x0.0x1",
            "127.0x0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::]",
            "0",
            "0.0.0.0",
            "１２７.0.0.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "127．0．0．1",
            "１２７．１",
            "127.0.0.1%2e",
            "%31%32%37.0.0.1",
            "127%2e0%2e0%2e1",
            "0x7f%2e1",
            "256.0.0.1",
            "1.2.3.4.5",
            "4294967296",
            "0x",
        ] {
            for text in [
                format!("https://{host}/"),
                format!("https://{host}:8443/"),
                format!("HTTP://{host}"),
            ] {
                assert!(Target::parse(&text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for text in [
            "https://user@a.example.com/",
            "https://user:secret@a.example.com/",
            "https://@a.example.com/",
            "https://a.example.com@b.example.com/",
            "https://a.example.com\\@b.example.com/",
            "https://a.example.com\\b/",
            "https://a.example.com/#fragment",
            "https://a.example.com#@b.example.com/",
            "https://a.exam\tple.com/",
            "https://a.example.com/\r\nHost: b",
            "https://a.example.com/a b",
            " https://a.example.com/",
            "https://a.example.com/\u{0}",
            "https://a.example.com/\u{85}",
            "https://a.example.com/\u{2028}",
            "https://a%2eexample.com/",
            "https://%61.example.com/",
            "https:a.example.com/",
            "https:/a.example.com/",
            "https:///a.example.com/",
            "https:////a.example.com/",
            "//a.example.com/",
            "/relative",
            "ftp://a.example.com/",
            "file:///etc/passwd",
            "data://a.example.com/",
            "ws://a.example.com/",
            "https://a..example.com/",
            "https://a.example.com../",
            "https://.example.com/",
            "https://a.example.com:0/",
            "https://a.example.com:65536/",
            "https://a.example.com:x/",
            "https://[a.example.com]/",
            "https://a.example.com,b.example.com/",
            "https://a_*.example.com/",
            "https://",
            "",
        ] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
        let long = format!("https://a.example.com/{}", "a".repeat(HTTP_URL_BYTES_MAX));
        assert!(Target::parse(&long).is_err());
    }

    #[test]
    fn a_name_that_is_never_public_is_special() {
        for name in [
            "localhost",
            "intranet",
            "printer",
            "a.localhost",
            "nas.local",
            "metadata.google.internal",
            "router.home.arpa",
            "1.0.0.127.in-addr.arpa",
            "hidden.onion",
            "a.test",
            "a.invalid",
            "a.example",
            "mail.corp",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ] {
            assert!(is_special_name(&name.parse().unwrap()), "{name}");
        }
        for name in ["example.com", "local.example.com", "test.de"] {
            assert!(!is_special_name(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn a_scope_holds_host_port_method_and_path_at_once() {
        let scope = scope("http GET,HEAD api.example.com /v1/");
        let granted = |method, text| target(text).is_granted(&scope, method, None);
        assert!(granted("GET", "https://api.example.com/v1/x?y=/v2"));
        assert!(granted("HEAD", "https://API.EXAMPLE.COM.:443/v1/"));
        for (method, text) in [
            ("POST", "https://api.example.com/v1/x"),
            ("get", "https://api.example.com/v1/x"),
            ("GET", "https://api.example.com/v2/x"),
            ("GET", "https://api.example.com/v1/../v2/x"),
            ("GET", "https://api.example.com/v1/%2e%2e/v2/x"),
            ("GET", "https://api.example.com/v1/..%2fv2"),
            ("GET", "https://api.example.com:8443/v1/x"),
            ("GET", "https://b.api.example.com/v1/x"),
            ("GET", "https://example.com/v1/x"),
        ] {
            assert!(!granted(method, text), "{method} {text}");
        }
    }

    #[test]
    fn a_port_must_be_granted_by_number() {
        let with_port = scope("http GET api.example.com:8443 /");
        let without = scope("http GET api.example.com /");
        let odd = target("https://api.example.com:8443/");
        assert!(odd.is_granted(&with_port, "GET", None));
        assert!(!odd.is_granted(&without, "GET", None));
        assert!(!target("https://api.example.com/").is_granted(&with_port, "GET", None));
        assert!(odd.is_granted(&without, "GET", Some(8443)));
    }

    proptest! {
        #[test]
        fn a_target_never_changes_its_host_on_a_second_reading(text in "https?://[a-zA-Z0-9.@:%\\[\\]_-]{1,30}(/[a-z@?:#\\\\]{0,8})?") {
            if let Ok(target) = Target::parse(&text) {
                let again = Target::parse(target.url.as_str()).unwrap();
                prop_assert_eq!(again.host(), target.host());
                prop_assert_eq!(again.port(), target.port());
                prop_assert!(target.origin_form().starts_with('/'));
                prop_assert!(target.host().as_str().parse::<std::net::IpAddr>().is_err());
                if let Ok(uri) = text.parse::<http::Uri>() {
                    let other = uri.host().unwrap();
                    let other = other.strip_suffix('.').unwrap_or(other);
                    prop_assert!(other.eq_ignore_ascii_case(target.host().as_str()));
                }
            }
        }
    }
}
