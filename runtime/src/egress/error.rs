//! What goes wrong on the way out, told to two audiences.
//!
//! The text of an [`EgressError`] is for whoever asked and reveals nothing: no address, no reason. The reason is its source,
//! for the operator's log alone.

use std::io;
use std::net::SocketAddr;

use url::Url;

use super::address::Special;
use super::resolve::ResolveError;
use crate::capability::HostName;
use crate::ids::SecretName;
use crate::problem::caused;
use crate::revocation::Revoked;

/// The outgoing side cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EgressSetupError {
    /// TLS cannot be configured.
    #[error("the TLS client cannot be set up")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// One name has two bindings.
    #[error("`{0}` is bound twice; keep one `[[egress.host]]` of that name")]
    BoundTwice(HostName),
    /// A trusted origin is not on this machine and not bound.
    #[error(
        "`{0}` is not on this machine; use https for it, or bind its host with `[[egress.host]]`"
    )]
    NotLocal(String),
}

/// A request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Not allowed, not resolvable, not reachable: all the same to who asked.
    #[error("the request is refused")]
    Denied(#[source] Reason),
    /// The consent for it ended while it was made.
    #[error("the request is refused")]
    Revoked(#[from] Revoked),
    /// Not finished before the deadline, or silent for too long.
    #[error("the answer did not come in time")]
    OutOfTime,
    /// More than may be sent.
    #[error("the request is larger than what may still be sent")]
    RequestTooLarge,
    /// More than may be received.
    #[error("the answer is larger than what may still be received")]
    ResponseTooLarge,
    /// The head or the trailers of the answer are too large.
    #[error("the header fields of the answer are too large")]
    HeadersTooLarge,
    /// The other side cannot prove who it is.
    #[error("no secure connection could be made")]
    Tls(#[source] io::Error),
    /// The request cannot be framed.
    #[error("the request is malformed: {0}")]
    RequestMalformed(&'static str),
    /// The answer cannot be trusted to end where it says.
    #[error("the answer is malformed: {0}")]
    ResponseMalformed(&'static str),
    /// The connection broke.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] hyper::Error),
    /// A secret that the request carries cannot be read.
    #[error("a secret that this request needs cannot be used now")]
    SecretUnavailable,
    /// An answer to ourselves with another status than wanted.
    #[error("the answer has status {0}")]
    Status(u16),
}

impl EgressError {
    /// Whether it is the one answer to everything refused.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Revoked(_))
    }

    /// Its name among the numbers that the server tells.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Revoked(_) => "revoked",
            Self::OutOfTime => "out-of-time",
            Self::RequestTooLarge => "request-too-large",
            Self::ResponseTooLarge => "response-too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::Tls(_) => "tls",
            Self::RequestMalformed(_) | Self::ResponseMalformed(_) => "malformed",
            Self::Broken(_) => "broken",
            Self::SecretUnavailable => "secret-unavailable",
            Self::Status(_) => "status",
        }
    }

    /// Whether the same request may fare better a moment later. A refusal is none of these, whatever its reason: more attempts
    /// would tell one reason from another.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// Whether the other side answered, and what it answered cannot be used.
    pub fn is_of_answer(&self) -> bool {
        match self {
            Self::ResponseTooLarge
            | Self::HeadersTooLarge
            | Self::ResponseMalformed(_)
            | Self::Status(_) => true,
            Self::Denied(_)
            | Self::Revoked(_)
            | Self::OutOfTime
            | Self::RequestTooLarge
            | Self::Tls(_)
            | Self::RequestMalformed(_)
            | Self::Broken(_)
            | Self::SecretUnavailable => false,
        }
    }

    /// Tells the operator why, if it is a refusal.
    pub fn log_refusal(&self) {
        if let Self::Denied(reason) = self {
            tracing::info!(reason = %caused(reason), "outgoing request refused");
        }
    }
}

/// Why a request is refused. For the operator's log, never for who asked.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Not a URL of the one form that is accepted.
    #[error("the URL is not accepted: {0}")]
    Url(&'static str),
    /// No capability allows it.
    #[error("no granted capability allows it")]
    NotGranted,
    /// Plain text to a host that the operator did not bind.
    #[error("`{0}` is asked in plain text, which only bound hosts are")]
    PlainText(HostName),
    /// A name that is never public.
    #[error("`{0}` is never a public name; bind it with `[[egress.host]]` if tools may reach it")]
    SpecialName(HostName),
    /// Another port than the one that is bound.
    #[error("`{0}` is bound to another port")]
    OtherPort(HostName),
    /// The name cannot be resolved.
    #[error("`{name}` cannot be resolved")]
    Unresolved {
        /// The name.
        name: HostName,
        /// What the resolver says.
        #[source]
        source: ResolveError,
    },
    /// An address of the name is special.
    #[error("`{name}` leads to a special address")]
    Special {
        /// The name.
        name: HostName,
        /// The address.
        #[source]
        source: Special,
    },
    /// No connection.
    #[error("`{address}` cannot be reached")]
    Unreachable {
        /// Where to.
        address: SocketAddr,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// No connection in time.
    #[error("no connection came about in time")]
    Silent,
    /// The connection ends elsewhere.
    #[error("the connection to `{wanted}` ends at `{found}`")]
    OtherPeer {
        /// The judged address.
        wanted: SocketAddr,
        /// The address of the peer.
        found: SocketAddr,
    },
    /// A secret that the request carries is not attached.
    #[error("the secret `{secret}` is not attached: {why}")]
    SecretWithheld {
        /// Its name.
        secret: SecretName,
        /// Why.
        why: &'static str,
    },
    /// Encrypted values are not put into the request.
    #[error("no encrypted value is delivered: {0}")]
    Delivery(&'static str),
    /// An origin of our own that is neither public https nor trusted.
    #[error("`{0}` is neither https nor a trusted origin")]
    OwnOrigin(Url),
}

impl From<Reason> for EgressError {
    fn from(reason: Reason) -> Self {
        Self::Denied(reason)
    }
}
