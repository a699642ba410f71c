//! Secrets as capabilities hold them: which one, with which host, and in which form the host of the sandbox attaches it.

use std::fmt;
use std::str::FromStr;

use super::{CapabilityError, HostName, HostSelector, parts};
use crate::ids::SecretName;

/// Longest name of a header field or of a query parameter that holds a secret, in bytes: a person reads it.
const FIELD_BYTES_MAX: usize = 64;

/// Fields in which no secret is put: of framing, of routing and of the connection, and those that the host writes itself.
const NOT_FIELDS: [&str; 19] = [
    "accept-encoding",
    "alt-svc",
    "alt-used",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

/// Fields of an AWS signature (Signature Version 4): who sets one of them signs for itself, or signs for another time or body.
const AWS_FIELDS: [&str; 4] = [
    "authorization",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
];
/// The same in a query, where a signature can stand as well.
const AWS_PARAMETERS: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// A secret of the operator, as far as one tool may use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret {
    /// The operator's name for it.
    pub name: SecretName,
    /// The one host to which it goes.
    pub at: Authority,
    /// How it is attached.
    pub form: SecretForm,
}

/// One host by its exact name, and a port where it is not that of the scheme or of the operator's binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: Option<u16>,
}

impl FromStr for Authority {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let refuse = || CapabilityError::Authority(text.to_owned());
        match parts::host_and_port(text).map_err(|_| refuse())? {
            (HostSelector::Exact(host), port) => Ok(Self { host, port }),
            (HostSelector::Any | HostSelector::Suffix(_), _) => Err(refuse()),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.host)?;
        match self.port {
            Some(port) => write!(out, ":{port}"),
            None => Ok(()),
        }
    }
}

/// How a secret is attached to a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretForm {
    /// `Authorization: Bearer VALUE` (RFC 6750 §2.1).
    Bearer,
    /// `Authorization: Basic …`, with a user that the operator names (RFC 7617 §2).
    Basic,
    /// A header field of this name, in lower case.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A signature of the request (AWS Signature Version 4), made with an access key.
    AwsSigV4,
}

impl SecretForm {
    /// The header fields that it takes, in lower case.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (one, more): (Option<&str>, &[&str]) = match self {
            Self::Bearer | Self::Basic => (Some("authorization"), &[]),
            Self::Header(name) => (Some(name), &[]),
            Self::Query(_) => (None, &[]),
            Self::AwsSigV4 => (None, &AWS_FIELDS),
        };
        one.into_iter().chain(more.iter().copied())
    }

    /// The parameters of the query that it takes, in whatever case they are written.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let (one, more): (Option<&str>, &[&str]) = match self {
            Self::Bearer | Self::Basic | Self::Header(_) => (None, &[]),
            Self::Query(name) => (Some(name), &[]),
            Self::AwsSigV4 => (None, &AWS_PARAMETERS),
        };
        one.into_iter().chain(more.iter().copied())
    }

    /// Whether a header field of this name, in lower case, has a signed request act on something else than its path names: S3 copies
    /// and renames from where it says.
    pub fn leads_elsewhere(&self, name: &str) -> bool {
        const ELSEWHERE: [&str; 2] = ["x-amz-copy-source", "x-amz-rename-source"];
        self.signs() && ELSEWHERE.iter().any(|begin| name.starts_with(begin))
    }

    /// Whether it signs the request, and so comes after everything else that is put in.
    pub fn signs(&self) -> bool {
        match self {
            Self::Bearer | Self::Basic | Self::Header(_) | Self::Query(_) => false,
            Self::AwsSigV4 => true,
        }
    }
}

impl fmt::Display for SecretForm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => out.write_str("bearer"),
            Self::Basic => out.write_str("basic"),
            Self::Header(name) => write!(out, "header {name}"),
            Self::Query(name) => write!(out, "query {name}"),
            Self::AwsSigV4 => out.write_str("aws-sigv4"),
        }
    }
}

