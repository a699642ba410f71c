//! How the configuration says where a vault is and what opens it, for secrets and for keys.

use toml::Spanned;
use url::{Host, Url};

use super::EgressHost;
use super::parse::Checker;

/// What opens a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultToken {
    /// In a file.
    File(String),
    /// In a variable of the environment.
    Env(String),
}

/// What opens a vault: exactly one of these.
pub(super) fn token<T>(
    check: &mut Checker<'_>,
    vault: &Spanned<T>,
    file: Option<&Spanned<String>>,
    env: Option<&Spanned<String>>,
) -> Option<VaultToken> {
    match (file, env) {
        (Some(file), None) => file_path(check, file, false).map(VaultToken::File),
        (None, Some(env)) => variable(check, env).map(VaultToken::Env),
        _ => {
            let message = "the vault is not opened by exactly one token";
            check.wrong(vault, message, "write one of `token_file` and `token_env`");
            None
        }
    }
}

/// A path, perhaps with `{tenant}` as a part of its segments.
pub(super) fn file_path(
    check: &mut Checker<'_>,
    raw: &Spanned<String>,
    tenant: bool,
) -> Option<String> {
    let path = raw.get_ref();
    let segment = |segment: &str| {
        let rest = segment.replacen("{tenant}", "", usize::from(tenant));
        segment != ".." && !rest.contains(['{', '}', '\0'])
    };
    if path.is_empty() || path.ends_with('/') || !path.split('/').all(segment) {
        let help = match tenant {
            true => "write the path of a file; `{tenant}` may stand once in a segment",
            false => "write the path of a file",
        };
        check.wrong(raw, "this is no path of a secret's file", help);
        return None;
    }
    let path = check.path(std::path::Path::new(path));
    Some(path.to_string_lossy().into_owned())
}

/// The name of a variable of the environment.
pub(super) fn variable(check: &mut Checker<'_>, raw: &Spanned<String>) -> Option<String> {
    let name = raw.get_ref();
    if name.is_empty() || name.contains(['=', '\0']) {
        check.wrong(
            raw,
            "this is no name of a variable",
            "write such as `TRACKER_TOKEN`",
        );
        return None;
    }
    Some(name.clone())
}

/// An origin, and whether it is on this machine or bound. Plain text goes nowhere else.
pub(super) fn address(
    check: &mut Checker<'_>,
    raw: &Spanned<String>,
    bound: &[EgressHost],
) -> Option<(Url, bool)> {
    let found = origin(raw.get_ref(), bound);
    if found.is_none() {
        let help = "write `https://`, a host and perhaps a port; http is for this machine and for hosts of `[[egress.host]]`";
        check.wrong(raw, "this is no address of a vault", help);
    }
    found
}

/// The same for whatever else is asked for: none where the text is no such origin.
pub(super) fn origin(text: &str, bound: &[EgressHost]) -> Option<(Url, bool)> {
    let url = text.parse::<Url>().ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.path() == "/"
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
    let url = url.filter(|url| local || url.scheme() == "https")?;
    Some((url, local))
}

/// A path in a vault, by its segments.
pub(super) fn segments(
    check: &mut Checker<'_>,
    raw: &Spanned<String>,
    tenant: bool,
) -> Option<Vec<String>> {
    let fits = |segment: &str| {
        let rest = segment.replacen("{tenant}", "", usize::from(tenant));
        !matches!(segment, "" | "." | "..")
            && rest
                .chars()
                .all(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}' | '\\' | '?' | '#' | '%'))
    };
    let all: Vec<String> = raw.get_ref().split('/').map(str::to_owned).collect();
    if !all.iter().all(|segment| fits(segment)) {
        let help = match tenant {
            true => "write segments with `/` between them; `{tenant}` may stand once in each",
            false => "write segments with `/` between them",
        };
        check.wrong(raw, "this is no path in a vault", help);
        return None;
    }
    Some(all)
}
