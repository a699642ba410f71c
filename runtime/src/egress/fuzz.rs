//! Where a request may go, held against where its connection would go and what would be written on it.
//!
//! Nothing is sent: whoever would connect writes down the address and fails.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::{Method, Uri};
use tokio::time::Instant;
use unicode_normalization::UnicodeNormalization;

use super::{Admitted, Dial, Dialling, Egress, Resolve, Resolving};
use crate::capability::{Capability, HostName, Http};
use crate::config::EgressHost;
use crate::fuzzing::choices::{Choices, cut};

/// The host that the operator bound, and where.
const BOUND: &str = "crm.internal";
const BOUND_AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 8443);

/// What may be asked for: the host, or what is behind `*.`, the port and the beginning of the path. The first byte of an input chooses.
const SCOPES: [(&str, &str, Option<u16>, &str); 5] = [
    ("http GET * /", "", None, "/"),
    (
        "http GET api.example.com /v1/",
        "api.example.com",
        None,
        "/v1/",
    ),
    (
        "http GET *.example.com:8443 /",
        ".example.com",
        Some(8443),
        "/",
    ),
    ("http GET crm.internal /", BOUND, None, "/"),
    ("http GET *.internal /", ".internal", None, "/"),
];

/// Answers every name with the same addresses.
struct Names(Mutex<Vec<IpAddr>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a HostName) -> Resolving<'a> {
        let all = self.0.lock().map(|all| all.clone()).unwrap_or_default();
        Box::pin(async move { Ok(all) })
    }
}

/// Writes down every address and reaches none.
#[derive(Default)]
struct Noting(Mutex<Vec<SocketAddr>>);

impl Dial for Noting {
    fn dial(&self, address: SocketAddr) -> Dialling<'_> {
        if let Ok(mut all) = self.0.lock() {
            all.push(address);
        }
        Box::pin(async { Err(io::Error::other("nothing is reached here")) })
    }
}

struct World {
    egress: Egress,
    scopes: Vec<Http>,
    names: Arc<Names>,
    dialled: Arc<Noting>,
    runtime: tokio::runtime::Runtime,
}

/// One at a time: what was dialled belongs to one input.
static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| {
    let names = Arc::new(Names(Mutex::default()));
    let dialled = Arc::new(Noting::default());
    let bound = EgressHost {
        name: BOUND.parse().expect("a name"),
        address: BOUND_AT,
        any: false,
    };
    let resolver: Arc<dyn Resolve> = Arc::clone(&names) as Arc<dyn Resolve>;
    let mut egress = Egress::new(vec![bound], Vec::new(), resolver).expect("a filter");
    egress.connector.dial = Arc::clone(&dialled) as Arc<dyn Dial>;
    egress.connector.own = Arc::new(|_| false);
    let scopes = SCOPES.map(|(text, ..)| match text.parse() {
        Ok(Capability::Http(http)) => http,
        other => unreachable!("{text}: {other:?}"),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    Mutex::new(World {
        egress,
        scopes: scopes.to_vec(),
        names,
        dialled,
        runtime: runtime.expect("a runtime"),
    })
});

/// One byte that chooses a scope, a URL, a line feed, and the addresses that its name has.
pub(crate) fn url(bytes: &[u8]) {
    let mut choices = Choices::of(bytes);
    let place = usize::from(choices.byte()) % SCOPES.len();
    let (text, addresses) = cut(choices.rest(), b'\n');
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let addresses = addresses_of(addresses);
    let world = WORLD
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let scope = world
        .scopes
        .get(place)
        .map(std::slice::from_ref)
        .unwrap_or_default();
    let Ok(admitted) = world.egress.admit(scope, &Method::GET, text) else {
        return;
    };
    let (host, port) = written(&admitted);
    as_asked(text, &host, port);
    within(place, &admitted, &host, port);

    if let (Ok(mut names), Ok(mut dialled)) = (world.names.0.lock(), world.dialled.0.lock()) {
        names.clone_from(&addresses);
        dialled.clear();
    }
    let limit = Instant::now() + Duration::from_secs(5);
    let reached = world
        .runtime
        .block_on(world.egress.connector.reach(&admitted.route, limit));
    assert!(reached.is_err(), "nothing can be reached");
    let dialled = world
        .dialled
        .0
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    for address in &dialled {
        if host == BOUND {
            assert_eq!(*address, BOUND_AT, "a bound host is somewhere else");
        } else {
            assert_eq!(address.port(), port, "another port than was written");
            assert!(
                addresses.contains(&address.ip()),
                "an address that the name has not"
            );
            assert!(!is_inside(address.ip()), "{} was reached", address.ip());
        }
    }
    let rebinds = addresses.iter().any(|address| is_inside(*address));
    assert!(
        host == BOUND || !rebinds || dialled.is_empty(),
        "a name with an inner address was reached"
    );
}

/// Host and port of a request as a server reads them from the bytes that would be written.
fn written(admitted: &Admitted) -> (String, u16) {
    let line = admitted.line();
    let target: &str = &line.target;
    assert!(target.starts_with('/'), "no origin form");
    let plain = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    assert!(
        plain(target) && plain(&line.origin),
        "bytes that end a line or a word"
    );
    assert!(!target.contains('#'), "a fragment is sent");
    let whole: Uri = format!("{}{target}", line.origin)
        .parse()
        .expect("a URI that a client sends");
    let secure = whole.scheme_str() == Some("https");
    let host = whole.host().unwrap_or_default().to_owned();
    assert_eq!(
        host,
        admitted.host().as_str(),
        "the TLS name is not the host"
    );
    (
        host,
        whole.port_u16().unwrap_or(if secure { 443 } else { 80 }),
    )
}

/// The host and the port are those that stand in the text, by the grammar of RFC 3986 §3.2, and the host is no address in any spelling.
fn as_asked(text: &str, host: &str, port: u16) {
    let (scheme, rest) = text.split_once("://").expect("a scheme");
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let (asked, asked_port) = match authority.rsplit_once(':') {
        Some((asked, number)) => (asked, number.parse::<u16>().ok()),
        None => (authority, None),
    };
    let default = if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        80
    };
    // `https://host:/` has the port of its scheme (RFC 3986 §3.2.3).
    assert_eq!(
        asked_port.unwrap_or(default),
        port,
        "another port than was asked for"
    );
    let asked = asked.strip_suffix('.').unwrap_or(asked);
    if asked.is_ascii() {
        assert_eq!(
            asked.to_ascii_lowercase(),
            host,
            "another host than was asked for"
        );
    }
    // What a person, a resolver or a second parser would take it for.
    let folded: String = asked
        .nfkc()
        .collect::<String>()
        .to_lowercase()
        .replace('\u{3002}', ".");
    for spelling in [asked, host, folded.as_str()] {
        assert!(!is_number(spelling), "`{spelling}` is an address");
    }
    assert!(!host.contains(['@', '%', '[', ':']));
}

