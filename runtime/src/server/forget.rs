//! What the server deletes for good.
//!
//! A clock that is set ahead by mistake would delete every record, value and mark that it makes seem old, and none of them comes back
//! with the right time. So all of this goes by [`sure`](crate::clock::Clock::sure).

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::audit::{self, Audit};
use crate::clock::{SharedClock, Timestamp};
use crate::problem::caused;
use crate::seal::Seals;
use crate::store::SharedStore;
use crate::store::kv::SharedKeyValues;
use crate::web;

/// How often what has expired is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(300);
/// How often records are looked for that are older than they are kept.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// What has an end, and by which clock.
pub(super) struct Forgetting {
    pub store: SharedStore,
    pub audit: Audit,
    pub values: Option<SharedKeyValues>,
    pub seals: Seals,
    /// For how long records are kept; for ever when not given.
    pub keep: Option<Duration>,
    pub clock: SharedClock,
}

impl Forgetting {
    /// Begins: one task forgets what has expired, one prunes records.
    pub fn start(self: &Arc<Self>, shutdown: &CancellationToken) -> Vec<JoinHandle<()>> {
        let (one, stop) = (Arc::clone(self), shutdown.clone());
        let mut tasks = vec![tokio::spawn(async move {
            while pause(FORGET_EVERY, &stop).await {
                one.forget().await;
            }
        })];
        if self.keep.is_some() {
            let (one, stop) = (Arc::clone(self), shutdown.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    one.prune().await;
                    if !pause(PRUNE_EVERY, &stop).await {
                        return;
                    }
                }
            }));
        }
        tasks
    }

    /// Forgets what has expired.
    pub async fn forget(&self) {
        let sure = self.clock.sure();
        if let Err(error) = web::forget_over(self.store.as_ref(), &self.audit, sure).await {
            tracing::warn!(error = %caused(&error), "sessions that are over could not be forgotten");
        }
        if let Err(error) = self.store.prune(sure).await {
            tracing::warn!(error = %caused(&error), "what has expired could not be forgotten");
        }
        if let Some(values) = &self.values
            && let Err(error) = values.prune(sure).await
        {
            tracing::warn!(error = %caused(&error), "values that have ended could not be forgotten");
        }
        if let Err(error) = self.seals.prune(sure).await {
            tracing::warn!(error = %caused(&error), "encrypted values that have ended could not be forgotten");
        }
    }

    /// Prunes records that are older than they are kept.
    pub async fn prune(&self) {
        let Some(keep) = self.keep else { return };
        let kept = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(self.clock.sure().0.saturating_sub(kept));
        match audit::prune(&self.audit, self.store.as_ref(), before).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "old audit records were pruned; their leaves stay"),
            Err(error) => {
                tracing::error!(error = %caused(&error), "old audit records could not be pruned")
            }
        }
    }
}
