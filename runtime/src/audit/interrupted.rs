//! Calls that a server left without an outcome: it was killed, or its machine lost power, between the intent and the outcome.
//!
//! A server that starts closes them before it takes a call: their outcome says `interrupted`, which means that nobody knows whether
//! their effect happened. Where it has to look from is noted as records are written, so that it never reads the whole log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::chain::PAGE;
use super::job::{Job, Pending};
use super::record::{Phase, Record};
use super::{Audit, AuditError};
use crate::limits::AUDIT_CLOSED_NOTED_EVERY;
use crate::store::{Change, Store, StoreError};

/// The calls of this process that have an intent in the log and no outcome.
#[derive(Debug, Default)]
pub(super) struct Open {
    intents: HashMap<Uuid, u64>,
    /// The record that comes next.
    next: u64,
    noted: u64,
}

impl Open {
    /// These are in the log now.
    pub(super) fn wrote<'a>(&mut self, records: impl Iterator<Item = &'a Record>) {
        for record in records {
            let Some(seq) = record.seq else { continue };
            match record.phase {
                Phase::Intent => {
                    self.intents.insert(record.event_id, seq);
                }
                Phase::Outcome => {
                    self.intents.remove(&record.event_id);
                }
                Phase::Event => {}
            }
            self.next = seq.saturating_add(1);
        }
    }

    /// Whether this call is one of them.
    pub(super) fn has(&self, call: &Uuid) -> bool {
        self.intents.contains_key(call)
    }

    /// Before which record every intent has its outcome, when it is time to note that.
    pub(super) fn due(&self) -> Option<u64> {
        if self.next.saturating_sub(self.noted) < AUDIT_CLOSED_NOTED_EVERY {
            return None;
        }
        let oldest = self.intents.values().copied().min();
        oldest.or(Some(self.next)).filter(|at| *at > self.noted)
    }

    /// It was noted.
    pub(super) fn noted(&mut self, before: u64) {
        self.noted = before;
    }
}

impl Audit {
    /// Gives the calls that the server before this one left without an outcome theirs, and says how many. Comes before the
    /// first call, and from there on it is noted how far every call is closed.
    pub async fn close_interrupted(&self) -> Result<usize, AuditError> {
        let store = self.shared.store.as_ref();
        let found = without_outcome(store).await;
        let (intents, next) = found.map_err(|error| AuditError::Unavailable(Arc::new(error)))?;
        let now = self.shared.clock.now();
        let count = intents.len();
        for intent in &intents {
            let tool = intent.tool.as_ref().map(|facts| &facts.name);
            tracing::warn!(event = %intent.event_id, tool = tool.map(tracing::field::display), "the server ended in the middle of a call; whether it had an effect is not known");
        }
        let records = intents.into_iter();
        let records = records.map(|intent| Pending::new(intent.interrupted(now), None, None));
        let change = Change::Closed { before: next };
        self.durable(Job::change(change, records.collect())).await?;
        Ok(count)
    }
}

