//! What the wire asks of the line of a call, and the words in which both speak.
//!
//! Holds no bytes of the wire and no status: what an answer looks like outside is `respond`'s to say.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::catalog::{Annotations, Tool};
use crate::consent::TicketId;
use crate::dialogue;
pub use crate::host::progress::Progress;
use crate::identity::{Caller, Credentials, PublicError};
use crate::ids::{ClientId, Digest, TenantUser, ToolName};
use crate::protect::Sensitive;
use crate::rate::Throttled;
use crate::sandbox::Reply;

/// A future of the line; the same as `futures_util::future::BoxFuture`.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The line behind the wire: identity, catalog, policy, consent, sandbox and audit, as far as the wire needs them.
pub trait Line: Send + Sync + 'static {
    /// Verifies the token of one request, and who shows it. A failure is recorded here, where its reason is known.
    fn verify(
        &self,
        credentials: Credentials,
        request: RequestFacts,
    ) -> Pending<'_, Result<Arc<Caller>, NotVerified>>;

    /// What the next proof of a sender has to carry, where some must (RFC 9449 §9).
    fn proof_nonce(&self) -> Option<String> {
        None
    }

    /// Whether the token has every scope that the operation needs.
    ///
    /// A tool's own scopes are named only to a caller to whom the tool is listed; for any other, a hidden tool is as an unknown
    /// one (`tokens.md` W11). The refusal is recorded through [`Line::refused_at_edge`].
    fn check_scopes(&self, caller: &Caller, operation: &Operation) -> Result<(), NotScoped>;

    /// Whether a call of this caller ends before anything of it is looked at, for want of a place. It is recorded here, as a number:
    /// while a caller's refusals have records of their own, their calls go the whole way to theirs.
    fn turns_away(&self, caller: &Caller) -> bool;

    /// The tools that this caller may see, in any order.
    fn list(&self, caller: &Caller) -> Vec<Listed>;

    /// Whether requests without a token are answered at all. They list, they never call.
    fn is_open(&self) -> bool {
        false
    }

    /// The tools that whoever has no token may see, in any order.
    fn list_anonymous(&self) -> Vec<Listed> {
        Vec::new()
    }

    /// The schema of a tool that mirrors arguments into headers (`x-mcp-header`), to a caller who may see it; none for any other.
    fn header_schema(&self, caller: &Caller, tool: &str) -> Option<Arc<Map<String, Value>>>;

    /// Makes one call and records it, whatever comes of it.
    fn call(&self, call: Call, caller: Arc<Caller>) -> Pending<'_, Answer>;

    /// Whether a question to this caller's user waits for a decision. Also while that cannot be told: nobody is told more
    /// than that it takes longer.
    fn is_open_question<'a>(
        &'a self,
        ticket: &'a TicketId,
        caller: &'a Caller,
    ) -> Pending<'a, bool>;

    /// Counts up whenever what [`Line::list`] says may have changed.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Takes note of a request that ended at the edge, before any call. Must not block.
    fn refused_at_edge(&self, request: &RequestFacts, refusal: &EdgeRefusal);

    /// Takes note that a session began or ended. Must not block.
    fn session_turned(&self, turned: SessionTurned);
}

/// A session that began or ended.
#[derive(Debug, Clone)]
pub struct SessionTurned {
    /// Whose it is.
    pub who: TenantUser,
    /// The client.
    pub client: ClientId,
    /// The hash of its id, which opens nothing.
    pub name: Digest,
    /// What happened.
    pub turn: SessionTurn,
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTurn {
    /// It began.
    Began,
    /// Its client ended it, or began another in its place.
    EndedByClient,
    /// It gave way to a newer one of its user, who has as many as one may.
    GaveWay,
    /// It was not used for too long.
    Idle,
    /// It is as old as one may be.
    Old,
}

impl SessionTurn {
    /// Why it ended, as a word of ours; none where it did not.
    pub fn why_ended(self) -> Option<&'static str> {
        match self {
            Self::Began => None,
            Self::EndedByClient => Some("client"),
            Self::GaveWay => Some("newer"),
            Self::Idle => Some("idle"),
            Self::Old => Some("age"),
        }
    }
}

/// What is known of a request before anything in it is believed.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// UUIDv7 of the request; the caller sees it as `x-request-id`, the log and the audit carry it.
    pub id: Uuid,
    /// Address of the peer, where the listener knows it.
    pub peer: Option<IpAddr>,
    /// When its head was here.
    pub began: Instant,
}

