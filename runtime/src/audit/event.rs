//! The events that are no calls.

use serde_json::Value;
use uuid::Uuid;

use super::job::Pending;
use super::record::{Phase, Record};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant, ToolName, User};

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A bearer token was refused outside any request that we could read.
    AuthFailed,
    /// A request to the administrators' door came without a token that counts.
    AdminRefused,
    /// The user is asked.
    ConsentAsked,
    /// The user agreed to something.
    ConsentGiven,
    /// The user refused something.
    ConsentDenied,
    /// The user took a decision back.
    ConsentRevoked,
    /// A consent that is good for one call was used up.
    ConsentUsed,
    /// Consents are used with another build of their tool from now on.
    ConsentToolChanged,
    /// Consents are used through a client that is not what it was from now on.
    ConsentClientChanged,
    /// A tool has another publisher, or a client is not what it was; what was agreed to before holds no longer.
    ConsentSuspended,
    /// The operator let a suspended consent hold again.
    ConsentResumed,
    /// Somebody opened the question of another user.
    ConsentForeignUser,
    /// Other rules are in force.
    PolicyChanged,
    /// New rules were refused; the old ones stay in force.
    PolicyRefused,
    /// A package is served.
    ToolAdmitted,
    /// Another build of a package is served.
    ToolChanged,
    /// A package was refused.
    ToolRefused,
    /// A package is served no more.
    ToolRetired,
    /// A browser signed in.
    SignedIn,
    /// A browser signed out.
    SignedOut,
    /// A sign-in failed.
    SignInFailed,
    /// The server began to serve.
    ServerStarted,
    /// The server stopped in order.
    ServerStopped,
    /// The log could not be written for a while.
    AuditRecovered,
    /// A key of a tenant is made.
    KeysMade,
    /// Values of a tenant begin to be moved to another key.
    KeysRotating,
    /// They were moved, and the keys on which nothing hangs are destroyed.
    KeysRotated,
    /// Keys of tenants were encrypted under another key of their provider.
    KeysRewrapped,
    /// The keys of a tenant are to be destroyed.
    KeysErasing,
    /// They are destroyed.
    KeysErased,
    /// Requests were too many, before anybody knew whose they were.
    LimitHit,
    /// Calls were too many; those beyond what is recorded one by one.
    CallThrottled,
    /// How many more calls found no place.
    CallOverloaded,
    /// Other limits are in force.
    LimitsChanged,
    /// New limits were refused; the old ones stay in force.
    LimitsRefused,
    /// Old records of the log were pruned; their leaves stay.
    AuditPruned,
    /// The key of a user's pseudonym is to be destroyed.
    AuditErased,
    /// A request was refused before it was judged for whom it is: its form, its host, its scopes, or no place for it.
    RequestRefused,
    /// A browser's sign-in is over, for its age or because it was not used.
    SignInExpired,
    /// A client on an older revision began a session.
    SessionBegan,
    /// Such a session is over.
    SessionEnded,
    /// The index of the log was made anew.
    AuditReindexed,
    /// The clock got further ahead than is believed; what is deleted for good goes by the time before.
    ClockDoubted,
    /// The clock is believed again.
    ClockBelieved,
}

