//! Host names as capabilities hold them: one spelling, never an address.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::CapabilityError;

/// A DNS name in A-label form, lower case, without a trailing dot. Never an IP literal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a parsed URL addresses; none for an IP literal in any of the forms that WHATWG URL knows.
    pub fn from_url(url: &url::Url) -> Option<Self> {
        match url.host()? {
            url::Host::Domain(name) => Self::from_domain(name),
            url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
        }
    }

    /// Whether this name lies below `suffix`, by whole labels.
    pub fn is_below(&self, suffix: &Self) -> bool {
        self.0
            .strip_suffix(&*suffix.0)
            .is_some_and(|rest| rest.ends_with('.'))
    }

    fn from_domain(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        // RFC 1035 §2.3.4: 253 characters, labels of 1 to 63.
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_')
                })
        };
        (name.len() <= 253 && name.split('.').all(label)).then(|| Self(name.into()))
    }
}

impl FromStr for HostName {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let refuse = || CapabilityError::Host(text.to_owned());
        // A percent sign would be decoded by the parser: two spellings of one name.
        if text.contains('%') {
            return Err(refuse());
        }
        match url::Host::parse(text).map_err(|_| refuse())? {
            url::Host::Domain(name) => Self::from_domain(&name).ok_or_else(refuse),
            url::Host::Ipv4(_) | url::Host::Ipv6(_) => Err(refuse()),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which hosts a capability reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostSelector {
    /// Any public host. Never a host that the operator bound privately, unless the binding says so.
    Any,
    /// Every name below this one, not the name itself.
    Suffix(HostName),
    /// This name.
    Exact(HostName),
}

impl HostSelector {
    /// Whether `name` is selected.
    pub fn selects(&self, name: &HostName) -> bool {
        match self {
            Self::Any => true,
            Self::Suffix(suffix) => name.is_below(suffix),
            Self::Exact(exact) => exact == name,
        }
    }

    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, narrower) | (narrower, Self::Any) => Some(narrower.clone()),
            (Self::Exact(name), selector) | (selector, Self::Exact(name)) => {
                selector.selects(name).then(|| Self::Exact(name.clone()))
            }
            (Self::Suffix(a), Self::Suffix(b)) => {
                if a == b || a.is_below(b) {
                    Some(Self::Suffix(a.clone()))
                } else {
                    b.is_below(a).then(|| Self::Suffix(b.clone()))
                }
            }
        }
    }
}

impl fmt::Display for HostSelector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Suffix(name) => write!(out, "*.{name}"),
            Self::Exact(name) => write!(out, "{name}"),
        }
    }
}

impl FromStr for HostSelector {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        match (text, text.strip_prefix("*.")) {
            ("*", _) => Ok(Self::Any),
            (_, Some(suffix)) => Ok(Self::Suffix(suffix.parse()?)),
            (exact, None) => Ok(Self::Exact(exact.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for same in ["API.Example.com", "api.example.com.", "api.example.com"] {
            assert_eq!(
                same.parse::<HostName>().unwrap().as_str(),
                "api.example.com"
            );
        }
        assert_eq!(
            "bücher.example".parse::<HostName>().unwrap().as_str(),
            "xn--bcher-kva.example"
        );
    }

    #[test]
    fn an_address_in_any_form_is_no_name() {
        for bad in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "[::1]",
            "127.1",
            "１２７.0.0.1",
            "a..b",
            "",
            "a%2eb.example",
        ] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_suffix_ends_at_a_label() {
        let suffix: HostSelector = "*.example.com".parse().unwrap();
        assert!(suffix.selects(&"a.example.com".parse().unwrap()));
        assert!(!suffix.selects(&"example.com".parse().unwrap()));
        assert!(!suffix.selects(&"evilexample.com".parse().unwrap()));
    }

    #[test]
    fn a_name_has_at_most_253_characters() {
        let labels = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
        let longest = format!("{labels}.{}", "d".repeat(61));
        assert_eq!(longest.len(), 253);
        // The dot at the end does not count.
        for same in [longest.clone(), format!("{longest}.")] {
            assert_eq!(same.parse::<HostName>().unwrap().as_str(), longest);
        }
        let longer = format!("{labels}.{}", "d".repeat(62));
        assert_eq!(longer.len(), 254);
        assert_eq!(
            longer.parse::<HostName>(),
            Err(CapabilityError::Host(longer))
        );
    }

    #[test]
    fn a_label_has_at_most_63_characters() {
        let name = |length: usize| format!("{}.example", "a".repeat(length));
        assert_eq!(name(63).parse::<HostName>().unwrap().as_str(), name(63));
        assert!(name(64).parse::<HostName>().is_err());
    }
}
