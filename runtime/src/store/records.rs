//! The rows that the store keeps, and the changes that go with an audit record.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client::{ClientFacts, ClientText, SeenClient};
use super::tree::Pruned;
use crate::capability::{Capability, Tier};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Subject, Tenant, TenantUser, ToolName, User};

/// A change of state that must not happen without its record.
#[derive(Debug, Clone)]
pub enum Change {
    /// Asks a question, unless the same one is open.
    OpenTicket {
        /// The question.
        ticket: Box<TicketRow>,
        /// What the tool says of itself, as canonical JSON; its digest stands in the question.
        definition: String,
        /// How many questions one user may have open.
        open_max: u32,
    },
    /// Answers a question, once.
    Decide(Decision),
    /// Ends a sign-in, or all of a user: its sessions, and with them the consents that hold for as long as it does. All of
    /// them, or nothing.
    SignOut {
        /// Whose.
        who: TenantUser,
        /// Which; none for all.
        sign_in: Option<Digest>,
        /// The consents that end with it.
        consents: Vec<Uuid>,
        /// When.
        at: Timestamp,
    },
    /// Ends a consent or a denial of this user.
    Revoke {
        /// Whose.
        who: TenantUser,
        /// Which.
        id: Uuid,
        /// When.
        at: Timestamp,
        /// Who takes it back.
        by: Ender,
        /// Why, in the words of whoever does.
        reason: Option<String>,
    },
    /// Records what the operator agrees to, unless there is a decision about the same that holds.
    PreConsent {
        /// What.
        record: Box<ConsentRow>,
        /// What the tool says of itself, as canonical JSON; its digest stands in the record.
        definition: String,
    },
    /// Suspends consents, because their tool or their client is not what it was: all of them, or none.
    Suspend {
        /// Which.
        ids: Vec<Uuid>,
        /// When.
        at: Timestamp,
        /// What is not what it was.
        by: Ender,
    },
    /// Lets a suspended consent hold again, unless it has expired or its user decided anew.
    Resume {
        /// Which.
        id: Uuid,
        /// When.
        at: Timestamp,
    },
    /// Notes with which build of the tool consents are used from now on: all of them, or none.
    See {
        /// In which tenant.
        tenant: Tenant,
        /// Which.
        ids: Vec<Uuid>,
        /// With which build.
        seen: Seen,
        /// What that says of itself, as canonical JSON; its digest stands in `seen`.
        definition: String,
    },
    /// Notes what the client of consents is from now on: all of them, or none.
    SeeClient {
        /// In which tenant.
        tenant: Tenant,
        /// Which.
        ids: Vec<Uuid>,
        /// What it is.
        seen: SeenClient,
        /// What it says of itself, where it says anything.
        client: Option<ClientText>,
    },
    /// Uses consents that are good for a number of calls, once each: all of them, or none.
    Consume {
        /// In which tenant.
        tenant: Tenant,
        /// Which.
        ids: Vec<Uuid>,
        /// When.
        at: Timestamp,
        /// Until when they do not lapse, where they can.
        idle_until: Timestamp,
    },
    /// Puts leaves in the place of the oldest records of the log.
    PruneLog {
        /// Number and leaf of each, in order.
        leaves: Vec<(u64, Digest)>,
        /// The last of them.
        last: Pruned,
    },
    /// Notes that every intent before this record of the log has its outcome.
    Closed {
        /// The record.
        before: u64,
    },
    /// Ends a browser's session that was not used for too long. Refused where that was done before.
    ExpireSession {
        /// The hash of its id.
        id: Digest,
    },
    /// Forgets browsers' sessions that are over for their age: all of them, or none.
    ForgetSessions {
        /// The hashes of their ids, and when each was used last.
        ids: Vec<(Digest, Timestamp)>,
        /// When.
        at: Timestamp,
    },
}

/// The answer to a question.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Hash of the ticket.
    pub ticket: Digest,
    /// Who answers; must be whom the question is for.
    pub who: TenantUser,
    /// When.
    pub at: Timestamp,
    /// Whether all was allowed without which the tool does not run.
    pub allowed: bool,
    /// What was decided; replaces what was decided before about the same capability.
    pub records: Vec<ConsentRow>,
    /// What the client says of itself, where it says anything; its digest stands in the records.
    pub client: Option<ClientText>,
}

