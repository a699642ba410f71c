//! What an operator expects of the rules: cases in a file, judged by the same decision as a call.
//!
//! A case passes only by a decision. A caller that no token could make, a tool that is not there, arguments that do not fit:
//! none of them is a refusal by the rules, so none of them counts.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{AdminAction, AdminResource, Circumstances, Refusal, Rules};
use crate::capability::{Capability, Tier};
use crate::catalog::Tool;
use crate::catalog::manifest::Manifest;
use crate::clock::Timestamp;
use crate::identity::Caller;
use crate::ids::{Tenant, ToolName};

/// One file of expectations.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// The file.
    pub file: String,
    /// Callers by the name that the file gives them, in its order.
    pub callers: Vec<(String, CallerText)>,
    /// Tools that are described instead of admitted.
    pub tools: Vec<Described>,
    /// What is expected of calls.
    pub cases: Vec<Case>,
    /// What is expected of administrators.
    pub admin: Vec<AdminCase>,
}

/// What a token would say of a caller. It makes nobody a [`Caller`]: that takes a token, and its verification.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallerText {
    /// Whose token; the only configured issuer when left out.
    pub issuer: Option<String>,
    /// The OAuth client.
    pub client: Option<String>,
    /// Further claims, as they stand in the token.
    pub claims: Map<String, Value>,
}

/// A tool that is described in the file.
#[derive(Debug, Clone)]
pub struct Described {
    /// Where it stands.
    pub line: usize,
    /// As a package would say it.
    pub manifest: Manifest,
    /// The operator's tags.
    pub tags: std::collections::BTreeSet<String>,
}

/// One expectation.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it stands.
    pub line: usize,
    /// What it says, for people.
    pub name: String,
    /// Who asks.
    pub caller: CallerText,
    /// What for.
    pub tool: ToolName,
    /// With which arguments.
    pub arguments: Map<String, Value>,
    /// The capability that it is about; none when it is about the call.
    pub capability: Option<Capability>,
    /// What should come out.
    pub expect: Expect,
    /// How what is allowed should be consented to: the capability, or the highest of all that the call may use.
    pub tier: Option<Tier>,
    /// When; the time of the run when left out.
    pub now: Option<Timestamp>,
}

/// One expectation of what administrators may do.
#[derive(Debug, Clone)]
pub struct AdminCase {
    /// Where it stands.
    pub line: usize,
    /// What it says, for people.
    pub name: String,
    /// Who asks.
    pub caller: CallerText,
    /// What for.
    pub action: AdminAction,
    /// Of which tenant. When left out, it is about the server, or where the server has no such thing about the caller's own
    /// tenant.
    pub tenant: Option<Tenant>,
    /// What should come out: allow or deny.
    pub expect: Expect,
    /// When; the time of the run when left out.
    pub now: Option<Timestamp>,
}

impl AdminCase {
    /// What it is about, for this caller.
    pub fn on(&self, caller: &Caller) -> AdminResource {
        match (&self.tenant, self.action) {
            (Some(tenant), _) => AdminResource::Tenant(tenant.clone()),
            (None, AdminAction::Read | AdminAction::Log) => AdminResource::Server,
            (None, AdminAction::Revoke) => AdminResource::Tenant(caller.tenant().clone()),
        }
    }
}

/// What should come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The call is permitted, or the capability is.
    Allow,
    /// The rules refuse the call, or the capability.
    Deny,
    /// The caller does not see the tool.
    Hidden,
    /// The caller sees the tool.
    Listed,
}

impl Expect {
    /// As the file says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Hidden => "hidden",
            Self::Listed => "listed",
        }
    }
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Otherwise.
    Fail {
        /// What came out.
        came: Expect,
        /// Which rules decided, or why none did.
        by: String,
    },
    /// There was nothing to decide, so the case says nothing of the rules.
    Void(String),
}

/// What the rules make of a case whose caller and tool were found, at this time.
pub fn judge(
    rules: &Rules,
    caller: &Arc<Caller>,
    tool: &Tool,
    case: &Case,
    now: Timestamp,
) -> Verdict {
    let arguments = &case.arguments;
    let call = Circumstances { arguments, now };
    match came(rules, caller, tool, case, call) {
        Ok((came, by)) if came == case.expect => {
            match other_tier(rules, caller, tool, case, call) {
                None => Verdict::Pass,
                Some(tier) => Verdict::Fail {
                    came,
                    by: format!("consented to as tier {tier:?}, {by}"),
                },
            }
        }
        Ok((came, by)) => Verdict::Fail { came, by },
        Err(why) => Verdict::Void(why),
    }
}

