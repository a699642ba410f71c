//! Reading the log: records by simple criteria, as one line for people or as they are kept.

use std::fmt;

use serde::Deserialize;
use uuid::Uuid;

use super::pages::Pages;
use super::record::{Phase, Record, TrialFacts};
use super::sieve::Sieve;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, ToolName};
use crate::store::{AuditRow, Store, StoreError};

/// Which records are wanted. What is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// About this tool.
    pub tool: Option<ToolName>,
    /// About the user of this pseudonym.
    pub subject: Option<Digest>,
    /// Of this type, or of the family before the point: `consent`.
    pub kind: Option<String>,
    /// In which this rule decided, could not be evaluated, or was under trial.
    pub rule: Option<String>,
    /// Of this call, by the id of its event, and of the calls of tools that lie in it.
    pub call: Option<Uuid>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Older than this.
    pub until: Option<Timestamp>,
    /// Of this client.
    pub client: Option<ClientId>,
    /// That names this consent, by id.
    pub consent: Option<String>,
    /// That ended so, or that this stage refused.
    pub decision: Option<String>,
    /// Reads every record, whatever the index says. This narrows nothing.
    pub unindexed: bool,
}

impl Filter {
    pub(super) fn takes(&self, record: &Record) -> bool {
        let tool = self.tool.as_ref().is_none_or(|tool| {
            record
                .tool
                .as_ref()
                .is_some_and(|facts| facts.name == *tool)
                || record.asked_tool.as_ref() == Some(tool)
        });
        let kind = self.kind.as_deref().is_none_or(|kind| {
            record.kind == kind
                || record
                    .kind
                    .strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        let rule = self.rule.as_deref().is_none_or(|rule| {
            let decision = record.decision.as_ref();
            decision.is_some_and(|decision| decision.names(rule))
        });
        let call = self.call.is_none_or(|call| {
            let within = [record.parent, record.root].contains(&Some(call));
            within || record.event_id == call
        });
        tool && kind
            && rule
            && call
            && self
                .subject
                .is_none_or(|subject| record.subject == Some(subject))
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
            && self.is_about(record)
    }

    fn is_about(&self, record: &Record) -> bool {
        let client = |client: &ClientId| record.client_id.as_ref() == Some(client);
        let consent = |consent: &String| record.consents.contains(consent);
        let decision = |word: &String| {
            record.result.as_ref().is_some_and(|result| {
                result.status == *word || result.stage.is_some_and(|stage| stage.as_str() == word)
            })
        };
        self.client.as_ref().is_none_or(client)
            && self.consent.as_ref().is_none_or(consent)
            && self.decision.as_ref().is_none_or(decision)
    }
}

/// A record as it stands in the log.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// What it says.
    pub record: Record,
    /// Its canonical JSON, on one line.
    pub json: String,
}

/// The log cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    /// A record cannot be read.
    #[error("audit record {seq} cannot be read; `bailiwick audit verify` tells more")]
    Record {
        /// Its number.
        seq: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Hands every record that the filter takes to `each`, in the order of the log, from number `from` on. Says which number
/// comes next, for whoever wants to go on.
pub async fn show(
    store: &dyn Store,
    from: u64,
    filter: &Filter,
    mut each: impl FnMut(&Stored) + Send,
) -> Result<u64, ShowError> {
    let sieve = Sieve::of(filter);
    let mut pages = Pages::of(store, from, filter);
    let mut page = pages.next().await?;
    while !page.is_empty() {
        let looking = async {
            for row in page {
                if sieve.lets_through(&row.text) {
                    let stored = read(row)?;
                    if filter.takes(&stored.record) {
                        each(&stored);
                    }
                }
            }
            Ok::<_, ShowError>(())
        };
        // The next page is read while this one is looked at.
        let (coming, looked) = tokio::join!(pages.next(), looking);
        looked?;
        page = coming?;
    }
    Ok(pages.end())
}

fn read(row: AuditRow) -> Result<Stored, ShowError> {
    let mut json = serde_json::Deserializer::from_str(&row.text);
    let record = Record::deserialize(&mut json).map_err(|source| ShowError::Record {
        seq: row.seq,
        source,
    })?;
    Ok(Stored {
        seq: row.seq,
        record,
        json: row.text,
    })
}

/// One record as one line for people.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a>(pub &'a Stored);

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stored { seq, record, .. } = self.0;
        write!(out, "{} #{seq} {}", record.at.rfc3339(), record.kind)?;
        match record.phase {
            Phase::Intent => out.write_str(" intent")?,
            Phase::Outcome | Phase::Event => {}
        }
        match (&record.tool, &record.asked_tool) {
            (Some(tool), _) => write!(out, " {}", tool.name)?,
            (None, Some(name)) => write!(out, " {name}")?,
            (None, None) => {}
        }
        if let Some(subject) = &record.subject {
            write!(out, " user {}", subject.short())?;
        }
        if let Some(client) = &record.client_id {
            write!(out, " via {client}")?;
        }
        self.result(out)?;
        if let (Some(parent), Some(root)) = (record.parent, record.root) {
            write!(out, "; {} within {parent}", record.event_id)?;
            if root != parent {
                write!(out, " of {root}")?;
            }
        }
        list(out, "may", &record.granted)?;
        list(out, "by consent", &record.consents)?;
        if let Some(decision) = &record.decision {
            list(out, "by rule", &decision.rules)?;
            list(out, "could not be evaluated:", &decision.erred)?;
            for one in &decision.trial {
                trial(out, one)?;
            }
        }
        for (name, value) in &record.facts {
            match value.as_str() {
                Some(text) => write!(out, "; {name} {}", text.escape_debug())?,
                None => write!(out, "; {name} {value}")?,
            }
        }
        Ok(())
    }
}

