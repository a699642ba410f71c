//! What becomes of the audit log beside its writing: checkpoints, copies of them elsewhere, and how long records are kept.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::EgressHost;
use super::parse::Checker;
use super::vault::file_path;
use crate::limits::{
    AUDIT_COPIES_MAX, AUDIT_KEEP_MAX, AUDIT_KEEP_MIN, CHECKPOINT_EVERY_DEFAULT,
    CHECKPOINT_EVERY_MAX, CHECKPOINT_RECORDS_DEFAULT, CHECKPOINT_RECORDS_MAX,
};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// What becomes of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// After how many records there is a checkpoint.
    pub records: u64,
    /// After what time there is one, if there are new records.
    pub every: Duration,
    /// How long records are kept; for ever when nothing is said.
    pub keep: Option<Duration>,
    /// Where checkpoints are copied to.
    pub copies: Vec<AuditCopy>,
}

/// A place outside that gets every checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditCopy {
    /// A file that is only appended to.
    File(PathBuf),
    /// An address that takes them by POST.
    Http {
        /// The address.
        url: Url,
        /// A file with a bearer token for it.
        token_file: Option<PathBuf>,
        /// Certificates of further authorities by which it may prove itself.
        ca_file: Option<PathBuf>,
        /// Whether it is on this machine or on a host that the operator bound.
        local: bool,
    },
    /// A collector of syslog messages (RFC 5424).
    Syslog(SyslogAddress),
}

/// Where a collector of syslog messages listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A datagram socket on this machine.
    Unix(PathBuf),
    /// One message a datagram; nobody says whether it arrived.
    Udp(SocketAddr),
    /// Messages with their length before them (RFC 6587 §3.4.1).
    Tcp(SocketAddr),
}

/// The name under which the state notes how far a copy came.
impl fmt::Display for AuditCopy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Http { url, .. } => write!(out, "{url}"),
            Self::Syslog(SyslogAddress::Unix(path)) => write!(out, "unix:{}", path.display()),
            Self::Syslog(SyslogAddress::Udp(address)) => write!(out, "udp://{address}"),
            Self::Syslog(SyslogAddress::Tcp(address)) => write!(out, "tcp://{address}"),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    checkpoint_records: Option<Spanned<u64>>,
    checkpoint_seconds: Option<Spanned<u64>>,
    keep_days: Option<Spanned<u64>>,
    #[serde(default)]
    copy: Vec<Spanned<RawCopy>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCopy {
    file: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    syslog: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
    ca_file: Option<PathBuf>,
}

pub(super) fn audit(check: &mut Checker<'_>, raw: &RawAudit, hosts: &[EgressHost]) -> AuditConfig {
    let records = within(
        check,
        raw.checkpoint_records.as_ref(),
        "checkpoint_records",
        (1, CHECKPOINT_RECORDS_MAX),
    );
    let every = within(
        check,
        raw.checkpoint_seconds.as_ref(),
        "checkpoint_seconds",
        (1, CHECKPOINT_EVERY_MAX.as_secs()),
    );
    let days = (
        AUDIT_KEEP_MIN.as_secs() / DAY,
        AUDIT_KEEP_MAX.as_secs() / DAY,
    );
    let keep = within(check, raw.keep_days.as_ref(), "keep_days", days);
    let mut copies: Vec<AuditCopy> = Vec::new();
    for one in &raw.copy {
        let Some(copy) = copy(check, one, hosts) else {
            continue;
        };
        if copies
            .iter()
            .any(|other| other.to_string() == copy.to_string())
        {
            check.wrong(
                one,
                "there are two copies in one place",
                "remove one of them",
            );
        }
        copies.push(copy);
    }
    if let Some(over) = raw.copy.get(AUDIT_COPIES_MAX) {
        let help = format!("keep at most {AUDIT_COPIES_MAX}");
        check.wrong(over, "there are too many copies", &help);
    }
    AuditConfig {
        records: records.unwrap_or(CHECKPOINT_RECORDS_DEFAULT),
        every: every.map_or(CHECKPOINT_EVERY_DEFAULT, Duration::from_secs),
        keep: keep.map(|days| Duration::from_secs(days.saturating_mul(DAY))),
        copies,
    }
}

fn within(
    check: &mut Checker<'_>,
    raw: Option<&Spanned<u64>>,
    key: &str,
    (least, most): (u64, u64),
) -> Option<u64> {
    let raw = raw?;
    if !(least..=most).contains(raw.get_ref()) {
        let message = format!("`{key}` is out of range");
        check.wrong(raw, message, &format!("choose {least} to {most}"));
    }
    Some((*raw.get_ref()).clamp(least, most))
}

fn copy(
    check: &mut Checker<'_>,
    raw: &Spanned<RawCopy>,
    hosts: &[EgressHost],
) -> Option<AuditCopy> {
    let one = raw.get_ref();
    if one.url.is_none() && (one.token_file.is_some() || one.ca_file.is_some()) {
        let message = "`token_file` and `ca_file` are for a copy by `url`";
        check.wrong(raw, message, "remove them");
        return None;
    }
    match (&one.file, &one.url, &one.syslog) {
        (Some(file), None, None) => {
            let path = file_path(check, file, false)?;
            Some(AuditCopy::File(path.into()))
        }
        (None, Some(url), None) => {
            let token = one.token_file.as_ref();
            let token_file = match token {
                Some(file) => Some(file_path(check, file, false)?.into()),
                None => None,
            };
            let (url, local) = address(check, url, hosts)?;
            Some(AuditCopy::Http {
                url,
                token_file,
                ca_file: one.ca_file.as_deref().map(|file| check.path(file)),
                local,
            })
        }
        (None, None, Some(syslog)) => match collector(syslog.get_ref()) {
            Some(address) => Some(AuditCopy::Syslog(address)),
            None => {
                let help = "write `unix:/dev/log`, `udp://192.0.2.1:514` or `tcp://192.0.2.1:601`";
                check.wrong(syslog, "this is no address of a collector", help);
                None
            }
        },
        _ => {
            let help = "write one of `file`, `url` and `syslog`";
            check.wrong(raw, "a copy has not exactly one place", help);
            None
        }
    }
}