/// Whether `inet_aton` would take it: one to four numbers, decimal, octal or hexadecimal, between dots.
fn is_number(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
    };
    text.parse::<IpAddr>().is_ok() || (text.split('.').count() <= 4 && text.split('.').all(number))
}

/// The grant holds: host, port and path are those that were granted.
fn within(place: usize, admitted: &Admitted, host: &str, port: u16) {
    let Some((_, granted, granted_port, path)) = SCOPES.get(place) else {
        return;
    };
    let granted_host = match granted.strip_prefix('.') {
        Some(_) => host.ends_with(granted) && host.len() > granted.len(),
        None => granted.is_empty() || host == *granted,
    };
    assert!(granted_host, "`{host}` was not granted");
    // A private host is reached by its own name alone.
    assert!(
        host != BOUND || *granted == BOUND,
        "a bound host was reached by a pattern"
    );
    match granted_port {
        Some(granted) => assert_eq!(port, *granted),
        None => assert!(matches!(port, 443 | 80) || (host == BOUND && port == BOUND_AT.port())),
    }
    assert!(port != 80 || host == BOUND, "plain text to a public host");
    if *path != "/" {
        // However often it is decoded, and whatever is taken for a separator, it stays below.
        let mut decoded = admitted.path().to_owned();
        for _ in 0..3 {
            assert!(
                decoded.starts_with(path),
                "`{decoded}` is not below `{path}`"
            );
            let leaves = decoded
                .split(['/', '\\'])
                .any(|part| matches!(part.trim(), "." | ".."));
            assert!(!leaves, "`{decoded}` leaves `{path}`");
            decoded = percent_encoding::percent_decode_str(&decoded)
                .decode_utf8_lossy()
                .into_owned();
        }
    }
}

/// Addresses: a byte, and four more or sixteen.
fn addresses_of(bytes: &[u8]) -> Vec<IpAddr> {
    let mut choices = Choices::of(bytes);
    let mut all = Vec::new();
    while !choices.is_empty() && all.len() < 6 {
        let v4 = choices.byte().is_multiple_of(2);
        let mut octets = [0; 16];
        for octet in octets.iter_mut().take(if v4 { 4 } else { 16 }) {
            *octet = choices.byte();
        }
        let [a, b, c, d, ..] = octets;
        all.push(match v4 {
            true => Ipv4Addr::new(a, b, c, d).into(),
            false => Ipv6Addr::from(octets).into(),
        });
    }
    all
}

