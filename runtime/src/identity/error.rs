//! Why a token is refused: in full for the log, in one of eight words for the caller.
//!
//! No text here holds a token. What a token claims may stand here, cut to [`SHOWN_CHARS_MAX`] and with control characters escaped.

use std::sync::Arc;

use super::introspect::IntrospectionError;
use super::keys::KeyError;
use super::sender::ProofError;
use super::strict::StrictError;
use crate::clock::Timestamp;
use crate::ids::{Issuer, NameError};

/// Longest text of a token that is shown in the log, in characters. Audiences and issuers are URLs; nobody needs more to mend one.
const SHOWN_CHARS_MAX: usize = 120;

/// Why a request has no [`Caller`](super::Caller). For the operator's log; what the caller learns is [`IdentityError::public`].
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No `Authorization` header.
    #[error("the request has no `Authorization` header")]
    MissingToken,
    /// A scheme other than `Bearer`.
    #[error("the request authenticates by another scheme than `Bearer`")]
    OtherScheme,
    /// The request shows its token in a way that has no one meaning.
    #[error("the request cannot be read: {0}")]
    InvalidRequest(&'static str),
    /// Longer than any token we accept.
    #[error("the token has {bytes} bytes; at most {max} are read")]
    TooLong { bytes: usize, max: usize },
    /// Not header, payload and signature.
    #[error("the token is not a signed JWT in compact form: {0}")]
    Shape(&'static str),
    /// A part is not strict base64url or strict JSON.
    #[error("the {part} of the token cannot be read")]
    Part {
        part: &'static str,
        #[source]
        source: StrictError,
    },
    /// A header member that is missing, of the wrong type, or not understood.
    #[error("the token's header member `{name}` {problem}")]
    Header {
        name: &'static str,
        problem: &'static str,
    },
    /// Not an access token, or not an ID token where one is due.
    #[error("the token is of type {found}, not of type {wanted}")]
    Type { found: String, wanted: &'static str },
    /// No configured issuer is called so.
    #[error("no issuer is configured as {found}; add `[[issuer]]` if its tokens are wanted")]
    UnknownIssuer { found: String },
    /// The issuer's set has no usable key of this id.
    #[error("the key set of `{issuer}` has no usable key with the id that the token names")]
    UnknownKey { issuer: Issuer },
    /// The header's algorithm is not the key's, or the issuer may not use it.
    #[error("the token is signed with {found}; its key is for `{wanted:?}`")]
    Algorithm {
        found: String,
        wanted: jsonwebtoken::Algorithm,
    },
    /// The signature is not that of the key.
    #[error("the token's signature is not that of its issuer")]
    Signature,
    /// A claim that is missing or of the wrong form.
    #[error("the claim `{name}` {problem}")]
    Claim { name: String, problem: &'static str },
    /// A claim whose text is not a valid name.
    #[error("the claim `{name}` is not a usable name")]
    ClaimName {
        name: String,
        #[source]
        source: NameError,
    },
    /// Two readers of the same bytes disagree.
    #[error("the token's claims are not the same to both of our readers")]
    Disagreement,
    /// The token is for somebody else.
    #[error("the token is for {found}, not for this server alone")]
    WrongAudience { found: String },
    /// Past its end.
    #[error("the token expired at {}", .at.rfc3339())]
    Expired { at: Timestamp },
    /// A time of the token lies ahead.
    #[error("the claim `{claim}` of the token lies ahead, at {}", .at.rfc3339())]
    Ahead { claim: &'static str, at: Timestamp },
    /// The token is bound to a key or certificate that a plain bearer does not prove.
    #[error("the token is bound to its sender by `cnf`, but was shown as a plain bearer token")]
    SenderConstrained,
    /// The certificate of the connection is another one, or there is none.
    #[error("the token is bound to a certificate that its connection does not show")]
    OtherCertificate,
    /// A token that is bound to no key, where one must be.
    #[error(
        "the token is not bound to a key; its issuer's must be, or it came by the scheme of those that are"
    )]
    Unbound,
    /// The proof of the sender does not count.
    #[error("the proof of its sender does not count: {0}")]
    Proof(#[source] ProofError),
    /// More actors than we keep.
    #[error("the token names more than {max} actors in `act`")]
    TooManyActors { max: usize },
    /// A client-credentials token of an issuer that may not issue them.
    #[error(
        "the token has no user behind it; set `allow_without_user` for the issuer if that is meant"
    )]
    WithoutUser,
    /// The token lacks scopes without which its issuer's callers may do nothing.
    #[error("the token lacks the scope {missing}")]
    InsufficientScope {
        /// All that is required, for the challenge.
        required: Vec<String>,
        /// Those that are missing, for the log.
        missing: String,
    },
    /// An ID token that was issued for another sign-in.
    #[error("the ID token answers another sign-in than this one")]
    WrongNonce,
    /// Its issuer does not stand by it.
    #[error("the token is not active, by what its issuer says")]
    Inactive,
    /// Its issuer could not be asked.
    #[error("`{issuer}` cannot be asked about the token")]
    Introspection {
        issuer: Issuer,
        #[source]
        source: IntrospectionError,
    },
    /// There are no keys to judge by.
    #[error("the keys of `{issuer}` are not available")]
    Keys {
        issuer: Issuer,
        #[source]
        source: Arc<KeyError>,
    },
}

/// What the caller learns: one of eight, with no detail of the token or of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicError {
    /// 401 with a challenge and no `error`.
    MissingToken,
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 401 `invalid_dpop_proof`.
    InvalidProof,
    /// 401 `use_dpop_nonce`.
    UseNonce,
    /// 403 `insufficient_scope`, with all scopes that are needed.
    InsufficientScope { scopes: Vec<String> },
    /// 503, to come again in a moment.
    Busy,
    /// 503: our fault, not the token's.
    Unavailable,
}

