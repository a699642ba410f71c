//! How connections come in: TLS, proxies whose word is believed, and bounds that an operator may lower.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::parse::Checker;
use crate::limits;

/// How connections come in.
#[derive(Debug, Clone, Default)]
pub struct Front {
    /// What TLS is served with; none means plain HTTP, on loopback or to declared proxies.
    pub tls: Option<TlsConfig>,
    /// Where proxies are whose word about their clients is believed. Empty: nobody's is.
    pub trusted_proxies: Vec<IpNet>,
    /// In which header fields they give it.
    pub proxy_headers: ProxyHeaders,
    /// How far one client, and all of them, may go.
    pub bounds: ConnectionBounds,
}

/// What TLS is served with.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Our certificate and those that lead to its authority, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key, in PEM. Nobody else may read the file.
    pub key_file: PathBuf,
    /// Who is asked for a certificate of their own; none means nobody.
    pub clients: Option<ClientCertificates>,
    /// How often the files are read again.
    pub poll: Duration,
}

/// Who is asked for a certificate.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The authorities that clients' certificates come from, in PEM.
    pub ca_file: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// The header fields in which a proxy tells of its clients. Only one kind is read, since a proxy sets one and hands the other on as
/// its client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How far connections go. An operator lowers it and never raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub per_address: usize,
    /// Bytes of the head of a request.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Time for a TLS handshake.
    pub handshake_wait: Duration,
    /// Time for the head of a request.
    pub header_wait: Duration,
    /// Time for the body of a request.
    pub body_wait: Duration,
    /// Time in which a step of a waiting answer is taken.
    pub answer_wait: Duration,
    /// Bytes of answers that wait to be taken, in all.
    pub answers_bytes: usize,
    /// Bytes of answers that wait to be taken by one address.
    pub answers_bytes_per_address: usize,
    /// Bytes of answers that wait to be taken on one connection.
    pub answers_bytes_per_connection: usize,
    /// Time without a request.
    pub idle: Duration,
    /// Requests of one connection.
    pub requests: u64,
    /// Requests at once of one HTTP/2 connection.
    pub streams: u32,
    /// Time for calls in flight when the server ends.
    pub drain: Duration,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            header_bytes: limits::HEADER_BYTES_MAX,
            headers: limits::HEADERS_MAX,
            handshake_wait: limits::HANDSHAKE_WAIT_MAX,
            header_wait: limits::HEADER_WAIT_MAX,
            body_wait: limits::BODY_WAIT_MAX,
            answer_wait: limits::ANSWER_WAIT_MAX,
            answers_bytes: limits::ANSWERS_BYTES_MAX,
            answers_bytes_per_address: limits::ANSWERS_BYTES_PER_ADDRESS_MAX,
            answers_bytes_per_connection: limits::ANSWERS_BYTES_PER_CONNECTION_MAX,
            idle: limits::IDLE_MAX,
            requests: limits::CONNECTION_REQUESTS_MAX,
            streams: limits::STREAMS_MAX,
            drain: limits::DRAIN_MAX,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    client_ca: Option<Spanned<PathBuf>>,
    client_auth: Option<Spanned<ClientAuth>>,
    poll_ms: Option<Spanned<u64>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ClientAuth {
    Optional,
    Required,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConnections {
    connections_max: Option<Spanned<u64>>,
    per_address_max: Option<Spanned<u64>>,
    header_bytes_max: Option<Spanned<u64>>,
    headers_max: Option<Spanned<u64>>,
    handshake_wait_ms: Option<Spanned<u64>>,
    header_wait_ms: Option<Spanned<u64>>,
    body_wait_ms: Option<Spanned<u64>>,
    answer_wait_ms: Option<Spanned<u64>>,
    idle_ms: Option<Spanned<u64>>,
    requests_max: Option<Spanned<u64>>,
    streams_max: Option<Spanned<u32>>,
    drain_ms: Option<Spanned<u64>>,
}

/// What `[server]` says of it.
pub(super) struct RawFront<'a> {
    pub listen: &'a Spanned<SocketAddr>,
    pub public_url: &'a Spanned<Url>,
    pub tls: Option<&'a Spanned<RawTls>>,
    pub trusted_proxies: &'a [Spanned<IpNet>],
    pub proxy_headers: Option<ProxyHeaders>,
    pub connections: &'a RawConnections,
}

