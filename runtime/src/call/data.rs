//! Personal data and secrets on the way to a tool and back: what may pass, what is masked, what ends the call.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ended::Ended;
use crate::audit::{Entry, Stage};
use crate::catalog::Tool;
use crate::dialogue::{self, Asked, Asking, Question};
use crate::mcp::Answer;
use crate::policy::Permit;
use crate::protect::{
    Class, Counts, Direction, Finding, Judged, May, Safeguard, Scan, Withheld, mask, mask_text,
};
use crate::sandbox::{Body, Content, Ending, Reply};

/// Where something stands that a tool is given.
const ARGUMENTS: &str = "the arguments";
const ANSWER: &str = "the answer of the user";

fn note_answers(counts: &Counts, entry: &mut Entry) {
    if !counts.is_empty() {
        entry.fact("data_answers", counts.facts());
    }
}

/// What one call may hold, apart from what the tool was granted.
pub(super) struct Guard<'a> {
    safeguard: &'a Safeguard,
    tool: &'a Tool,
    /// The classes that the rules let through at most.
    bound: Option<BTreeSet<Class>>,
}

impl<'a> Guard<'a> {
    /// For a call of this tool under this permit.
    pub fn of(safeguard: &'a Safeguard, tool: &'a Tool, permit: &Permit) -> Self {
        Self {
            safeguard,
            tool,
            bound: permit.data().cloned(),
        }
    }

    fn may<'b>(&'b self, granted: &'b BTreeSet<Class>) -> May<'b> {
        May {
            tool: self.tool.name(),
            granted,
            bound: self.bound.as_ref(),
        }
    }

    /// Searches what a tool is to be given, and refuses what it may not be given whatever its user decides, where `permitted` is
    /// all that it could be granted.
    pub fn foresee(
        &self,
        arguments: &Value,
        answer: Option<&dialogue::Reply>,
        permitted: &BTreeSet<Class>,
        entry: &mut Entry,
    ) -> Result<Scan, Box<Ended>> {
        let schema = &self.tool.definition().input_schema;
        let found = self.safeguard.search(arguments, schema);
        let masked = self.admit(&found, permitted, entry)?;
        if !masked.is_empty() {
            self.masked(arguments.clone(), &masked)?;
        }
        if let Some(dialogue::Reply::Submitted(content)) = answer {
            let mut counts = Counts::default();
            let judged = self.hand_in_answer(&mut content.clone(), permitted, &mut counts);
            note_answers(&counts, entry);
            judged?;
        }
        Ok(found)
    }

    /// The arguments, and the answers of the user, as the tool gets them under these grants. Answers that it was given before are
    /// judged again: what was agreed to may have ended.
    pub fn hand_in(
        &self,
        arguments: Value,
        found: &Scan,
        mut asking: Asking,
        granted: &BTreeSet<Class>,
        entry: &mut Entry,
    ) -> Result<(Value, Asking), Box<Ended>> {
        let masked = self.admit(found, granted, entry)?;
        let arguments = self.masked(arguments, &masked)?;
        let mut counts = Counts::default();
        let judged = self.hand_in_all(&mut asking, granted, &mut counts);
        note_answers(&counts, entry);
        judged.map(|()| (arguments, asking))
    }

    /// Refuses arguments with what the tool may not be given under these grants; else says what must be masked in them.
    fn admit(
        &self,
        found: &Scan,
        granted: &BTreeSet<Class>,
        entry: &mut Entry,
    ) -> Result<Vec<Finding>, Box<Ended>> {
        let Judged { counts, pass } =
            self.safeguard
                .judge(Direction::Arguments, found, self.may(granted));
        if !counts.is_empty() {
            entry.fact("data_in", counts.facts());
        }
        pass.map_err(|withheld| self.refuse(&withheld, ARGUMENTS))
    }

    fn masked(&self, mut arguments: Value, findings: &[Finding]) -> Result<Value, Box<Ended>> {
        match mask(&mut arguments, findings).into_iter().next() {
            None => Ok(arguments),
            Some(pointer) => Err(self.refuse(&Withheld::Number { pointer }, ARGUMENTS)),
        }
    }

    fn hand_in_all(
        &self,
        asking: &mut Asking,
        granted: &BTreeSet<Class>,
        counts: &mut Counts,
    ) -> Result<(), Box<Ended>> {
        for answered in &mut asking.answered {
            if let dialogue::Answer::Submitted(text) = &mut answered.answer {
                // It was JSON when it was sealed.
                let mut content = serde_json::from_str(text).unwrap_or_default();
                self.hand_in_answer(&mut content, granted, counts)?;
                *text = content.to_string();
            }
        }
        if let Some((_, Some(dialogue::Reply::Submitted(content)))) = &mut asking.waits {
            self.hand_in_answer(content, granted, counts)?;
        }
        Ok(())
    }

    fn hand_in_answer(
        &self,
        content: &mut Value,
        granted: &BTreeSet<Class>,
        counts: &mut Counts,
    ) -> Result<(), Box<Ended>> {
        let found = self.safeguard.search(content, &Value::Null);
        let may = self.may(granted);
        let judged = self.safeguard.judge(Direction::Arguments, &found, may);
        counts.add(judged.counts);
        let masked = judged.pass.and_then(|findings| {
            let number = mask(content, &findings).into_iter().next();
            number.map_or(Ok(()), |pointer| Err(Withheld::Number { pointer }))
        });
        masked.map_err(|withheld| self.refuse(&withheld, ANSWER))
    }

