//! Questions of a guest to the user of its call: before any effect, bounded, and never waited for.
//!
//! Scope, limit, act, record. A question that has no answer yet ends the run; the run that begins again is handed the answers in
//! order, as long as it asks the same. An answer is data for the guest: nothing is granted by it.

mod form;
mod secrets;
#[cfg(test)]
mod tests;

use super::meter::Meter;
use crate::dialogue::{Answer, Answered, Asked, Asking, Question, Reply};
use crate::limits::{ASK_MESSAGE_BYTES_MAX, ASK_QUESTIONS_MAX};
use crate::sandbox::Effect;
use form::Form;

/// The name of this effect in records.
const EFFECT: &str = "ask";

/// Why nothing was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody can be asked, or the call has had an effect.
    #[error("nobody can be asked now")]
    Unavailable,
    /// The message or the schema is not as it must be.
    #[error("{0}")]
    Invalid(String),
    /// The call has asked all that it may.
    #[error("this call has asked all {ASK_QUESTIONS_MAX} questions that it may")]
    TooMany,
}

/// How a run ends that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnds {
    /// With a question to the user.
    Asked(Box<Asked>),
    /// It asked something else than the run before.
    Otherwise,
    /// It called a tool that its user has to be asked about.
    CalleeAsks,
}

/// Why a question has no answer in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It was not asked; the run goes on.
    Refused(AskError),
    /// The run ends here.
    Ends(RunEnds),
}

impl From<AskError> for Unanswered {
    fn from(error: AskError) -> Self {
        Self::Refused(error)
    }
}

/// The questions of one run.
#[derive(Debug)]
pub struct Asker {
    asking: Asking,
    meter: Meter,
    asked: usize,
}

impl Asker {
    /// Asks as far as `asking` goes, as long as `meter` knows of no effect.
    pub fn new(asking: Asking, meter: Meter) -> Self {
        Self {
            asking,
            meter,
            asked: 0,
        }
    }

    /// Takes one question: its answer where there is one, else how the run ends, or why it goes on without.
    pub fn ask(&mut self, message: &str, schema: &str) -> Result<Answer, Unanswered> {
        // scope and limit
        let form = match self.admit(message, schema) {
            Ok(form) => form,
            Err(refused) => {
                self.record(1, 0, 0);
                return Err(refused.into());
            }
        };
        // act
        let answer = self.answer(message, schema, &form);
        // record: sizes, not values
        let sent = message.len().saturating_add(schema.len());
        match &answer {
            Ok(Answer::Submitted(text)) => self.record(0, 0, text.len()),
            Ok(Answer::Declined | Answer::Cancelled) => self.record(0, 0, 0),
            Err(Unanswered::Ends(RunEnds::Asked(_))) => self.record(0, sent, 0),
            Err(
                Unanswered::Refused(_) | Unanswered::Ends(RunEnds::Otherwise | RunEnds::CalleeAsks),
            ) => {
                self.record(1, 0, 0);
            }
        }
        answer
    }

    /// What was answered so far, for the run that begins again.
    pub fn answered(&mut self) -> Vec<Answered> {
        std::mem::take(&mut self.asking.answered)
    }

    fn admit(&mut self, message: &str, schema: &str) -> Result<Form, AskError> {
        // A run that begins again would do twice what was done before the question.
        if self.meter.has_acted() {
            return Err(AskError::Unavailable);
        }
        if self.asked >= ASK_QUESTIONS_MAX {
            return Err(AskError::TooMany);
        }
        if message.len() > ASK_MESSAGE_BYTES_MAX {
            let why = format!("the message has more than {ASK_MESSAGE_BYTES_MAX} bytes");
            return Err(AskError::Invalid(why));
        }
        if message.trim().is_empty() {
            return Err(AskError::Invalid("the message is empty".to_owned()));
        }
        form::check_shown("the message", message).map_err(AskError::Invalid)?;
        Form::read(schema).map_err(AskError::Invalid)
    }

    fn answer(&mut self, message: &str, schema: &str, form: &Form) -> Result<Answer, Unanswered> {
        let question = Question::digest_of(message, schema);
        let asking = &mut self.asking;
        if let Some(known) = asking.answered.get(self.asked) {
            if known.question != question {
                return Err(Unanswered::Ends(RunEnds::Otherwise));
            }
            self.asked += 1;
            return Ok(known.answer.clone());
        }
        let mut again = false;
        if let Some((waits, reply)) = asking.waits.take() {
            if waits != question {
                return Err(Unanswered::Ends(RunEnds::Otherwise));
            }
            match reply.map(|reply| fitting(reply, form)) {
                Some(Some(answer)) => {
                    asking.answered.push(Answered {
                        question,
                        answer: answer.clone(),
                    });
                    self.asked += 1;
                    return Ok(answer);
                }
                Some(None) => again = true,
                None => {}
            }
        }
        if !asking.can_ask {
            return Err(AskError::Unavailable.into());
        }
        Err(Unanswered::Ends(RunEnds::Asked(Box::new(Asked {
            question: Question {
                digest: question,
                message: message.to_owned(),
                schema: schema.to_owned(),
                again,
            },
            answered: std::mem::take(&mut asking.answered),
        }))))
    }

    fn record(&self, refused: u64, sent: usize, received: usize) {
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.meter.note(
            EFFECT.to_owned(),
            Effect {
                count: 1,
                refused,
                bytes_out: bytes(sent),
                bytes_in: bytes(received),
            },
        );
    }
}

/// The answer that a client's word amounts to, if it fits the form.
fn fitting(reply: Reply, form: &Form) -> Option<Answer> {
    match reply {
        Reply::Submitted(content) => form.fitting(content).map(Answer::Submitted),
        Reply::Declined => Some(Answer::Declined),
        Reply::Cancelled => Some(Answer::Cancelled),
    }
}
