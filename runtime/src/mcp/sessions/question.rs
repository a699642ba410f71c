//! Asking the user of a session while its call waits: for consent, or what a tool wants to know.
//!
//! For consent the client is asked to open our page; what it answers may end the call. Whether the user agreed is seen in our own
//! store, and nowhere else. The answer to a form of a tool is data, which the client relays. A wait is bounded, ends with its session and with its request, and holds no place in the sandbox.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ElicitRequest, ElicitRequestParams, RequestId, ServerJsonRpcMessage, ServerRequest,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{ClientReply, InUse, Sessions};
use crate::consent::TicketId;
use crate::dialogue::Reply;
use crate::identity::Caller;
use crate::limits::{SESSION_QUESTION_WAIT_MAX, SESSION_QUESTIONS_MAX};
use crate::mcp::line::{Line, Said};

/// How often it is looked whether the user has decided. The decision may be made at another node, so the store is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Messages of ours that may wait for the stream of one call.
const SAYS_MAX: usize = 8;

/// A request within a session: where it may ask.
#[derive(Debug, Clone)]
pub(in crate::mcp) struct Within {
    session: Arc<InUse>,
    say: mpsc::Sender<Value>,
    waiting: Arc<Semaphore>,
}

/// What is asked.
pub(in crate::mcp) struct Ask<'a> {
    pub url: &'a Url,
    pub message: &'a str,
    pub ticket: &'a TicketId,
}

/// How a form ended.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mcp) enum Filled {
    /// What the client says to it; nothing where it said that the user agreed to something else.
    Replied(Option<Reply>),
    /// It could not be asked, or nobody answered in time, or before the session ended.
    Unanswered,
    /// Nobody waits for the answer any more.
    Gone,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum Asked {
    /// The user has decided on our page, one way or the other.
    Decided,
    /// The client says that its user does not want to.
    Dismissed(Said),
    /// It could not be asked, or nobody decided in time, or before the session ended.
    Unanswered,
    /// Nobody waits for the answer any more.
    Gone,
}

impl Within {
    /// A request in this session, and what it says on its stream.
    pub fn new(sessions: &Sessions, session: InUse) -> (Self, mpsc::Receiver<Value>) {
        let (say, said) = mpsc::channel(SAYS_MAX);
        let within = Self {
            session: Arc::new(session),
            say,
            waiting: Arc::clone(&sessions.waiting),
        };
        (within, said)
    }

    /// The session.
    pub fn session(&self) -> &super::Session {
        &self.session
    }

    /// Whether its client can show a link.
    pub fn opens_urls(&self) -> bool {
        self.session.negotiated.opens_urls
    }

    /// Whether its client can show a form.
    pub fn shows_forms(&self) -> bool {
        self.session.negotiated.shows_forms
    }

