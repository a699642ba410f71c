//! One record.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::facts::{ArgumentFacts, End, Stage, ToolFacts, Used};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Issuer, Tenant, ToolName};

/// Format of the records that this version writes.
const FORMAT: u32 = 1;
/// The status of an entry that nobody closed.
const ABORTED: &str = "aborted";

/// Which record of an entry this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before the effect.
    Intent,
    /// After it, or instead of it.
    Outcome,
    /// No call.
    Event,
}

/// One record. Fields stand in the order of their names, which is that of canonical JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The arguments, without their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<ArgumentFacts>,
    /// The name that was asked for, when there is no such tool for this caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_tool: Option<ToolName>,
    /// When, in milliseconds since 1970.
    pub at: Timestamp,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// The consent records that were used, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// What the rules said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionFacts>,
    /// The same in both records of a call.
    pub event_id: Uuid,
    /// What else an event tells.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// What the call may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// Who vouches for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<Issuer>,
    /// In which log it stands; none before it has its place there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<Uuid>,
    /// The method of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The call that this one lies within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Uuid>,
    /// Which record of the entry.
    pub phase: Phase,
    /// Digest of the record before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_hash: Option<Digest>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultFacts>,
    /// The call that a client made, where this one lies within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Uuid>,
    /// Its number in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The pseudonym of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The isolation key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Hash of the ticket of the question to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Digest>,
    /// The token, without a byte of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenUse>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolFacts>,
    /// `tool.call`, `tool.denied`, `consent.given`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Format.
    pub v: u32,
}

/// What is recorded of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Signature algorithm.
    pub alg: String,
    /// When it expires.
    pub exp: Timestamp,
    /// SHA-256 of `jti`.
    pub jti_hash: Digest,
    /// Key that verified it.
    pub kid: String,
}

/// What the rules said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionFacts {
    /// The rules that could not be evaluated, by id: the decision is a refusal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erred: Vec<String>,
    /// Digest of the rules in force.
    pub policy_digest: Digest,
    /// The rules that decided, by id.
    pub rules: Vec<String>,
    /// What rules under trial would have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trial: Vec<TrialFacts>,
}

impl DecisionFacts {
    /// Decided by these rules, with nothing beside them.
    pub fn by(rules: &[&str], policy_digest: Digest) -> Self {
        Self {
            erred: Vec::new(),
            policy_digest,
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            trial: Vec::new(),
        }
    }

    /// Whether it names this rule: as one that decided, that erred, or that was under trial.
    pub(super) fn names(&self, rule: &str) -> bool {
        self.all_rules().any(|one| one == rule)
    }

    /// All that it names.
    pub(super) fn all_rules(&self) -> impl Iterator<Item = &String> {
        let tried = self.trial.iter().flat_map(|one| &one.rules);
        self.rules.iter().chain(&self.erred).chain(tried)
    }
}

