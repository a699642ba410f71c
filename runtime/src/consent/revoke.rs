//! Taking a consent back, at once: first in the state, with its record, then from the calls that run on it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Consents, TicketError};
use crate::audit::{Event, EventKind};
use crate::clock::{SharedClock, Timestamp};
use crate::ids::TenantUser;
use crate::store::{Applied, Change, ConsentRow, Ender, StoreError};

/// How often running calls are compared with the state, for what another process ended there, or time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// By when a server that can read its state has acted on what another process revoked.
pub const SEEN_WITHIN: Duration = Duration::from_millis(250);
/// How long calls go on while the state cannot be read, and nobody can tell what was revoked.
const BLIND_MAX: Duration = Duration::from_secs(2);

impl Consents {
    /// Takes a consent, or a denial, of this user back. `false` when the user has no such record that could be taken back.
    ///
    /// When it returns, no call of this process has an effect under it any more, and those that hold nothing else have
    /// ended.
    pub async fn revoke(
        &self,
        who: &TenantUser,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, TicketError> {
        match self.store.consent(who, id).await? {
            Some(row) => self.revoke_row(&row, Ender::User, None, None, now).await,
            None => Ok(false),
        }
    }

    /// The same for a record that was found otherwise. `request` is the audit entry of whoever asked, where there is one.
    pub(super) async fn revoke_row(
        &self,
        row: &ConsentRow,
        by: Ender,
        reason: Option<&str>,
        request: Option<Uuid>,
        now: Timestamp,
    ) -> Result<bool, TicketError> {
        let change = Change::Revoke {
            who: row.key.who(),
            id: row.id,
            at: now,
            by,
            reason: reason.map(str::to_owned),
        };
        let event = Event::new(EventKind::ConsentRevoked)
            .user(&row.key.tenant, &row.key.user)
            .client(&row.key.client)
            .tool(&row.key.tool)
            .consents(vec![row.id.to_string()])
            .fact("capability", row.capability.to_string());
        let event = match request {
            Some(request) => event
                .fact("by", "admin")
                .fact("request", request.to_string()),
            None => event.fact("by", by.as_str()),
        };
        let applied = self.audit.commit(change, vec![event]).await?;
        self.running.revoke(&[row.id]).await;
        Ok(matches!(applied, Applied::Done))
    }

    /// Takes from running calls what has ended in the state, whoever ended it.
    pub(super) async fn recheck(
        &self,
        whose: &TenantUser,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let held = self.running.look_again(whose);
        if held.is_empty() {
            return Ok(());
        }
        let ended = self.store.ended_consents(&held, now).await;
        // Who cannot tell what was revoked takes everything to be.
        self.running.revoke(ended.as_deref().unwrap_or(&held)).await;
        ended.map(drop)
    }

    /// Looks, for as long as the server runs, for what other processes revoke and for consents that expire.
    pub async fn follow(self, clock: SharedClock, shutdown: CancellationToken) {
        let mut seen = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            let held = self.running.held();
            if held.is_empty() {
                seen = tokio::time::Instant::now();
                continue;
            }
            match self.store.ended_consents(&held, clock.now()).await {
                Ok(ended) => {
                    seen = tokio::time::Instant::now();
                    if !ended.is_empty() {
                        self.running.revoke_soon(&ended);
                    }
                }
                Err(error) if seen.elapsed() > BLIND_MAX => {
                    tracing::error!(%error, "the state cannot be read; calls that stand on consents are stopped");
                    self.running.revoke_soon(&held);
                }
                Err(error) => {
                    tracing::warn!(%error, "the state cannot be read for what was revoked")
                }
            }
        }
    }
}
