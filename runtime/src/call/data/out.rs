//! What a caller, or a tool that called another, may see of what a guest answered.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Guard;
use super::sealing::Sealing;
use crate::audit::Entry;
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::dialogue::{Asked, Question};
use crate::host::tools::{Answered, CallError};
use crate::problem::caused;
use crate::protect::{
    Action, Change, Class, Counts, Direction, Judged, Marker, Scan, Withheld, clean, rewrite,
    rewrite_text, wants_encryption,
};
use crate::sandbox::{Ending, Reply};
use crate::seal::SealError;

/// What one pass over an answer made of it.
struct Passed<T> {
    answer: T,
    counts: Counts,
    marked: u64,
    withheld: Option<Withheld>,
}

impl Guard<'_> {
    /// What the caller may see of what a guest answered.
    pub async fn hand_out(
        &self,
        ending: Ending,
        granted: &BTreeSet<Class>,
        now: Timestamp,
        entry: &mut Entry,
    ) -> Ending {
        let passed = match self.passed(ending, granted, Some(self.tool), now).await {
            Ok(passed) => passed,
            Err(error) => {
                // What the guest did is done; what it answered is not shown in plain.
                let event = entry.id();
                tracing::error!(error = %caused(&error), %event, "a reply could not be encrypted");
                return Ending::ReplyWithheld(unkept(&error));
            }
        };
        if !passed.counts.is_empty() {
            entry.fact("data_out", passed.counts.facts());
        }
        if passed.marked > 0 {
            entry.fact("hidden_out", passed.marked);
        }
        match passed.withheld {
            None => passed.answer,
            // Where it stands may itself be data.
            Some(withheld) => Ending::ReplyWithheld(withheld.of_reply()),
        }
    }

    /// What the tool may see of what another one answered it: what this tool may not be given is masked, whatever the other one
    /// may answer with.
    pub async fn hand_on(
        &self,
        answered: Answered,
        granted: &BTreeSet<Class>,
        now: Timestamp,
    ) -> Answered {
        let Answered::Made { outcome, acted } = answered else {
            return answered;
        };
        let outcome = match self.passed(outcome, granted, None, now).await {
            Ok(passed) if passed.withheld.is_none() => passed.answer,
            Ok(_) => Err(CallError::Failed(
                "its reply holds data that this tool may not be given".to_owned(),
            )),
            Err(error) => {
                tracing::error!(error = %caused(&error), "a reply to a tool could not be encrypted");
                Err(CallError::Failed(format!("its reply: {}", unkept(&error))))
            }
        };
        Answered::Made { outcome, acted }
    }

    /// Passes an answer, and where something in it is encrypted, passes it again with the handles of what was kept.
    async fn passed<T: Outgoing>(
        &self,
        answer: T,
        granted: &BTreeSet<Class>,
        promised: Option<&Tool>,
        now: Timestamp,
    ) -> Result<Passed<T>, SealError> {
        let out = |sealing| Out {
            guard: self,
            granted,
            counts: Counts::default(),
            marker: Marker::default(),
            withheld: None,
            promised,
            sealing,
        };
        let again = self.may_encrypt(promised).then(|| answer.clone());
        let mut first = out(Sealing::default());
        let answer = answer.pass(&mut first);
        let (passed, noted) = first.end(answer);
        let Some(again) = again.filter(|_| !noted.is_empty() && passed.withheld.is_none()) else {
            return Ok(passed);
        };
        let prepared = self.seals.prepare(&self.owner, noted, now).await?;
        let mut second = out(Sealing::giving(prepared.handles()));
        prepared.keep(now).await?;
        let answer = again.pass(&mut second);
        Ok(second.end(answer).0)
    }

    /// Whether something in a reply could be encrypted.
    fn may_encrypt(&self, promised: Option<&Tool>) -> bool {
        let schema = promised.and_then(|tool| tool.definition().output_schema.as_ref());
        self.seals.is_there() && (self.safeguard.encrypts() || schema.is_some_and(wants_encryption))
    }
}

/// What goes out through [`Out`].
trait Outgoing: Clone {
    fn pass(self, out: &mut Out<'_>) -> Self;
}

impl Outgoing for Ending {
    fn pass(self, out: &mut Out<'_>) -> Self {
        out.ending(self)
    }
}

impl Outgoing for Result<Reply, CallError> {
    fn pass(self, out: &mut Out<'_>) -> Self {
        out.outcome(self)
    }
}

/// Why a reply is not shown. What the operator must mend is in the log alone.
fn unkept(error: &SealError) -> String {
    match error {
        SealError::TooLarge
        | SealError::TooMany
        | SealError::Full
        | SealError::PackageFull
        | SealError::NoKey => {
            format!("it holds data that could not be encrypted: {error}")
        }
        error if error.is_passing() => "it holds data that could not be encrypted now".to_owned(),
        _ => "it holds data that could not be encrypted".to_owned(),
    }
}

/// One answer on its way out.
struct Out<'a> {
    guard: &'a Guard<'a>,
    granted: &'a BTreeSet<Class>,
    counts: Counts,
    marker: Marker,
    withheld: Option<Withheld>,
    /// The tool whose definition says what structured output is, where that is promised to whoever gets it.
    promised: Option<&'a Tool>,
    sealing: Sealing,
}

