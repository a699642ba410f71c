//! The token in every form: only the page that we showed in this session can send it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::Digest;

/// The server's key that seals forms.
#[derive(Clone)]
pub(super) struct FormKey(hmac::Key);

/// What a form is for. A token for one thing is none for another.
pub(super) enum Purpose<'a> {
    /// Ends the session.
    SignOut,
    /// Takes consents back.
    Revoke,
    /// Answers one question as it was shown.
    Decide {
        /// Hash of the ticket.
        ticket: Digest,
        /// What the page showed, without the token.
        page: &'a [u8],
    },
}

impl FormKey {
    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of a form that is shown in this session.
    pub(super) fn seal(&self, session: Digest, purpose: &Purpose<'_>) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(session.as_bytes());
        match purpose {
            Purpose::SignOut => context.update(b"sign-out"),
            Purpose::Revoke => context.update(b"revoke"),
            Purpose::Decide { ticket, page } => {
                context.update(b"decide");
                context.update(ticket.as_bytes());
                context.update(Digest::of(page).as_bytes());
            }
        }
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// Whether a form that came back has its token.
    pub(super) fn holds(
        &self,
        token: Option<&str>,
        session: Digest,
        purpose: &Purpose<'_>,
    ) -> bool {
        let due = self.seal(session, purpose);
        token.is_some_and(|token| verify_slices_are_equal(token.as_bytes(), due.as_bytes()).is_ok())
    }
}

/// The fields of a form as they came.
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The field of this name, if there is exactly one.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        let (_, first) = found.next()?;
        found.next().is_none().then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_in_its_session_for_its_purpose() {
        let key = FormKey::new(&[7; 32]);
        let (session, other) = (Digest::of(b"a"), Digest::of(b"b"));
        let decide = |page: &'static [u8]| Purpose::Decide {
            ticket: Digest::of(b"t"),
            page,
        };
        let token = key.seal(session, &decide(b"page"));
        assert!(key.holds(Some(&token), session, &decide(b"page")));
        assert!(!key.holds(Some(&token), other, &decide(b"page")));
        assert!(!key.holds(Some(&token), session, &decide(b"another page")));
        assert!(!key.holds(Some(&token), session, &Purpose::Revoke));
        assert!(!key.holds(Some(&token), session, &Purpose::SignOut));
        assert!(!key.holds(None, session, &decide(b"page")));
        assert!(!key.holds(Some(""), session, &decide(b"page")));
        assert!(!FormKey::new(&[8; 32]).holds(Some(&token), session, &decide(b"page")));
    }

    #[test]
    fn a_field_that_comes_twice_counts_as_none() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let fields = Fields(vec![pair("a", "1"), pair("b", "2"), pair("b", "3")]);
        assert_eq!(fields.one("a"), Some("1"));
        assert_eq!(fields.one("b"), None);
        assert_eq!(fields.one("c"), None);
    }
}