fn collector(text: &str) -> Option<SyslogAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path
            .starts_with('/')
            .then(|| SyslogAddress::Unix(path.into()));
    }
    if let Some(address) = text.strip_prefix("udp://") {
        return address.parse().ok().map(SyslogAddress::Udp);
    }
    let address = text.strip_prefix("tcp://")?;
    address.parse().ok().map(SyslogAddress::Tcp)
}

/// An address that takes checkpoints, and whether it is on this machine or bound. Plain text goes nowhere else.
fn address(
    check: &mut Checker<'_>,
    raw: &Spanned<String>,
    bound: &[EgressHost],
) -> Option<(Url, bool)> {
    // What stands in an address is logged; a secret belongs into the file of the token.
    let url = raw.get_ref().parse::<Url>().ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let local = url.as_ref().is_some_and(|url| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => {
            name == "localhost" || bound.iter().any(|host| host.name.as_str() == name)
        }
        None => false,
    });
    match url.filter(|url| local || url.scheme() == "https") {
        Some(url) => Some((url, local)),
        None => {
            let help = "write an https address without a query; http is for this machine and for hosts of `[[egress.host]]`";
            check.wrong(raw, "this is no address for checkpoints", help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn what_is_not_said_is_usual_and_nothing_is_thrown_away() {
        let audit = parse("").unwrap().audit;
        assert_eq!(audit.records, CHECKPOINT_RECORDS_DEFAULT);
        assert_eq!(audit.every, CHECKPOINT_EVERY_DEFAULT);
        assert_eq!((audit.keep, audit.copies.len()), (None, 0));
        let text = "[audit]\ncheckpoint_records = 7\ncheckpoint_seconds = 5\nkeep_days = 400\n\
                    [[audit.copy]]\nfile = \"copy.txt\"\n\
                    [[audit.copy]]\nurl = \"https://witness.example/add\"\ntoken_file = \"t\"\n\
                    [[audit.copy]]\nurl = \"http://127.0.0.1:9/add\"\n\
                    [[audit.copy]]\nsyslog = \"unix:/dev/log\"\n\
                    [[audit.copy]]\nsyslog = \"tcp://192.0.2.1:601\"\n";
        let audit = parse(text).unwrap().audit;
        assert_eq!((audit.records, audit.every), (7, Duration::from_secs(5)));
        assert_eq!(audit.keep, Some(Duration::from_secs(400 * DAY)));
        let names: Vec<_> = audit.copies.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "file /srv/copy.txt",
                "https://witness.example/add",
                "http://127.0.0.1:9/add",
                "unix:/dev/log",
                "tcp://192.0.2.1:601"
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let copy = |text: &str| format!("[[audit.copy]]\n{text}\n");
        for (wrong, line, says) in [
            (
                "[audit]\ncheckpoint_records = 0\n".to_owned(),
                9,
                "out of range",
            ),
            (
                "[audit]\ncheckpoint_records = 100001\n".to_owned(),
                9,
                "out of range",
            ),
            (
                "[audit]\ncheckpoint_seconds = 0\n".to_owned(),
                9,
                "out of range",
            ),
            (
                "[audit]\ncheckpoint_seconds = 86401\n".to_owned(),
                9,
                "out of range",
            ),
            ("[audit]\nkeep_days = 29\n".to_owned(), 9, "out of range"),
            ("[audit]\nkeep_days = 36501\n".to_owned(), 9, "out of range"),
            ("[audit]\nkeep = 1\n".to_owned(), 9, "unknown field"),
            (copy(""), 8, "exactly one place"),
            (
                copy("file = \"a\"\nsyslog = \"unix:/dev/log\""),
                8,
                "exactly one place",
            ),
            (copy("file = \"a/\""), 9, "no path"),
            (
                copy("file = \"a\"\ntoken_file = \"t\""),
                8,
                "for a copy by `url`",
            ),
            (copy("url = \"http://witness.example/\""), 9, "no address"),
            (
                copy("url = \"https://u:p@witness.example/\""),
                9,
                "no address",
            ),
            (
                copy("url = \"https://witness.example/?key=1\""),
                9,
                "no address",
            ),
            (
                copy("syslog = \"unix:dev/log\""),
                9,
                "no address of a collector",
            ),
            (
                copy("syslog = \"udp://collector:514\""),
                9,
                "no address of a collector",
            ),
            (
                copy("syslog = \"192.0.2.1:514\""),
                9,
                "no address of a collector",
            ),
            (
                copy("file = \"a\"").repeat(2),
                10,
                "two copies in one place",
            ),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = |one: &crate::problem::Problem| {
                one.line == Some(line) && one.message.contains(says)
            };
            assert!(problems.iter().any(told), "{wrong}: {problems:?}");
        }
        let all: String = (0..=AUDIT_COPIES_MAX)
            .map(|at| copy(&format!("file = \"{at}\"")))
            .collect();
        let ConfigError::Invalid { problems } = parse(&all).unwrap_err() else {
            panic!()
        };
        assert!(
            problems[0].message.contains("too many copies"),
            "{problems:?}"
        );
    }
}
