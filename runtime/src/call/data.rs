//! Personal data and secrets on the way to a tool and back: what may pass, what is masked, what is encrypted, what ends the call.

mod out;
mod sealing;

use std::collections::BTreeSet;

use serde_json::Value;

use super::ended::Ended;
use crate::audit::{Entry, Stage};
use crate::capability::CapabilitySet;
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::dialogue::{self, Asking};
use crate::host::reveal::Kept;
use crate::mcp::Answer;
use crate::policy::Permit;
use crate::protect::{
    Change, Class, Counts, Direction, Judged, May, Safeguard, Scan, Sensitive, Way, Withheld,
    rewrite,
};
use crate::seal::{Owner, Prepared, Seals};
use sealing::Sealing;
pub(super) use sealing::unsealed;

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
    seals: &'a Seals,
    tool: &'a Tool,
    /// To whom belongs what is encrypted.
    owner: Owner,
    /// The classes that the rules let through at most.
    bound: Option<BTreeSet<Class>>,
}

/// What a tool is given.
pub(super) struct HandedIn {
    /// The arguments.
    pub arguments: Sensitive<Value>,
    /// The answers of its user.
    pub asking: Asking,
    /// What was encrypted and is not yet kept.
    pub sealed: Option<Prepared>,
}

impl<'a> Guard<'a> {
    /// For a call of this tool under this permit.
    pub fn of(safeguard: &'a Safeguard, seals: &'a Seals, tool: &'a Tool, permit: &Permit) -> Self {
        Self {
            safeguard,
            seals,
            tool,
            owner: Owner {
                tenant: permit.caller().tenant().clone(),
                publisher: tool.publisher().clone(),
                package: tool.package().manifest().name.clone(),
            },
            bound: permit.data().cloned(),
        }
    }

    /// What was encrypted for the package of this call.
    pub fn kept(&self) -> Kept {
        Kept {
            seals: self.seals.clone(),
            owner: self.owner.clone(),
        }
    }

    fn may<'b>(&'b self, granted: &'b BTreeSet<Class>) -> May<'b> {
        May {
            tool: self.tool.name(),
            defined: &self.tool.definition().name,
            granted,
            bound: self.bound.as_ref(),
            key: self.seals.is_there(),
        }
    }

    /// Searches what a tool is to be given, and refuses what it may not be given whatever its user decides, where `permitted` is
    /// all that it could be granted.
    pub fn foresee(
        &self,
        arguments: &Value,
        answer: Option<&dialogue::Reply>,
        permitted: &CapabilitySet,
        entry: &mut Entry,
    ) -> Result<Scan, Box<Ended>> {
        let permitted = &permitted.classes();
        let schema = &self.tool.definition().input_schema;
        let found = self.safeguard.search(arguments, schema);
        let changes = self.admit(&found, permitted, entry)?;
        if !changes.is_empty() {
            let mut sealing = Sealing::default();
            self.changed(arguments.clone(), &changes, &mut sealing)?;
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
    pub async fn hand_in(
        &self,
        arguments: Value,
        found: &Scan,
        mut asking: Asking,
        granted: &BTreeSet<Class>,
        now: Timestamp,
        entry: &mut Entry,
    ) -> Result<HandedIn, Box<Ended>> {
        let changes = self.admit(found, granted, entry)?;
        let mut counts = Counts::default();
        let judged = self.hand_in_all(&mut asking, granted, &mut counts);
        note_answers(&counts, entry);
        judged?;
        let encrypts = changes.iter().any(|one| one.way != Way::Mask);
        if !encrypts {
            let arguments = self.changed(arguments, &changes, &mut Sealing::default())?;
            return Ok(HandedIn {
                arguments: Sensitive::new(arguments),
                asking,
                sealed: None,
            });
        }
        // Twice over the same: first it is seen what there is to encrypt, then each piece gets its handle.
        let mut noted = Sealing::default();
        self.changed(arguments.clone(), &changes, &mut noted)?;
        let prepared = self.seals.prepare(&self.owner, noted.into_plain(), now);
        let prepared = prepared
            .await
            .map_err(|error| unsealed(&error, entry.id()))?;
        let mut giving = Sealing::giving(prepared.handles());
        let arguments = self.changed(arguments, &changes, &mut giving)?;
        Ok(HandedIn {
            arguments: Sensitive::new(arguments),
            asking,
            sealed: Some(prepared),
        })
    }

    /// Refuses arguments with what the tool may not be given under these grants; else says what must be replaced in them.
    fn admit(
        &self,
        found: &Scan,
        granted: &BTreeSet<Class>,
        entry: &mut Entry,
    ) -> Result<Vec<Change>, Box<Ended>> {
        let Judged { counts, pass } =
            self.safeguard
                .judge(Direction::Arguments, found, self.may(granted));
        if !counts.is_empty() {
            entry.fact("data_in", counts.facts());
        }
        pass.map_err(|withheld| self.refuse(&withheld, ARGUMENTS))
    }

    fn changed(
        &self,
        mut arguments: Value,
        changes: &[Change],
        sealing: &mut Sealing,
    ) -> Result<Value, Box<Ended>> {
        let unfit = rewrite(&mut arguments, changes, &mut |piece| sealing.seal(piece));
        match unfit.into_iter().next() {
            None => Ok(arguments),
            Some(unfit) => Err(self.refuse(&unfit.into(), ARGUMENTS)),
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

    /// What is to be encrypted is no answer: the run that is given it may be made again, and each would get another handle.
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
        let changed = judged.pass.and_then(|changes| {
            if let Some(one) = changes.iter().find(|one| one.way != Way::Mask) {
                return Err(Withheld::Rejected {
                    pointer: found.place(&one.finding),
                    class: one.finding.class.clone(),
                });
            }
            let unfit = rewrite(content, &changes, &mut |_| String::new());
            unfit
                .into_iter()
                .next()
                .map_or(Ok(()), |unfit| Err(unfit.into()))
        });
        changed.map_err(|withheld| self.refuse(&withheld, ANSWER))
    }

    fn refuse(&self, withheld: &Withheld, place: &str) -> Box<Ended> {
        let name = self.tool.name();
        let help = match withheld {
            Withheld::Ungranted { class, .. } => format!(
                "; leave it out. A tool may be given it where its author asks for it (a need of kind `data`), the rules permit that and the user agrees, or where the operator says that it is no matter (`[[data.rule]]` with class = \"{class}\", tool = \"{name}\", action = \"allow\")"
            ),
            Withheld::NoKey { .. } => {
                "; leave it out, or have the operator set a key (`[seal]`)".to_owned()
            }
            Withheld::Rejected { .. } | Withheld::Number { .. } | Withheld::Key { .. } => {
                "; leave it out".to_owned()
            }
            Withheld::Shape | Withheld::Unsearched => "; send less at once".to_owned(),
        };
        let text = format!("the tool was not called: in {place}, {withheld}{help}");
        Ended::refused(Stage::Data, withheld.name(), Answer::ToolError(text))
    }
}
