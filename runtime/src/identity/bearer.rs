//! The token as a request shows it (RFC 6750 §2.1, RFC 9449 §7.1).
//!
//! Only the `Authorization` header counts. A token in the query, a form or a cookie is never used.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::error::IdentityError;
use crate::ids::Digest;
use crate::limits::TOKEN_BYTES_MAX;

/// By which scheme a request shows its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Whoever has it may show it.
    Bearer,
    /// With a proof of the key that it is bound to.
    Dpop,
}

/// A bearer token as it came, not yet verified. Zeroed when dropped, never printed.
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// A token that stood in no header: an ID token, or one of our own making.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The one token of a request, of which `query` is the part of the URL behind `?`.
    pub(super) fn from_headers(
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<(Scheme, Self), IdentityError> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = shown.next() else {
            return Err(IdentityError::MissingToken);
        };
        if shown.next().is_some() {
            return Err(IdentityError::InvalidRequest(
                "it has two `Authorization` headers",
            ));
        }
        // RFC 6750 §2: "Clients MUST NOT use more than one method to transmit the token in each request".
        if query.is_some_and(names_a_token) {
            return Err(IdentityError::InvalidRequest(
                "it has an access token in the header and in the query",
            ));
        }
        let header = header.to_str().map_err(|_| {
            IdentityError::InvalidRequest("its `Authorization` header is not visible ASCII")
        })?;
        let (scheme, rest) = match header.split_once(' ') {
            Some((scheme, rest)) => (scheme, rest.trim_start_matches(' ')),
            None => (header, ""),
        };
        if scheme.is_empty() || !scheme.bytes().all(is_scheme_byte) {
            return Err(IdentityError::InvalidRequest(
                "its `Authorization` header names no scheme",
            ));
        }
        let scheme = match scheme {
            bearer if bearer.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
            dpop if dpop.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
            _ => return Err(IdentityError::OtherScheme),
        };
        if rest.is_empty() {
            return Err(IdentityError::InvalidRequest("its token is empty"));
        }
        if !is_token68(rest) {
            return Err(IdentityError::InvalidRequest(
                "its `Authorization` header holds more than one token, or characters that no token has",
            ));
        }
        if rest.len() > TOKEN_BYTES_MAX {
            return Err(IdentityError::TooLong {
                bytes: rest.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        Ok((scheme, Self::new(rest.to_owned())))
    }

    /// The bytes, for the verifiers alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// What the token is known by where it must not be kept.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BearerToken(…)")
    }
}

fn names_a_token(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

/// RFC 9110 §5.6.2 `tchar`.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 6750 §2.1 `b64token`.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::identity::PublicError;

    fn read(values: &[&str], query: Option<&str>) -> Result<String, PublicError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                AUTHORIZATION,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        BearerToken::from_headers(&headers, query)
            .map(|(_, token)| token.reveal().to_owned())
            .map_err(|error| error.public())
    }

    #[test]
    fn one_bearer_token_in_the_authorization_header_is_read() {
        assert_eq!(read(&["Bearer a.b.c"], None), Ok("a.b.c".into()));
        assert_eq!(read(&["bEARER  a.b.c="], Some("x=1")), Ok("a.b.c=".into()));
    }

    #[test]
    fn w1_no_token_or_another_scheme_gets_a_challenge_without_error() {
        assert_eq!(read(&[], None), Err(PublicError::MissingToken));
        for other in ["Basic eDp5", "DPoPX a.b.c", "Negotiate", "BearerX a.b.c"] {
            assert_eq!(
                read(&[other], None),
                Err(PublicError::MissingToken),
                "{other}"
            );
        }
    }

    #[test]
    fn the_scheme_says_whether_a_proof_is_due() {
        let scheme = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            BearerToken::from_headers(&headers, None).map(|(scheme, _)| scheme)
        };
        assert_eq!(scheme("Bearer a.b.c").unwrap(), Scheme::Bearer);
        for dpop in ["DPoP a.b.c", "dpop a.b.c", "DPOP  a.b.c"] {
            assert_eq!(scheme(dpop).unwrap(), Scheme::Dpop);
        }
        assert!(scheme("DPoP a b").is_err());
    }

    #[test]
    fn w1_a_token_in_the_query_alone_is_ignored() {
        assert_eq!(
            read(&[], Some("access_token=a.b.c")),
            Err(PublicError::MissingToken)
        );
    }

    #[test]
    fn w3_two_headers_are_an_invalid_request() {
        for pair in [
            ["Bearer a.b.c", "Bearer a.b.c"],
            ["Bearer a.b.c", "Basic eDp5"],
            ["Basic eDp5", "Bearer a.b.c"],
        ] {
            assert_eq!(read(&pair, None), Err(PublicError::InvalidRequest));
        }
    }

    #[test]
    fn w3_header_and_query_together_are_an_invalid_request() {
        assert_eq!(read(&["Bearer a.b.c"], Some("y=2")), Ok("a.b.c".to_owned()));
        for query in ["access_token=", "x=1&access%5Ftoken=a", "access_token"] {
            assert_eq!(
                read(&["Bearer a.b.c"], Some(query)),
                Err(PublicError::InvalidRequest),
                "{query}"
            );
        }
    }

    #[test]
    fn w3_an_empty_double_or_unreadable_token_is_an_invalid_request() {
        for bad in [
            "",
            " a.b.c",
            "Bearer",
            "Bearer ",
            "Bearer a.b.c d.e.f",
            "Bearer a.b.c, Bearer d.e.f",
            "Bearer a.b.c,d.e.f",
            "Bearer a\tb",
            "Bearer\ta.b.c",
            "Bearer a=b",
            "Bearer ==",
            "Bearer \"a.b.c\"",
            "Bearer a.b.c ",
            "Bearer ä",
        ] {
            assert_eq!(
                read(&[bad], None),
                Err(PublicError::InvalidRequest),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn t18_a_token_is_no_longer_than_its_bound() {
        let header = |bytes: usize| format!("Bearer {}", "a".repeat(bytes));
        assert!(read(&[&header(TOKEN_BYTES_MAX)], None).is_ok());
        assert_eq!(
            read(&[&header(TOKEN_BYTES_MAX + 1)], None),
            Err(PublicError::InvalidToken)
        );
    }

    #[test]
    fn a_bearer_token_is_never_printed() {
        assert_eq!(
            format!("{:?}", BearerToken::new("canary".into())),
            "BearerToken(…)"
        );
    }
}
