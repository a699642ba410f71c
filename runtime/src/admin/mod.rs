//! The administrators' door: `/admin/*`, a JSON API for those who run the server.
//!
//! A request passes the checks of `/mcp`, then the scope of this door, then the rules about administrators; nothing else
//! lets anybody in. `request` reads what is wanted, `acts` does it, `respond` says it. Whoever may not, learns not even
//! which paths there are. Every request with a token that counts has a record of its own; no page, no form, no cookie.

mod acts;
mod request;
mod respond;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use uuid::Uuid;

use crate::audit::{Audit, DecisionFacts, End, Entry, EventKind, Stage};
use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::consent::Consents;
use crate::identity::Caller;
use crate::mcp::{Door, EdgeRefusal, RequestFacts, Visitor};
use crate::policy::{AdminAction, AdminPermit, Refusal, Rules};
use crate::problem::{Problem, caused};
use crate::telemetry::log::LogControl;
use request::Wanted;
use respond::Trouble;

/// Whether the server can take calls, and why not.
pub struct Standing {
    /// Every issuer's keys are there.
    pub keys: bool,
    /// The log can be written.
    pub log: bool,
    /// The rules in force are those of the folder.
    pub rules: bool,
    /// Checkpoints of the log are made and copied.
    pub witness: bool,
    /// Clients accept the certificate that is shown.
    pub certificate: bool,
    /// There are processes for guests, where guests run in such.
    pub executors: bool,
    /// The server does not end.
    pub open: bool,
    /// The clock is believed. Calls are taken also while it is not.
    pub clock: bool,
    /// What is wrong with the folder while they are not.
    pub problems: Arc<Vec<Problem>>,
}

impl Standing {
    /// Why no calls are taken; nothing where they are.
    pub fn reasons(&self) -> Vec<&'static str> {
        let all = [
            (self.keys, "the keys of an issuer are not there"),
            (self.log, "the audit log cannot be written"),
            (self.rules, "the rules in force are not those of the folder"),
            (
                self.witness,
                "checkpoints of the audit log are not made or not copied",
            ),
            (self.certificate, "the certificate is not in force"),
            (
                self.executors,
                "no process can be made for tools to run in; restart the server",
            ),
            (self.open, "the server is ending"),
        ];
        let reasons = all.into_iter();
        reasons
            .filter_map(|(well, reason)| (!well).then_some(reason))
            .collect()
    }

    /// What is not well while calls are taken all the same.
    pub fn warnings(&self) -> Vec<&'static str> {
        let doubted = "the clock is further ahead than is believed; nothing is deleted for good that had not ended before";
        (!self.clock).then_some(doubted).into_iter().collect()
    }
}

/// What the door opens on.
pub struct AdminParts {
    /// Who comes in at all.
    pub door: Door,
    /// Who may do what, and what there is to tell of the rules.
    pub rules: Arc<ArcSwap<Rules>>,
    /// The tools.
    pub catalog: Arc<Catalog>,
    /// The operator's tags of tools.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// What users decided.
    pub consents: Consents,
    /// Records every request.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    /// How the server is.
    pub standing: Arc<dyn Fn() -> Standing + Send + Sync>,
    /// Changes what the log says, where it is this server's.
    pub log: Option<LogControl>,
}

/// The router of everything below `/admin`.
pub fn router(parts: AdminParts) -> Router {
    Router::new()
        .route("/admin", any(serve))
        .route("/admin/", any(serve))
        .route("/admin/{*path}", any(serve))
        .with_state(Arc::new(parts))
}

async fn serve(State(admin): State<Arc<AdminParts>>, request: Request) -> Response {
    let facts = Door::facts(&request);
    let id = facts.id;
    // A task of its own: what was begun is brought to its end and recorded, also when the caller goes away.
    let answered = tokio::spawn(async move { admin.answer(request, &facts).await });
    let mut response = answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, request = %id, "a request of an administrator panicked");
        Trouble::Fault(id).response()
    });
    Door::mark(&mut response, id);
    response
}