/// The intents that have no outcome, in their order, and the number of the record behind the last one.
async fn without_outcome(store: &dyn Store) -> Result<(Vec<Record>, u64), StoreError> {
    let mut next = store.closed_before().await?;
    let mut open: HashMap<Uuid, Record> = HashMap::new();
    // Older servers could write what became of a call whose client went away before its intent.
    let mut closed_first: HashSet<Uuid> = HashSet::new();
    // A log that was altered is for `audit verify` to tell; the server starts all the same.
    let unreadable = |record: u64| {
        tracing::error!(
            record,
            "an audit record cannot be read; see `bailiwick audit verify`"
        );
    };
    let mut size = PAGE;
    loop {
        let page = match store.audit_from(next, size).await {
            Ok(page) => page,
            Err(StoreError::Corrupt { .. }) if size > 1 => {
                size /= 2;
                continue;
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                // Whatever number somebody gave it, no more is looked at than there is.
                let Some(seq) = store.audit_next(next).await? else {
                    return Err(error);
                };
                unreadable(seq);
                next = seq.saturating_add(1);
                continue;
            }
            Err(error) => return Err(error),
        };
        size = size.saturating_mul(2).min(PAGE);
        let Some(last) = page.last() else { break };
        next = last.seq.saturating_add(1);
        for row in page {
            let Ok(record) = serde_json::from_str::<Record>(&row.text) else {
                unreadable(row.seq);
                continue;
            };
            let id = record.event_id;
            match record.phase {
                Phase::Intent if closed_first.remove(&id) => {}
                Phase::Intent => {
                    open.insert(id, record);
                }
                Phase::Outcome => {
                    if open.remove(&id).is_none() && record.is_aborted() {
                        closed_first.insert(id);
                    }
                }
                Phase::Event => {}
            }
        }
    }
    let mut open: Vec<Record> = open.into_values().collect();
    open.sort_by_key(|record| record.seq);
    // What stands behind the end is no record of ours.
    let end = store.head().await?.seq.saturating_add(1);
    Ok((open, next.min(end)))
}

#[cfg(test)]
mod tests {
    use super::super::facts::{CallerFacts, End};
    use super::super::{Event, EventKind, verify};
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::ids::{Digest, User};
    use crate::store::SqliteStore;
    use crate::store::testing::store;
    use crate::store::tree::LogTree;

    async fn audit(store: &Arc<SqliteStore>) -> Audit {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        Audit::start(store.clone(), clock).await.unwrap()
    }

    /// A call with its intent, by its id.
    async fn begin(audit: &Audit) -> super::super::Entry {
        let mut entry = audit.open("tools/call");
        entry.caller(CallerFacts {
            tenant: "acme".parse().unwrap(),
            user: User {
                issuer: "https://as.test".parse().unwrap(),
                subject: "alice".parse().unwrap(),
            },
            client: "client-1".parse().unwrap(),
            jti_hash: Digest::of(b"jti"),
            algorithm: "ES256".to_owned(),
            key_id: "key-1".to_owned(),
            expires: Timestamp::from_secs(1_800_000_300),
        });
        entry.asked("notes");
        entry.intent().await.unwrap();
        entry
    }

    async fn records(store: &Arc<SqliteStore>) -> Vec<Record> {
        let rows = store.audit_from(1, 10_000).await.unwrap();
        let read = |row: &crate::store::AuditRow| serde_json::from_str(&row.text).unwrap();
        rows.iter().map(read).collect()
    }