/// Who consented for what: no record serves another key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsentKey {
    /// The isolation key.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
    /// The client.
    pub client: ClientId,
    /// The tool, by the name under which it is served.
    pub tool: ToolName,
    /// Who publishes it.
    pub publisher: Publisher,
}

impl ConsentKey {
    /// Whose the record is.
    pub fn who(&self) -> TenantUser {
        TenantUser {
            tenant: self.tenant.clone(),
            user: self.user.clone(),
        }
    }

    /// Whether the record is theirs.
    pub fn is_of(&self, who: &TenantUser) -> bool {
        self.tenant == who.tenant && self.user == who.user
    }
}

/// Which consent records are looked for; what says nothing fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentFilter {
    /// The record itself.
    pub id: Option<Uuid>,
    /// For whom, by any issuer.
    pub subject: Option<Subject>,
    /// Through which client.
    pub client: Option<ClientId>,
    /// To which tool.
    pub tool: Option<ToolName>,
    /// In which tenant.
    pub tenant: Option<Tenant>,
    /// Older than this record.
    pub before: Option<Uuid>,
    /// The newest so many.
    pub limit: Option<u32>,
}

/// Exactly which tool a question or a consent was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// SHA-256 of the file.
    pub component: Digest,
    /// SHA-256 of name, description and schemas.
    pub definition: Digest,
    /// SHA-256 of the needs.
    pub manifest: Digest,
}

/// How far a consent reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Exactly one call.
    Once,
    /// Every call until its user signs out in the browser in which it was given, or until it expires.
    Session,
    /// Every call until it expires.
    Until,
}

/// Where a consent record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsentState {
    /// The user agreed.
    Active,
    /// The user refused.
    Denied,
    /// The one call was made.
    Consumed,
    /// The user took it back.
    Revoked,
    /// A later decision stands in its place.
    Superseded,
    /// A package of another publisher took the tool's name, or the client is not what it was.
    Suspended,
}

/// Who ended a decision before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ender {
    /// Its user.
    User,
    /// The operator, by a command, or an administrator in the operator's name.
    Operator,
    /// Nobody: the tool has another publisher.
    Publisher,
    /// Its user, who signed out of the sign-in with which it ends.
    SignOut,
    /// Nobody: sign-ins of the client lead back to other hosts.
    Client,
    /// Nobody: what the client said of itself cannot be read any more.
    ClientGone,
}

/// Where a consent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// By the user, on our page.
    Page,
    /// By the operator, by a command.
    Operator,
}

impl Channel {
    /// Who decides there, in a word.
    pub fn decided_by(self) -> &'static str {
        match self {
            Self::Page => "user",
            Self::Operator => "operator",
        }
    }
}

/// What a user decided about one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRow {
    /// Which record.
    pub id: Uuid,
    /// For whom and what.
    pub key: ConsentKey,
    /// The tool that was shown.
    pub pinned: Pinned,
    /// What was decided about.
    pub capability: Capability,
    /// As which tier it was asked about: that of the capability, or a higher one by rules.
    pub tier: Tier,
    /// How far it reaches.
    pub scope: Scope,
    /// The sign-in with which it ends, where it does.
    pub sign_in: Option<Digest>,
    /// Where it stands.
    pub state: ConsentState,
    /// The only arguments that it is good for, where it is bound to some.
    pub arguments: Option<Digest>,
    /// Hash of the ticket whose question it answers.
    pub ticket: Digest,
    /// Hash of exactly what the page showed.
    pub ui: Digest,
    /// How the user had signed in.
    pub acr: Option<String>,
    /// When the user had signed in.
    pub auth_time: Option<Timestamp>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// From when on it holds, where that is not at once.
    pub not_before: Option<Timestamp>,
    /// From when on it does not hold.
    pub expires_at: Timestamp,
    /// How many calls it is good for, where that is bounded.
    pub uses_max: Option<u32>,
    /// How many bounded calls it was used for.
    pub uses: u32,
    /// When it was used last, to within an hour.
    pub last_used_at: Option<Timestamp>,
    /// From when on it has lapsed for want of use, where it does. Use moves it on.
    pub idle_expires_at: Option<Timestamp>,
    /// Who agreed.
    pub channel: Channel,
    /// When it ended before its time.
    pub ended_at: Option<Timestamp>,
    /// What else is known of it.
    pub evidence: Evidence,
    /// The build under which it was used last, where that is not the one that was shown.
    pub seen: Option<Seen>,
}

