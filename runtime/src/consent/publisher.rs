//! When a package of another publisher takes a tool's name: what users agreed to for the one before is suspended, for all of
//! them and in every tenant, until the operator admits that publisher again.
//!
//! No record ever served another publisher: it is part of the key. Suspending adds that nothing comes back to life by
//! itself when the first package does, that running calls end, and that users can see it.

use tokio_util::sync::CancellationToken;

use super::suspend::Cause;
use super::{Consents, TicketError};
use crate::catalog::Catalog;
use crate::clock::{SharedClock, Timestamp};
use crate::ids::{Publisher, ToolName};

impl Consents {
    /// Suspends what was agreed to for a tool of this name by any other publisher. How many records that were.
    pub async fn suspend_others(
        &self,
        tool: &ToolName,
        publisher: &Publisher,
        now: Timestamp,
    ) -> Result<u64, TicketError> {
        self.suspend(Cause::Publisher { tool, publisher }, now)
            .await
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
