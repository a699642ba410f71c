//! One question to the rules: its facts, and what the rules say.

use std::collections::BTreeSet;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request,
    Response,
};
use serde_json::{Map, Value};

use super::schema::Schemas;
use super::{Vocabulary, facts, schema};
use crate::capability::Capability;
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::identity::Caller;
use crate::limits::DECISION_STACK_BYTES;
use crate::stack::with_left;

/// One step of a decision, for `bailiwick explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was asked: `list`, `call` or `use …`.
    pub question: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rules that decided; none when no rule permits it.
    pub rules: Vec<String>,
    /// What went wrong while deciding; anything here refuses. May quote arguments.
    pub errors: Vec<String>,
    /// The rules that could not be evaluated, by id; none where it was not a rule that went wrong.
    pub erred: Vec<String>,
}

/// What callers can change by getting another token: what theirs says, or what it might.
#[derive(Clone, Copy)]
pub(super) struct Bearing<'a> {
    pub(super) scopes: &'a BTreeSet<String>,
    pub(super) acr: Option<&'a str>,
    pub(super) auth_time: Option<Timestamp>,
}

impl<'a> Bearing<'a> {
    /// What the caller's own token says.
    pub(super) fn of(caller: &'a Caller) -> Self {
        let token = caller.token();
        Self {
            scopes: caller.scopes(),
            acr: token.acr.as_deref(),
            auth_time: token.auth_time,
        }
    }
}

/// Who asks about which tool.
pub(super) struct Asking<'a> {
    pub(super) caller: &'a Caller,
    pub(super) bearing: Bearing<'a>,
    pub(super) tool: &'a Tool,
    pub(super) vocabulary: &'a Vocabulary,
    /// When; none where it is asked for some time or other.
    pub(super) now: Option<Timestamp>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    /// Whether the caller sees the tool.
    List,
    /// Whether the caller may call it with these arguments.
    Call(&'a Map<String, Value>),
    /// Whether some call could be permitted; asked of the rules without arguments and time.
    CouldCall,
    /// Whether the tool may have this capability.
    Use(&'a Capability),
    /// Whether it may have it at some time; asked of the rules without the time.
    CouldUse(&'a Capability),
}

impl Question<'_> {
    pub(super) fn text(self) -> String {
        match self {
            Self::List => "list".to_owned(),
            Self::Call(_) | Self::CouldCall => "call".to_owned(),
            Self::Use(capability) | Self::CouldUse(capability) => format!("use {capability}"),
        }
    }
}

/// What these rules say. Whatever goes wrong refuses.
pub(super) fn ask(
    policies: &PolicySet,
    schemas: &Schemas,
    asking: &Asking<'_>,
    question: Question<'_>,
) -> Step {
    let answered = request(schemas, asking, question).and_then(|request| {
        let capability = match question {
            Question::Use(capability) | Question::CouldUse(capability) => Some(capability),
            Question::List | Question::Call(_) | Question::CouldCall => None,
        };
        let entities = facts::entities(asking, capability, &schemas.entities)?;
        Ok(decided(&request, policies, &entities))
    });
    said(question.text(), answered)
}

/// What these rules decide, also those that are as deep as one may be. Without room for it Cedar says that a rule cannot be evaluated.
pub(super) fn decided(request: &Request, policies: &PolicySet, entities: &Entities) -> Response {
    with_left(DECISION_STACK_BYTES, || {
        Authorizer::new().is_authorized(request, policies, entities)
    })
}

/// What an answer of the rules comes to.
pub(super) fn said(question: String, answered: Result<Response, String>) -> Step {
    let (allowed, rules, errors, erred) = match answered {
        Ok(response) => {
            let diagnostics = response.diagnostics();
            let mut rules: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
            rules.sort();
            // Cedar skips a rule that errs, a `forbid` among them: an error must refuse.
            let errors: Vec<_> = diagnostics.errors().map(ToString::to_string).collect();
            let mut erred: Vec<_> = diagnostics.errors().map(rule_of).collect();
            erred.sort();
            let allowed = matches!(response.decision(), Decision::Allow) && errors.is_empty();
            (allowed, rules, errors, erred)
        }
        Err(error) => (false, Vec::new(), vec![error], Vec::new()),
    };
    Step {
        question,
        allowed,
        rules,
        errors,
        erred,
    }
}

/// The rule that could not be evaluated.
fn rule_of(error: &AuthorizationError) -> String {
    match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    }
}

pub(super) fn request(
    schemas: &Schemas,
    asking: &Asking<'_>,
    question: Question<'_>,
) -> Result<Request, String> {
    let tool = asking.tool.name();
    let (action, resource, arguments): (EntityUid, EntityUid, _) = match question {
        Question::List => (schema::action("list")?, facts::tool_uid(tool)?, None),
        Question::Call(arguments) => {
            let typed = facts::arguments(&asking.tool.definition().input_schema, arguments);
            (
                schema::call_action(tool)?,
                facts::tool_uid(tool)?,
                Some(typed),
            )
        }
        Question::CouldCall => (schema::call_action(tool)?, facts::tool_uid(tool)?, None),
        Question::Use(capability) | Question::CouldUse(capability) => {
            let resource = facts::capability_uid(capability)?;
            (schema::action("use")?, resource, None)
        }
    };
    let principal = facts::user_uid(asking.caller)?;
    let context: Context = facts::context(asking, arguments)?;
    // Without arguments and time a request does not fit the schema; the rules that are asked then read neither.
    let could = matches!(question, Question::CouldCall | Question::CouldUse(_));
    let schema = (!could).then_some(&schemas.requests);
    Request::new(principal, action, resource, context, schema).map_err(|error| error.to_string())
}
