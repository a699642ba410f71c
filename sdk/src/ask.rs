//! Questions to the user of a call, as forms.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::capability::Capability;
use crate::form;

/// Asks the user of the call. Kind `ask`.
///
/// **Ask first, then act.** A call does not wait for a person: a question without an answer ends the run, and when the
/// answer is there the tool is called again from its start. So ask the same, in the same order, whenever the arguments and
/// the answers before are the same, and before anything that must not happen twice. After an effect every question is
/// [`AskError::Unavailable`].
///
/// An answer is data, as untrusted as the arguments. It grants nothing. Do not ask for passwords, tokens or card numbers:
/// the answer passes through the client.
///
/// ```
/// use bailiwick_sdk::{Answer, Ask, ToolError, tool};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Seat {
///     /// Where you want to sit
///     place: Place,
///     /// How many seats
///     #[schemars(range(min = 1, max = 8))]
///     count: u8,
/// }
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(rename_all = "lowercase")]
/// enum Place {
///     Window,
///     Aisle,
/// }
///
/// /// Picks seats.
/// #[tool]
/// fn seats(ask: Ask) -> Result<String, ToolError> {
///     match ask.form::<Seat>("Where do you want to sit?")? {
///         Answer::Submitted(seat) => Ok(format!("{} at the {:?}", seat.count, seat.place)),
///         Answer::Declined | Answer::Cancelled => Ok("no seat".to_owned()),
///     }
/// }
///
/// let ask = Ask::answering([Answer::Submitted(r#"{"place":"aisle","count":2}"#)]);
/// assert_eq!(seats(ask).unwrap(), "2 at the Aisle");
/// ```
#[derive(Debug)]
pub struct Ask {
    #[cfg(not(target_family = "wasm"))]
    script: std::cell::RefCell<std::collections::VecDeque<Answer<String>>>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The form was filled in.
    Submitted(T),
    /// The user said no. The tool can go on without.
    Declined,
    /// The user closed the question and decided nothing.
    Cancelled,
}

/// Why nothing was asked, or the answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The call has no grant to ask. A tool can go on without.
    Denied,
    /// Nobody can be asked now: the client shows no forms, nobody stands behind the call, or the call has had an effect
    /// already. A tool can go on without, and must not take this for an answer.
    Unavailable,
    /// The question is none that a form can be, or the answer does not fit the type.
    Invalid(String),
    /// The call has asked all the questions that it may.
    TooMany,
    /// A case of a later host.
    Other(String),
}

impl Capability for Ask {
    const KIND: &'static str = "ask";

    fn handle() -> Self {
        Self {
            #[cfg(not(target_family = "wasm"))]
            script: std::cell::RefCell::default(),
        }
    }
}

impl Ask {
    /// Answers the questions of a test, in their order, with these: JSON texts, or that the user does not want to. When
    /// they are used up, nobody can be asked. Exists outside a sandbox alone.
    #[cfg(not(target_family = "wasm"))]
    pub fn answering<'a>(answers: impl IntoIterator<Item = Answer<&'a str>>) -> Self {
        let answers = answers.into_iter().map(|answer| match answer {
            Answer::Submitted(text) => Answer::Submitted(text.to_owned()),
            Answer::Declined => Answer::Declined,
            Answer::Cancelled => Answer::Cancelled,
        });
        Self {
            script: std::cell::RefCell::new(answers.collect()),
        }
    }

    /// Asks the user to fill in a form with the fields of `T`: texts, numbers, booleans, enums of plain names, and lists
    /// of such enums. A field that is an `Option` may be left out.
    ///
    /// The doc comments of the fields are what the user reads. `#[schemars(email)]`, `#[schemars(url)]`, `length` and
    /// `range` become part of the form, and `#[serde(default)]` proposes a value. Fields are shown in the order of their
    /// names; [`Ask::form_with`] leaves their order to the author.
    ///
    /// # Errors
    ///
    /// See [`AskError`]; [`AskError::Invalid`] also when `T` has what a form cannot show.
    pub fn form<T: DeserializeOwned + JsonSchema>(
        &self,
        message: &str,
    ) -> Result<Answer<T>, AskError> {
        let schema = form::schema::<T>().map_err(AskError::Invalid)?;
        Ok(match self.form_with(message, &schema)? {
            Answer::Submitted(text) => Answer::Submitted(form::read(&text)?),
            Answer::Declined => Answer::Declined,
            Answer::Cancelled => Answer::Cancelled,
        })
    }

    /// Asks the user to fill in the form of this JSON Schema, as `wit/ask.wit` describes it. The answer is the text of a
    /// JSON object.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    pub fn form_with(&self, message: &str, schema: &str) -> Result<Answer<String>, AskError> {
        self.send(message, schema)
    }

    #[cfg(target_family = "wasm")]
    #[expect(
        clippy::unused_self,
        reason = "outside a sandbox it is asked for its script"
    )]
    fn send(&self, message: &str, schema: &str) -> Result<Answer<String>, AskError> {
        crate::guest::ask(message, schema)
    }

    #[cfg(not(target_family = "wasm"))]
    fn send(&self, _message: &str, _schema: &str) -> Result<Answer<String>, AskError> {
        let next = self.script.borrow_mut().pop_front();
        next.ok_or(AskError::Unavailable)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the user may not be asked in this call"),
            Self::Unavailable => f.write_str("nobody can be asked now"),
            Self::Invalid(what) => write!(f, "the question is not valid: {what}"),
            Self::TooMany => f.write_str("this call has asked all the questions that it may"),
            Self::Other(what) => write!(f, "the user could not be asked: {what}"),
        }
    }
}

impl std::error::Error for AskError {}

// The stand-in is there on the author's machine alone.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Order {
        count: u8,
    }

    #[test]
    fn the_answers_of_a_test_come_in_their_order_and_then_nobody_is_there() {
        let ask = Ask::answering([
            Answer::Submitted(r#"{"count":3}"#),
            Answer::Declined,
            Answer::Cancelled,
        ]);
        let mut answers = Vec::new();
        while let Ok(answer) = ask.form::<Order>("How many?") {
            answers.push(answer);
        }
        assert_eq!(
            answers,
            [
                Answer::Submitted(Order { count: 3 }),
                Answer::Declined,
                Answer::Cancelled
            ]
        );
        let nobody = Ask::handle().form::<Order>("How many?");
        assert_eq!(nobody, Err(AskError::Unavailable));
    }

    #[test]
    fn an_answer_that_does_not_fit_the_type_names_the_field() {
        let ask = Ask::answering([Answer::Submitted(r#"{"count":300}"#)]);
        let Err(AskError::Invalid(what)) = ask.form::<Order>("How many?") else {
            panic!("taken");
        };
        assert!(what.contains("`count`"), "{what}");
    }
}