/// The tier as which the case is consented to, where it expects another.
fn other_tier(
    rules: &Rules,
    caller: &Arc<Caller>,
    tool: &Tool,
    case: &Case,
    call: Circumstances<'_>,
) -> Option<Tier> {
    let expected = case.tier?;
    let permit = rules.permit(caller, tool, call).ok()?;
    let came = match &case.capability {
        Some(capability) => permit.tier(capability),
        None => {
            let all = permit.allowed().iter().map(|one| permit.tier(one));
            all.max().unwrap_or(Tier::T0)
        }
    };
    (came != expected).then_some(came)
}

/// What the rules make of a case about administrators, at this time.
pub fn judge_admin(
    rules: &Rules,
    caller: &Arc<Caller>,
    case: &AdminCase,
    now: Timestamp,
) -> Verdict {
    let decided = rules.permit_admin(caller, case.action, &case.on(caller), now);
    let (came, by) = match decided {
        Ok(permit) => (Expect::Allow, decided_by(permit.rules())),
        Err(error @ Refusal::Evaluation { .. }) => return Verdict::Void(error.to_string()),
        Err(refusal) => (Expect::Deny, refusal.to_string()),
    };
    if came == case.expect {
        Verdict::Pass
    } else {
        Verdict::Fail { came, by }
    }
}

fn came(
    rules: &Rules,
    caller: &Arc<Caller>,
    tool: &Tool,
    case: &Case,
    call: Circumstances<'_>,
) -> Result<(Expect, String), String> {
    match case.expect {
        Expect::Hidden | Expect::Listed => {
            let steps = rules.explain(caller, tool, call);
            let mut asked = steps.iter();
            let step = asked.find(|step| matches!(step.question.as_str(), "requires" | "list"));
            let errors = step.map(|step| step.errors.clone()).unwrap_or_default();
            let by = step.map(|step| step.rules.clone()).unwrap_or_default();
            if rules.lists(caller, tool) {
                return Ok((Expect::Listed, decided_by(&by)));
            }
            let why = match (step.is_some_and(|step| step.allowed), errors.is_empty()) {
                (true, _) => "no call of it could be permitted".to_owned(),
                (false, false) => errors.join("; "),
                (false, true) => decided_by(&by),
            };
            Ok((Expect::Hidden, why))
        }
        Expect::Allow | Expect::Deny => {
            let arguments = Value::Object(case.arguments.clone());
            tool.check_arguments(&arguments)
                .map_err(|mismatch| format!("the arguments do not fit the tool: {mismatch}"))?;
            called(rules, caller, tool, case, call)
        }
    }
}

fn called(
    rules: &Rules,
    caller: &Arc<Caller>,
    tool: &Tool,
    case: &Case,
    call: Circumstances<'_>,
) -> Result<(Expect, String), String> {
    let wanted = case.capability.as_ref();
    if let Some(wanted) = wanted {
        let needs = tool.wants();
        if !needs.iter().any(|need| need == wanted) {
            let all: Vec<_> = needs.iter().map(|need| format!("`{need}`")).collect();
            return Err(format!(
                "the tool does not ask for `{wanted}`; it asks for {}",
                if all.is_empty() {
                    "nothing".to_owned()
                } else {
                    all.join(", ")
                }
            ));
        }
    }
    match rules.permit(caller, tool, call) {
        Ok(permit) => {
            let by = decided_by(permit.rules());
            match wanted {
                Some(wanted) if !permit.allowed().iter().any(|one| one == wanted) => {
                    let asked = format!("use {wanted}");
                    let steps = rules.explain(caller, tool, call);
                    let step = steps.into_iter().find(|step| step.question == asked);
                    let by = step.map(|step| step.rules).unwrap_or_default();
                    Ok((Expect::Deny, decided_by(&by)))
                }
                Some(_) | None => Ok((Expect::Allow, by)),
            }
        }
        // An error refuses in a call; here it would let a case pass that says nothing of the rules.
        Err(error @ (Refusal::Evaluation { .. } | Refusal::Unchecked)) => Err(error.to_string()),
        Err(refusal) => Ok((Expect::Deny, refusal.to_string())),
    }
}

fn decided_by(rules: &[String]) -> String {
    if rules.is_empty() {
        return "no rule permits it".to_owned();
    }
    let named: Vec<_> = rules.iter().map(|rule| format!("`{rule}`")).collect();
    format!("by {}", named.join(", "))
}