/// What a request wants, as far as OAuth scopes care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The JSON-RPC method.
    pub method: String,
    /// The tool that `tools/call` names, if it is a name at all.
    pub tool: Option<ToolName>,
}

/// Why a token gave no caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotVerified {
    /// Malformed, expired, for someone else, signed by nobody we know: the caller learns no more than that.
    Invalid,
    /// Good, but the proof of its sender is missing or does not count.
    BadProof,
    /// The same, for want of our nonce.
    NoNonce,
    /// Good, but without a scope that its issuer must always give.
    NotScoped(NotScoped),
    /// It is not judged now, since others are; it may come again in a moment.
    Busy,
    /// Keys or store are out of reach: our fault, not the token's.
    Unavailable,
}

/// The token lacks scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotScoped {
    /// All scopes that this operation needs, those that the token has included.
    pub needed: Vec<String>,
}

/// The sign-in behind the token does not suffice (RFC 9470).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakSignIn {
    /// The values of `acr` any of which would do, the weakest first; none where the strength suffices.
    pub acr_values: Vec<String>,
    /// How many seconds the sign-in may lie back, where it lies back too far.
    pub max_age_secs: Option<u64>,
    /// All scopes that the call needs, those that the token has included.
    pub needed: Vec<String>,
}

/// Which lifecycle a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: every request stands alone and the caller can be asked for input.
    Modern,
    /// 2025-11-25 and 2025-06-18.
    Legacy,
}

/// One call of one tool, as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// The tool that is called; it may not exist.
    pub tool: ToolName,
    /// Its arguments, not yet checked.
    pub arguments: Sensitive<Map<String, Value>>,
    /// The request that carried it.
    pub request: RequestFacts,
    /// The lifecycle of the request.
    pub era: Era,
    /// Whether the client said, on this very request or when its session began, that it can show its user a link.
    pub can_open_urls: bool,
    /// Whether the client said likewise that it can show its user a form.
    pub can_show_forms: bool,
    /// The state of an earlier answer, given back. Attacker-controlled until it is opened.
    pub request_state: Option<String>,
    /// What the client says that its user did with the link. A bare claim: it may end a call, it never makes a consent.
    pub said: Option<Said>,
    /// What the client says that its user answered to a form of the tool. Data for the tool, held against the form first.
    pub replied: Option<dialogue::Reply>,
    /// W3C trace context, well formed and otherwise untrusted.
    pub traceparent: Option<String>,
    /// Where progress goes; none when the caller did not ask for it.
    pub progress: Option<mpsc::Sender<Progress>>,
    /// Fires when the caller goes away.
    pub cancel: CancellationToken,
}

/// What a client says that its user did with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Agreed to open it; nothing is known of what happened there.
    Accepted,
    /// Said no.
    Declined,
    /// Closed the question.
    Cancelled,
}

/// How a call is answered.
#[derive(Debug)]
pub enum Answer {
    /// The tool's reply.
    Reply(Reply),
    /// The call failed in a way that a model can read and mend.
    ToolError(String),
    /// There is no such tool, or none that this caller may know of; the two look alike.
    UnknownTool,
    /// A listed tool is refused for this call. The shape is always the same and gives no reason.
    Denied,
    /// The user has to decide first.
    ConsentNeeded {
        /// The page on which the user decides.
        url: Url,
        /// What will be asked there.
        message: String,
        /// Sealed; comes back with the retry.
        state: String,
        /// The question, by which a call that waits looks for its decision.
        ticket: TicketId,
    },
    /// The tool asks its user something.
    FormNeeded {
        /// The tool and what it asks. The question itself was written by the tool.
        message: String,
        /// The text of the JSON Schema of the form.
        schema: String,
        /// Sealed; comes back with the retry.
        state: String,
    },
    /// The state that came with the call was changed, or is not ours.
    BadState,
    /// The arguments need scopes that the token lacks.
    NotScoped(NotScoped),
    /// The call needs a stronger or a fresher sign-in.
    WeakSignIn(WeakSignIn),
    /// The caller has used up a limit.
    Throttled(Throttled),
    /// Every place is taken.
    Busy,
    /// A part that the call needs is out of reach, so the call was not made.
    Unavailable {
        /// Under which the log and the audit tell more.
        id: Uuid,
    },
    /// Our own fault.
    Fault {
        /// Under which the log and the audit tell more.
        id: Uuid,
    },
    /// The caller went away; nobody reads the answer.
    Cancelled,
}

