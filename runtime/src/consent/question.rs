//! A question as its user sees it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::Wanted;
use super::{
    AskingClient, Changed, Consents, DENIAL_TTL, Needed, OFFER_TTL, ONCE_TTL, OPTIONAL_DENIAL_TTL,
    REFUSED_TWICE_TTL, T3_TTL, TicketError, TicketId,
};
use crate::audit::EventKind;
use crate::capability::{Capability, Tier};
use crate::catalog::manifest::canonical_digest;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Tenant, TenantUser, ToolName, User};
use crate::limits::{CONSENT_T1_MAX, CONSENT_T2_MAX, TICKET_TTL};
use crate::policy::Permit;
use crate::store::{ClientText, ConsentKey, Evidence, Pinned, StoreError, TicketRow, TicketState};

/// Rules bound consents by whole days.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the page shows of the tool and of each capability; kept as it was when the question was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    title: String,
    description: String,
    version: String,
    asked: Vec<ShownCapability>,
    /// What is different about the tool since the user last agreed to something of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<Changed>,
    /// Who acted for the user (RFC 8693).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actors: Vec<User>,
    /// The rules that let it be asked. A question from before format 4 does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<ShownRules>,
    /// What is known of the client. A question from before format 7 does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<AskingClient>,
    /// The tools that wait for it, the first one first, where another tool calls it. A question from before knows of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    path: Vec<ToolName>,
}

/// By which rules it may be asked: not shown, and kept for the record of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownRules {
    digest: Digest,
    ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownCapability {
    capability: Capability,
    reason: String,
    optional: bool,
    /// As which tier it is asked about, where rules say a higher one than it has by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raised: Option<Tier>,
    /// Days that the rules allow at most; zero is one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days_max: Option<u32>,
}

impl Shown {
    pub(super) fn of(
        permit: &Permit,
        wanted: &[Wanted],
        path: &[ToolName],
        client: &AskingClient,
    ) -> Self {
        let tool = permit.tool();
        let definition = tool.definition();
        let manifest = tool.package().manifest();
        Self {
            title: definition.title.clone().unwrap_or(manifest.title.clone()),
            description: definition.description.clone(),
            version: manifest.version.clone(),
            asked: wanted
                .iter()
                .map(|want| ShownCapability {
                    capability: want.capability.clone(),
                    reason: want.reason.clone(),
                    optional: want.optional,
                    raised: (want.tier > want.capability.tier()).then_some(want.tier),
                    days_max: permit.ceilings(&want.capability).consent_days,
                })
                .collect(),
            changed: None,
            actors: permit
                .caller()
                .actors()
                .iter()
                .map(|actor| actor.who.clone())
                .collect(),
            rules: Some(ShownRules {
                digest: permit.rules_digest(),
                ids: permit.rules().to_vec(),
            }),
            client: Some(client.clone()),
            path: path.to_vec(),
        }
    }

    /// What the record of an answer takes from the question.
    pub(super) fn evidence(self) -> Evidence {
        let (policy, rules) = match self.rules {
            Some(rules) => (Some(rules.digest), rules.ids),
            None => (None, Vec::new()),
        };
        Evidence {
            version: Some(self.version),
            actors: self.actors,
            policy,
            rules,
            client: self.client.map(|client| client.facts()),
            ..Evidence::default()
        }
    }

    /// What the client says of itself, to be kept beside the record of an answer.
    pub(super) fn client_text(&self) -> Option<ClientText> {
        self.client.as_ref()?.text()
    }

    /// The same with what changed. It makes no other question: what tool and client are now is in its digest already.
    pub(super) fn changed(mut self, changed: Option<Changed>, client: AskingClient) -> Self {
        self.changed = changed;
        self.client = Some(client);
        self
    }

    pub(super) fn to_json(&self) -> String {
        json!(self).to_string()
    }

    pub(super) fn from_row(row: &TicketRow) -> Result<Self, StoreError> {
        serde_json::from_str(&row.shown).map_err(|_| StoreError::Corrupt {
            table: "ticket",
            column: "shown",
        })
    }

    pub(super) fn capabilities(&self) -> Vec<String> {
        self.asked
            .iter()
            .map(|one| one.capability.to_string())
            .collect()
    }

    fn sentences(&self) -> Vec<String> {
        self.asked
            .iter()
            .map(|one| one.capability.sentence())
            .collect()
    }

    /// Whether an answer is good for exactly the arguments of the call that raised the question.
    pub(super) fn binds(&self) -> bool {
        self.asked.iter().any(|one| one.tier() == Tier::T3)
    }

