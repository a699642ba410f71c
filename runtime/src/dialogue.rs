//! What a call has asked its user so far, and what it was answered: all that a run needs that begins again after a question.
//!
//! Answers are data of the user, relayed by a client that nobody trusts. They are handed to the guest and to nobody else.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::ids::Digest;

/// What became of a question.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The form was filled in: the text of a JSON object that the schema of the question accepts.
    Submitted(String),
    /// The user said no.
    Declined,
    /// The user closed the question.
    Cancelled,
}

impl std::fmt::Debug for Answer {
    /// Its kind and its size; what the user wrote gets into no log.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Submitted(text) => write!(out, "Submitted({} bytes)", text.len()),
            Self::Declined => out.write_str("Declined"),
            Self::Cancelled => out.write_str("Cancelled"),
        }
    }
}

/// A question that has its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Digest of message and schema.
    pub question: Digest,
    /// What became of it.
    pub answer: Answer,
}

/// A call that waits for its user, as it is sealed and given to its client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The questions that were answered, in their order.
    pub answered: Vec<Answered>,
    /// The question that waits; none where the call waits for a decision on our page.
    pub waits: Option<Digest>,
    /// When the first run of the call began.
    pub began: Timestamp,
    /// Runs so far, each of which ended with a question.
    pub runs: u32,
    /// Consents for a number of calls of which this call has used up one each.
    pub used: Vec<Uuid>,
}

/// What a client says to the question that waits: a bare claim.
#[derive(Clone, PartialEq)]
pub enum Reply {
    /// The form, filled in; not yet held against the schema.
    Submitted(Value),
    /// The user said no.
    Declined,
    /// The user closed the question.
    Cancelled,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Submitted(_) => "Submitted(…)",
            Self::Declined => "Declined",
            Self::Cancelled => "Cancelled",
        })
    }
}

/// What one run of a call may ask, and what is known from the runs before.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Whether somebody can be asked something new: the client of this request shows forms, and a user stands behind it.
    pub can_ask: bool,
    /// The questions that were answered, in their order.
    pub answered: Vec<Answered>,
    /// The question that waits, and what the client says to it, if it says anything.
    pub waits: Option<(Digest, Option<Reply>)>,
}

/// A question on its way to the user. Message and schema were written by a guest.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is told apart by: as the guest asked it, whatever is shown of it.
    pub digest: Digest,
    /// What is asked and why.
    pub message: String,
    /// The text of the JSON Schema of the form.
    pub schema: String,
    /// Whether an answer came that does not fit.
    pub again: bool,
}

impl Question {
    /// What a question is told apart by: every byte of its message and of its schema.
    pub fn digest_of(message: &str, schema: &str) -> Digest {
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        let parts = [&length.to_be_bytes(), message.as_bytes(), schema.as_bytes()];
        Digest::of(&parts.concat())
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Question({})", self.digest.short())
    }
}

/// What a run that ended with a question leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Those before it, in their order.
    pub answered: Vec<Answered>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_apart_by_every_byte_and_by_where_its_message_ends() {
        let one = Question::digest_of("Which?", "{}");
        for (message, schema) in [("Which", "?{}"), ("Which? ", "{}"), ("Which?", "{ }")] {
            assert_ne!(one, Question::digest_of(message, schema));
        }
        assert_eq!(one, Question::digest_of("Which?", "{}"));
    }

    #[test]
    fn what_the_user_wrote_is_never_printed() {
        let answer = Answer::Submitted("hush".to_owned());
        let reply = Reply::Submitted("hush".into());
        let question = Question {
            digest: Question::digest_of("hush", "hush"),
            message: "hush".to_owned(),
            schema: "hush".to_owned(),
            again: false,
        };
        let printed = format!("{answer:?} {reply:?} {question:?}");
        assert!(!printed.contains("hush"), "{printed}");
    }
}
