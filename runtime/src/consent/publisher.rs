//! When a package of another publisher takes a tool's name: what users agreed to for the one before is suspended, for all of
//! them and in every tenant, until the operator admits that publisher again.
//!
//! No record ever served another publisher: it is part of the key. Suspending adds that nothing comes back to life by
//! itself when the first package does, that running calls end, and that users can see it.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::suspend::Cause;
use super::{Consents, TicketError};
use crate::catalog::Catalog;
use crate::clock::{SharedClock, Timestamp};
use crate::ids::{Publisher, ToolName};
use crate::problem::caused;

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
        let mut settled = Settled::default();
        loop {
            changed.mark_unchanged();
            for tool in catalog.snapshot().tools.values() {
                let (name, publisher) = (tool.name(), tool.publisher());
                if settled.is(name, publisher) {
                    continue;
                }
                match self.suspend_others(name, publisher, clock.now()).await {
                    Ok(count) => {
                        settled.looked(name, publisher, count);
                        if count > 0 {
                            tracing::warn!(tool = %name, %publisher, count,
                                "the tool has another publisher; what users agreed to for the one before is suspended");
                        }
                    }
                    // Nothing is served by them either way: the publisher is part of their key.
                    Err(error) => {
                        tracing::error!(tool = %name, error = %caused(&error),
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

/// Of which publisher each tool is, where nothing was found of another. A tool that had two is of none: a page about the one before
/// may have been open and be answered later, so it is looked for at each change.
#[derive(Debug, Default)]
struct Settled(HashMap<ToolName, Option<Publisher>>);

impl Settled {
    fn is(&self, tool: &ToolName, publisher: &Publisher) -> bool {
        matches!(self.0.get(tool), Some(Some(known)) if known == publisher)
    }

    fn looked(&mut self, tool: &ToolName, publisher: &Publisher, found: u64) {
        let is_new = !self.0.contains_key(tool);
        let of = (is_new && found == 0).then(|| publisher.clone());
        self.0.insert(tool.clone(), of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_of_one_publisher_is_looked_at_once_and_one_that_had_two_each_time() {
        let (notes, memory): (ToolName, ToolName) =
            ("notes".parse().unwrap(), "memory".parse().unwrap());
        let (first, second): (Publisher, Publisher) =
            ("first".parse().unwrap(), "second".parse().unwrap());
        let mut settled = Settled::default();
        assert!(!settled.is(&notes, &first));
        settled.looked(&notes, &first, 0);
        assert!(settled.is(&notes, &first) && !settled.is(&notes, &second));
        for publisher in [&second, &first, &first] {
            settled.looked(&notes, publisher, 0);
            assert!(!settled.is(&notes, publisher));
        }
        // What was there at the start of another is as much a second one.
        settled.looked(&memory, &first, 2);
        assert!(!settled.is(&memory, &first));
    }
}