impl EventKind {
    /// The word for it in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailed => "auth.failed",
            Self::AdminRefused => "admin.denied",
            Self::ConsentAsked => "consent.asked",
            Self::ConsentGiven => "consent.given",
            Self::ConsentDenied => "consent.denied",
            Self::ConsentRevoked => "consent.revoked",
            Self::ConsentUsed => "consent.used",
            Self::ConsentToolChanged => "consent.tool-changed",
            Self::ConsentClientChanged => "consent.client-changed",
            Self::ConsentSuspended => "consent.suspended",
            Self::ConsentResumed => "consent.resumed",
            Self::ConsentForeignUser => "consent.foreign-user",
            Self::PolicyChanged => "policy.changed",
            Self::PolicyRefused => "policy.refused",
            Self::ToolAdmitted => "tool.admitted",
            Self::ToolChanged => "tool.changed",
            Self::ToolRefused => "tool.refused",
            Self::ToolRetired => "tool.retired",
            Self::SignedIn => "sign-in.done",
            Self::SignedOut => "sign-in.ended",
            Self::SignInFailed => "sign-in.failed",
            Self::ServerStarted => "server.started",
            Self::ServerStopped => "server.stopped",
            Self::AuditRecovered => "audit.recovered",
            Self::KeysMade => "keys.made",
            Self::KeysRotating => "keys.rotating",
            Self::KeysRotated => "keys.rotated",
            Self::KeysRewrapped => "keys.rewrapped",
            Self::KeysErasing => "keys.erasing",
            Self::KeysErased => "keys.erased",
            Self::LimitHit => "limit.hit",
            Self::CallThrottled => "call.throttled",
            Self::CallOverloaded => "call.overloaded",
            Self::LimitsChanged => "limits.changed",
            Self::LimitsRefused => "limits.refused",
            Self::AuditPruned => "audit.pruned",
            Self::AuditErased => "audit.erased",
            Self::RequestRefused => "mcp.denied",
            Self::SignInExpired => "sign-in.expired",
            Self::SessionBegan => "session.began",
            Self::SessionEnded => "session.ended",
            Self::AuditReindexed => "audit.reindexed",
            Self::ClockDoubted => "clock.doubted",
            Self::ClockBelieved => "clock.believed",
        }
    }
}

/// Something that is no call.
#[derive(Debug, Clone)]
pub struct Event {
    kind: EventKind,
    record: Record,
    user: Option<User>,
    evidence: Option<Value>,
}

impl Event {
    /// An event of this kind.
    pub fn new(kind: EventKind) -> Self {
        let mut record = Record::empty(Uuid::nil(), Timestamp(0), Phase::Event);
        record.kind = kind.as_str().to_owned();
        Self {
            kind,
            record,
            user: None,
            evidence: None,
        }
    }

    /// Its kind.
    pub(super) fn kind(&self) -> EventKind {
        self.kind
    }

    /// Whom it is about. The user is recorded under a pseudonym.
    #[must_use]
    pub fn user(mut self, tenant: &Tenant, user: &User) -> Self {
        self.record.tenant = Some(tenant.clone());
        self.user = Some(user.clone());
        self
    }

    /// Which tenant it is about.
    #[must_use]
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        self.record.tenant = Some(tenant.clone());
        self
    }

    /// Which client it is about.
    #[must_use]
    pub fn client(mut self, client: &ClientId) -> Self {
        self.record.client_id = Some(client.clone());
        self
    }

    /// Which tool it is about.
    #[must_use]
    pub fn tool(mut self, tool: &ToolName) -> Self {
        self.record.asked_tool = Some(tool.clone());
        self
    }

    /// Which question it is about, by the hash of its ticket.
    #[must_use]
    pub fn ticket(mut self, ticket: Digest) -> Self {
        self.record.ticket = Some(ticket);
        self
    }

    /// Which consents it is about.
    #[must_use]
    pub fn consents(mut self, ids: Vec<String>) -> Self {
        self.record.consents = ids;
        self
    }

    /// Something else that it tells: a name, a kind, a size or a digest, never a value.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.record.facts.insert(name.to_owned(), value.into());
        self
    }

    /// What stands beside the log and is proven by it: its digest is recorded, under the key of the user. Its names must stand in
    /// order, and its numbers fit a double.
    #[must_use]
    pub fn evidence(mut self, evidence: Value) -> Self {
        self.evidence = Some(evidence);
        self
    }

    pub(super) fn into_pending(mut self, event_id: Uuid, at: Timestamp) -> Pending {
        self.record.event_id = event_id;
        self.record.at = at;
        Pending::new(self.record, self.user, self.evidence)
    }
}
