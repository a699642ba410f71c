//! What proxies say of their clients, and how much of it is believed.
//!
//! A proxy writes behind what it was given, so the last word is that of the proxy that we see. It is believed if that is a declared
//! one, and so is the word before if the last one names a declared proxy, and so on: the first that is none is the client. What
//! stands further left was written by the client, and counts for nothing.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::ClientAddress;
use crate::config::ProxyHeaders;
use crate::limits::PROXY_HOPS_MAX;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What else proxies write of the kind. None of it is read, and nothing behind us sees any of it.
const OTHERS: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];

/// Whose word is believed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trusted {
    networks: Vec<IpNet>,
    headers: ProxyHeaders,
}

/// What is known of where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client.
    pub address: ClientAddress,
    /// Whether it came to a declared proxy over https.
    pub https: bool,
}

/// One hop, as the proxy behind it describes it.
#[derive(Debug, Default, Clone)]
struct Hop {
    address: Option<IpAddr>,
    https: bool,
    host: Option<String>,
}

impl Trusted {
    pub fn new(networks: Vec<IpNet>, headers: ProxyHeaders) -> Self {
        Self { networks, headers }
    }

    /// Whether this is the address of a declared proxy.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|one| one.contains(&address))
    }

    /// Where a request comes from that this peer sent. Takes all that proxies write out of the headers; what a declared one says of
    /// the host stands as the host.
    pub fn origin(&self, peer: IpAddr, headers: &mut HeaderMap) -> Origin {
        let mut origin = Origin {
            address: ClientAddress::new(peer),
            https: false,
        };
        if self.is_proxy(peer) {
            let mut host = None;
            for hop in self.hops(headers).into_iter().take(PROXY_HOPS_MAX) {
                origin.https = hop.https;
                host = hop.host;
                let Some(address) = hop.address else { break };
                origin.address = ClientAddress::new(address);
                if !self.is_proxy(address) {
                    break;
                }
            }
            if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
                headers.insert(HOST, host);
            }
        }
        for name in [FORWARDED, FOR, PROTO, FORWARDED_HOST]
            .iter()
            .chain(&OTHERS)
        {
            headers.remove(name);
        }
        origin
    }

    /// The hops, the last one first.
    fn hops(&self, headers: &HeaderMap) -> Vec<Hop> {
        match self.headers {
            ProxyHeaders::Forwarded => {
                let elements = list(headers, &FORWARDED, |line| quoted(line, ','));
                elements.iter().rev().map(|one| element(one)).collect()
            }
            ProxyHeaders::XForwarded => {
                let (addresses, protos, hosts) = (
                    list(headers, &FOR, plain),
                    list(headers, &PROTO, plain),
                    list(headers, &FORWARDED_HOST, plain),
                );
                // A proxy that sets a field once for all hops says it of the client.
                let of = |all: &[String], back: usize| {
                    let place = match all.len() == addresses.len() {
                        true => back,
                        false => 0,
                    };
                    all.iter().rev().nth(place).cloned()
                };
                // Without an address there is still a hop, of which the rest may be known.
                let count = addresses.len().max(1);
                let hop = |back: usize| Hop {
                    address: addresses.iter().rev().nth(back).and_then(|one| node(one)),
                    https: of(&protos, back).is_some_and(|one| one.eq_ignore_ascii_case("https")),
                    host: of(&hosts, back),
                };
                (0..count).map(hop).collect()
            }
        }
    }
}

/// The members of a list field, all its lines together.
fn list(headers: &HeaderMap, name: &HeaderName, members: fn(&str) -> Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    for line in headers.get_all(name) {
        // What is no text was written by nobody whom we believe, and it hides what stands before it.
        all.extend(members(line.to_str().unwrap_or("unknown")));
    }
    all
}

/// Members without quotes.
fn plain(line: &str) -> Vec<String> {
    line.split(',').map(|one| one.trim().to_owned()).collect()
}