/// Whether an address is plainly not one of the public internet: by the standard library where it knows, and by what an IPv6 address
/// carries.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            let v4 = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                is_inside_v4(Ipv4Addr::new(a, b, c, d))
            };
            let carried = match [a, b, c, d, e, f] {
                // Mapped, compatible, translated and NAT64.
                [0, 0, 0, 0, 0, 0xffff | 0]
                | [0, 0, 0, 0, 0xffff, 0]
                | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
                [0x2002, ..] => v4(b, c),
                // Teredo hides the client's behind a mask.
                [0x2001, 0, ..] => v4(c, d) || v4(!g, !h),
                _ => false,
            };
            carried
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || a & 0xffc0 == 0xfec0
        }
    }
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 198 && b & 0xfe == 18)
        || (a == 192 && b == 0 && c == 0)
}

pub(crate) fn url_seeds() -> Vec<Vec<u8>> {
    const PUBLIC: &[u8] = &[0, 93, 184, 216, 34];
    const INNER: &[u8] = &[0, 93, 184, 216, 34, 0, 127, 0, 0, 1];
    const METADATA: &[u8] = &[0, 169, 254, 169, 254];
    const MAPPED: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    const NAT64: &[u8] = &[1, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1];
    const V6: &[u8] = &[
        1, 0x26, 0x06, 0x47, 0, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x11,
    ];
    let texts: [(u8, &str, &[u8]); 18] = [
        (0, "https://api.example.com/a/../b/%41?q=1", PUBLIC),
        (0, "https://www.example.com:443/", V6),
        (0, "https://xn--bcher-kva.de/", PUBLIC),
        (0, "https://bücher.de/", PUBLIC),
        (0, "https://rebind.example.com/", INNER),
        (0, "https://meta.example.com/", METADATA),
        (0, "https://mapped.example.com/", MAPPED),
        (0, "https://nat.example.com/", NAT64),
        (0, "https://127.0.0.1/", PUBLIC),
        (0, "https://0x7f.1/", PUBLIC),
        (0, "https://１２７.0.0.1/", PUBLIC),
        (0, "https://[::ffff:127.0.0.1]/", PUBLIC),
        (0, "https://user@a.example.com/", PUBLIC),
        (1, "https://api.example.com/v1/x?y=/v2", PUBLIC),
        (1, "https://api.example.com/v1/..%2fv2", PUBLIC),
        (2, "https://a.example.com:8443/", PUBLIC),
        (3, "https://crm.internal:8443/x", PUBLIC),
        (4, "http://crm.internal/x", PUBLIC),
    ];
    texts
        .iter()
        .map(|(scope, text, addresses)| [&[*scope], text.as_bytes(), b"\n", addresses].concat())
        .collect()
}

pub(crate) const URL_WORDS: &[&str] = &[
    "https://",
    "http://",
    "api.example.com",
    "crm.internal",
    ".example.com",
    "localhost",
    "127.0.0.1",
    "0x7f",
    "2130706433",
    "017700000001",
    "[::1]",
    "[::ffff:7f00:1]",
    "169.254.169.254",
    "%2e",
    "%2f",
    "%5c",
    "..",
    "/../",
    "/v1/",
    ":8443",
    ":0",
    ":443",
    "@",
    "\\",
    "#",
    "?",
    ".",
    "\u{ff0e}",
    "\u{3002}",
    "\u{ff11}",
    "\u{2488}",
    "xn--",
    "\u{ad}",
    "\u{200d}",
    "_",
    "%25",
    ":",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_dialled_and_what_is_inside_is_not() {
        let dialled = |scope: u8, text: &str, addresses: &[u8]| {
            url(&[&[scope], text.as_bytes(), b"\n", addresses].concat());
            WORLD.lock().unwrap().dialled.0.lock().unwrap().clone()
        };
        let public = dialled(0, "https://api.example.com/", &[0, 93, 184, 216, 34]);
        assert_eq!(public, ["93.184.216.34:443".parse().unwrap()]);
        assert_eq!(dialled(3, "https://crm.internal:8443/", &[]), [BOUND_AT]);
        let inner = dialled(0, "https://api.example.com/", &[0, 127, 0, 0, 1]);
        assert_eq!(inner, []);
    }

    #[test]
    fn every_spelling_of_an_address_is_a_number() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0x7f000001",
            "::1",
        ] {
            assert!(is_number(text), "{text}");
        }
        for text in ["a.example", "1.2.3.4.5", "127.0.0.1.example.com", "0x7g"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
