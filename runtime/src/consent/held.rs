//! What a user can take back, in pages, and how much it is in all.

use uuid::Uuid;

use super::{Consents, TicketId};
use crate::clock::Timestamp;
use crate::ids::TenantUser;
use crate::store::{ConsentRow, Holding, StoreError};

/// Decisions that one page of what holds shows.
pub const CONSENTS_PAGE: usize = 50;

impl Consents {
    /// What this user can take back and decided before this decision, or lately: the newest first, at most [`CONSENTS_PAGE`], and
    /// whether there is more.
    pub async fn held(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
        now: Timestamp,
    ) -> Result<(Vec<ConsentRow>, bool), StoreError> {
        const ONE_MORE: u32 = CONSENTS_PAGE as u32 + 1;
        let mut rows = self.store.held_before(who, before, ONE_MORE, now).await?;
        let more = rows.len() > CONSENTS_PAGE;
        rows.truncate(CONSENTS_PAGE);
        Ok((rows, more))
    }

    /// How many consents this user can take back, by tool and client.
    pub async fn holdings(
        &self,
        who: &TenantUser,
        now: Timestamp,
    ) -> Result<Vec<Holding>, StoreError> {
        self.store.holdings(who, now).await
    }

    /// The last decisions of this user that have ended, the newest first.
    pub async fn ended(
        &self,
        who: &TenantUser,
        max: u32,
        now: Timestamp,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        self.store.ended_of(who, max, now).await
    }

    /// What this user decided about one question.
    pub async fn decided(
        &self,
        who: &TenantUser,
        id: &TicketId,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        self.store.decided(who, id.hash()).await
    }
}