/// Members in which a separator in quotes is none.
fn quoted(line: &str, separator: char) -> Vec<String> {
    let (mut inside, mut escaped) = (false, false);
    let mut all = vec![String::new()];
    for c in line.chars() {
        if c == separator && !inside {
            all.push(String::new());
            continue;
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
        if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    // A proxy closes its own quotes, so a client left its open: they shall not swallow the word of the proxy.
    if inside {
        let parts = line.split(separator);
        return parts.map(|one| one.trim().to_owned()).collect();
    }
    all.iter().map(|one| one.trim().to_owned()).collect()
}

/// One element of `Forwarded` (RFC 7239 §4). One that says a thing twice says nothing.
fn element(text: &str) -> Hop {
    let (mut address, mut proto, mut host) = (None, None, None);
    for pair in quoted(text, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "for" => &mut address,
            "proto" => &mut proto,
            "host" => &mut host,
            _ => continue,
        };
        if slot.replace(unquoted(value.trim())).is_some() {
            return Hop::default();
        }
    }
    Hop {
        address: address.and_then(|one| node(&one)),
        https: proto.is_some_and(|one| one.eq_ignore_ascii_case("https")),
        host,
    }
}

fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

/// The address of a node, with a port or without (RFC 7239 §6). `unknown` and names of a proxy's own are none.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted(kind: ProxyHeaders) -> Trusted {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|one| one.parse().unwrap());
        Trusted::new(networks.into(), kind)
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn from(peer: &str, all: &[(&'static str, &str)]) -> (String, bool, Option<String>) {
        let kind = match all.iter().any(|(name, _)| *name == "forwarded") {
            true => ProxyHeaders::Forwarded,
            false => ProxyHeaders::XForwarded,
        };
        let mut headers = headers(all);
        let origin = trusted(kind).origin(peer.parse().unwrap(), &mut headers);
        let host = headers
            .get(HOST)
            .map(|host| host.to_str().unwrap().to_owned());
        headers.remove(HOST);
        assert!(headers.is_empty(), "{headers:?}");
        (origin.address.ip().to_string(), origin.https, host)
    }

    #[test]
    fn nobodys_word_but_a_declared_proxys_is_believed() {
        let forged = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
            ("x-real-ip", "192.0.2.7"),
            ("host", "mcp.example"),
        ];
        let host = Some("mcp.example".to_owned());
        let untrusted = from("198.51.100.1", &forged);
        assert_eq!(untrusted, ("198.51.100.1".to_owned(), false, host));
        let trusted = from("10.1.2.3", &forged);
        let host = Some("evil.test".to_owned());
        assert_eq!(trusted, ("192.0.2.7".to_owned(), true, host));
        // In the clothes of IPv6 it is the same proxy.
        assert_eq!(from("::ffff:10.1.2.3", &forged), trusted);
        let element = [("forwarded", "for=192.0.2.7;proto=https;host=evil.test")];
        assert_eq!(from("198.51.100.1", &element).0, "198.51.100.1");
        assert_eq!(from("10.1.2.3", &element), trusted);
    }

    #[test]
    fn the_last_word_that_names_no_proxy_is_the_client() {
        for (value, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
            ("10.0.0.1, 192.0.2.7", "192.0.2.7"),
            ("10.0.0.1, 10.0.0.9", "10.0.0.1"),
            ("192.0.2.7, unknown", "10.1.2.3"),
            ("192.0.2.7, unknown, 10.0.0.9", "10.0.0.9"),
            ("192.0.2.7,", "10.1.2.3"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::7, fd00::1", "2001:db8::7"),
            ("192.0.2.7 192.0.2.8", "10.1.2.3"),
            ("192.0.2.256", "10.1.2.3"),
            ("", "10.1.2.3"),
        ] {
            let all = [("x-forwarded-for", value)];
            assert_eq!(from("10.1.2.3", &all).0, client, "{value}");
        }
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(from("10.1.2.3", &lines).0, "192.0.2.7");
    }

    #[test]
    fn elements_are_read_as_rfc_7239_writes_them() {
        for (value, client, https, host) in [
            ("for=192.0.2.7", "192.0.2.7", false, None),
            ("For=\"192.0.2.7:80\"", "192.0.2.7", false, None),
            (
                "for=\"[2001:db8::7]:80\";proto=HTTPS",
                "2001:db8::7",
                true,
                None,
            ),
            (
                "proto=https;by=x;for=192.0.2.7;host=\"a.test\"",
                "192.0.2.7",
                true,
                Some("a.test"),
            ),
            // The client wrote the first one.
            (
                "for=1.2.3.4;proto=https, for=192.0.2.7;proto=http",
                "192.0.2.7",
                false,
                None,
            ),
            (
                "for=192.0.2.7;proto=https, for=10.0.0.9;proto=http",
                "192.0.2.7",
                true,
                None,
            ),
            ("for=_hidden;proto=https", "10.1.2.3", true, None),
            ("for=\"_gazonk\"", "10.1.2.3", false, None),
            ("for=192.0.2.7;for=192.0.2.8", "10.1.2.3", false, None),
            // Quotes that a client left open hide nothing of what the proxy wrote.
            ("for=\"1.2.3.4, for=192.0.2.7", "192.0.2.7", false, None),
            ("for=\"1.2.3.4\\\", for=192.0.2.7", "192.0.2.7", false, None),
            (
                "\"\\\", for=\"[2001:db8::7]\";proto=https",
                "2001:db8::7",
                true,
                None,
            ),
            (
                "for=\"1.2.3.4, for=9.9.9.9\", for=192.0.2.7",
                "192.0.2.7",
                false,
                None,
            ),
        ] {
            let (found, secure, name) = from("10.1.2.3", &[("forwarded", value)]);
            assert_eq!(
                (found.as_str(), secure, name.as_deref()),
                (client, https, host),
                "{value}"
            );
        }
    }

    #[test]
    fn of_two_kinds_of_fields_the_configured_one_is_read() {
        let both = [
            ("forwarded", "for=192.0.2.7"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        for (kind, client) in [
            (ProxyHeaders::Forwarded, "192.0.2.7"),
            (ProxyHeaders::XForwarded, "203.0.113.9"),
        ] {
            let origin = trusted(kind).origin("10.1.2.3".parse().unwrap(), &mut headers(&both));
            assert_eq!(origin.address.ip().to_string(), client);
        }
    }

    #[test]
    fn what_is_said_once_is_said_of_the_client() {
        let all = [
            ("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.0.0.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "mcp.example"),
        ];
        let host = Some("mcp.example".to_owned());
        assert_eq!(from("10.1.2.3", &all), ("192.0.2.7".to_owned(), true, host));
        let each = [
            ("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.0.0.9"),
            ("x-forwarded-proto", "https, http, https"),
        ];
        assert!(!from("10.1.2.3", &each).1);
    }

    #[test]
    fn no_more_proxies_than_the_bound_are_followed() {
        let list: Vec<_> = (0..=PROXY_HOPS_MAX)
            .map(|n| format!("10.0.1.{n}"))
            .collect();
        let list = format!("192.0.2.7, {}", list.join(", "));
        let client = from("10.1.2.3", &[("x-forwarded-for", &list)]).0;
        assert_eq!(client, "10.0.1.1");
    }

    proptest! {
        /// Whatever a client writes, the word of the proxy behind it stands.
        #[test]
        fn nothing_before_the_last_word_counts(forged in "[ -~]{0,60}") {
            let value = format!("{forged}, 192.0.2.7");
            let all = [("x-forwarded-for", value.as_str())];
            prop_assert_eq!(from("10.1.2.3", &all).0, "192.0.2.7");
            for word in ["for=192.0.2.7", "for=\"192.0.2.7:80\";proto=https"] {
                let value = format!("{forged}, {word}");
                prop_assert_eq!(from("10.1.2.3", &[("forwarded", value.as_str())]).0, "192.0.2.7");
            }
            let alone = from("198.51.100.1", &all).0;
            prop_assert_eq!(alone, "198.51.100.1");
        }
    }
}
