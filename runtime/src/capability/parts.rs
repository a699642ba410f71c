//! The parts of a capability: methods, path prefixes, access, sub-paths.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CapabilityError, HostSelector};

/// The methods that can be granted. `CONNECT`, `TRACE` and `OPTIONS` are not among them.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// A set of HTTP methods, never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Methods(BTreeSet<&'static str>);

impl Methods {
    /// The set of these methods; none of them is an error.
    pub fn of<'a>(methods: impl IntoIterator<Item = &'a str>) -> Result<Self, CapabilityError> {
        let set = methods
            .into_iter()
            .map(|text| {
                METHODS
                    .into_iter()
                    .find(|known| *known == text)
                    .ok_or_else(|| CapabilityError::Method(text.to_owned()))
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        if set.is_empty() {
            return Err(CapabilityError::Method(String::new()));
        }
        Ok(Self(set))
    }

    /// Whether this method, in exact case, is in the set.
    pub fn contains(&self, method: &str) -> bool {
        self.0.contains(method)
    }

    /// Whether nothing but GET and HEAD is in the set.
    pub fn only_read(&self) -> bool {
        self.0
            .iter()
            .all(|method| matches!(*method, "GET" | "HEAD"))
    }

    /// The methods in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        let both: BTreeSet<_> = self.0.intersection(&other.0).copied().collect();
        (!both.is_empty()).then_some(Self(both))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, method) in self.iter().enumerate() {
            if place > 0 {
                out.write_str(",")?;
            }
            out.write_str(method)?;
        }
        Ok(())
    }
}

impl FromStr for Methods {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        Self::of(text.split(','))
    }
}

/// Where the path of a request must begin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Whether every path begins with it.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path`, already normalised by the URL parser, lies below the prefix by whole segments.
    pub fn contains(&self, path: &str) -> bool {
        // An encoded separator or dot is read differently by different servers; below a narrow prefix it could leave it.
        let lower = path.to_ascii_lowercase();
        let ambiguous = ["%2f", "%5c", "%2e", "\\", "//"]
            .iter()
            .any(|trick| lower.contains(trick));
        if ambiguous && !self.is_root() {
            return false;
        }
        match path.strip_prefix(&*self.0) {
            Some(rest) => self.0.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        if self.contains(&other.0) {
            Some(other.clone())
        } else {
            other.contains(&self.0).then(|| self.clone())
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for PathPrefix {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let clean = text.starts_with('/')
            && !text.contains("//")
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'%' | b'?' | b'#' | b'\\'))
            && text
                .split('/')
                .all(|segment| segment != "." && segment != "..");
        clean
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| CapabilityError::Path(text.to_owned()))
    }
}

/// What may be done with files, or with a store of keys and values. Writing includes reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Contents are never changed.
    Read,
    /// Files are read, created, changed and deleted.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl FromStr for Access {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            other => Err(CapabilityError::Access(other.to_owned())),
        }
    }
}

/// A relative path below a mount, by plain segments; empty is the whole mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubPath(Vec<String>);

impl SubPath {
    /// Whether it is the whole mount.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The segments from the mount down.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        if other.0.starts_with(&self.0) {
            Some(other.clone())
        } else {
            self.0.starts_with(&other.0).then(|| self.clone())
        }
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("/"))
    }
}

impl FromStr for SubPath {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment == segment.trim()
                && segment.chars().all(|c| !c.is_control() && c != '\\')
        };
        if !text.split('/').all(segment) {
            return Err(CapabilityError::Path(text.to_owned()));
        }
        Ok(Self(text.split('/').map(str::to_owned).collect()))
    }
}

/// Longest prefix of keys, in bytes: a person reads it.
const KEY_PREFIX_BYTES_MAX: usize = 128;

