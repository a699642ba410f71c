//! The administrators' door: who may look at the server and at what users decided, and who may take consents back.
//!
//! A rule is about it only if its head names its actions, and such a rule is about nothing else. A rule that names no
//! action is about tools: `permit (principal, action, resource)` opens no door of this kind. A permit reaches the server
//! and the tenant of its caller; the records of another tenant it reaches only where its head names them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, Request, ResourceConstraint, Response,
    Schema,
};

use super::ask::{self, Step};
use super::schema::{ADMIN, action, action_name, uid};
use super::{Difference, How, Refusal, Rules, facts};
use crate::clock::Timestamp;
use crate::identity::Caller;
use crate::ids::Tenant;

/// What an administrator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAction {
    /// Looks: at the server's state, tools and rules, or at the consents of a tenant.
    Read,
    /// Takes consents of a tenant back.
    Revoke,
    /// Changes what the server's log says.
    Log,
}

impl AdminAction {
    /// Its name in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "admin:read",
            Self::Revoke => "admin:revoke",
            Self::Log => "admin:log",
        }
    }
}

impl FromStr for AdminAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Read, Self::Revoke, Self::Log]
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| {
                format!("there is no action `{text}`; there are `admin:read`, `admin:revoke` and `admin:log`")
            })
    }
}

/// What it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminResource {
    /// The server: its state, its tools, its rules.
    Server,
    /// What the users of a tenant decided.
    Tenant(Tenant),
}

impl AdminResource {
    fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Server => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }

    fn uid(&self) -> Result<EntityUid, String> {
        match self {
            Self::Server => facts::server_uid(),
            Self::Tenant(tenant) => uid("Tenant", tenant.as_str()),
        }
    }
}

impl fmt::Display for AdminResource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => out.write_str("the server"),
            Self::Tenant(tenant) => write!(out, "tenant {tenant}"),
        }
    }
}

/// The rules allow this caller this action on this.
///
/// ```compile_fail,E0451
/// use bailiwick::policy::{AdminAction, AdminPermit, AdminResource};
///
/// fn forge() -> AdminPermit {
///     AdminPermit { action: AdminAction::Revoke, on: AdminResource::Server, rules: Vec::new() }
/// }
/// ```
#[derive(Debug)]
pub struct AdminPermit {
    action: AdminAction,
    on: AdminResource,
    rules: Vec<String>,
}

impl AdminPermit {
    /// What is allowed.
    pub fn action(&self) -> AdminAction {
        self.action
    }

    /// The tenant whose records it is about; none when it is about the server.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.on.tenant()
    }

    /// The rules that decided, by id.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }
}

/// Which door a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Tools, as all that name no action.
    Tools,
    /// What administrators do.
    Admin,
    /// Both, which no rule may be.
    Mixed,
}

pub(super) fn part(policy: &Policy) -> Part {
    let all = match policy.action_constraint() {
        ActionConstraint::Any => return Part::Tools,
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions,
    };
    match all.iter().filter(|one| is_admin(one)).count() {
        0 => Part::Tools,
        some if some == all.len() => Part::Admin,
        _ => Part::Mixed,
    }
}

fn is_admin(action: &EntityUid) -> bool {
    let name = action_name(action);
    name.is_some_and(|name| name == ADMIN || name.starts_with("admin:"))
}

/// Whether a rule names the group with `==`, so that it never applies.
pub(super) fn names_the_group(policy: &Policy) -> bool {
    matches!(policy.action_constraint(), ActionConstraint::Eq(named) if Ok(&named) == action(ADMIN).as_ref())
}

/// The rules about the administrators' door.
pub(super) struct AdminRules {
    /// What decides about the server and the caller's own tenant.
    own: PolicySet,
    /// What decides about other tenants: every `forbid`, and the permits whose heads name what they reach.
    foreign: PolicySet,
    schema: Schema,
}

impl AdminRules {
    pub(super) fn new(all: PolicySet, schema: Schema) -> Result<Self, String> {
        let mut foreign = PolicySet::new();
        let reaching = all
            .policies()
            .filter(|one| one.effect() == Effect::Forbid || names_a_resource(one));
        for policy in reaching {
            foreign
                .add(policy.clone())
                .map_err(|error| error.to_string())?;
        }
        Ok(Self {
            own: all,
            foreign,
            schema,
        })
    }
}

