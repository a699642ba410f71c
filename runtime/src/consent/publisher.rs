//! When a package of another publisher takes a tool's name: what users agreed to for the one before is suspended, for all of
//! them and in every tenant, until the operator admits that publisher again.
//!
//! No record ever served another publisher: it is part of the key. Suspending adds that nothing comes back to life by
//! itself when the first package does, that running calls end, and that users can see it.

use tokio_util::sync::CancellationToken;

use super::{Consents, TicketError};
use crate::audit::{Event, EventKind};
use crate::catalog::Catalog;
use crate::clock::{SharedClock, Timestamp};
use crate::ids::{Publisher, ToolName};
use crate::store::{Applied, Change, ConsentRow};

/// Records that one transaction suspends.
const AT_ONCE: u32 = 200;
/// How often the same records are tried again that changed meanwhile.
const TRIES_MAX: u32 = 8;

impl Consents {
    /// Suspends what was agreed to for a tool of this name by any other publisher. How many records that were.
    pub async fn suspend_others(
        &self,
        tool: &ToolName,
        publisher: &Publisher,
        now: Timestamp,
    ) -> Result<u64, TicketError> {
        let (mut suspended, mut tries) = (0, 0);
        loop {
            let rows = self
                .store
                .active_of_others(tool, publisher, AT_ONCE)
                .await?;
            if rows.is_empty() || tries == TRIES_MAX {
                return Ok(suspended);
            }
            let events = rows.iter().map(|row| {
                about(EventKind::ConsentSuspended, row)
                    .fact("publisher_before", row.key.publisher.as_str())
                    .fact("publisher", publisher.as_str())
            });
            let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
            let change = Change::Suspend {
                ids: ids.clone(),
                at: now,
            };
            match self.audit.commit(change, events.collect()).await? {
                Applied::Done => {
                    self.running.revoke(&ids).await;
                    suspended += u64::try_from(ids.len()).unwrap_or(u64::MAX);
                    tries = 0;
                }
                // One of them ended meanwhile.
                Applied::Refused | Applied::Existing(_) => tries += 1,
            }
        }
    }

    /// Lets a suspended record hold again, by the word of the operator. `false` when it is not suspended, has run out, or
    /// its user has decided anew.
    pub async fn resume(&self, row: &ConsentRow, now: Timestamp) -> Result<bool, TicketError> {
        let change = Change::Resume {
            id: row.id,
            at: now,
        };
        let event = about(EventKind::ConsentResumed, row)
            .fact("publisher", row.key.publisher.as_str())
            .fact("by", "operator");
        let applied = self.audit.commit(change, vec![event]).await?;
        Ok(matches!(applied, Applied::Done))
    }

    /// Looks, for as long as the server runs, for tools whose publisher is another than before: at once, for what changed
    /// while nothing ran, and after each change of what is served.
    pub async fn follow_publishers(
        self,
        catalog: std::sync::Arc<Catalog>,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) {
        let mut changed = catalog.changed();
        loop {
            changed.mark_unchanged();
            for tool in catalog.snapshot().tools.values() {
                match self
                    .suspend_others(tool.name(), tool.publisher(), clock.now())
                    .await
                {
                    Ok(0) => {}
                    Ok(count) => {
                        tracing::warn!(tool = %tool.name(), publisher = %tool.publisher(), count,
                            "the tool has another publisher; what users agreed to for the one before is suspended");
                    }
                    // Nothing is served by them either way: the publisher is part of their key.
                    Err(error) => {
                        tracing::error!(tool = %tool.name(), error = &error as &dyn std::error::Error,
                            "consents to a tool that has another publisher could not be suspended");
                    }
                }
            }
            tokio::select! {
                next = changed.changed() => if next.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }
}

fn about(kind: EventKind, row: &ConsentRow) -> Event {
    Event::new(kind)
        .user(&row.key.tenant, &row.key.user)
        .client(&row.key.client)
        .tool(&row.key.tool)
        .consents(vec![row.id.to_string()])
        .fact("capability", row.capability.to_string())
}
