//! The entry of one request: opened before its token is verified, closed after its reply is made.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::facts::{ArgumentFacts, CallerFacts, End, ToolFacts};
use super::record::{DecisionFacts, Record, TokenUse};
use super::writer::{Job, Pending};
use super::{Audit, AuditError};
use crate::capability::CapabilitySet;
use crate::ids::{ToolName, User};

/// One request. Dropped without having been closed it leaves a record that says `aborted`.
#[must_use = "an entry that is not closed is recorded as aborted"]
pub struct Entry {
    audit: Audit,
    record: Record,
    user: Option<User>,
    closed: bool,
}

impl Entry {
    pub(super) fn new(audit: Audit, record: Record) -> Self {
        Self {
            audit,
            record,
            user: None,
            closed: false,
        }
    }

    /// The id of the event, which the operator finds in the log.
    pub fn id(&self) -> Uuid {
        self.record.event_id
    }

    /// Who calls.
    pub fn caller(&mut self, facts: CallerFacts) {
        self.record.tenant = Some(facts.tenant);
        self.record.client_id = Some(facts.client);
        self.record.token = Some(TokenUse {
            jti_hash: facts.jti_hash,
            alg: facts.algorithm,
            kid: facts.key_id,
            exp: facts.expires,
        });
        self.user = Some(facts.user);
    }

    /// The name that was asked for. What is no name of a tool is not recorded.
    pub fn asked(&mut self, name: &str) {
        self.record.asked_tool = name.parse::<ToolName>().ok();
    }

    /// Which tool was found.
    pub fn tool(&mut self, facts: ToolFacts) {
        self.record.asked_tool = None;
        self.record.tool = Some(facts);
    }

    /// Something else that it tells: a name, a kind, a size or a digest, never a value.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.record.facts.insert(name.to_owned(), value.into());
    }

    /// What the rules said.
    pub fn decision(&mut self, decision: DecisionFacts) {
        self.record.decision = Some(decision);
    }

    /// The consent records that are used, by id.
    pub fn consent(&mut self, records: Vec<String>) {
        self.record.consents = records;
    }

    /// What the call may do.
    pub fn granted(&mut self, granted: &CapabilitySet) {
        self.record.granted = granted.iter().map(ToString::to_string).collect();
    }

    /// The arguments: what the schema names of them, kinds, sizes and a keyed digest. Comes after the caller.
    pub fn arguments(&mut self, arguments: &Map<String, Value>, schema: &Value) {
        self.record.arguments = Some(ArgumentFacts::of(
            arguments,
            schema,
            &self.audit.shared.arguments,
            self.record.tenant.as_ref(),
        ));
    }

    /// Records the intent; durable when it returns. Without it no call with an outside effect may run.
    pub async fn intent(&mut self) -> Result<(), AuditError> {
        let job = Job::refusable(self.pending(self.record.intent()));
        self.audit.durable(job).await?;
        self.record.shorten();
        Ok(())
    }

    /// Records the intent of a call without outside effect: waits for room in the queue, not for the disk.
    pub async fn intent_soon(&mut self) -> Result<(), AuditError> {
        if self.audit.is_full() {
            return Err(AuditError::Full);
        }
        let audit = self.audit.clone();
        let place = audit.place().await?;
        let intent = self.record.take_intent();
        place.send(Job::keep(self.pending(intent)));
        Ok(())
    }

    /// Records how it ended; durable when it returns. A record that the store does not take now is kept and written
    /// as soon as it does.
    pub async fn close(mut self, end: End) -> Result<(), AuditError> {
        let (done, written) = tokio::sync::oneshot::channel();
        let audit = self.audit.clone();
        // A caller that goes away while the queue is full leaves the entry open, and so an aborted record.
        let place = audit.place().await?;
        place.send(self.ended(end).told(done));
        audit.hurry();
        match written.await {
            Ok(result) => result.map(drop).map_err(AuditError::Unavailable),
            Err(_) => Err(AuditError::Closed),
        }
    }

    /// Records how it ended; waits for room in the queue, not for the disk.
    pub async fn close_soon(mut self, end: End) -> Result<(), AuditError> {
        let audit = self.audit.clone();
        let place = audit.place().await?;
        place.send(self.ended(end));
        Ok(())
    }

    fn ended(&mut self, end: End) -> Job {
        self.closed = true;
        let mut record = self.record.take();
        record.at = self.audit.shared.clock.now();
        record.end(end);
        Job::keep(self.pending(record))
    }

    fn pending(&self, record: Record) -> Pending {
        Pending {
            record,
            user: self.user.clone(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let mut record = self.record.take();
        record.at = self.audit.shared.clock.now();
        record.abort();
        let event = record.event_id;
        let job = Job::keep(self.pending(record));
        if self.audit.shared.dropped.send(job).is_err() {
            tracing::error!(event = %event, "the log is closed; an aborted call is not recorded");
        }
    }
}
