//! E-mail addresses, addresses of the internet and of devices, passwords in URLs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::class::Kind;
use super::super::forms::{Alone, Proof};
use super::super::secrets::{self, UserInfo};
use super::super::{Confidence, Reason};
use super::Finder;

/// Longest local part of an e-mail address (RFC 5321 § 4.5.3.1.1), in bytes.
const LOCAL_BYTES_MAX: usize = 64;
/// Longest name of a host (RFC 1035), in bytes.
const HOST_BYTES_MAX: usize = 253;
/// Longest address of version 6 as text, in bytes.
const IP_BYTES_MAX: usize = 45;

impl Finder<'_> {
    /// An e-mail address around an `@`; where to go on.
    pub(super) fn email(&mut self, at: usize) -> usize {
        let local = |c: u8| {
            c.is_ascii_alphanumeric()
                || matches!(
                    c,
                    b'.' | b'_'
                        | b'%'
                        | b'+'
                        | b'-'
                        | b'\''
                        | b'='
                        | b'&'
                        | b'!'
                        | b'#'
                        | b'$'
                        | b'*'
                        | b'/'
                        | b'?'
                        | b'^'
                        | b'{'
                        | b'|'
                        | b'}'
                        | b'~'
                )
        };
        let plain = |c: u8| {
            c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
        };
        let back = (1..=LOCAL_BYTES_MAX)
            .take_while(|n| *n <= at && local(self.back(at, *n)))
            .count();
        self.work += back as u64;
        // What text puts before an address is not of it: quotes, slashes, `mail=`.
        let span = self.slice(&(at - back..at));
        let odd = span
            .iter()
            .rposition(|c| !plain(*c))
            .map_or(0, |odd| odd + 1);
        let mut start = at - back + odd;
        while start < at && !self.byte(start).is_ascii_alphanumeric() && self.byte(start) != b'_' {
            start += 1;
        }
        let host = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.');
        let rest = self.text.get(at + 1..).unwrap_or_default();
        let length = rest
            .iter()
            .take(HOST_BYTES_MAX)
            .take_while(|c| host(**c))
            .count();
        self.work += length as u64;
        let domain = rest.get(..length).unwrap_or_default();
        let length = domain
            .iter()
            .rposition(u8::is_ascii_alphanumeric)
            .map_or(0, |last| last + 1);
        let domain = domain.get(..length).unwrap_or_default();
        let end = at + 1 + length;
        if start >= at || !domain_fits(domain) || self.is_no_mail(start..at, domain, end) {
            return at + 1;
        }
        let reason = match self.field.name.has(Kind::Email.id()) {
            true => Reason::FieldName,
            false => Reason::Form,
        };
        self.push(Kind::Email.id(), start..end, Confidence::Sure, 95, reason);
        end
    }

    /// What has an `@` and is no e-mail address: `git@host:path`, `icon@2x.png`.
    fn is_no_mail(&self, local: std::ops::Range<usize>, domain: &[u8], end: usize) -> bool {
        let remote = self.slice(&local) == b"git" && matches!(self.byte(end), b':' | b'/');
        let scaled = domain.first().is_some_and(u8::is_ascii_digit)
            && domain.get(1) == Some(&b'x')
            && domain.get(2) == Some(&b'.');
        remote || scaled
    }

    /// What a colon may stand in: a URL, an address of version 6, the address of a device.
    pub(super) fn colon(&mut self, at: usize) -> usize {
        if self
            .text
            .get(at..)
            .is_some_and(|rest| rest.starts_with(b"://"))
        {
            return match secrets::userinfo_at(self.text, at) {
                Some(UserInfo::Password { span, at }) => {
                    self.push(
                        Kind::UrlPassword.id(),
                        span,
                        Confidence::Sure,
                        95,
                        Reason::Form,
                    );
                    at + 1
                }
                Some(UserInfo::Plain { at }) => {
                    self.work += 1;
                    // A user name before a host is no e-mail address.
                    at + 1
                }
                None => at + 3,
            };
        }
        let back = (1..=4)
            .take_while(|n| self.back(at, *n).is_ascii_hexdigit())
            .count();
        let start = at - back;
        if self.back(start, 1).is_ascii_alphanumeric() || self.goes_on(start, b':') {
            return at + 1;
        }
        let part = |c: &u8| c.is_ascii_hexdigit() || matches!(c, b':' | b'.');
        let rest = self.text.get(start..).unwrap_or_default();
        let mut length = rest
            .iter()
            .take(IP_BYTES_MAX)
            .take_while(|c| part(c))
            .count();
        self.work += length as u64;
        let more = rest
            .get(length)
            .is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
        while length > 0
            && matches!(rest.get(length - 1), Some(b'.' | b':'))
            && rest.get(length.saturating_sub(2)) != Some(&b':')
        {
            length -= 1;
        }
        let text = rest.get(..length).unwrap_or_default();
        if more || text.iter().filter(|c| **c == b':').count() < 2 {
            return at + 1;
        }
        if let Some(end) = self.mac(start, b':') {
            return end;
        }
        let end = start + length;
        let Some(address) = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<Ipv6Addr>().ok())
        else {
            return at + 1;
        };
        if is_personal(address.into()) {
            let long = address.segments().iter().filter(|part| **part != 0).count() > 2;
            let alone = if long { Alone::Sure } else { Alone::Likely };
            self.weigh(Kind::Ip, start..end, Proof::Formed, alone, true);
        }
        end
    }

    /// Whether a group of hexadecimal digits is not the first: a label ends with a colon too.
    fn goes_on(&self, start: usize, sign: u8) -> bool {
        let digit = |n: &usize| self.back(start, *n).is_ascii_hexdigit();
        let before = (2..=6).take_while(digit).count();
        let whole = before <= 4 && !self.back(start, before + 2).is_ascii_alphanumeric();
        self.back(start, 1) == sign
            && (before == 0 && self.back(start, 2) == sign || before > 0 && whole)
    }

    /// Four numbers with points between them; where they end.
    pub(super) fn ipv4(&mut self, start: usize) -> Option<usize> {
        let rest = self.text.get(start..)?;
        let part = |c: &u8| c.is_ascii_digit() || *c == b'.';
        let mut length = rest.iter().take(16).take_while(|c| part(c)).count();
        self.work += length as u64;
        if rest.get(length.checked_sub(1)?) == Some(&b'.') {
            length -= 1;
        }
        let end = start + length;
        let text = std::str::from_utf8(rest.get(..length)?).ok()?;
        let address: Ipv4Addr = text.parse().ok()?;
        let joined = self.byte(end).is_ascii_alphanumeric()
            || matches!(self.back(start, 1), b'.' | b'-' | b'_' | b'/')
                && self.back(start, 2).is_ascii_alphanumeric();
        if !joined && is_personal(address.into()) {
            let span = start..end;
            self.weigh(Kind::Ip, span, Proof::Formed, Alone::Likely, true);
        }
        Some(end)
    }

    /// Six bytes of a device with this sign between them, or three pairs with points; where they end.
    pub(super) fn mac(&mut self, start: usize, sign: u8) -> Option<usize> {
        let (group, length) = if sign == b'.' { (4, 14) } else { (2, 17) };
        let text = self.slice(&(start..start + length));
        let end = start + length;
        let fits = |(at, c): (usize, &u8)| match at % (group + 1) == group {
            true => *c == sign,
            false => c.is_ascii_hexdigit(),
        };
        let joined = |c: u8| c.is_ascii_alphanumeric() || c == sign;
        if text.len() != length
            || !text.iter().enumerate().all(fits)
            || joined(self.byte(end))
                && (self.byte(end) != b'.' || self.byte(end + 1).is_ascii_alphanumeric())
            || self.back(start, 1).is_ascii_alphanumeric()
            || self.goes_on(start, sign)
        {
            return None;
        }
        let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_hexdigit).collect();
        let first = std::str::from_utf8(digits.get(..2)?).ok()?;
        // A group's address, or nobody's.
        let shared = u8::from_str_radix(first, 16).ok()? & 1 == 1;
        let nobody = digits.windows(2).all(|pair| pair.first() == pair.last());
        if shared || nobody {
            return Some(end);
        }
        let letters = digits.iter().any(u8::is_ascii_alphabetic);
        let alone = if letters && sign != b'.' {
            Alone::Sure
        } else {
            Alone::Likely
        };
        self.weigh(Kind::Mac, start..end, Proof::Formed, alone, true);
        Some(end)
    }
}

fn domain_fits(domain: &[u8]) -> bool {
    let mut labels = domain.split(|c| *c == b'.');
    let edge = |label: &[u8]| {
        !label.is_empty() && label.first() != Some(&b'-') && label.last() != Some(&b'-')
    };
    let last = domain.rsplit(|c| *c == b'.').next().unwrap_or_default();
    let top =
        last.len() >= 2 && last.iter().all(u8::is_ascii_alphabetic) || last.starts_with(b"xn--");
    domain.contains(&b'.') && top && labels.all(edge)
}

/// Whether an address can lead to a person: not one of a machine by itself, of a network at home or of documentation.
fn is_personal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(a == 0
                || a >= 240
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_multicast()
                || shared
                || benchmark)
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_personal(v4.into());
            }
            let [a, b, ..] = v6.segments();
            let documentation = a == 0x2001 && b == 0xdb8 || a == 0x3fff && b < 0x1000;
            a & 0xe000 == 0x2000 && !documentation
        }
    }
}