    fn refuse(&self, withheld: &Withheld, place: &str) -> Box<Ended> {
        let name = self.tool.name();
        let help = match withheld {
            Withheld::Ungranted { class, .. } => format!(
                "; leave it out. A tool may be given it where its author asks for it (a need of kind `data`), the rules permit that and the user agrees, or where the operator says that it is no matter (`[[data.rule]]` with class = \"{class}\", tool = \"{name}\", action = \"allow\")"
            ),
            Withheld::Rejected { .. } | Withheld::Number { .. } => "; leave it out".to_owned(),
            Withheld::Shape | Withheld::Unsearched => "; send less at once".to_owned(),
        };
        let text = format!("the tool was not called: in {place}, {withheld}{help}");
        Ended::refused(Stage::Data, withheld.name(), Answer::ToolError(text))
    }

    /// What the caller may see of what a guest answered.
    pub fn hand_out(&self, ending: Ending, granted: &BTreeSet<Class>, entry: &mut Entry) -> Ending {
        let mut out = Out {
            guard: self,
            granted,
            counts: Counts::default(),
            withheld: None,
        };
        let ending = match ending {
            Ending::Replied(reply) => Ending::Replied(out.reply(reply)),
            Ending::InvalidArguments(text) => Ending::InvalidArguments(out.text(text)),
            Ending::Denied(text) => Ending::Denied(out.text(text)),
            Ending::Failed(text) => Ending::Failed(out.text(text)),
            Ending::ReplyInvalid(text) => Ending::ReplyInvalid(out.text(text)),
            Ending::Asked(asked) => Ending::Asked(Box::new(out.asked(*asked))),
            Ending::AskedOtherwise
            | Ending::Trapped
            | Ending::Exited
            | Ending::OutOfTime
            | Ending::OutOfBounds
            | Ending::ReplyTooLarge
            | Ending::ReplyWithheld(_)
            | Ending::Cancelled
            | Ending::Revoked
            | Ending::Overloaded
            | Ending::Fault(_) => ending,
        };
        if !out.counts.is_empty() {
            entry.fact("data_out", out.counts.facts());
        }
        match out.withheld {
            None => ending,
            // Where it stands may itself be data.
            Some(withheld) => Ending::ReplyWithheld(withheld.of_reply()),
        }
    }
}

/// One reply on its way out.
struct Out<'a> {
    guard: &'a Guard<'a>,
    granted: &'a BTreeSet<Class>,
    counts: Counts,
    withheld: Option<Withheld>,
}

impl Out<'_> {
    fn judge(&mut self, found: &Scan) -> Vec<Finding> {
        let may = self.guard.may(self.granted);
        let Judged { counts, pass } = self.guard.safeguard.judge(Direction::Reply, found, may);
        self.counts.add(counts);
        pass.unwrap_or_else(|withheld| {
            self.withheld.get_or_insert(withheld);
            Vec::new()
        })
    }

    fn text(&mut self, text: String) -> String {
        let found = self.guard.safeguard.search_text(&text);
        let masked = self.judge(&found);
        match masked.is_empty() {
            true => text,
            false => mask_text(&text, &masked),
        }
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

    fn some(&mut self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    fn reply(&mut self, reply: Reply) -> Reply {
        let content = reply.content.into_iter().map(|block| self.block(block));
        let content = content.collect();
        let structured = reply.structured.map(|value| self.structured(value));
        Reply {
            content,
            structured,
            masked: self.counts.masked(),
        }
    }

    fn structured(&mut self, mut value: Value) -> Value {
        let schema = self.guard.tool.definition().output_schema.as_ref();
        let found = self
            .guard
            .safeguard
            .search(&value, schema.unwrap_or(&Value::Null));
        let masked = self.judge(&found);
        if let Some(pointer) = mask(&mut value, &masked).into_iter().next() {
            self.withheld.get_or_insert(Withheld::Number { pointer });
        }
        // What is masked must still be what the definition promises (MCP 2026-07-28, tools, output schema).
        if !masked.is_empty() && self.guard.tool.check_structured(&value).is_err() {
            self.withheld.get_or_insert(Withheld::Shape);
        }
        value
    }

    fn block(&mut self, block: Content) -> Content {
        match block {
            Content::Text(text) => Content::Text(self.text(text)),
            Content::Image { .. } | Content::Audio { .. } => block,
            Content::Link {
                uri,
                name,
                title,
                description,
                mime_type,
                size,
            } => Content::Link {
                uri: self.text(uri),
                name: self.text(name),
                title: self.some(title),
                description: self.some(description),
                mime_type,
                size,
            },
            Content::Resource {
                uri,
                mime_type,
                body,
            } => Content::Resource {
                uri: self.text(uri),
                mime_type,
                body: match body {
                    Body::Text(text) => Body::Text(self.text(text)),
                    Body::Blob(bytes) => Body::Blob(bytes),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing;

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
            masked: Default::default(),
        }
    }

    /// What is shown of a reply that holds an address everywhere, to whom these classes were granted.
    fn shown(granted: &[&str]) -> Reply {
        let tool = testing::tool("t", &[]);
        let safeguard = Safeguard::default();
        let guard = Guard {
            safeguard: &safeguard,
            tool: &tool,
            bound: None,
        };
        let granted = granted.iter().map(|one| one.parse().unwrap()).collect();
        let mut out = Out {
            guard: &guard,
            granted: &granted,
            counts: Counts::default(),
            withheld: None,
        };
        let reply = out.reply(everywhere());
        assert_eq!(out.withheld, None);
        reply
    }

    #[test]
    fn a_reply_is_masked_in_every_place_where_it_has_text() {
        let masked = shown(&[]);
        assert!(!format!("{masked:?}").contains("somebody"), "{masked:?}");
        let email = "email".parse().unwrap();
        assert_eq!(masked.masked.get(&email), Some(&11));
    }

    #[test]
    fn a_reply_with_what_was_granted_is_shown_as_it_is() {
        assert_eq!(shown(&["email"]), everywhere());
    }
}