impl Line<'_> {
    fn result(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(result) = &self.0.record.result else {
            return Ok(());
        };
        write!(out, ": {}", result.status)?;
        if let Some(stage) = result.stage {
            write!(out, " by {}", stage.as_str())?;
        }
        if let Some(reason) = &result.reason {
            write!(out, ", {}", reason.escape_debug())?;
        }
        let Some(used) = &result.used else {
            return Ok(());
        };
        write!(out, " in {} ms, {} bytes", used.wall_ms, used.reply_bytes)?;
        for (effect, how) in &used.effects {
            write!(out, "; {} ×{}", effect.escape_debug(), how.count)?;
            if how.refused > 0 {
                write!(out, " ({} refused)", how.refused)?;
            }
        }
        Ok(())
    }
}

fn trial(out: &mut fmt::Formatter<'_>, one: &TrialFacts) -> fmt::Result {
    let rules = one.rules.join(", ");
    let (rules, question) = (rules.escape_debug(), one.question.escape_debug());
    write!(
        out,
        "; under trial {rules}: {question} would go from {} to {}",
        one.from, one.to
    )?;
    match &one.bounds {
        Some(bounds) => write!(out, " ({})", bounds.escape_debug()),
        None => Ok(()),
    }
}

fn list(out: &mut fmt::Formatter<'_>, what: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(out, "; {what} {}", items.join(", ").escape_debug())
}

#[cfg(test)]
mod tests {
    use super::super::record::DecisionFacts;
    use super::*;

    fn stored(decision: DecisionFacts) -> Stored {
        let mut record = Record::new(Uuid::nil(), Timestamp(0), "tools/call");
        record.decision = Some(decision);
        Stored {
            seq: 7,
            json: String::new(),
            record,
        }
    }

    #[test]
    fn a_call_within_another_says_in_which_and_both_are_found_by_the_outer_one() {
        let mut one = stored(DecisionFacts::by(&["staff"], Digest::of(b"rules")));
        let (root, parent) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let alone = Line(&one).to_string();
        assert!(!alone.contains("within"), "{alone}");
        one.record.event_id = Uuid::from_u128(3);
        (one.record.parent, one.record.root) = (Some(parent), Some(root));
        let line = Line(&one).to_string();
        let expected = format!("; {} within {parent} of {root};", one.record.event_id);
        assert!(line.contains(&expected), "{line}");
        for (call, expected) in [(1, true), (2, true), (3, true), (4, false)] {
            let filter = Filter {
                call: Some(Uuid::from_u128(call)),
                ..Filter::default()
            };
            assert_eq!(filter.takes(&one.record), expected, "{call}");
        }
    }

    #[test]
    fn rules_under_trial_and_rules_that_err_are_told_in_words_and_found_by_id() {
        let trial = |bounds: Option<&str>, to: &str| TrialFacts {
            bounds: bounds.map(str::to_owned),
            from: "allow".to_owned(),
            question: "call".to_owned(),
            rules: vec!["tried".to_owned()],
            to: to.to_owned(),
        };
        let one = stored(DecisionFacts {
            erred: vec!["broken".to_owned()],
            trial: vec![
                trial(None, "refuse"),
                trial(Some("at most tier T1"), "bound"),
            ],
            ..DecisionFacts::by(&["staff"], Digest::of(b"rules"))
        });
        assert_eq!(
            Line(&one).to_string(),
            "1970-01-01T00:00:00Z #7 tool.call; by rule staff; could not be evaluated: broken; \
             under trial tried: call would go from allow to refuse; \
             under trial tried: call would go from allow to bound (at most tier T1)"
        );
        for (rule, expected) in [
            ("staff", true),
            ("broken", true),
            ("tried", true),
            ("other", false),
        ] {
            let filter = Filter {
                rule: Some(rule.to_owned()),
                ..Filter::default()
            };
            assert_eq!(filter.takes(&one.record), expected, "{rule}");
        }
    }
}
