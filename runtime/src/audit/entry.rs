//! The entry of one request: opened before its token is verified, closed after its reply is made.

use std::time::Instant;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::facts::{ArgumentFacts, CallerFacts, End, ToolFacts};
use super::job::{Job, Pending};
use super::record::{DecisionFacts, Record, TokenUse};
use super::{Audit, AuditError, CALL};
use crate::capability::{CapabilitySet, Tier};
use crate::ids::{ToolName, User};
use crate::telemetry::Trace;

/// One request. Dropped without having been closed it leaves a record that says `aborted`.
#[must_use = "an entry that is not closed is recorded as aborted"]
pub struct Entry {
    audit: Audit,
    record: Record,
    user: Option<User>,
    /// The tier of what a call was granted.
    tier: Option<Tier>,
    began: Instant,
    trace: Option<Trace>,
    closed: bool,
    begun: bool,
}

impl Entry {
    pub(super) fn new(audit: Audit, record: Record) -> Self {
        Self {
            audit,
            record,
            user: None,
            tier: None,
            began: Instant::now(),
            trace: None,
            closed: false,
            begun: false,
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

    /// It lies within another call, which lies, perhaps through others, within the one that a client made.
    pub fn within(&mut self, parent: Uuid, root: Uuid) {
        self.record.parent = Some(parent);
        self.record.root = Some(root);
    }

    /// It is traced under what the client names, if the calls of its root are. Comes before the first stage.
    pub fn traced(&mut self, root: Uuid, traceparent: Option<&str>) {
        let tracer = self.audit.meters().tracer();
        self.trace = tracer.and_then(|tracer| tracer.begin(root, traceparent));
    }

    /// The line is in this stage now.
    pub fn stage(&mut self, name: &'static str) {
        if let Some(trace) = &mut self.trace {
            trace.stage(name);
        }
    }

    /// Under what calls within it are traced.
    pub fn traceparent(&self) -> Option<String> {
        self.trace.as_ref().map(Trace::traceparent)
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
        self.tier = Some(granted.tier());
        self.audit.meters().call_granted(granted);
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
        let audit = self.audit.clone();
        let place = audit.place().await?;
        self.begun = true;
        audit.write(place, job).end_in_time().await?;
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
        self.begun = true;
        let intent = self.record.take_intent();
        place.send(Job::keep(self.pending(intent)));
        Ok(())
    }

    /// Records how it ended; durable when it returns. A record that the store does not take now is kept and written
    /// as soon as it does.
    pub async fn close(mut self, end: End) -> Result<(), AuditError> {
        let audit = self.audit.clone();
        // A caller that goes away while the queue is full leaves the entry open, and so an aborted record.
        match audit.place().await {
            Ok(place) => {
                let written = audit.write(place, self.ended(end));
                written.end_in_time().await.map(drop)
            }
            Err(error) => Err(self.ended_beside(end, error)),
        }
    }

    /// Records how it ended; waits for room in the queue, not for the disk.
    pub async fn close_soon(mut self, end: End) -> Result<(), AuditError> {
        let audit = self.audit.clone();
        match audit.place().await {
            Ok(place) => {
                place.send(self.ended(end));
                Ok(())
            }
            Err(error) => Err(self.ended_beside(end, error)),
        }
    }

    /// Records how it ended where there is no room in the queue: what it did is not forgotten, only not waited for.
    fn ended_beside(&mut self, end: End, error: AuditError) -> AuditError {
        let event = self.id();
        let job = self.ended(end);
        if self.audit.shared.dropped.send(job).is_err() {
            tracing::error!(%event, "the log is closed; the end of a call is not recorded");
        }
        error
    }

    /// Whether its intent was recorded, or tried to be.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Leaves no record of its end: it was counted, by [`Audit::admits`].
    pub fn counted(mut self, end: &End) {
        self.closed = true;
        self.count(Some(end));
    }

    fn ended(&mut self, end: End) -> Job {
        self.closed = true;
        self.count(Some(&end));
        let mut record = self.record.take();
        record.at = self.audit.shared.clock.now();
        record.end(end);
        Job::keep(self.pending(record))
    }

    fn count(&mut self, end: Option<&End>) {
        let meters = self.audit.meters();
        if let Some(End::Refused { stage, reason }) = end {
            meters.refused(*stage, reason);
        }
        if self.record.method.as_deref() == Some(CALL) {
            let tool = self.record.tool.as_ref().map(|facts| &facts.name);
            let (word, well) = meters.call_ended(tool, end, self.tier, self.began.elapsed());
            if let Some(trace) = self.trace.take() {
                let error = (!well).then_some(word);
                trace.end(
                    tool.map(ToolName::as_str),
                    word,
                    error,
                    self.record.event_id,
                );
            }
        }
    }

    fn pending(&self, record: Record) -> Pending {
        Pending::new(record, self.user.clone(), None)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.count(None);
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