/// How a decision came about and how it ended, beside what is needed to follow it. Records from before format 4 of the state
/// know little of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Who decided; nobody by name where a command of the operator did.
    pub by: Option<User>,
    /// How the user had signed in (RFC 8176).
    pub amr: Vec<String>,
    /// Language of the page, as BCP 47 writes it.
    pub locale: Option<String>,
    /// The tool's version, as its author counts.
    pub version: Option<String>,
    /// Who acted for the user when the question was raised (RFC 8693), the one who called first.
    pub actors: Vec<User>,
    /// Digest of the rules that were in force when the question was raised.
    pub policy: Option<Digest>,
    /// The rules that let it be asked, by id.
    pub rules: Vec<String>,
    /// The decision in whose place it stands.
    pub supersedes: Option<Uuid>,
    /// Where it stands in the audit log.
    pub audit_seq: Option<u64>,
    /// Who ended it before its time.
    pub ended_by: Option<Ender>,
    /// Why, in the words of whoever did.
    pub end_reason: Option<String>,
    /// Where its end stands in the audit log.
    pub ended_seq: Option<u64>,
    /// Whether it was a refusal, whatever became of it since. Of one that ended before format 5 it is not known.
    pub refused: bool,
    /// What was known of the client. Of what was decided before format 7 it is not known.
    pub client: Option<ClientFacts>,
    /// What the client is since, where that is not what it was.
    pub client_seen: Option<SeenClient>,
}

impl Evidence {
    /// The client as it was last seen.
    pub fn client_now(&self) -> Option<&ClientFacts> {
        let seen = self.client_seen.as_ref().map(|seen| &seen.facts);
        seen.or(self.client.as_ref())
    }
}

/// A build of a tool that a consent was used with, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Since when.
    pub at: Timestamp,
    /// Exactly which.
    pub pinned: Pinned,
    /// Its version, as its author counts.
    pub version: String,
}

/// How many consents of a user hold to one tool through one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The client.
    pub client: ClientId,
    /// The tool.
    pub tool: ToolName,
    /// Who publishes it.
    pub publisher: Publisher,
    /// How many, denials aside.
    pub given: u32,
}

/// A question that somebody opened who was signed in as another user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignVisit {
    /// Through which client it was raised.
    pub client: ClientId,
    /// About which tool.
    pub tool: ToolName,
    /// How often it was opened so.
    pub visits: u32,
    /// When last.
    pub last_at: Timestamp,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketState {
    /// Not answered.
    Open,
    /// All was allowed without which the tool does not run.
    Allowed,
    /// Something was denied without which the tool does not run.
    Denied,
    /// Too late.
    Expired,
}

/// A question to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// Hash of the ticket; the ticket itself is not kept.
    pub id_hash: Digest,
    /// From this and a key the ticket is derived.
    pub nonce: [u8; 16],
    /// For whom and what.
    pub key: ConsentKey,
    /// The tool that is asked about.
    pub pinned: Pinned,
    /// Digest of all that makes it the same question.
    pub question: Digest,
    /// The arguments of the call that raised it.
    pub arguments: Digest,
    /// What the page shows, as JSON; the store does not read it.
    pub shown: String,
    /// Where it stands.
    pub state: TicketState,
    /// When it was asked.
    pub created_at: Timestamp,
    /// From when on it cannot be answered.
    pub expires_at: Timestamp,
}

/// A browser that signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Hash of the 256 random bits that the cookie holds.
    pub id_hash: Digest,
    /// Hash of 256 further bits, of which nothing else is kept: the sign-in of this user at this browser, until they sign out.
    /// A session that takes the place of another of the same user at the same browser has the same.
    pub sign_in: Digest,
    /// Who signed in.
    pub who: TenantUser,
    /// When, as the issuer says.
    pub auth_time: Option<Timestamp>,
    /// How, as the issuer says.
    pub acr: Option<String>,
    /// The same in detail (RFC 8176).
    pub amr: Vec<String>,
    /// When the session began.
    pub created_at: Timestamp,
    /// When it was used last, to within a minute.
    pub seen_at: Timestamp,
    /// From when on it is over.
    pub expires_at: Timestamp,
}

/// When a session was used last that is over for want of use.
pub const NOT_SEEN: Timestamp = Timestamp(0);

/// A browser's session that is over for its age and is still kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverSession {
    /// Hash of its id.
    pub id_hash: Digest,
    /// Who had signed in.
    pub who: TenantUser,
    /// When it was used last; [`NOT_SEEN`] where it was over before.
    pub seen_at: Timestamp,
}
