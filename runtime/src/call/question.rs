//! What becomes of a call for which consent is missing: a refusal, or a question to its user.

use uuid::Uuid;

use super::Stages;
use super::asked::SoFar;
use super::ended::Ended;
use super::nested::{CalleeAsks, Node, TOO_LATE};
use crate::audit::{End, Entry, Stage};
use crate::catalog::Tool;
use crate::consent::{ConsentError, Needed, StateFacts, Waits};
use crate::dialogue::Answered;
use crate::mcp::{Answer, Call};
use crate::problem::caused;

impl Stages {
    pub(super) fn not_consented(
        &self,
        error: ConsentError,
        call: &Call,
        facts: &StateFacts,
        tool: &Tool,
        node: &Node,
        entry: &Entry,
    ) -> Box<Ended> {
        let refused = |reason: &str, text: String| {
            Ended::refused(Stage::Consent, reason, Answer::ToolError(text))
        };
        match error {
            ConsentError::Needed(needed) => self.ask(*needed, call, facts, tool, node, entry.id()),
            ConsentError::Denied { again_from } => refused(
                "denied-by-user",
                format!(
                    "the user did not allow this; do not ask again before {}",
                    again_from.rfc3339()
                ),
            ),
            ConsentError::TooLate => refused(TOO_LATE, error.to_string()),
            ConsentError::NoUser => refused(
                "no-user",
                "this token stands for no user who could consent; the operator can record a consent for it".to_owned(),
            ),
            ConsentError::NotShowable => refused("not-showable", error.to_string()),
            ConsentError::TooManyQuestions | ConsentError::Contended => {
                refused("too-many-questions", error.to_string())
            }
            ConsentError::Store(_) | ConsentError::Audit(_) => {
                tracing::error!(error = %caused(&error), event = %entry.id(), "consent could not be looked up");
                Ended::failed("store", Answer::Unavailable { id: entry.id() })
            }
        }
    }

    /// The question. Of a call within another one it is handed to that, for no link passes through a guest.
    fn ask(
        &self,
        needed: Needed,
        call: &Call,
        facts: &StateFacts,
        tool: &Tool,
        node: &Node,
        event: Uuid,
    ) -> Box<Ended> {
        let ticket = needed.ticket.hash();
        let asks = CalleeAsks {
            title: tool.package().manifest().title.clone(),
            by: node.path().last().cloned(),
            needed,
        };
        if node.parent().is_some() {
            return Box::new(Ended {
                answer: Answer::Denied,
                end: End::Asked { ticket },
                durable: false,
                acted: false,
                asks: Some(asks),
            });
        }
        let waits = Waits::Consent(asks.needed.ticket.clone());
        match self.question(&asks, &waits, facts, call, event) {
            Some(answer) => Box::new(Ended {
                answer,
                end: End::Asked { ticket },
                durable: false,
                acted: false,
                asks: None,
            }),
            None => Ended::failed("consent-url", Answer::Fault { id: event }),
        }
    }

    /// What is told of a call that ended because a tool which it called needs its user. Another run of it begins when that is
    /// decided.
    pub(super) fn callee_asks(
        &self,
        asks: Option<&CalleeAsks>,
        answered: Vec<Answered>,
        so_far: SoFar,
        facts: &StateFacts,
        call: &Call,
        event: Uuid,
    ) -> Answer {
        let fault = Answer::Fault { id: event };
        let Some(asks) = asks else {
            tracing::error!(%event, "a run ended for a question that is not there");
            return fault;
        };
        let Some(dialogue) = so_far.waiting_for(None, answered, self.clock.now()) else {
            let text = "the user was asked about too many tools, or did not decide in time, so the call was stopped";
            return Answer::ToolError(text.to_owned());
        };
        let waits = Waits::Callee(asks.needed.ticket.clone(), Box::new(dialogue));
        self.question(asks, &waits, facts, call, event)
            .unwrap_or(fault)
    }

    /// The question, in the form that this client can show; none by a fault of ours.
    fn question(
        &self,
        asks: &CalleeAsks,
        waits: &Waits,
        facts: &StateFacts,
        call: &Call,
        event: Uuid,
    ) -> Option<Answer> {
        let CalleeAsks { title, by, needed } = asks;
        let url = self.public_url.join(&needed.path).ok()?;
        let mut message = format!(
            "“{title}” asks for your consent: {}.",
            needed.sentences.join("; ")
        );
        if let Some(by) = by {
            message.push_str(&format!(" The tool `{by}` calls it."));
        }
        if needed.optional {
            message.push_str(" It also runs without.");
        }
        Some(match call.can_open_urls {
            true => match self.states.seal_waiting(facts, waits, self.clock.now()) {
                Ok(state) => Answer::ConsentNeeded {
                    url,
                    message,
                    state,
                    ticket: needed.ticket.clone(),
                },
                Err(error) => {
                    tracing::error!(%error, %event, "a request state could not be sealed");
                    return None;
                }
            },
            false if needed.optional => Answer::ToolError(format!(
                "{message} Tell the user to open {url} to allow it or not, then call the tool again. A call before the user has decided goes on without."
            )),
            false => Answer::ToolError(format!(
                "{message} Ask the user to open {url} and decide there, then call the tool again."
            )),
        })
    }
}