pub(super) fn front(check: &mut Checker<'_>, raw: &RawFront<'_>) -> Front {
    let plain = raw.tls.is_none();
    if plain && !raw.listen.get_ref().ip().is_loopback() && raw.trusted_proxies.is_empty() {
        check.wrong(
            raw.listen,
            "plain HTTP is served on loopback alone, and to declared proxies",
            "serve TLS with `[server.tls]`, name the proxies that do in `server.trusted_proxies`, or listen on 127.0.0.1 or [::1]",
        );
    }
    if !plain && raw.public_url.get_ref().scheme() == "http" {
        check.wrong(
            raw.public_url,
            "TLS is served, and the public URL is not https",
            "write it with `https`, or remove `[server.tls]`",
        );
    }
    for network in raw.trusted_proxies {
        if network.get_ref().prefix_len() == 0 {
            let help = "name the networks in which your proxies are";
            check.wrong(network, "everybody would be a proxy", help);
        }
    }
    if let Some(first) = raw.trusted_proxies.get(limits::TRUSTED_PROXIES_MAX) {
        let help = format!(
            "name at most {}, in larger networks",
            limits::TRUSTED_PROXIES_MAX
        );
        check.wrong(first, "these are too many networks of proxies", &help);
    }
    let networks = raw.trusted_proxies.iter();
    Front {
        tls: raw.tls.map(|raw| tls(check, raw.get_ref())),
        trusted_proxies: networks.map(|one| one.get_ref().trunc()).collect(),
        proxy_headers: raw.proxy_headers.unwrap_or_default(),
        bounds: bounds(check, raw.connections),
    }
}

fn tls(check: &mut Checker<'_>, raw: &RawTls) -> TlsConfig {
    let clients = match (&raw.client_ca, &raw.client_auth) {
        (None, None) => None,
        (Some(ca), Some(auth)) => Some(ClientCertificates {
            ca_file: check.path(ca.get_ref()),
            required: *auth.get_ref() == ClientAuth::Required,
        }),
        (Some(ca), None) => {
            let help = "write `client_auth = \"required\"`, or `\"optional\"`";
            check.wrong(
                ca,
                "nobody is asked for certificates of this authority",
                help,
            );
            None
        }
        (None, Some(auth)) => {
            let help = "name the authorities in `client_ca`";
            check.wrong(auth, "no authority of clients' certificates is named", help);
            None
        }
    };
    TlsConfig {
        certificate_file: check.path(&raw.certificate_file),
        key_file: check.path(&raw.key_file),
        clients,
        poll: wait(check, raw.poll_ms.as_ref(), "poll_ms", limits::TLS_POLL),
    }
}

fn bounds(check: &mut Checker<'_>, raw: &RawConnections) -> ConnectionBounds {
    let most = ConnectionBounds::default();
    ConnectionBounds {
        connections: size(
            check,
            raw.connections_max.as_ref(),
            "connections_max",
            most.connections,
        ),
        per_address: size(
            check,
            raw.per_address_max.as_ref(),
            "per_address_max",
            most.per_address,
        ),
        header_bytes: size(
            check,
            raw.header_bytes_max.as_ref(),
            "header_bytes_max",
            most.header_bytes,
        ),
        headers: size(check, raw.headers_max.as_ref(), "headers_max", most.headers),
        handshake_wait: wait(
            check,
            raw.handshake_wait_ms.as_ref(),
            "handshake_wait_ms",
            most.handshake_wait,
        ),
        header_wait: wait(
            check,
            raw.header_wait_ms.as_ref(),
            "header_wait_ms",
            most.header_wait,
        ),
        body_wait: wait(
            check,
            raw.body_wait_ms.as_ref(),
            "body_wait_ms",
            most.body_wait,
        ),
        answer_wait: wait(
            check,
            raw.answer_wait_ms.as_ref(),
            "answer_wait_ms",
            most.answer_wait,
        ),
        idle: wait(check, raw.idle_ms.as_ref(), "idle_ms", most.idle),
        requests: lower(
            check,
            raw.requests_max.as_ref(),
            "requests_max",
            most.requests,
        ),
        streams: lower(check, raw.streams_max.as_ref(), "streams_max", most.streams),
        drain: wait(check, raw.drain_ms.as_ref(), "drain_ms", most.drain),
        ..most
    }
}

/// A number that may be lowered.
fn lower<T: Copy + Ord + From<u8> + std::fmt::Display>(
    check: &mut Checker<'_>,
    raw: Option<&Spanned<T>>,
    key: &str,
    most: T,
) -> T {
    let Some(raw) = raw else { return most };
    let value = *raw.get_ref();
    if !(T::from(1)..=most).contains(&value) {
        let help = format!("choose 1 to {most}");
        check.wrong(raw, format!("`{key}` is out of range"), &help);
    }
    value.min(most)
}

fn size(check: &mut Checker<'_>, raw: Option<&Spanned<u64>>, key: &str, most: usize) -> usize {
    let lowered = lower(check, raw, key, u64::try_from(most).unwrap_or(u64::MAX));
    usize::try_from(lowered).unwrap_or(most)
}