impl FromStr for SecretForm {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let refuse = || CapabilityError::Form(text.to_owned());
        let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        match text.split_once(' ') {
            None if text == "bearer" => Ok(Self::Bearer),
            None if text == "basic" => Ok(Self::Basic),
            None if text == "aws-sigv4" => Ok(Self::AwsSigV4),
            Some((kind, name)) => {
                let fits = (1..=FIELD_BYTES_MAX).contains(&name.len());
                let lower = name.to_ascii_lowercase();
                match kind {
                    "header"
                        if fits
                            && name.bytes().all(word)
                            && !NOT_FIELDS.contains(&lower.as_str())
                            && !lower.starts_with("proxy-") =>
                    {
                        Ok(Self::Header(lower))
                    }
                    // Case counts in a query.
                    "query" if fits && name.bytes().all(|c| word(c) || c == b'.') => {
                        Ok(Self::Query(name.to_owned()))
                    }
                    _ => Err(refuse()),
                }
            }
            None => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Capability;
    use super::SecretForm;

    #[test]
    fn a_secret_has_one_text() {
        for (text, canonical) in [
            ("secret tracker api.example.com bearer", None),
            ("secret tracker api.example.com:8443 basic", None),
            ("secret t a.example query api_key", None),
            ("secret t a.example query Api.Key-2", None),
            ("secret t a.example aws-sigv4", None),
            (
                "secret t API.example.com. header X-Api-Key",
                Some("secret t api.example.com header x-api-key"),
            ),
        ] {
            let capability: Capability = text.parse().unwrap();
            assert_eq!(capability.to_string(), canonical.unwrap_or(text));
        }
    }

    #[test]
    fn what_is_no_exact_host_or_no_known_form_is_no_secret() {
        let of = |kind: &str, length: usize| {
            let name = "x".repeat(length);
            format!("secret t a.example {kind} {name}")
        };
        for kind in ["header", "query"] {
            let longest = of(kind, 64);
            assert_eq!(longest.parse::<Capability>().unwrap().to_string(), longest);
            assert!(of(kind, 65).parse::<Capability>().is_err(), "{kind}");
        }
        for wrong in [
            "secret",
            "secret t",
            "secret t a.example",
            "secret t a.example ",
            "secret t * bearer",
            "secret t *.example.com bearer",
            "secret t 127.0.0.1 bearer",
            "secret t a.example:0 bearer",
            "secret t a.example:99999 bearer",
            "secret t/u a.example bearer",
            "secret t a.example Bearer",
            "secret t a.example bearer x",
            "secret t a.example header",
            "secret t a.example header ",
            "secret t a.example header Host",
            "secret t a.example header content-length",
            "secret t a.example header Accept-Encoding",
            "secret t a.example header proxy-authorization",
            "secret t a.example header x y",
            "secret t a.example header x:y",
            "secret t a.example header x.y",
            "secret t a.example query",
            "secret t a.example query ",
            "secret t a.example query a&b",
            "secret t a.example query a%20b",
            "secret t a.example cookie x",
            "secret t a.example AWS-SigV4",
            "secret t a.example aws-sigv4 eu-central-1",
        ] {
            assert!(wrong.parse::<Capability>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn two_secrets_meet_where_they_are_equal_and_nowhere_else() {
        let one: Capability = "secret t a.example bearer".parse().unwrap();
        assert_eq!(one.meet(&one), Some(one.clone()));
        for other in [
            "secret u a.example bearer",
            "secret t b.example bearer",
            "secret t a.example:8443 bearer",
            "secret t a.example basic",
            "secret t a.example aws-sigv4",
            "http GET a.example /",
        ] {
            assert_eq!(one.meet(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn only_what_is_signed_is_led_elsewhere_and_only_by_a_source() {
        let signed = SecretForm::AwsSigV4;
        for source in [
            "x-amz-copy-source",
            "x-amz-copy-source-range",
            "x-amz-rename-source",
            "x-amz-rename-source-if-match",
        ] {
            assert!(signed.leads_elsewhere(source), "{source}");
            for form in ["bearer", "basic", "header x-key", "query key"] {
                let form: SecretForm = form.parse().unwrap();
                assert!(!form.leads_elsewhere(source), "{form}: {source}");
            }
        }
        for other in [
            "",
            "content-type",
            "x-amz-date",
            "x-amz-copy",
            "copy-source",
            "a-x-amz-copy-source",
        ] {
            assert!(!signed.leads_elsewhere(other), "{other}");
        }
    }
}
