//! What the operator does about consents: sees those of all users, takes them back, and agrees in a user's stead to what
//! only reads.

use uuid::Uuid;

use super::question::DAY;
use super::{Consents, IDLE_TTL, TicketError, client, proven};
use crate::audit::{Event, EventKind};
use crate::capability::{Capability, Tier};
use crate::catalog::Tool;
use crate::clients::Client;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Tenant, User};
use crate::limits::CONSENT_T1_MAX;
use crate::store::{
    Applied, Change, Channel, ConsentFilter, ConsentKey, ConsentRow, ConsentState, Ender, Evidence,
    Pinned, Scope, StoreError, row_id,
};

/// What the operator agrees to, and for whom.
#[derive(Debug)]
pub struct PreConsent<'a> {
    /// The isolation key.
    pub tenant: Tenant,
    /// For whom: a user, or a service account that has none.
    pub user: User,
    /// Through which client.
    pub client: ClientId,
    /// To which tool.
    pub tool: &'a Tool,
    /// To what.
    pub capability: Capability,
    /// From when on; at once where nothing is said.
    pub from: Option<Timestamp>,
    /// Until when; at most as long as a user could.
    pub until: Timestamp,
}

/// The operator cannot agree to this.
#[derive(Debug, thiserror::Error)]
pub enum PreConsentError {
    /// It does more than read.
    #[error(
        "`{capability}` has tier {tier:?}, and only T0 and T1 can be agreed to for somebody else; let the user consent on the page"
    )]
    Tier {
        /// What was to be agreed to.
        capability: Capability,
        /// Its tier.
        tier: Tier,
    },
    /// The tool does not ask for it.
    #[error(
        "`{tool}` does not ask for `{capability}`; `bailiwick inspect` prints what it asks for"
    )]
    NotNeeded {
        /// The tool.
        tool: String,
        /// What was to be agreed to.
        capability: Capability,
    },
    /// There is a decision already, perhaps a refusal, and the user's own word is not overruled.
    #[error(
        "there is a decision about `{0}` that holds; `bailiwick consent list` shows it, and only when it is revoked or ends another can be recorded"
    )]
    Decided(Capability),
    /// The date has passed.
    #[error("a consent cannot end in the past")]
    Past,
    /// It would begin too late, or in the past.
    #[error("a consent begins today at the earliest, and before it ends, which is within {} days from now", CONSENT_T1_MAX.as_secs() / 86_400)]
    Beginning,
    /// It cannot be recorded.
    #[error("the consent cannot be recorded")]
    Failed(#[from] TicketError),
}

impl Consents {
    /// The records that fit, the newest first.
    pub async fn find(&self, filter: &ConsentFilter) -> Result<Vec<ConsentRow>, StoreError> {
        self.store.consents(filter).await
    }

    /// Takes a record back for the operator, who may say why. `false` when it has ended already.
    pub async fn revoke_for_operator(
        &self,
        row: &ConsentRow,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, TicketError> {
        self.revoke_row(row, Ender::Operator, reason, None, now)
            .await
    }

    /// Takes a record back for an administrator, whose request has this audit entry. `false` when it has ended already.
    pub async fn revoke_for_admin(
        &self,
        row: &ConsentRow,
        request: Uuid,
        now: Timestamp,
    ) -> Result<bool, TicketError> {
        self.revoke_row(row, Ender::Operator, None, Some(request), now)
            .await
    }

    /// Agrees in a user's stead, within what the tool asks for. It is recorded and shown as the operator's.
    pub async fn pre_consent(
        &self,
        wish: PreConsent<'_>,
        now: Timestamp,
    ) -> Result<ConsentRow, PreConsentError> {
        let definition = wish.tool.definition().canonical();
        // Nothing is read for this: what its document says is recorded when the consent is first used.
        let (client, _) = self.clients.known(&wish.client, now);
        let mut row = record(wish, now)?;
        row.evidence.client = match client {
            Client::Named(_) | Client::Registered => client::facts(&client),
            Client::Document(_) | Client::Unread(_) | Client::NotLooked => None,
        };
        let event = Event::new(EventKind::ConsentGiven)
            .user(&row.key.tenant, &row.key.user)
            .client(&row.key.client)
            .tool(&row.key.tool)
            .consents(vec![row.id.to_string()])
            .fact(
                "capabilities",
                vec![format!(
                    "{} (until, {}to {})",
                    row.capability,
                    row.not_before
                        .map(|from| format!("from {} ", from.rfc3339()))
                        .unwrap_or_default(),
                    row.expires_at.rfc3339()
                )],
            )
            .fact("component_digest", row.pinned.component.to_string())
            .fact("by", "operator")
            .evidence(proven(&row));
        let change = Change::PreConsent {
            record: Box::new(row.clone()),
            definition,
        };
        let applied = self.audit.commit(change, vec![event]).await;
        match applied.map_err(TicketError::from)? {
            Applied::Done => Ok(row),
            Applied::Refused | Applied::Existing(_) => {
                Err(PreConsentError::Decided(row.capability))
            }
        }
    }
}

fn record(wish: PreConsent<'_>, now: Timestamp) -> Result<ConsentRow, PreConsentError> {
    let PreConsent {
        tenant,
        user,
        client,
        tool,
        capability,
        from,
        until,
    } = wish;
    let tier = capability.tier();
    if tier > Tier::T1 {
        return Err(PreConsentError::Tier { capability, tier });
    }
    if !tool.wants().covers(&capability) {
        let tool = tool.name().to_string();
        return Err(PreConsentError::NotNeeded { tool, capability });
    }
    if until <= now {
        return Err(PreConsentError::Past);
    }
    let expires_at = until.min(now.plus(CONSENT_T1_MAX));
    // Today began before now.
    let earliest = Timestamp(now.0.saturating_sub(Timestamp(0).plus(DAY).0));
    if from.is_some_and(|from| from <= earliest || from >= expires_at) {
        return Err(PreConsentError::Beginning);
    }
    let not_before = from.filter(|from| *from > now);
    let package = tool.package();
    Ok(ConsentRow {
        id: row_id(now),
        key: ConsentKey {
            tenant,
            user,
            client,
            tool: tool.name().clone(),
            publisher: tool.publisher().clone(),
        },
        pinned: Pinned {
            component: package.component_digest(),
            definition: tool.definition_digest(),
            manifest: package.manifest_digest(),
        },
        capability,
        tier,
        scope: Scope::Until,
        sign_in: None,
        state: ConsentState::Active,
        arguments: None,
        // Nobody was asked, and nothing was shown.
        ticket: Digest::of(b"operator"),
        ui: Digest::of(b"operator"),
        acr: None,
        auth_time: None,
        decided_at: now,
        not_before,
        expires_at,
        uses_max: None,
        uses: 0,
        last_used_at: None,
        // What has not begun cannot be used, and does not lapse for it.
        idle_expires_at: Some(not_before.unwrap_or(now).plus(IDLE_TTL)),
        channel: Channel::Operator,
        ended_at: None,
        evidence: Evidence {
            version: Some(package.manifest().version.clone()),
            ..Evidence::default()
        },
        seen: None,
    })
}
