//! What a user is told of the past.

use uuid::Uuid;

use super::Consents;
use crate::ids::TenantUser;
use crate::store::{ConsentRow, ForeignVisit, StoreError};

/// Decisions that one page of the history holds.
pub const HISTORY_PAGE: usize = 25;

impl Consents {
    /// What a user decided before this decision, or lately: the newest first, at most [`HISTORY_PAGE`], and whether there is more.
    pub async fn history(
        &self,
        who: &TenantUser,
        before: Option<Uuid>,
    ) -> Result<(Vec<ConsentRow>, bool), StoreError> {
        const ONE_MORE: u32 = HISTORY_PAGE as u32 + 1;
        let mut rows = self.store.consents_before(who, before, ONE_MORE).await?;
        let more = rows.len() > HISTORY_PAGE;
        rows.truncate(HISTORY_PAGE);
        Ok((rows, more))
    }

    /// Questions of this user that somebody else opened, the last first.
    pub async fn foreign_visits(
        &self,
        who: &TenantUser,
        max: u32,
    ) -> Result<Vec<ForeignVisit>, StoreError> {
        self.store.foreign_visits(who, max).await
    }
}