fn wait(
    check: &mut Checker<'_>,
    raw: Option<&Spanned<u64>>,
    key: &str,
    most: Duration,
) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(lower(check, raw, key, millis))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    fn parse(listen: &str, url: &str, more: &str) -> Result<Front, Vec<String>> {
        let text = format!(
            "[server]\nlisten = \"{listen}\"\npublic_url = \"{url}\"\n{more}\n[tools]\ndir = \"t\"\n[state]\nurl = \"sqlite://a.db\"\n"
        );
        match Config::parse("bailiwick.toml", &text, Path::new("/srv")) {
            Ok(config) => Ok(config.server.front),
            Err(ConfigError::Invalid { problems }) => {
                Err(problems.iter().map(ToString::to_string).collect())
            }
            Err(other) => panic!("{other}"),
        }
    }

    const TLS: &str = "[server.tls]\ncertificate_file = \"a.pem\"\nkey_file = \"b.pem\"\n";

    #[test]
    fn plain_http_leaves_the_machine_for_declared_proxies_alone() {
        const URL: &str = "https://mcp.example";
        let proxies = "trusted_proxies = [\"10.0.0.0/8\"]";
        assert!(parse("127.0.0.1:80", URL, "").is_ok());
        assert!(parse("[::1]:80", URL, "").is_ok());
        assert!(parse("0.0.0.0:80", URL, proxies).is_ok());
        assert!(parse("0.0.0.0:80", URL, TLS).is_ok());
        for more in ["", "trusted_proxies = []"] {
            for listen in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
                let problems = parse(listen, URL, more).unwrap_err();
                assert!(problems[0].contains("[server.tls]"), "{problems:?}");
            }
        }
        let open = parse("0.0.0.0:80", URL, "trusted_proxies = [\"0.0.0.0/0\"]").unwrap_err();
        assert!(open[0].contains("everybody"), "{open:?}");
        let many: Vec<_> = (0..=64).map(|n| format!("\"10.{n}.0.0/16\"")).collect();
        let many = format!("trusted_proxies = [{}]", many.join(","));
        assert!(parse("127.0.0.1:80", URL, &many).unwrap_err()[0].contains("too many"));
        assert!(parse("127.0.0.1:80", URL, "trusted_proxies = [\"proxy\"]").is_err());
        assert!(parse("127.0.0.1:80", URL, "proxy_headers = \"any\"").is_err());
    }

    #[test]
    fn tls_is_said_whole() {
        let of = |more: &str| {
            parse(
                "0.0.0.0:443",
                "https://mcp.example",
                &format!("{TLS}{more}"),
            )
        };
        let tls = of("").unwrap().tls.unwrap();
        assert_eq!(tls.key_file, Path::new("/srv/b.pem"));
        assert!(tls.clients.is_none());
        for (auth, required) in [("required", true), ("optional", false)] {
            let more = format!("client_ca = \"c.pem\"\nclient_auth = \"{auth}\"");
            let clients = of(&more).unwrap().tls.unwrap().clients.unwrap();
            assert_eq!(clients.required, required);
        }
        assert!(of("client_ca = \"c.pem\"").unwrap_err()[0].contains("nobody is asked"));
        assert!(of("client_auth = \"required\"").unwrap_err()[0].contains("no authority"));
        assert!(of("client_ca = \"c.pem\"\nclient_auth = \"none\"").is_err());
        assert!(of("poll_ms = 0").is_err() && of("poll_ms = 10001").is_err());
        let plain = parse("127.0.0.1:80", "http://localhost", TLS).unwrap_err();
        assert!(plain[0].contains("not https"), "{plain:?}");
    }

    #[test]
    fn bounds_are_lowered_and_never_raised() {
        let most = ConnectionBounds::default();
        let of = |line: &str| {
            let more = format!("[server.connections]\n{line}");
            parse("127.0.0.1:80", "https://mcp.example", &more).map(|front| front.bounds)
        };
        assert_eq!(of("").unwrap(), most);
        assert_eq!(of("header_wait_ms = 5").unwrap().header_wait.as_millis(), 5);
        assert_eq!(of("streams_max = 1").unwrap().streams, 1);
        let ceilings = [
            ("connections_max", most.connections as u128),
            ("per_address_max", most.per_address as u128),
            ("header_bytes_max", most.header_bytes as u128),
            ("headers_max", most.headers as u128),
            ("handshake_wait_ms", most.handshake_wait.as_millis()),
            ("header_wait_ms", most.header_wait.as_millis()),
            ("body_wait_ms", most.body_wait.as_millis()),
            ("answer_wait_ms", most.answer_wait.as_millis()),
            ("idle_ms", most.idle.as_millis()),
            ("requests_max", u128::from(most.requests)),
            ("streams_max", u128::from(most.streams)),
            ("drain_ms", most.drain.as_millis()),
        ];
        for (key, ceiling) in ceilings {
            assert_eq!(of(&format!("{key} = {ceiling}")).unwrap(), most, "{key}");
            for wrong in [0, ceiling + 1] {
                let problems = of(&format!("{key} = {wrong}")).unwrap_err();
                assert!(problems[0].contains("out of range"), "{problems:?}");
            }
        }
    }
}