/// A tool as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The name under which it is served.
    pub name: ToolName,
    /// Title for people.
    pub title: Option<String>,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments; the root type is `object`.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema of its structured output.
    pub output_schema: Option<Arc<Map<String, Value>>>,
    /// Derived from its capabilities, never from what it claims.
    pub hints: Annotations,
}

impl Listed {
    /// An admitted tool as a client sees it. Copies its schemas, so a line keeps what it makes.
    pub fn of(tool: &Tool) -> Self {
        let definition = tool.definition();
        let schema = |value: &Value| value.as_object().cloned().map(Arc::new);
        Self {
            name: tool.name().clone(),
            title: definition.title.clone(),
            description: definition.description.clone(),
            input_schema: schema(&definition.input_schema).unwrap_or_default(),
            output_schema: definition.output_schema.as_ref().and_then(schema),
            hints: tool.annotations(),
        }
    }
}

/// Why a request ended before any call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeRefusal {
    /// The `Host` is none of ours.
    Host,
    /// The `Origin` is not allowed.
    Origin,
    /// Only POST is served, or nothing else without a session.
    Method,
    /// There is no such session of this caller.
    Session,
    /// No token came.
    NoToken,
    /// The `Authorization` header cannot be read in one way only.
    MalformedAuthorization,
    /// The token was refused.
    InvalidToken,
    /// The proof of the token's sender is missing or does not count (RFC 9449).
    BadProof,
    /// The proof needs a nonce of ours.
    NoNonce,
    /// The token lacks scopes.
    NotScoped(NotScoped),
    /// The sign-in is too weak, or lies too far back.
    WeakSignIn(WeakSignIn),
    /// Too many tokens are being asked about.
    IdentityBusy,
    /// The token could not be judged.
    IdentityUnavailable,
    /// The body is no JSON by its own account.
    ContentType,
    /// The body is larger than its bound.
    BodyTooLarge,
    /// The body did not arrive in time, or not whole.
    BodyLost,
    /// The body is not JSON.
    NotJson,
    /// The body is JSON, but not one JSON-RPC request or notification.
    NotARequest,
    /// `MCP-Protocol-Version` is missing, doubled, or not what the body says.
    VersionHeader(&'static str),
    /// A revision that is not served.
    Version {
        /// The one that was asked for, cut to a sane length.
        requested: String,
    },
    /// A method that the revision of the request does not have any more.
    RemovedMethod,
    /// The tool's name is no name.
    ToolName,
    /// Every place is taken.
    Busy,
    /// A part that the request needs is out of reach.
    Unavailable {
        /// Under which the log tells more.
        id: Uuid,
    },
    /// Our own fault.
    Fault {
        /// Under which the log tells more.
        id: Uuid,
    },
}

impl EdgeRefusal {
    /// Its name in the log and in the audit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Method => "method",
            Self::Session => "session",
            Self::NoToken => "no-token",
            Self::MalformedAuthorization => "malformed-authorization",
            Self::InvalidToken => "invalid-token",
            Self::BadProof => "bad-proof",
            Self::NoNonce => "no-nonce",
            Self::NotScoped(_) => "insufficient-scope",
            Self::WeakSignIn(_) => "weak-sign-in",
            Self::IdentityBusy => "identity-busy",
            Self::IdentityUnavailable => "identity-unavailable",
            Self::ContentType => "content-type",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyLost => "body-lost",
            Self::NotJson => "not-json",
            Self::NotARequest => "not-a-request",
            Self::VersionHeader(_) => "version-header",
            Self::Version { .. } => "version",
            Self::RemovedMethod => "removed-method",
            Self::ToolName => "tool-name",
            Self::Busy => "busy",
            Self::Unavailable { .. } => "unavailable",
            Self::Fault { .. } => "fault",
        }
    }
}

impl From<PublicError> for NotVerified {
    /// What a caller may learn of a token that was refused.
    fn from(error: PublicError) -> Self {
        match error {
            PublicError::MissingToken | PublicError::InvalidRequest | PublicError::InvalidToken => {
                Self::Invalid
            }
            PublicError::InvalidProof => Self::BadProof,
            PublicError::UseNonce => Self::NoNonce,
            PublicError::InsufficientScope { scopes } => {
                Self::NotScoped(NotScoped { needed: scopes })
            }
            PublicError::Busy => Self::Busy,
            PublicError::Unavailable => Self::Unavailable,
        }
    }
}
