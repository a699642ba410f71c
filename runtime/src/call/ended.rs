//! How the line ended: what the caller is told, and what is recorded.

use uuid::Uuid;

use super::facts::used;
use super::nested::CalleeAsks;
use crate::audit::{End, Stage};
use crate::dialogue::{Answered, Asked};
use crate::mcp::Answer;
use crate::sandbox::{Ending, Outcome, Usage};

/// How the line ended: what the caller is told, and what is recorded.
pub(super) struct Ended {
    pub answer: Answer,
    pub end: End,
    /// Whether the outcome must be durable before the caller hears of it.
    pub durable: bool,
    /// Whether something had an effect outside.
    pub acted: bool,
    /// What the user must be asked about a tool that was called within, or that is called within.
    pub asks: Option<CalleeAsks>,
}

/// What a run wants of its user that ended for it.
pub(super) enum Wants {
    /// A form.
    Form(Box<Asked>),
    /// A decision about a tool that it called; what was answered until then.
    Callee(Vec<Answered>),
}

impl Ended {
    pub fn refused(stage: Stage, reason: impl Into<String>, answer: Answer) -> Box<Self> {
        Box::new(Self {
            answer,
            end: End::Refused {
                stage,
                reason: reason.into(),
            },
            durable: false,
            acted: false,
            asks: None,
        })
    }

    pub fn failed(reason: impl Into<String>, answer: Answer) -> Box<Self> {
        Box::new(Self {
            answer,
            end: End::Failed {
                reason: reason.into(),
            },
            durable: false,
            acted: false,
            asks: None,
        })
    }

    /// No place in the sandbox is free.
    pub fn overloaded() -> Box<Self> {
        Self::before_its_guest(&Ending::Overloaded, Answer::Busy)
    }

    /// Nobody waits for the call any more, and its guest has not begun.
    pub fn cancelled() -> Box<Self> {
        Self::before_its_guest(&Ending::Cancelled, Answer::Cancelled)
    }

    fn before_its_guest(ending: &Ending, answer: Answer) -> Box<Self> {
        Box::new(Self {
            answer,
            end: End::Ran {
                ending: ending.name().to_owned(),
                used: used(Usage::default()),
            },
            durable: false,
            acted: false,
            asks: None,
        })
    }

    /// What the caller is told of an outcome. What a guest says of itself is shown; what we know of it is not.
    /// `ask` puts to its user what the guest wants to know.
    pub fn of(
        outcome: Outcome,
        durable: bool,
        id: Uuid,
        ask: impl FnOnce(Wants) -> Answer,
    ) -> Self {
        let Outcome { ending, usage } = outcome;
        let end = End::Ran {
            ending: ending.name().to_owned(),
            used: used(usage),
        };
        let answer = match ending {
            Ending::Replied(reply) => Answer::Reply(reply),
            Ending::InvalidArguments(text) | Ending::Denied(text) | Ending::Failed(text) => {
                Answer::ToolError(text)
            }
            Ending::Trapped => {
                Answer::ToolError("the tool crashed; the call had no reply".to_owned())
            }
            Ending::Lost => Answer::ToolError(
                "the process in which the tool ran ended under it; the call had no reply".to_owned(),
            ),
            Ending::Exited => Answer::ToolError("the tool ended without a reply".to_owned()),
            Ending::OutOfTime => {
                Answer::ToolError("the tool did not answer in time and was stopped".to_owned())
            }
            Ending::OutOfBounds => Answer::ToolError(
                "the tool wanted more memory, handles or data in one host call than it may have, and was stopped".to_owned(),
            ),
            Ending::ReplyTooLarge => {
                Answer::ToolError("the tool's reply is larger than a reply may be".to_owned())
            }
            Ending::ReplyInvalid(text) => {
                Answer::ToolError(format!("the tool's reply is not what it promises: {text}"))
            }
            Ending::ReplyWithheld(text) => {
                Answer::ToolError(format!("the tool ran, and its reply is not shown: {text}"))
            }
            Ending::Asked(asked) => ask(Wants::Form(asked)),
            Ending::CalleeAsks(answered) => ask(Wants::Callee(answered)),
            Ending::AskedOtherwise => Answer::ToolError(
                "the tool asked something else the second time, so the answers to it are worth nothing; it was stopped"
                    .to_owned(),
            ),
            Ending::Cancelled => Answer::Cancelled,
            Ending::Revoked => Answer::ToolError(
                "the consent under which the tool ran was revoked, so it was stopped; what it had done until then is done"
                    .to_owned(),
            ),
            Ending::Overloaded => Answer::Busy,
            Ending::Fault(detail) => {
                tracing::error!(%detail, event = %id, "a call failed by our own fault");
                Answer::Fault { id }
            }
        };
        Self {
            answer,
            end,
            durable,
            acted: false,
            asks: None,
        }
    }
}
