//! The stage of the line: a permit in; a consent out, or a question.

use uuid::Uuid;

use super::ask::Asking;
use super::plan::{self, Agreed, Plan};
use super::question::DAY;
use super::{
    Arguments, Consent, ConsentError, Consents, IDLE_TTL, UsedRecord, client, is_revocable,
};
use crate::audit::{Event, EventKind};
use crate::capability::Capability;
use crate::clock::Timestamp;
use crate::ids::{TenantUser, ToolName};
use crate::policy::Permit;
use crate::problem::caused;
use crate::revocation::RunningCall;
use crate::store::{
    Applied, Change, Channel, ConsentKey, ConsentRow, ConsentState, Pinned, Scope, Seen,
};

/// How often a call looks again when another call used up what it found, or something was revoked meanwhile. Each time,
/// somebody else got on.
const LOOKS_MAX: u32 = 8;

/// What becomes of a call while a question is open about nothing that its tool must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It goes on without: nobody waits for an answer that may never come.
    GoesOn,
    /// It waits: its client says that the user is on the page.
    Waits,
    /// It goes on without, and no question is opened: nobody would be told of it.
    Never,
}

impl Consents {
    /// What the user agreed to of this permit. Consents for one call are used up by exactly one.
    ///
    /// Some consents are bound to the arguments. Where only optional capabilities are undecided, the first call asks, and
    /// those after it go on without until there is an answer.
    pub async fn confirm(
        &self,
        permit: Permit,
        arguments: &Arguments<'_>,
        now: Timestamp,
    ) -> Result<Consent, ConsentError> {
        self.confirm_with(permit, arguments, &[], Offer::GoesOn, &[], now)
            .await
    }

    /// The same for a call that may have waited for an answer.
    ///
    /// `path` are the tools that wait for it, where another tool calls this one.
    /// `used` are the consents of which the runs of this call before it have used up one each: they serve it on, without
    /// being used up again, for as long as they are not taken back.
    pub async fn confirm_with(
        &self,
        permit: Permit,
        arguments: &Arguments<'_>,
        path: &[ToolName],
        offer: Offer,
        used: &[Uuid],
        now: Timestamp,
    ) -> Result<Consent, ConsentError> {
        let caller = permit.caller();
        let running = self.running.enter_for(TenantUser {
            tenant: caller.tenant().clone(),
            user: caller.user().clone(),
        });
        let wanted = plan::wanted(&permit);
        let has_user = permit.caller().has_user();
        if wanted.is_empty() {
            let none = Agreed::default();
            return Ok(consent(permit, none, used.to_vec(), running));
        }
        let (key, pinned) = (key(&permit), pinned(&permit));
        let mut client = self.known_client(&key.client, now);
        for _ in 0..LOOKS_MAX {
            // Before the look-up: whatever is revoked from here on is either seen there or noticed by `hold`.
            let looked = running.look();
            let mut rows = self.store.live_consents(&key, now).await?;
            self.prefer_used(&mut rows, &key, used, now).await?;
            rows.retain(|row| has_user || row.channel == Channel::Operator);
            rows.retain(|row| within_bounds(&permit, row, now));
            let tier = |one: &Capability| permit.tier(one);
            rows.retain(|row| client::counts(row, &client, tier(&row.capability)));
            let bound = arguments.digest();
            let agreed = match plan::plan(&wanted, &rows, tier, &pinned, bound, now) {
                // Nobody can be asked; what the operator agreed to is all there is.
                Plan::Denied { .. } | Plan::Ask(_) if !has_user => {
                    return Err(ConsentError::NoUser);
                }
                Plan::Offer { without, .. } if !has_user || offer == Offer::Never => without,
                Plan::Ask(_) if offer == Offer::Never => return Err(ConsentError::TooLate),
                Plan::Denied { again_from } => return Err(ConsentError::Denied { again_from }),
                Plan::Ask(wanted) => {
                    match self
                        .ask(&permit, &wanted, path, &client, arguments, now)
                        .await?
                    {
                        Asking::At(asked) => return Err(ConsentError::Needed(asked.needed)),
                        Asking::Otherwise(read) => client = read,
                    }
                    continue;
                }
                Plan::Offer {
                    without,
                    asked: wanted,
                } => {
                    match self
                        .ask(&permit, &wanted, path, &client, arguments, now)
                        .await
                    {
                        Ok(Asking::Otherwise(read)) => {
                            client = read;
                            continue;
                        }
                        Ok(Asking::At(asked)) if asked.is_new || offer == Offer::Waits => {
                            return Err(ConsentError::Needed(asked.needed));
                        }
                        // What cannot be asked is not granted; the tool does not need it.
                        Ok(Asking::At(_))
                        | Err(ConsentError::TooManyQuestions | ConsentError::NotShowable) => {
                            without
                        }
                        Err(error) => return Err(error),
                    }
                }
                Plan::Go(agreed) => agreed,
            };
            let records = &agreed.records;
            if !running.hold(looked, records.iter().map(|record| record.id)) {
                continue;
            }
            if !self.noticed(&permit, &rows, records, now).await?
                || !self
                    .noticed_client(&permit, &rows, records, &client, now)
                    .await?
            {
                continue;
            }
            let mut consume = agreed.consume.clone();
            consume.retain(|id| !used.contains(id));
            if consume.is_empty() || self.consume(&key, &consume, now).await? {
                self.touch(&agreed.touch, now).await;
                let used_up = used.iter().copied().chain(consume).collect();
                return Ok(consent(permit, agreed, used_up, running));
            }
        }
        Err(ConsentError::Contended)
    }

