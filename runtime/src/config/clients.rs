//! Clients that the operator names, and how metadata documents of the others are read.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::EgressHost;
use super::parse::Checker;
use crate::ids::ClientId;
use crate::limits::{CLIENT_NAME_CHARS_MAX, CLIENTS_NAMED_MAX};

/// A client that the operator vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClient {
    /// Its id, as tokens name it.
    pub id: ClientId,
    /// What users are told that it is.
    pub name: String,
}

/// How metadata documents of clients are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMetadata {
    /// Whether they are read at all.
    pub read: bool,
    /// Origins on this machine or on bound hosts from which they may be read; from everywhere else that is public they may.
    pub private_origins: Vec<url::Origin>,
    /// Certificates of further authorities that such servers may prove themselves by.
    pub ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClient {
    id: Spanned<String>,
    name: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClientMetadata {
    read: Option<bool>,
    #[serde(default)]
    private_origins: Vec<Spanned<String>>,
    ca_file: Option<PathBuf>,
}

pub(super) fn named(check: &mut Checker<'_>, raw: &[RawClient]) -> Vec<NamedClient> {
    let mut all: Vec<NamedClient> = Vec::new();
    for (n, one) in raw.iter().enumerate() {
        if n == CLIENTS_NAMED_MAX {
            let message = format!("more than {CLIENTS_NAMED_MAX} clients are named");
            check.wrong(&one.id, message, "name those that people must tell apart");
            break;
        }
        let name = one.name.get_ref();
        if name.trim().is_empty() || name.chars().count() > CLIENT_NAME_CHARS_MAX {
            let help = format!("write 1 to {CLIENT_NAME_CHARS_MAX} characters");
            check.wrong(
                &one.name,
                "the name of a client is empty or too long",
                &help,
            );
        }
        let help = "write the client id as tokens name it";
        let Some(id) = check.name::<ClientId>(&one.id, help) else {
            continue;
        };
        if all.iter().any(|known| known.id == id) {
            let help = "keep one `[[client]]` for it";
            check.wrong(&one.id, format!("the client `{id}` is named twice"), help);
        }
        let name = name.clone();
        all.push(NamedClient { id, name });
    }
    all
}

pub(super) fn metadata(
    check: &mut Checker<'_>,
    raw: &RawClientMetadata,
    hosts: &[EgressHost],
) -> ClientMetadata {
    let origins = raw.private_origins.iter();
    let private_origins: Vec<_> = origins
        .filter_map(|raw| private_origin(check, raw, hosts))
        .collect();
    ClientMetadata {
        read: raw.read.unwrap_or(true),
        private_origins,
        ca_file: raw.ca_file.as_deref().map(|file| check.path(file)),
    }
}

fn private_origin(
    check: &mut Checker<'_>,
    raw: &Spanned<String>,
    hosts: &[EgressHost],
) -> Option<url::Origin> {
    let text = raw.get_ref();
    let url = text.parse::<Url>().ok().filter(|url| {
        url.scheme() == "https"
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let Some(url) = url else {
        let help = "write `https://`, a host and perhaps a port, and nothing more";
        check.wrong(raw, format!("`{text}` is no https origin"), help);
        return None;
    };
    let local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => {
            name == "localhost" || hosts.iter().any(|host| host.name.as_str() == name)
        }
        None => false,
    };
    if !local {
        let message = format!("`{text}` is neither on this machine nor bound");
        let help = "bind its host with `[[egress.host]]`; public hosts need no mention";
        check.wrong(raw, message, help);
        return None;
    }
    Some(url.origin())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn clients_are_named_and_private_documents_are_read_only_where_the_operator_bound_a_host() {
        let config = parse("").unwrap();
        assert!(config.clients.is_empty() && config.client_metadata.read);
        assert!(config.client_metadata.private_origins.is_empty());
        let config = parse(
            "[[client]]\nid = \"cli-7\"\nname = \"Our command line\"\n\
             [client_metadata]\nread = false\nca_file = \"ca.pem\"\n\
             private_origins = [\"https://clients.corp\", \"https://127.0.0.1:8443\"]\n\
             [[egress.host]]\nname = \"clients.corp\"\naddress = \"10.0.0.9:443\"\n",
        )
        .unwrap();
        assert_eq!(config.clients[0].id.as_str(), "cli-7");
        assert_eq!(config.clients[0].name, "Our command line");
        assert!(!config.client_metadata.read);
        assert_eq!(config.client_metadata.private_origins.len(), 2);
        let ca_file = Some(PathBuf::from("/srv/ca.pem"));
        assert_eq!(config.client_metadata.ca_file, ca_file);
    }

    #[test]
    fn what_names_nobody_or_opens_too_much_is_refused_with_its_line() {
        let origins = |what: &str| format!("[client_metadata]\nprivate_origins = [\"{what}\"]\n");
        for (wrong, line, says) in [
            (
                "[[client]]\nid = \"\"\nname = \"x\"\n".to_owned(),
                9,
                "empty",
            ),
            (
                "[[client]]\nid = \"a\"\nname = \" \"\n".to_owned(),
                10,
                "empty",
            ),
            (
                format!("[[client]]\nid = \"a\"\nname = \"{}\"\n", "x".repeat(129)),
                10,
                "too long",
            ),
            (
                "[[client]]\nid = \"a\"\nname = \"x\"\n[[client]]\nid = \"a\"\nname = \"y\"\n"
                    .to_owned(),
                12,
                "twice",
            ),
            (
                "[[client]]\nid = \"a\"\nname = \"x\"\ntrusted = true\n".to_owned(),
                11,
                "unknown field",
            ),
            (origins("http://127.0.0.1:1"), 9, "no https origin"),
            (origins("https://127.0.0.1/path"), 9, "no https origin"),
            (origins("https://u@127.0.0.1"), 9, "no https origin"),
            (origins("*"), 9, "no https origin"),
            (origins("https://10.0.0.1"), 9, "neither"),
            (origins("https://clients.example"), 9, "neither"),
            (
                "[client_metadata]\ndeny = true\n".to_owned(),
                9,
                "unknown field",
            ),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