/// What keys must begin with, byte by byte; empty is every key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Whether every key begins with it.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` begins with it.
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.0)
    }

    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        if self.contains(&other.0) {
            Some(other.clone())
        } else {
            other.contains(&self.0).then(|| self.clone())
        }
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for KeyPrefix {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        // Keys may hold spaces; what a person is asked about shows where it ends.
        let visible = |c: char| !c.is_control() && !c.is_whitespace();
        if text.len() > KEY_PREFIX_BYTES_MAX || !text.chars().all(visible) {
            return Err(CapabilityError::Prefix(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `HOST` or `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> Result<(HostSelector, Option<u16>), CapabilityError> {
    match text.split_once(':') {
        None => Ok((text.parse()?, None)),
        Some((host, port)) => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            Ok((
                host.parse()?,
                Some(port.ok_or_else(|| CapabilityError::Host(text.to_owned()))?),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_method_is_no_set_of_methods() {
        assert_eq!(
            Methods::of(std::iter::empty::<&str>()),
            Err(CapabilityError::Method(String::new()))
        );
        assert!("".parse::<Methods>().is_err());
    }

    #[test]
    fn methods_meet_in_those_of_both_and_else_not_at_all() {
        let of = |text: &str| text.parse::<Methods>().unwrap();
        assert_eq!(of("GET,POST").meet(&of("GET,PUT")), Some(of("GET")));
        assert_eq!(of("GET,HEAD").meet(&of("POST")), None);
    }

    #[test]
    fn the_prefix_of_a_path_is_absolute_and_normal() {
        for prefix in ["/", "/v1", "/v1/", "/a.b/..c/.d", "/~a/@b;c=1"] {
            assert_eq!(prefix.parse::<PathPrefix>().unwrap().as_str(), prefix);
        }
        for wrong in [
            "", "v1", "//", "/a//b", "/a b", "/a\tb", "/a\u{7f}", "/é", "/a%20b", "/a?b", "/a#b",
            "/a\\b", "/.", "/./a", "/a/./b", "/..", "/../a", "/a/../b",
        ] {
            assert_eq!(
                wrong.parse::<PathPrefix>(),
                Err(CapabilityError::Path(wrong.to_owned()))
            );
        }
    }

    #[test]
    fn below_the_root_lies_every_path_however_it_is_written() {
        let root: PathPrefix = "/".parse().unwrap();
        for path in [
            "/",
            "/v1",
            "/a//b",
            "/a%2fb",
            "/a%5Cb",
            "/%2e%2e/a",
            "/a\\b",
        ] {
            assert!(root.contains(path), "{path}");
        }
        let narrow: PathPrefix = "/a".parse().unwrap();
        assert!(narrow.contains("/a/b") && !narrow.contains("/a//b"));
    }

    #[test]
    fn a_path_below_a_mount_goes_down_by_plain_segments() {
        for (text, segments) in [
            ("a", &["a"][..]),
            ("a/b c/é.txt", &["a", "b c", "é.txt"]),
            ("..a/.b", &["..a", ".b"]),
        ] {
            let path: SubPath = text.parse().unwrap();
            assert_eq!(path.segments(), segments);
            assert!(!path.is_whole(), "{text}");
        }
        let whole: SubPath = "".parse().unwrap();
        assert!(whole.is_whole());
        for wrong in [
            "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", " ", " a", "a ", "a/ b", "a /b",
            "a\0b", "a\u{7f}", "a\\b",
        ] {
            assert_eq!(
                wrong.parse::<SubPath>(),
                Err(CapabilityError::Path(wrong.to_owned()))
            );
        }
    }

    #[test]
    fn a_prefix_of_keys_has_at_most_128_bytes() {
        for longest in ["a".repeat(128), "é".repeat(64)] {
            let prefix: KeyPrefix = longest.parse().unwrap();
            assert_eq!(prefix.as_str(), longest);
        }
        for longer in ["a".repeat(129), format!("{}a", "é".repeat(64))] {
            assert_eq!(
                longer.parse::<KeyPrefix>(),
                Err(CapabilityError::Prefix(longer))
            );
        }
    }
}