impl Out<'_> {
    fn end<T>(self, answer: T) -> (Passed<T>, Vec<crate::seal::Plain>) {
        let passed = Passed {
            answer,
            marked: self.marker.marked(),
            counts: self.counts,
            withheld: self.withheld,
        };
        (passed, self.sealing.into_plain())
    }

    fn ending(&mut self, ending: Ending) -> Ending {
        match ending {
            Ending::Replied(reply) => Ending::Replied(self.reply(reply)),
            Ending::InvalidArguments(text) => Ending::InvalidArguments(self.text(text)),
            Ending::Denied(text) => Ending::Denied(self.text(text)),
            Ending::Failed(text) => Ending::Failed(self.text(text)),
            Ending::ReplyInvalid(text) => Ending::ReplyInvalid(self.text(text)),
            Ending::Asked(asked) => Ending::Asked(Box::new(self.asked(*asked))),
            Ending::AskedOtherwise
            | Ending::CalleeAsks(_)
            | Ending::Trapped
            | Ending::Exited
            | Ending::Lost
            | Ending::OutOfTime
            | Ending::OutOfBounds
            | Ending::ReplyTooLarge
            | Ending::ReplyWithheld(_)
            | Ending::Cancelled
            | Ending::Revoked
            | Ending::Overloaded
            | Ending::Fault(_) => ending,
        }
    }

    fn outcome(&mut self, outcome: Result<Reply, CallError>) -> Result<Reply, CallError> {
        match outcome {
            Ok(reply) => Ok(self.reply(reply)),
            Err(CallError::InvalidArguments(text)) => {
                Err(CallError::InvalidArguments(self.text(text)))
            }
            Err(CallError::Failed(text)) => Err(CallError::Failed(self.text(text))),
            Err(other) => Err(other),
        }
    }

    fn judge(&mut self, found: &Scan) -> Vec<Change> {
        let may = self.guard.may(self.granted);
        let Judged { counts, pass } = self.guard.safeguard.judge(Direction::Reply, found, may);
        self.counts.add(counts);
        pass.unwrap_or_else(|withheld| {
            self.withheld.get_or_insert(withheld);
            Vec::new()
        })
    }

    fn text(&mut self, text: String) -> String {
        // First, so that nothing is put together by it that was searched in pieces.
        let text = clean(&text).into_owned();
        let found = self.guard.safeguard.search_text(&text);
        let changes = self.judge(&found);
        let text = match changes.is_empty() {
            true => text,
            false => rewrite_text(&text, &changes, &mut |piece| self.sealing.seal(piece)),
        };
        // After the search, which sees through them.
        self.marker.text(text)
    }

    /// A question goes to the user by way of the caller, as a reply does.
    fn asked(&mut self, asked: Asked) -> Asked {
        let schema = serde_json::from_str(&asked.question.schema).unwrap_or_default();
        let found = self.guard.safeguard.search(&schema, &Value::Null);
        // A form with something taken out of it is another form.
        if !self.judge(&found).is_empty() {
            self.withheld.get_or_insert(Withheld::Shape);
        }
        Asked {
            question: Question {
                message: self.text(asked.question.message),
                ..asked.question
            },
            ..asked
        }
    }

    fn reply(&mut self, reply: Reply) -> Reply {
        let content = reply.content.into_iter();
        // Pictures, sound and binary resources are not searched.
        let content = content.map(|one| one.map(&mut |text| self.text(text), &mut |bytes| bytes));
        let content = content.collect();
        let structured = reply.structured.map(|value| self.structured(value));
        Reply {
            content,
            structured,
            masked: self.counts.of(Action::Mask),
            encrypted: self.counts.of(Action::Encrypt),
            marked: self.marker.marked(),
        }
    }

    fn structured(&mut self, mut value: Value) -> Value {
        let schema = self.promised;
        let schema = schema.and_then(|tool| tool.definition().output_schema.as_ref());
        let found = self
            .guard
            .safeguard
            .search(&value, schema.unwrap_or(&Value::Null));
        let changes = self.judge(&found);
        let unfit = rewrite(&mut value, &changes, &mut |piece| self.sealing.seal(piece));
        if let Some(unfit) = unfit.into_iter().next() {
            self.withheld.get_or_insert(unfit.into());
        }
        let before = self.marker.marked();
        let value = self.marker.json(value);
        let changed = !changes.is_empty() || self.marker.marked() > before;
        // What is masked or marked must still be what the definition promises (MCP 2026-07-28, tools, output schema).
        let promised = self.promised.filter(|_| changed);
        if promised.is_some_and(|tool| tool.check_structured(&value).is_err()) {
            self.withheld.get_or_insert(Withheld::Shape);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing;
    use crate::protect::Safeguard;
    use crate::sandbox::{Body, Content};
    use crate::seal::{Owner, Seals};

    const ADDRESS: &str = "somebody@example.com";

    fn everywhere() -> Reply {
        let some = || Some(ADDRESS.to_owned());
        let text = || ADDRESS.to_owned();
        let resource = |body| Content::Resource {
            uri: text(),
            mime_type: None,
            body,
        };
        Reply {
            content: vec![
                Content::Text(text()),
                Content::Link {
                    uri: format!("mailto:{ADDRESS}"),
                    name: text(),
                    title: some(),
                    description: some(),
                    mime_type: None,
                    size: None,
                },
                resource(Body::Text(text())),
                resource(Body::Blob(vec![0])),
            ],
            structured: Some(serde_json::json!({"to": ADDRESS, ADDRESS: [ADDRESS]})),
            ..Reply::default()
        }
    }

    /// A guard of a tool that may be given nothing by itself, where no key is set.
    fn guard<'a>(safeguard: &'a Safeguard, seals: &'a Seals, tool: &'a Tool) -> Guard<'a> {
        Guard {
            safeguard,
            seals,
            tool,
            owner: Owner {
                tenant: "acme".parse().unwrap(),
                publisher: tool.publisher().clone(),
                package: tool.name().clone(),
            },
            bound: None,
        }
    }

    /// What is shown of a reply that holds an address everywhere, to whom these classes were granted.
    fn shown(granted: &[&str]) -> Reply {
        let tool = testing::tool("t", &[]);
        let (safeguard, seals) = (Safeguard::default(), Seals::default());
        let guard = guard(&safeguard, &seals, &tool);
        let granted = granted.iter().map(|one| one.parse().unwrap()).collect();
        let mut out = Out {
            guard: &guard,
            granted: &granted,
            counts: Counts::default(),
            marker: Marker::default(),
            withheld: None,
            promised: Some(&tool),
            sealing: Sealing::default(),
        };
        let reply = out.reply(everywhere());
        assert_eq!(out.withheld, None);
        reply
    }

    #[test]
    fn a_reply_is_masked_in_every_place_where_it_has_text() {
        let masked = shown(&[]);
        let text = masked.said();
        assert!(!text.contains("somebody"), "{text}");
        let email = "email".parse().unwrap();
        assert_eq!(masked.masked.get(&email), Some(&11));
    }

    /// What this tool is handed of what another one answered, with these classes.
    async fn handed(outcome: Result<Reply, CallError>, granted: &[&str]) -> String {
        let tool = testing::tool("t", &[]);
        let (safeguard, seals) = (Safeguard::default(), Seals::default());
        let guard = guard(&safeguard, &seals, &tool);
        let granted = granted.iter().map(|one| one.parse().unwrap()).collect();
        let acted = true;
        let answered = Answered::Made { outcome, acted };
        let answered = guard.hand_on(answered, &granted, Timestamp(0)).await;
        let Answered::Made { outcome, acted } = answered else {
            panic!("it was made")
        };
        let said = outcome.map_or_else(|error| format!("{error:?}"), |reply| reply.said());
        format!("{said} acted: {acted}")
    }

    #[tokio::test]
    async fn what_another_tool_may_answer_with_is_not_for_one_that_may_not_be_given_it() {
        let failed = || Err(CallError::Failed(format!("no such user: {ADDRESS}")));
        for outcome in [Ok(everywhere()), failed()] {
            let masked = handed(outcome, &["phone"]).await;
            assert!(!masked.contains("somebody"), "{masked}");
            assert!(masked.contains("acted: true"), "{masked}");
        }
        assert!(handed(Ok(everywhere()), &["email"]).await.contains(ADDRESS));
        assert!(handed(failed(), &["email"]).await.contains(ADDRESS));
        let number = Reply {
            structured: Some(serde_json::json!({"card": 4111111111111111_u64})),
            ..Reply::default()
        };
        let withheld = handed(Ok(number), &[]).await;
        assert!(!withheld.contains("4111"), "{withheld}");
    }

    #[tokio::test]
    async fn control_characters_hide_nothing_that_would_be_whole_without_them() {
        let pieces = [
            "some\u{1}body@exam\u{1}ple.com",
            "4111\u{1}1111\u{0}11111111",
        ];
        for text in pieces {
            let reply = Reply {
                content: vec![Content::Text(text.to_owned())],
                structured: Some(serde_json::json!({"text": text})),
                ..Reply::default()
            };
            let masked = handed(Ok(reply), &[]).await;
            for whole in ["body", "4111"] {
                assert!(!masked.contains(whole), "{masked}");
            }
        }
        let selectors = "a\u{fe01}\u{1}\u{fe02}\u{1}\u{fe03}";
        let reply = Reply {
            content: vec![Content::Text(selectors.to_owned())],
            ..Reply::default()
        };
        let marked = handed(Ok(reply), &[]).await;
        assert!(marked.contains("⟨U+FE01 and 2 more⟩"), "{marked}");
    }

    #[test]
    fn a_reply_with_what_was_granted_is_shown_as_it_is() {
        assert_eq!(shown(&["email"]), everywhere());
    }
}
