//! Header fields that never cross the border, in either direction, in heads and in trailers.
//!
//! Pure. Who sends a request and how its body ends is for this side alone to say: a field that says it otherwise is dropped
//! (routing, hop-by-hop) or refuses the message (framing).

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName};

/// Fields of the connection (RFC 9110 §7.6.1), of proxies, and those that choose another host or protocol.
const FORBIDDEN: [HeaderName; 10] = [
    CONNECTION,
    EXPECT,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("alt-used"),
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
];

/// Fields that have no place in trailers (RFC 9110 §6.5.1): framing, routing, authentication, control, content.
const NOT_IN_TRAILERS: [&str; 24] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "www-authenticate",
];

/// Whether a guest may neither set nor see this field.
pub fn is_forbidden(name: &HeaderName) -> bool {
    FORBIDDEN.contains(name) || name.as_str().starts_with("proxy-")
}

/// Removes forbidden fields, and those that `Connection` names (RFC 9110 §7.6.1).
pub(super) fn strip(fields: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    remove(fields, |name| {
        is_forbidden(name) || nominated.contains(name)
    });
}

/// Removes from trailers what may not stand there.
pub(super) fn strip_trailers(fields: &mut HeaderMap) {
    remove(fields, |name| {
        is_forbidden(name) || NOT_IN_TRAILERS.contains(&name.as_str())
    });
}

fn remove(fields: &mut HeaderMap, bad: impl Fn(&HeaderName) -> bool) {
    let bad: Vec<_> = fields.keys().filter(|name| bad(name)).cloned().collect();
    for name in bad {
        fields.remove(name);
    }
}

/// The length that a message declares. Two readings of where it ends are an error (RFC 9112 §6.3), as is any transfer
/// coding but `chunked`.
pub(super) fn declared_length(fields: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    match (coding, length) {
        (Some(_), Some(_)) => return Err("both a length and a transfer coding"),
        (Some(coding), None)
            if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            return Err("an unknown transfer coding");
        }
        (Some(_), None) | (None, None) => return Ok(None),
        (None, Some(_)) => {}
    }
    if lengths.next().is_some() {
        return Err("more than one length");
    }
    // RFC 9110 §8.6: 1*DIGIT, so no sign and no list.
    length
        .and_then(|length| length.to_str().ok())
        .filter(|length| !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|length| length.parse().ok())
        .map(Some)
        .ok_or("a length that is no number")
}

/// About how many bytes a set of fields takes on the wire.
pub(super) fn size(fields: &HeaderMap) -> u64 {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()) + 4)
        .fold(0, |all, one| {
            all.saturating_add(u64::try_from(one).unwrap_or(u64::MAX))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn fields_of_the_connection_and_of_routing_are_dropped() {
        let mut map = fields(&[
            ("host", "other.example.com"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("proxy-authorization", "x"),
            ("proxy-anything", "x"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("alt-svc", "h3=\":443\""),
            ("keep-alive", "1"),
            ("accept", "text/plain"),
            ("authorization", "Bearer x"),
        ]);
        strip(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization"]);
    }

    #[test]
    fn trailers_carry_neither_framing_nor_credentials() {
        let mut map = fields(&[
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("host", "x"),
            ("authorization", "x"),
            ("set-cookie", "x"),
            ("x-checksum", "1"),
        ]);
        strip_trailers(&mut map);
        let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-checksum"]);
    }

    #[test]
    fn a_message_ends_in_one_way() {
        assert_eq!(declared_length(&fields(&[])), Ok(None));
        assert_eq!(
            declared_length(&fields(&[("content-length", "5")])),
            Ok(Some(5))
        );
        assert_eq!(
            declared_length(&fields(&[("transfer-encoding", "Chunked")])),
            Ok(None)
        );
        for bad in [
            &[("content-length", "5"), ("content-length", "5")][..],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "-5")],
            &[("content-length", "")],
            &[("content-length", "99999999999999999999")],
            &[("transfer-encoding", "gzip, chunked")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "identity")],
        ] {
            assert!(declared_length(&fields(bad)).is_err(), "{bad:?}");
        }
    }
}