/// What rules under trial would have changed of one question. They changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialFacts {
    /// The bounds that there would have been, where they alone differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<String>,
    /// What was decided: `allow` or `refuse`.
    pub from: String,
    /// What was asked: `list`, `call` or `use …`.
    pub question: String,
    /// The rules under trial, by id.
    pub rules: Vec<String>,
    /// What would have become of it: `allow`, `refuse`, `bound`, or `fail` where a rule erred and so would have refused.
    pub to: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFacts {
    /// Why, as a word of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stage that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// `replied`, `refused`, `aborted`, …
    pub status: String,
    /// What the guest used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

impl ResultFacts {
    fn status(status: impl Into<String>) -> Self {
        Self {
            status: status.into(),
            stage: None,
            reason: None,
            used: None,
        }
    }
}

impl Record {
    pub(super) fn new(event_id: Uuid, at: Timestamp, method: &str) -> Self {
        let mut record = Self::empty(event_id, at, Phase::Outcome);
        record.kind = kind_of(method, false);
        record.method = Some(method.to_owned());
        record
    }

    pub(super) fn empty(event_id: Uuid, at: Timestamp, phase: Phase) -> Self {
        Self {
            arguments: None,
            asked_tool: None,
            at,
            client_id: None,
            consents: Vec::new(),
            decision: None,
            event_id,
            facts: Map::new(),
            granted: Vec::new(),
            iss: None,
            log_id: None,
            method: None,
            parent: None,
            phase,
            prev_hash: None,
            result: None,
            root: None,
            seq: None,
            subject: None,
            tenant: None,
            ticket: None,
            token: None,
            tool: None,
            kind: String::new(),
            v: FORMAT,
        }
    }

    /// Makes it the intent of its entry.
    pub(super) fn intent(&self) -> Self {
        let mut intent = self.clone();
        intent.phase = Phase::Intent;
        intent
    }

    /// The intent of its entry. What that says is not said again.
    pub(super) fn take_intent(&mut self) -> Self {
        let brief = Self {
            asked_tool: self.asked_tool.clone(),
            client_id: self.client_id.clone(),
            kind: self.kind.clone(),
            method: self.method.clone(),
            parent: self.parent,
            root: self.root,
            tenant: self.tenant.clone(),
            tool: self.tool.clone(),
            ..Self::empty(self.event_id, self.at, self.phase)
        };
        let mut intent = std::mem::replace(self, brief);
        intent.phase = Phase::Intent;
        intent
    }

    /// All of it; what is left says nothing.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Self::empty(self.event_id, self.at, self.phase);
        std::mem::replace(self, nothing)
    }

    /// Drops what the intent says already.
    pub(super) fn shorten(&mut self) {
        self.token = None;
        self.decision = None;
        self.arguments = None;
        self.consents.clear();
        self.granted.clear();
    }

    /// Makes it the closing record of its entry.
    pub(super) fn end(&mut self, end: End) {
        let method = self.method.clone().unwrap_or_default();
        let result = match end {
            End::Ran { ending, used } => ResultFacts {
                used: Some(used),
                ..ResultFacts::status(ending)
            },
            End::Answered => ResultFacts::status("answered"),
            End::Refused { stage, reason } => {
                self.kind = match stage {
                    Stage::Identity => "auth.failed".to_owned(),
                    Stage::Request
                    | Stage::Catalog
                    | Stage::Policy
                    | Stage::Consent
                    | Stage::Grant
                    | Stage::Arguments
                    | Stage::Data
                    | Stage::Limits
                    | Stage::Audit => kind_of(&method, true),
                };
                ResultFacts {
                    stage: Some(stage),
                    reason: Some(reason),
                    ..ResultFacts::status("refused")
                }
            }
            End::Asked { ticket } => {
                self.kind = kind_of(&method, true);
                self.ticket = Some(ticket);
                ResultFacts {
                    stage: Some(Stage::Consent),
                    reason: Some("consent-needed".to_owned()),
                    ..ResultFacts::status("asked")
                }
            }
            End::Failed { reason } => ResultFacts {
                reason: Some(reason),
                ..ResultFacts::status("failed")
            },
        };
        self.phase = Phase::Outcome;
        self.result = Some(result);
    }

    /// The closing record of a call whose server ended before it did, by its intent. Its user stands in it as in the intent.
    pub(super) fn interrupted(mut self, at: Timestamp) -> Self {
        self.shorten();
        self.facts.clear();
        self.log_id = None;
        self.prev_hash = None;
        self.seq = None;
        self.at = at;
        self.phase = Phase::Outcome;
        self.result = Some(ResultFacts::status("interrupted"));
        self
    }

    /// Makes it the closing record of an entry that nobody closed.
    pub(super) fn abort(&mut self) {
        self.phase = Phase::Outcome;
        self.result = Some(ResultFacts::status(ABORTED));
    }

    /// Whether it closes an entry that nobody closed.
    pub(super) fn is_aborted(&self) -> bool {
        let status = self.result.as_ref().map(|result| result.status.as_str());
        self.phase == Phase::Outcome && status == Some(ABORTED)
    }
}

fn kind_of(method: &str, denied: bool) -> String {
    let family = match method {
        "tools/call" => ["tool.call", "tool.denied"],
        other if other.starts_with("admin/") => ["admin.request", "admin.denied"],
        _ => ["mcp.request", "mcp.denied"],
    };
    let [asked, refused] = family;
    if denied { refused } else { asked }.to_owned()
}