    /// Puts the consents first of which this call has used up one each, those with nothing left among them: what was theirs is
    /// still its own.
    async fn prefer_used(
        &self,
        rows: &mut Vec<ConsentRow>,
        key: &ConsentKey,
        used: &[Uuid],
        now: Timestamp,
    ) -> Result<(), ConsentError> {
        let (mut own, others): (Vec<_>, Vec<_>) =
            rows.drain(..).partition(|row| used.contains(&row.id));
        for id in used {
            if own.iter().any(|row| row.id == *id) {
                continue;
            }
            let row = self.store.consent(&key.who(), *id).await?;
            let spent = |row: &ConsentRow| row.state == ConsentState::Consumed && row.key == *key;
            // As long as it can be taken back, and was not.
            own.extend(
                row.filter(|row| spent(row) && is_revocable(row, now))
                    .map(|row| ConsentRow {
                        state: ConsentState::Active,
                        ..row
                    }),
            );
        }
        own.extend(others);
        *rows = own;
        Ok(())
    }

    /// Notes which consents are used with another build of the tool than before, so that their users can see it. `false`
    /// when one of them ended meanwhile.
    async fn noticed(
        &self,
        permit: &Permit,
        rows: &[ConsentRow],
        used: &[UsedRecord],
        now: Timestamp,
    ) -> Result<bool, ConsentError> {
        let (pinned, tool) = (pinned(permit), permit.tool());
        let other = |row: &&ConsentRow| {
            let known = row.seen.as_ref().map_or(row.pinned, |seen| seen.pinned);
            known != pinned && used.iter().any(|used| used.id == row.id)
        };
        let rows: Vec<_> = rows.iter().filter(other).collect();
        let Some(first) = rows.first() else {
            return Ok(true);
        };
        let event = Event::new(EventKind::ConsentToolChanged)
            .user(&first.key.tenant, &first.key.user)
            .client(&first.key.client)
            .tool(&first.key.tool)
            .consents(rows.iter().map(|row| row.id.to_string()).collect())
            .fact("component_digest", pinned.component.to_string())
            .fact("definition_digest", pinned.definition.to_string())
            .fact("manifest_digest", pinned.manifest.to_string());
        let change = Change::See {
            tenant: first.key.tenant.clone(),
            ids: rows.iter().map(|row| row.id).collect(),
            seen: Seen {
                at: now,
                pinned,
                version: tool.package().manifest().version.clone(),
            },
            definition: tool.definition().canonical(),
        };
        let applied = self.audit.commit_in_time(change, vec![event]).await?;
        Ok(matches!(applied, Applied::Done))
    }

    /// Uses up consents for one call: all of them, or none and `false`.
    async fn consume(
        &self,
        key: &ConsentKey,
        ids: &[Uuid],
        now: Timestamp,
    ) -> Result<bool, ConsentError> {
        let event = Event::new(EventKind::ConsentUsed)
            .user(&key.tenant, &key.user)
            .client(&key.client)
            .tool(&key.tool)
            .consents(ids.iter().map(ToString::to_string).collect());
        let change = Change::Consume {
            tenant: key.tenant.clone(),
            ids: ids.to_vec(),
            at: now,
            idle_until: now.plus(IDLE_TTL),
        };
        let applied = self.audit.commit_in_time(change, vec![event]).await?;
        Ok(matches!(applied, Applied::Done))
    }

    /// Notes that consents were used. Without it they lapse sooner, which is no reason to refuse the call.
    async fn touch(&self, ids: &[Uuid], now: Timestamp) {
        if ids.is_empty() {
            return;
        }
        let touched = self
            .store
            .touch_consents(ids, now, now.plus(IDLE_TTL))
            .await;
        if let Err(error) = touched {
            tracing::warn!(error = %caused(&error), "it could not be noted that consents were used");
        }
    }
}

/// Seals what was agreed, and with it what needs no question.
fn consent(permit: Permit, agreed: Agreed, used_up: Vec<Uuid>, running: RunningCall) -> Consent {
    let free = plan::free(&permit);
    let capabilities = agreed.capabilities.iter();
    Consent {
        agreed: capabilities.chain(free.iter()).cloned().collect(),
        permit,
        records: agreed.records,
        used_up,
        running,
    }
}

/// Whether an agreement is as young as the rules want it now, whatever they said when it was given. A denial always holds.
fn within_bounds(permit: &Permit, row: &ConsentRow, now: Timestamp) -> bool {
    let lasts = match row.scope {
        Scope::Session | Scope::Until => true,
        Scope::Once => false,
    };
    let agreed = row.state == ConsentState::Active && lasts;
    let longest = permit.ceilings(&row.capability).consent_days;
    !agreed || longest.is_none_or(|days| row.decided_at.plus(DAY.saturating_mul(days)) > now)
}

/// Whose records serve this permit.
pub(super) fn key(permit: &Permit) -> ConsentKey {
    let (caller, tool) = (permit.caller(), permit.tool());
    ConsentKey {
        tenant: caller.tenant().clone(),
        user: caller.user().clone(),
        client: caller.client().clone(),
        tool: tool.name().clone(),
        publisher: tool.publisher().clone(),
    }
}

/// Exactly which tool this permit is for.
pub(super) fn pinned(permit: &Permit) -> Pinned {
    let tool = permit.tool();
    Pinned {
        component: tool.package().component_digest(),
        definition: tool.definition_digest(),
        manifest: tool.package().manifest_digest(),
    }
}
