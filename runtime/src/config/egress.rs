//! Where tools may go beside the public web, and when their requests are made again.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use crate::capability::HostName;
use crate::limits::{HTTP_ATTEMPTS_MAX, HTTP_TOTAL_MAX};

/// A host that the operator bound to one address, which may be private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressHost {
    /// The name by which tools ask for it.
    pub name: HostName,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether `*` and `*.suffix` reach it as well.
    pub any: bool,
}

/// How often a request of a guest is made, and after what pauses. By default once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often at most.
    pub attempts: u32,
    /// The longest pause before the second attempt; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 1,
            first: Duration::from_millis(100),
            most: Duration::from_secs(2),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEgress {
    #[serde(default)]
    host: Vec<RawEgressHost>,
    retry: Option<RawRetry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEgressHost {
    name: Spanned<String>,
    address: SocketAddr,
    #[serde(default)]
    any: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    attempts: Spanned<u32>,
    first_ms: Option<Spanned<u64>>,
    most_ms: Option<Spanned<u64>>,
}

pub(super) fn hosts(check: &mut Checker<'_>, raw: &RawEgress) -> Vec<EgressHost> {
    let mut all: Vec<EgressHost> = Vec::new();
    for host in &raw.host {
        let Some(name) = check.name(&host.name, "write a DNS name, not an address") else {
            continue;
        };
        if all.iter().any(|known| known.name == name) {
            let help = "keep one `[[egress.host]]` of that name";
            check.wrong(&host.name, format!("`{name}` is bound twice"), help);
        }
        all.push(EgressHost {
            name,
            address: host.address,
            any: host.any,
        });
    }
    all
}

pub(super) fn retry(check: &mut Checker<'_>, raw: &RawEgress) -> Retry {
    let mut retry = Retry::default();
    let Some(raw) = &raw.retry else {
        return retry;
    };
    retry.attempts = *raw.attempts.get_ref();
    if !(1..=HTTP_ATTEMPTS_MAX).contains(&retry.attempts) {
        let help = format!("choose from 1 to {HTTP_ATTEMPTS_MAX}");
        check.wrong(&raw.attempts, "the attempts are out of range", &help);
    }
    let mut pause = |raw: &Option<Spanned<u64>>, known: Duration| {
        let Some(raw) = raw else { return known };
        let pause = Duration::from_millis(*raw.get_ref());
        if pause.is_zero() || pause > HTTP_TOTAL_MAX {
            let help = format!("choose from 1 to {}", HTTP_TOTAL_MAX.as_millis());
            check.wrong(raw, "the pause is out of range", &help);
        }
        pause
    };
    retry.first = pause(&raw.first_ms, retry.first);
    retry.most = pause(&raw.most_ms, retry.most.max(retry.first));
    if retry.most < retry.first
        && let Some(most) = &raw.most_ms
    {
        let help = "write at least as much as `first_ms`";
        check.wrong(most, "the longest pause is shorter than the first", help);
    }
    retry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn read(egress: &str) -> Result<Retry, String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"http://127.0.0.1:1\"\n\
             [tools]\ndir = \"t\"\n[state]\nurl = \"sqlite://s.db\"\n{egress}"
        );
        Config::parse("b.toml", &text, Path::new("."))
            .map(|config| config.retry)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn requests_are_made_once_unless_the_operator_says_more() {
        assert_eq!(read("").unwrap(), Retry::default());
        assert_eq!(read("").unwrap().attempts, 1);
        let told = read("[egress.retry]\nattempts = 3\nfirst_ms = 50\nmost_ms = 400\n").unwrap();
        assert_eq!(told.attempts, 3);
        assert_eq!((told.first, told.most).0, Duration::from_millis(50));
        assert_eq!(told.most, Duration::from_millis(400));
        let long = read("[egress.retry]\nattempts = 2\nfirst_ms = 5000\n").unwrap();
        assert_eq!(long.most, Duration::from_millis(5_000));
    }

    #[test]
    fn what_is_out_of_range_is_told_with_its_line() {
        for (wrong, says) in [
            ("attempts = 0", "attempts are out of range"),
            ("attempts = 6", "attempts are out of range"),
            ("attempts = 2\nfirst_ms = 0", "pause is out of range"),
            ("attempts = 2\nmost_ms = 10001", "pause is out of range"),
            (
                "attempts = 2\nfirst_ms = 500\nmost_ms = 400",
                "shorter than the first",
            ),
            ("attempts = 2\nforever = true", "unknown field"),
            ("first_ms = 2", "missing field"),
        ] {
            let error = read(&format!("[egress.retry]\n{wrong}\n")).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