    /// Whether the tool runs without any of it.
    fn is_optional(&self) -> bool {
        self.asked.iter().all(|one| one.optional)
    }

    /// How long the question stays open.
    pub(super) fn open_for(&self) -> Duration {
        if self.is_optional() {
            OFFER_TTL
        } else {
            TICKET_TTL
        }
    }

    /// Digest of all that makes it the same question.
    pub(super) fn digest(&self, key: &ConsentKey, pinned: &Pinned, arguments: Digest) -> Digest {
        canonical_digest(&json!({
            "iss": key.user.issuer,
            "sub": key.user.subject,
            "client_id": key.client,
            "tool": key.tool,
            "publisher": key.publisher,
            "component": pinned.component,
            "definition": pinned.definition,
            "manifest": pinned.manifest,
            "asked": self.asked,
            "client": self.client.as_ref().map(AskingClient::identity),
            "arguments": self.binds().then_some(arguments),
            // Who calls it stands on the page, so that a question by way of another tool is another question.
            "path": (!self.path.is_empty()).then_some(&self.path),
        }))
    }

    pub(super) fn needed(&self, ticket: TicketId, expires_at: Timestamp) -> Box<Needed> {
        Box::new(Needed {
            path: ticket.path(),
            ticket,
            sentences: self.sentences(),
            optional: self.is_optional(),
            expires_at,
        })
    }
}

impl ShownCapability {
    /// How it is consented to. Less than what it does by itself it never is.
    fn tier(&self) -> Tier {
        let own = self.capability.tier();
        self.raised.map_or(own, |raised| raised.max(own))
    }
}

/// A question to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Whom it is for.
    pub user: User,
    /// In which tenant.
    pub tenant: Tenant,
    /// The client that called.
    pub client: ClientId,
    /// What is known of it.
    pub asking: Option<AskingClient>,
    /// The tool that it called, or that is called for it.
    pub tool: ToolName,
    /// The tools that wait for it, the first one first, where another tool calls it.
    pub path: Vec<ToolName>,
    /// Its title.
    pub title: String,
    /// What it does, as its author says.
    pub description: String,
    /// Its version, as its author counts.
    pub version: String,
    /// Who publishes it, as its manifest says.
    pub publisher: Publisher,
    /// SHA-256 of the file.
    pub component: Digest,
    /// What is different about the tool since its user last agreed to something of it.
    pub changed: Option<Changed>,
    /// Whether its user refused this tool within a day, so that one more refusal makes it quiet.
    pub refused_before: bool,
    /// What is asked.
    pub asked: Vec<Asked>,
    /// The arguments of the call, as JSON in lines, where the answer is good for them alone.
    pub arguments: Option<Arc<str>>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// From when on it cannot be answered.
    pub expires_at: Timestamp,
}

