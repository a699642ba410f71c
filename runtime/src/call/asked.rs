//! Calls that come back after their user was asked something: the state that they bring, and the form of a tool.
//!
//! What a client says of its user can end a call, make it wait, or be data for the tool. It never allows anything.

use uuid::Uuid;

use super::Stages;
use super::ended::Ended;
use super::facts::state_facts;
use crate::audit::{Entry, Stage};
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::consent::{Carried, Consent, Offer, StateError, StateFacts, Waits};
use crate::dialogue::{Answered, Asked, Asking, Dialogue, Reply};
use crate::identity::Caller;
use crate::ids::Digest;
use crate::limits::{ASK_CALL_MAX, ASK_RUNS_MAX};
use crate::mcp::{Answer, Call, Said};
use crate::store::StoreError;

/// What the runs of one call have in common.
pub(super) struct SoFar {
    began: Timestamp,
    runs: u32,
    used: Vec<Uuid>,
}

impl SoFar {
    /// After the consent of one more run.
    pub(super) fn of(before: Option<&Dialogue>, consent: &Consent, now: Timestamp) -> Self {
        Self {
            began: before.map_or(now, |before| before.began),
            runs: before.map_or(0, |before| before.runs).saturating_add(1),
            used: consent.used_up().to_vec(),
        }
    }

    /// What another run needs that begins when this is answered; none when there were too many, or it took too long.
    pub(super) fn waiting_for(
        self,
        waits: Option<Digest>,
        answered: Vec<Answered>,
        now: Timestamp,
    ) -> Option<Dialogue> {
        let Self { began, runs, used } = self;
        let over = runs >= ASK_RUNS_MAX || now >= began.plus(ASK_CALL_MAX);
        (!over).then_some(Dialogue {
            waits,
            answered,
            began,
            runs,
            used,
        })
    }
}

/// What a client says that its user answered to the form for which the call waits.
pub(super) fn answered<'a>(carried: Option<&Carried>, call: &'a Call) -> Option<&'a Reply> {
    match carried?.waits() {
        Waits::Form(_) => call.replied.as_ref(),
        Waits::Consent(_) | Waits::Callee(..) => None,
    }
}

/// What this run may ask. Without somebody who could see a form, it can only go through what was answered before.
pub(super) fn asking(before: Option<Dialogue>, call: &Call, caller: &Caller) -> Asking {
    let can_ask = call.can_show_forms && caller.has_user();
    match before {
        None => Asking {
            can_ask,
            ..Asking::default()
        },
        Some(before) => Asking {
            can_ask,
            answered: before.answered,
            waits: before.waits.map(|waits| (waits, call.replied.clone())),
        },
    }
}

impl Stages {
    /// A state that a client gives back must be ours and for this very call.
    pub(super) fn carried(
        &self,
        call: &Call,
        caller: &Caller,
        tool: &Tool,
        arguments: Digest,
    ) -> Result<Option<Carried>, Box<Ended>> {
        let Some(state) = &call.request_state else {
            return Ok(None);
        };
        let facts = state_facts(caller, tool, arguments);
        let carried = self.states.read(state, &facts, self.clock.now());
        carried.map(Some).map_err(|error| bad_state(&error))
    }

    /// It must also be unused. It gives no right. What its client says of the user can end the call or make it wait, never
    /// allow anything.
    pub(super) async fn resume(
        &self,
        carried: Option<Carried>,
        call: &Call,
        caller: &Caller,
        entry: &Entry,
    ) -> Result<(Offer, Option<Dialogue>), Box<Ended>> {
        let Some(carried) = carried else {
            return Ok((Offer::GoesOn, None));
        };
        let refused = |reason: &str, text: String| {
            Ended::refused(Stage::Consent, reason, Answer::ToolError(text))
        };
        let failed = |error: &StoreError| {
            tracing::error!(%error, event = %entry.id(), "a request state could not be checked");
            Ended::failed("store", Answer::Unavailable { id: entry.id() })
        };
        let (ticket, so_far) = match self.states.take(caller.tenant(), carried).await {
            Ok(Waits::Consent(ticket)) => (ticket, None),
            Ok(Waits::Callee(ticket, dialogue)) => (ticket, Some(*dialogue)),
            Ok(Waits::Form(dialogue)) => return Ok((Offer::GoesOn, Some(*dialogue))),
            Err(StateError::Store(error)) => return Err(failed(&error)),
            Err(error) => return Err(bad_state(&error)),
        };
        let dismissed = match call.said {
            // What was decided was asked about another tool; nothing of this one's waits.
            Some(Said::Accepted) if so_far.is_some() => return Ok((Offer::GoesOn, so_far)),
            Some(Said::Accepted) => return Ok((Offer::Waits, None)),
            None => return Ok((Offer::GoesOn, so_far)),
            Some(dismissed @ (Said::Declined | Said::Cancelled)) => dismissed,
        };
        let is_offer = self.consents.is_offer(&ticket, &caller.who()).await;
        match (dismissed, is_offer.map_err(|error| failed(&error))?) {
            // The user does not want to decide, and the tool does not need it.
            (Said::Declined, true) => Ok((Offer::GoesOn, so_far)),
            (_, true) => Err(refused(
                "dismissed",
                "the user closed the question, so the tool was not called; called again, it runs without what was asked"
                    .to_owned(),
            )),
            // The client's word ends the call; it could not have allowed it.
            (_, false) => Err(refused(
                "dismissed",
                "the user did not open the consent page, so the tool was not called".to_owned(),
            )),
        }
    }

    /// The form of a tool, for the client to show; its answers so far travel sealed with it.
    pub(super) fn form(
        &self,
        asked: Asked,
        so_far: SoFar,
        facts: &StateFacts,
        tool: &Tool,
        event: Uuid,
    ) -> Answer {
        let now = self.clock.now();
        let Asked { question, answered } = asked;
        let Some(dialogue) = so_far.waiting_for(Some(question.digest), answered, now) else {
            let text = "the questions of the tool were not answered in time with what they ask for, so it was stopped";
            return Answer::ToolError(text.to_owned());
        };
        let waits = Waits::Form(Box::new(dialogue));
        let state = match self.states.seal_waiting(facts, &waits, now) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%error, %event, "a request state could not be sealed");
                return Answer::Fault { id: event };
            }
        };
        let again = match question.again {
            true => " (The last answer does not fit the form.)",
            false => "",
        };
        Answer::FormNeeded {
            message: format!(
                "“{}” ({}) asks: {}{again}",
                tool.package().manifest().title,
                tool.name(),
                question.message
            ),
            schema: question.schema,
            state,
        }
    }
}

fn bad_state(error: &StateError) -> Box<Ended> {
    let answer = match error {
        StateError::Invalid => Answer::BadState,
        StateError::Foreign | StateError::Expired | StateError::Replayed | StateError::Store(_) => {
            Answer::ToolError(format!("{error}; call the tool again without it"))
        }
    };
    Ended::refused(Stage::Consent, "request-state", answer)
}