impl IdentityError {
    /// Its name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing-token",
            Self::OtherScheme => "other-scheme",
            Self::InvalidRequest(_) => "invalid-request",
            Self::TooLong { .. } => "too-long",
            Self::Shape(_) => "shape",
            Self::Part { .. } => "part",
            Self::Header { .. } => "header",
            Self::Type { .. } => "wrong-type",
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::UnknownKey { .. } => "unknown-key",
            Self::Algorithm { .. } => "algorithm",
            Self::Signature => "signature",
            Self::Claim { .. } => "claim",
            Self::ClaimName { .. } => "claim-name",
            Self::Disagreement => "disagreement",
            Self::WrongAudience { .. } => "wrong-audience",
            Self::Expired { .. } => "expired",
            Self::Ahead { .. } => "not-yet-valid",
            Self::SenderConstrained => "sender-constrained",
            Self::OtherCertificate => "other-certificate",
            Self::Unbound => "unbound",
            Self::Proof(ProofError::Used) => "proof-used",
            Self::Proof(ProofError::NoNonce | ProofError::OldNonce) => "proof-nonce",
            Self::Proof(ProofError::NoRoom) => "proofs-full",
            Self::Proof(_) => "proof",
            Self::TooManyActors { .. } => "too-many-actors",
            Self::WithoutUser => "without-user",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::WrongNonce => "wrong-nonce",
            Self::Inactive => "inactive",
            Self::Introspection {
                source: IntrospectionError::Busy,
                ..
            } => "introspection-busy",
            Self::Introspection { .. } => "introspection-unavailable",
            Self::Keys { .. } => "keys-unavailable",
        }
    }

    /// What the caller may learn of it.
    pub fn public(&self) -> PublicError {
        match self {
            // RFC 6750 §3.1: a request without authentication gets a challenge without an error code.
            Self::MissingToken | Self::OtherScheme => PublicError::MissingToken,
            Self::InvalidRequest(_) => PublicError::InvalidRequest,
            Self::InsufficientScope { required, .. } => PublicError::InsufficientScope {
                scopes: required.clone(),
            },
            Self::Introspection {
                source: IntrospectionError::Busy,
                ..
            } => PublicError::Busy,
            Self::Keys { .. } | Self::Introspection { .. } | Self::Proof(ProofError::NoRoom) => {
                PublicError::Unavailable
            }
            Self::Proof(ProofError::NoNonce | ProofError::OldNonce) => PublicError::UseNonce,
            Self::Proof(_) => PublicError::InvalidProof,
            Self::TooLong { .. }
            | Self::Shape(_)
            | Self::Part { .. }
            | Self::Header { .. }
            | Self::Type { .. }
            | Self::UnknownIssuer { .. }
            | Self::UnknownKey { .. }
            | Self::Algorithm { .. }
            | Self::Signature
            | Self::Claim { .. }
            | Self::ClaimName { .. }
            | Self::Disagreement
            | Self::WrongAudience { .. }
            | Self::Expired { .. }
            | Self::Ahead { .. }
            | Self::SenderConstrained
            | Self::OtherCertificate
            | Self::Unbound
            | Self::Inactive
            | Self::TooManyActors { .. }
            | Self::WithoutUser
            | Self::WrongNonce => PublicError::InvalidToken,
        }
    }

    /// A claim that is missing or of the wrong form.
    pub(super) fn claim(name: impl Into<String>, problem: &'static str) -> Self {
        Self::Claim {
            name: name.into(),
            problem,
        }
    }
}

impl From<ProofError> for IdentityError {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

/// Text of a token as the log may show it: quoted, escaped, bounded.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_default)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_token_is_bounded_and_escaped_in_the_log() {
        assert_eq!(shown("https://a.test"), "`https://a.test`");
        assert_eq!(shown("a\n\u{1b}[31m"), "`a\\n\\u{1b}[31m`");
        assert!(shown(&"x".repeat(10_000)).chars().count() <= SHOWN_CHARS_MAX + 3);
    }
}
