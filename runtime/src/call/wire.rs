//! The line as the wire asks for it.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::Stages;
use super::ended::Ended;
use crate::audit::{Event, EventKind};
use crate::consent::TicketId;
use crate::identity::{Caller, Credentials};
use crate::mcp::{
    Answer, Call, EdgeRefusal, Line, Listed, NotScoped, NotVerified, Operation, Pending,
    RequestFacts, SessionTurned,
};
use crate::store::TicketState;

impl Line for Stages {
    fn verify(
        &self,
        credentials: Credentials,
        request: RequestFacts,
    ) -> Pending<'_, Result<Arc<Caller>, NotVerified>> {
        Box::pin(self.verified(credentials, request))
    }

    fn proof_nonce(&self) -> Option<String> {
        self.identity.nonce(self.clock.now())
    }

    fn check_scopes(&self, caller: &Caller, operation: &Operation) -> Result<(), NotScoped> {
        let Some(name) = &operation.tool else {
            return Ok(());
        };
        let rules = self.rules.load();
        if let Some(tool) = self.catalog.find(name.as_str()) {
            let checked = rules.check_scopes(caller, &tool);
            return checked.map_err(|needed| NotScoped { needed });
        }
        // What does not exist shall take as long as what is hidden.
        if let Some(other) = self.stand_in(name.as_str()) {
            let _ = rules.check_scopes(caller, &other);
        }
        Ok(())
    }

    fn turns_away(&self, caller: &Caller) -> bool {
        let is_full = self.sandbox.is_full();
        if !is_full || !(self.audit).only_counts(EventKind::CallOverloaded, caller.who()) {
            return false;
        }
        let mut entry = self.audit.open("tools/call");
        entry.caller(caller.into());
        entry.counted(&Ended::overloaded().end);
        true
    }

    fn list(&self, caller: &Caller) -> Vec<Listed> {
        let rules = self.rules.load();
        let snapshot = self.catalog.snapshot();
        snapshot
            .tools
            .values()
            .filter(|tool| rules.lists(caller, tool))
            .map(Listed::of)
            .collect()
    }

    fn is_open(&self) -> bool {
        self.anonymous_discovery
    }

    fn list_anonymous(&self) -> Vec<Listed> {
        let rules = self.rules.load();
        let snapshot = self.catalog.snapshot();
        let open = snapshot.tools.values();
        let open = open.filter(|tool| self.anonymous_discovery && rules.lists_anonymous(tool));
        open.map(Listed::of).collect()
    }

    fn header_schema(&self, caller: &Caller, tool: &str) -> Option<Arc<Map<String, Value>>> {
        let tool = self.catalog.find(tool)?;
        let schema = tool.definition().input_schema.as_object()?;
        let visible = mirrors_arguments(schema) && self.rules.load().lists(caller, &tool);
        visible.then(|| Arc::new(schema.clone()))
    }

    fn call(&self, call: Call, caller: Arc<Caller>) -> Pending<'_, Answer> {
        Box::pin(async move { self.recorded(call, caller, None).await.answer })
    }

    fn is_open_question<'a>(
        &'a self,
        ticket: &'a TicketId,
        caller: &'a Caller,
    ) -> Pending<'a, bool> {
        Box::pin(async move {
            let now = self.clock.now();
            let state = self.consents.ticket_state(ticket, &caller.who(), now).await;
            match state {
                Ok(state) => state == Some(TicketState::Open),
                Err(error) => {
                    tracing::warn!(%error, "it cannot be told whether a question was answered");
                    true
                }
            }
        })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    fn refused_at_edge(&self, request: &RequestFacts, refusal: &EdgeRefusal) {
        self.audit.meters().refused_at_edge(refusal.name());
        // Anybody can cause these, so they are sampled. A refused token is recorded where its reason is known.
        let kind = match refusal {
            EdgeRefusal::InvalidToken
            | EdgeRefusal::BadProof
            | EdgeRefusal::NoNonce
            | EdgeRefusal::IdentityBusy
            | EdgeRefusal::IdentityUnavailable => None,
            EdgeRefusal::NoToken | EdgeRefusal::MalformedAuthorization => {
                Some(EventKind::AuthFailed)
            }
            EdgeRefusal::Host
            | EdgeRefusal::Origin
            | EdgeRefusal::Method
            | EdgeRefusal::Session
            | EdgeRefusal::NotScoped(_)
            | EdgeRefusal::WeakSignIn(_)
            | EdgeRefusal::ContentType
            | EdgeRefusal::BodyTooLarge
            | EdgeRefusal::BodyLost
            | EdgeRefusal::NotJson
            | EdgeRefusal::NotARequest
            | EdgeRefusal::VersionHeader(_)
            | EdgeRefusal::Version { .. }
            | EdgeRefusal::RemovedMethod
            | EdgeRefusal::ToolName
            | EdgeRefusal::Busy
            | EdgeRefusal::Unavailable { .. }
            | EdgeRefusal::Fault { .. } => Some(EventKind::RequestRefused),
        };
        if let Some(kind) = kind {
            self.audit.sampled(kind, refusal.name());
        }
        tracing::info!(request = %request.id, peer = ?request.peer, refusal = refusal.name(), "a request was refused at the edge");
    }

    fn session_turned(&self, turned: SessionTurned) {
        let why = turned.turn.why_ended();
        let kind = match why {
            None => EventKind::SessionBegan,
            Some(_) => EventKind::SessionEnded,
        };
        let event = Event::new(kind)
            .user(&turned.who.tenant, &turned.who.user)
            .client(&turned.client)
            .fact("session", turned.name.to_string());
        self.audit.event_unwaited(match why {
            None => event,
            Some(why) => event.fact("why", why),
        });
    }
}

impl Stages {
    async fn verified(
        &self,
        credentials: Credentials,
        request: RequestFacts,
    ) -> Result<Arc<Caller>, NotVerified> {
        match self.identity.verify(credentials, self.clock.now()).await {
            Ok(caller) => Ok(caller),
            Err(error) => {
                tracing::info!(%error, request = %request.id, "a token was refused");
                // Anybody can send one, so they are sampled: a flood of them must not crowd out the records of calls.
                self.audit.sampled(EventKind::AuthFailed, error.name());
                Err(error.public().into())
            }
        }
    }
}

/// Whether some argument is annotated with `x-mcp-header`. Such an annotation is reachable through `properties` only.
fn mirrors_arguments(schema: &Map<String, Value>) -> bool {
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.is_some_and(|fields| {
        fields
            .values()
            .filter_map(Value::as_object)
            .any(|field| field.contains_key("x-mcp-header") || mirrors_arguments(field))
    })
}