impl AdminParts {
    async fn answer(&self, request: Request, facts: &RequestFacts) -> Response {
        let visitor = match self.door.admit(request, facts).await {
            Ok(visitor) => visitor,
            Err(refusal) => {
                // Anybody can cause these, so they are sampled.
                self.audit.sampled(EventKind::AdminRefused, refusal.name());
                return respond::refused(self.door.refuse(&refusal, facts.id), &refusal);
            }
        };
        let wanted = Wanted::read(&visitor.parts, &visitor.body);
        let name = wanted.as_ref().map_or("unknown", Wanted::name);
        let mut entry = self.audit.open(&format!("admin/{name}"));
        entry.caller((&*visitor.caller).into());
        let id = entry.id();
        let (response, end) = match self.decided(&visitor, wanted, &mut entry).await {
            Ok((response, end)) => (response, end),
            Err(refused) => *refused,
        };
        match entry.close(end).await {
            Ok(()) => response,
            Err(error) => {
                tracing::error!(error = %caused(&error), event = %id, "a request of an administrator could not be recorded");
                Trouble::Unavailable(id).response()
            }
        }
    }

    /// The scope, the rules, and then what is wanted.
    async fn decided(
        &self,
        visitor: &Visitor,
        wanted: Result<Wanted, Trouble>,
        entry: &mut Entry,
    ) -> Result<(Response, End), Box<(Response, End)>> {
        let caller = &visitor.caller;
        if let Err(refusal) = self.door.check_scope(caller) {
            return Err(self.unscoped(&refusal, entry.id()));
        }
        let (rules, now) = (self.rules.load_full(), self.clock.now());
        let wanted = match wanted {
            Ok(wanted) => wanted,
            // That a request makes no sense is told to those who may make one that does.
            Err(trouble) if rules.administers(caller, now) => {
                entry.decision(DecisionFacts::by(&[], rules.digest()));
                let end = refused(Stage::Request, trouble.name());
                return Ok((trouble.response(), end));
            }
            Err(_) => {
                let nothing = Refusal::Denied { rules: Vec::new() };
                return Err(self.forbidden(caller, &nothing, &rules, entry));
            }
        };
        let (action, on) = wanted.asks(caller.tenant());
        entry.fact("action", action.as_str());
        entry.fact("on", on.to_string());
        let permit = rules.permit_admin(caller, action, &on, now);
        let permit = permit.map_err(|refusal| self.forbidden(caller, &refusal, &rules, entry))?;
        entry.decision(decision(permit.rules(), &[], &rules));
        if permit.action() != AdminAction::Read {
            // No record, no effect.
            entry.intent().await.map_err(|error| {
                tracing::error!(error = %caused(&error), event = %entry.id(), "the intent of an administrator could not be recorded, so nothing is done");
                failed("audit", Trouble::Unavailable(entry.id()))
            })?;
        }
        self.done(&permit, wanted, entry).await
    }

    async fn done(
        &self,
        permit: &AdminPermit,
        wanted: Wanted,
        entry: &mut Entry,
    ) -> Result<(Response, End), Box<(Response, End)>> {
        let id = entry.id();
        let done = self.act(permit, wanted, entry).await;
        done.map(|told| (respond::told(&told), End::Answered))
            .map_err(|error| {
                tracing::error!(error = %caused(&error), event = %id, "what an administrator asked for failed");
                failed("store", Trouble::Unavailable(id))
            })
    }

    fn unscoped(&self, refusal: &EdgeRefusal, id: Uuid) -> Box<(Response, End)> {
        let response = respond::refused(self.door.refuse(refusal, id), refusal);
        Box::new((response, refused(Stage::Policy, "missing-scopes")))
    }

    fn forbidden(
        &self,
        caller: &Caller,
        refusal: &Refusal,
        rules: &Rules,
        entry: &mut Entry,
    ) -> Box<(Response, End)> {
        tracing::info!(client = %caller.client(), reason = refusal.name(), rules = ?refusal.rules(), "an administrator's request is not permitted");
        entry.decision(decision(refusal.rules(), refusal.erred(), rules));
        let response = respond::forbidden(self.door.forbid(entry.id()));
        Box::new((response, refused(Stage::Policy, refusal.name())))
    }
}

fn decision(by: &[String], erred: &[String], rules: &Rules) -> DecisionFacts {
    DecisionFacts {
        erred: erred.to_vec(),
        policy_digest: rules.digest(),
        rules: by.to_vec(),
        trial: Vec::new(),
    }
}

fn refused(stage: Stage, reason: &str) -> End {
    let reason = reason.to_owned();
    End::Refused { stage, reason }
}

fn failed(reason: &str, trouble: Trouble) -> Box<(Response, End)> {
    let reason = reason.to_owned();
    Box::new((trouble.response(), End::Failed { reason }))
}