    async fn fill(audit: &Audit, count: u64) {
        for _ in 0..count {
            let event = Event::new(EventKind::LimitHit);
            audit.event_soon(event).await.unwrap();
        }
        audit.flush().await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_its_server_left_without_an_outcome_gets_one_at_the_next_start() {
        let store = store().await;
        let first = audit(&store).await;
        assert_eq!(first.close_interrupted().await.unwrap(), 0);
        begin(&first).await.close(End::Answered).await.unwrap();
        let cut = begin(&first).await;
        let id = cut.id();
        // As if the process were gone: what an entry does when it is dropped does not happen.
        std::mem::forget(cut);

        let second = audit(&store).await;
        assert_eq!(second.close_interrupted().await.unwrap(), 1);
        assert_eq!(second.close_interrupted().await.unwrap(), 0);
        let all = records(&store).await;
        let of: Vec<_> = all.iter().filter(|record| record.event_id == id).collect();
        let [intent, outcome] = of.as_slice() else {
            panic!("{of:?}")
        };
        assert_eq!(outcome.phase, Phase::Outcome);
        assert_eq!(outcome.result.as_ref().unwrap().status, "interrupted");
        assert_eq!(outcome.kind, "tool.call");
        assert!(intent.subject.is_some() && outcome.subject == intent.subject);
        assert_eq!(outcome.asked_tool, intent.asked_tool);
        assert!(outcome.token.is_none(), "the intent says it");
        verify(store.as_ref()).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_was_altered_keeps_no_server_from_starting() {
        let store = store().await;
        let first = audit(&store).await;
        fill(&first, 20).await;
        let cut = begin(&first).await;
        let at = store.head().await.unwrap().seq;
        std::mem::forget(cut);
        fill(&first, 20).await;
        // Some are no records, some are no rows, the last one among them.
        let last = store.head().await.unwrap().seq;
        for text in [
            "DROP TRIGGER audit_is_append_only_update".to_owned(),
            "UPDATE audit SET record = '{}' WHERE seq = 3".to_owned(),
            format!(
                "UPDATE audit SET hash = 'none' WHERE seq IN (2, {}, {last})",
                at - 1
            ),
            format!(
                "UPDATE audit SET record = CAST(x'ff' AS TEXT) WHERE seq = {}",
                at + 1
            ),
        ] {
            let done = sqlx::query(sqlx::AssertSqlSafe(text));
            done.execute(store.writer()).await.unwrap();
        }
        let second = audit(&store).await;
        assert_eq!(second.close_interrupted().await.unwrap(), 1);
        let mut added = store.audit_from(last + 1, 10).await.unwrap();
        let outcome: Record = serde_json::from_str(&added.pop().unwrap().text).unwrap();
        assert_eq!(outcome.result.unwrap().status, "interrupted");
        assert!(added.is_empty());
    }

    #[tokio::test]
    async fn a_record_that_somebody_planted_far_away_is_not_walked_to() {
        let store = store().await;
        std::mem::forget(begin(&audit(&store).await).await);
        let far = format!(
            "INSERT INTO audit (seq, hash, record) VALUES ({}, 'none', '{{}}')",
            i64::MAX - 1_000
        );
        let planted = sqlx::query(sqlx::AssertSqlSafe(far));
        planted.execute(store.writer()).await.unwrap();
        let second = audit(&store).await;
        assert_eq!(second.close_interrupted().await.unwrap(), 1);
        // Nor is everything up to it taken for closed.
        let head = store.head().await.unwrap().seq;
        assert!(store.closed_before().await.unwrap() <= head + 1);
    }

    #[tokio::test]
    async fn a_call_whose_end_was_written_before_its_beginning_was_not_interrupted() {
        let store = store().await;
        let first = audit(&store).await;
        let mut intent = Record::new(Uuid::now_v7(), Timestamp(0), "tools/call");
        let mut outcome = intent.clone();
        outcome.abort();
        intent.phase = Phase::Intent;
        for record in [outcome, intent] {
            let pending = Pending::new(record, None, None);
            first.durable(Job::keep(pending)).await.unwrap();
        }
        assert_eq!(audit(&store).await.close_interrupted().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_noted_as_closed_never_passes_a_call_that_is_open() {
        let store = store().await;
        let audit = audit(&store).await;
        audit.close_interrupted().await.unwrap();
        fill(&audit, AUDIT_CLOSED_NOTED_EVERY + 10).await;
        let open = begin(&audit).await;
        let intent = store.head().await.unwrap().seq;
        fill(&audit, 2 * AUDIT_CLOSED_NOTED_EVERY).await;
        fill(&audit, 1).await;
        assert_eq!(store.closed_before().await.unwrap(), intent);
        open.close(End::Answered).await.unwrap();
        fill(&audit, 1).await;
        assert!(store.closed_before().await.unwrap() > intent);
    }

    #[tokio::test]
    async fn a_command_beside_a_server_says_nothing_of_its_calls() {
        let store = store().await;
        let server = audit(&store).await;
        server.close_interrupted().await.unwrap();
        let running = begin(&server).await;
        let command = audit(&store).await;
        fill(&command, 2 * AUDIT_CLOSED_NOTED_EVERY).await;
        fill(&command, 1).await;
        assert_eq!(store.closed_before().await.unwrap(), 1);
        running.close(End::Answered).await.unwrap();
    }
}