    /// Asks the client to open the page, and waits until its user has decided there.
    pub async fn ask(
        &self,
        ask: Ask<'_>,
        line: &dyn Line,
        caller: &Caller,
        cancel: &CancellationToken,
    ) -> Asked {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Asked::Unanswered;
        };
        let params = ElicitRequestParams::UrlElicitationParams {
            meta: None,
            message: crate::protect::clean(ask.message).into_owned(),
            url: ask.url.as_str().to_owned(),
            // The question's name in the audit log. It opens nothing.
            elicitation_id: ask.ticket.hash().to_string(),
        };
        let Some(mut open) = self.open(params) else {
            return Asked::Unanswered;
        };
        let ended = tokio::select! {
            () = cancel.cancelled() => return Asked::Gone,
            () = self.session.ended.cancelled() => Asked::Unanswered,
            dismissed = open.dismissed() => dismissed,
            () = decided(line, caller, ask.ticket) => Asked::Decided,
            () = self.too_late(caller) => Asked::Unanswered,
        };
        match ended {
            Asked::Decided => self.tell(json!({
                "jsonrpc": "2.0",
                "method": "notifications/elicitation/complete",
                "params": {"elicitationId": ask.ticket.hash().to_string()},
            })),
            Asked::Unanswered if open.answer.is_some() => self.withdraw(&open.id),
            Asked::Unanswered | Asked::Dismissed(_) | Asked::Gone => {}
        }
        ended
    }

    /// Asks the client to show the form, and waits for what it says.
    pub async fn fill(
        &self,
        params: ElicitRequestParams,
        caller: &Caller,
        cancel: &CancellationToken,
    ) -> Filled {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Filled::Unanswered;
        };
        let Some(mut open) = self.open(params) else {
            return Filled::Unanswered;
        };
        let filled = tokio::select! {
            () = cancel.cancelled() => return Filled::Gone,
            () = self.session.ended.cancelled() => Filled::Unanswered,
            filled = open.filled() => filled,
            () = self.too_late(caller) => Filled::Unanswered,
        };
        if filled == Filled::Unanswered && open.answer.is_some() {
            self.withdraw(&open.id);
        }
        filled
    }

    /// Until nobody waits any longer. Nothing goes on under a token that expired while its user was reading.
    async fn too_late(&self, caller: &Caller) {
        let left = caller.token().expires.since(self.session.clock.now());
        tokio::time::sleep(SESSION_QUESTION_WAIT_MAX.min(left)).await;
    }

    /// Tells the client that its answer is not waited for any more.
    fn withdraw(&self, question: &str) {
        self.tell(json!({
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": question, "reason": "nobody decided in time"},
        }));
    }

    /// Puts the question on the stream of the request.
    fn open(&self, params: ElicitRequestParams) -> Option<Open<'_>> {
        let id = Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.session.state();
            if state.questions.len() >= SESSION_QUESTIONS_MAX {
                return None;
            }
            state.questions.insert(id.clone(), answer);
        }
        let open = Open {
            session: &self.session,
            id: id.clone(),
            answer: Some(answered),
        };
        let request = ServerRequest::ElicitRequest(ElicitRequest::new(params));
        let request = ServerJsonRpcMessage::request(request, RequestId::String(id.into()));
        let request = serde_json::to_value(request).ok()?;
        self.say.try_send(request).ok()?;
        Some(open)
    }

    /// A notification that may get lost.
    fn tell(&self, notification: Value) {
        let _ = self.say.try_send(notification);
    }
}

/// A question that the client has not answered, until it is dropped.
struct Open<'a> {
    session: &'a InUse,
    id: String,
    answer: Option<oneshot::Receiver<ClientReply>>,
}

impl Open<'_> {
    /// Until the client says that there will be no decision. That its user agreed to open the page says nothing of what is
    /// decided there.
    async fn dismissed(&mut self) -> Asked {
        let reply = match self.answer.as_mut() {
            Some(answer) => answer.await.ok(),
            None => None,
        };
        self.answer = None;
        match reply {
            Some(ClientReply::Said(said @ (Said::Declined | Said::Cancelled), _)) => {
                Asked::Dismissed(said)
            }
            Some(ClientReply::Failed) => Asked::Unanswered,
            Some(ClientReply::Said(Said::Accepted, _)) | None => std::future::pending().await,
        }
    }

    /// Until the client says what its user answered, or that it cannot ask.
    async fn filled(&mut self) -> Filled {
        let reply = match self.answer.as_mut() {
            Some(answer) => answer.await.ok(),
            None => None,
        };
        self.answer = None;
        match reply {
            Some(ClientReply::Said(_, reply)) => Filled::Replied(reply),
            Some(ClientReply::Failed) => Filled::Unanswered,
            // Another question took this one's place; nobody answers any more.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.session.state().questions.remove(&self.id);
    }
}

async fn decided(line: &dyn Line, caller: &Caller, ticket: &TicketId) {
    while line.is_open_question(ticket, caller).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