impl AdminRules {
    /// All of them, one by one.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.own.policies()
    }
}

fn names_a_resource(policy: &Policy) -> bool {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => false,
        ResourceConstraint::Eq(_) | ResourceConstraint::In(_) | ResourceConstraint::IsIn(..) => {
            true
        }
    }
}

/// In what the authority of a caller as an administrator differs, of each of these.
pub fn compare_admin(
    old: &Rules,
    new: &Rules,
    caller: &Caller,
    asked: &[(AdminAction, AdminResource)],
    now: Timestamp,
) -> Vec<Difference> {
    let differing = asked.iter().filter_map(|(action, on)| {
        let before = old.explain_admin(caller, *action, on, now);
        let after = new.explain_admin(caller, *action, on, now);
        let grows = after.allowed;
        let (allows, refuses) = match (before.allowed, after.allowed) {
            (true, false) => (before, after),
            (false, true) => (after, before),
            (true, true) | (false, false) => return None,
        };
        let (how, by) = match refuses.rules.is_empty() {
            true => (How::Permit, allows.rules),
            false => (How::Forbid, refuses.rules),
        };
        Some(Difference {
            grows,
            what: format!("do `{}` on {on}", action.as_str()),
            by,
            how,
        })
    });
    differing.collect()
}

/// What there is to ask about every administrator: the server, and the caller's own tenant.
pub fn own_admin(caller: &Caller) -> [(AdminAction, AdminResource); 4] {
    let own = || AdminResource::Tenant(caller.tenant().clone());
    [
        (AdminAction::Read, AdminResource::Server),
        (AdminAction::Read, own()),
        (AdminAction::Revoke, own()),
        (AdminAction::Log, AdminResource::Server),
    ]
}

impl Rules {
    /// Whether the caller may do this as an administrator.
    pub fn permit_admin(
        &self,
        caller: &Arc<Caller>,
        action: AdminAction,
        on: &AdminResource,
        now: Timestamp,
    ) -> Result<AdminPermit, Refusal> {
        let step = self.explain_admin(caller, action, on, now);
        match (step.allowed, step.errors.is_empty()) {
            (true, _) => Ok(AdminPermit {
                action,
                on: on.clone(),
                rules: step.rules,
            }),
            (false, true) => Err(Refusal::Denied { rules: step.rules }),
            (false, false) => Err(Refusal::Evaluation {
                errors: step.errors,
                erred: step.erred,
            }),
        }
    }

    /// Whether the caller may do anything at all as an administrator, of the server or of the caller's own tenant.
    pub fn administers(&self, caller: &Arc<Caller>, now: Timestamp) -> bool {
        own_admin(caller)
            .iter()
            .any(|(action, on)| self.permit_admin(caller, *action, on, now).is_ok())
    }

    /// The one step of that decision. Whatever goes wrong refuses.
    pub fn explain_admin(
        &self,
        caller: &Caller,
        action: AdminAction,
        on: &AdminResource,
        now: Timestamp,
    ) -> Step {
        let question = format!("{} of {on}", action.as_str());
        ask::said(question, self.asked_admin(caller, action, on, now))
    }

    fn asked_admin(
        &self,
        caller: &Caller,
        asked: AdminAction,
        on: &AdminResource,
        now: Timestamp,
    ) -> Result<Response, String> {
        let AdminRules {
            own,
            foreign,
            schema,
        } = &self.admin;
        let policies = match on.tenant() {
            Some(tenant) if tenant != caller.tenant() => foreign,
            Some(_) | None => own,
        };
        let request = Request::new(
            facts::user_uid(caller)?,
            action(asked.as_str())?,
            on.uid()?,
            facts::admin_context(caller, now)?,
            Some(schema),
        );
        let request = request.map_err(|error| error.to_string())?;
        let entities = facts::admin_entities(caller, on.tenant(), &self.vocabulary, schema)?;
        Ok(ask::decided(&request, policies, &entities))
    }
}