impl Question {
    /// `known` are the arguments of its call, where they are still known. Without them a question that binds is over: nobody
    /// allows what they cannot read.
    pub(super) fn of(
        row: TicketRow,
        refused_before: bool,
        known: Option<Arc<str>>,
    ) -> Result<Self, TicketError> {
        let shown = Shown::from_row(&row)?;
        let arguments = match shown.binds() {
            true => Some(known.ok_or(TicketError::Expired)?),
            false => None,
        };
        Ok(Self {
            user: row.key.user,
            tenant: row.key.tenant,
            client: row.key.client,
            asking: shown.client,
            tool: row.key.tool,
            path: shown.path,
            title: shown.title,
            description: shown.description,
            version: shown.version,
            publisher: row.key.publisher,
            component: row.pinned.component,
            changed: shown.changed,
            refused_before,
            asked: shown.asked.into_iter().map(Asked::from).collect(),
            arguments,
            asked_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}

/// One capability that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The capability.
    pub capability: Capability,
    /// It in a sentence, from us.
    pub sentence: String,
    /// Why, from the author.
    pub reason: String,
    /// Whether the tool runs without it.
    pub optional: bool,
    /// How it is consented to: by the harm that it can do, or more strictly by rules.
    pub tier: Tier,
    /// How long it can be allowed at most; nothing when it can be allowed for one call only.
    pub longest: Option<Duration>,
}

impl Asked {
    /// How long a denial is not asked about again.
    pub fn quiet(&self) -> Duration {
        match self.tier {
            Tier::T0 | Tier::T1 | Tier::T2 if self.optional => OPTIONAL_DENIAL_TTL,
            // A denial of tier T3 is about one set of arguments.
            Tier::T0 | Tier::T1 | Tier::T2 | Tier::T3 => DENIAL_TTL,
        }
    }

    /// How long a consent to one call waits for it.
    pub(super) fn waits(&self) -> Duration {
        match self.tier {
            Tier::T0 | Tier::T1 | Tier::T2 => ONCE_TTL,
            Tier::T3 => T3_TTL,
        }
    }
}

impl From<ShownCapability> for Asked {
    fn from(shown: ShownCapability) -> Self {
        let tier = shown.tier();
        Self {
            sentence: shown.capability.sentence(),
            reason: shown.reason,
            optional: shown.optional,
            tier,
            longest: longest(tier)
                .map(|longest| match shown.days_max {
                    Some(days) => longest.min(DAY.saturating_mul(days)),
                    None => longest,
                })
                .filter(|longest| !longest.is_zero()),
            capability: shown.capability,
        }
    }
}

/// How long a capability of this tier can be allowed.
pub(super) fn longest(tier: Tier) -> Option<Duration> {
    match tier {
        Tier::T0 | Tier::T1 => Some(CONSENT_T1_MAX),
        Tier::T2 => Some(CONSENT_T2_MAX),
        Tier::T3 => None,
    }
}

impl Consents {
    /// The question of this ticket, for the user who signed in. Nobody else learns that there is one.
    pub async fn question(
        &self,
        id: &TicketId,
        signed_in: &TenantUser,
        now: Timestamp,
    ) -> Result<Question, TicketError> {
        let row = self.open_row(id, signed_in, now).await?;
        let refused_before = self.refused_before(&row.key, now).await?;
        let arguments = self.arguments.of(row.id_hash);
        Question::of(row, refused_before, arguments)
    }

    /// Whether the user refused this tool within a day. Of two refusals at the same moment both may count as the first;
    /// then a third makes it quiet.
    pub(super) async fn refused_before(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let since = Timestamp(now.0.saturating_sub(Timestamp(0).plus(REFUSED_TWICE_TTL).0));
        Ok(self.store.refusals(key, since).await? > 0)
    }

    /// Where a question of this user stands; nothing when there is none.
    pub async fn ticket_state(
        &self,
        id: &TicketId,
        who: &TenantUser,
        now: Timestamp,
    ) -> Result<Option<TicketState>, StoreError> {
        let row = self.store.ticket(id.hash()).await?;
        Ok(row
            .filter(|row| row.key.is_of(who))
            .map(|row| state_at(&row, now)))
    }

    /// Whether a question of this user is about nothing that its tool must have.
    pub async fn is_offer(&self, id: &TicketId, who: &TenantUser) -> Result<bool, StoreError> {
        match self.store.ticket(id.hash()).await? {
            Some(row) if row.key.is_of(who) => Ok(Shown::from_row(&row)?.is_optional()),
            Some(_) | None => Ok(false),
        }
    }

    /// The open question of this ticket, if it is for this user.
    pub(super) async fn open_row(
        &self,
        id: &TicketId,
        signed_in: &TenantUser,
        now: Timestamp,
    ) -> Result<TicketRow, TicketError> {
        let row = self
            .store
            .ticket(id.hash())
            .await?
            .ok_or(TicketError::Unknown)?;
        if !row.key.is_of(signed_in) {
            // Somebody was sent the link of another user. It is answered as if it did not exist.
            self.audit
                .sampled_with(EventKind::ConsentForeignUser, |event| {
                    event
                        .user(&row.key.tenant, &signed_in.user)
                        .ticket(row.id_hash)
                });
            // For its user to see. The visitor is refused in any case, and must not learn that there is a question.
            let noted = self.store.note_foreign_visit(row.id_hash, &row.key, now);
            if let Err(error) = noted.await {
                tracing::error!(%error, "that somebody opened the question of another user cannot be kept");
            }
            return Err(TicketError::Unknown);
        }
        match state_at(&row, now) {
            TicketState::Open => Ok(row),
            TicketState::Expired => Err(TicketError::Expired),
            TicketState::Allowed => Err(TicketError::Answered { allowed: true }),
            TicketState::Denied => Err(TicketError::Answered { allowed: false }),
        }
    }
}

fn state_at(row: &TicketRow, now: Timestamp) -> TicketState {
    match row.state {
        TicketState::Open if row.expires_at <= now => TicketState::Expired,
        state => state,
    }
}
