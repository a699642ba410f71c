//! Calls that tools make of other tools: each passes the whole line, within the grant of the call that it is made in.
//!
//! A guest hands its call out of the sandbox and waits; the call is made out here, beside the run that waits for it. So no line
//! runs on a guest's stack, nothing waits for a place in the sandbox while holding a lock, and whatever ends the run ends the
//! call.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Stages;
use super::data::Guard;
use super::ended::Ended;
use crate::audit::{End, Stage};
use crate::capability::CapabilitySet;
use crate::config::CallBounds;
use crate::consent::Needed;
use crate::dialogue::Asking;
use crate::grant::{GrantSet, Held};
use crate::host::caller::Told;
use crate::host::http::Allowance;
use crate::host::tools::{Answered, CallError, Request, desk};
use crate::identity::Caller;
use crate::ids::ToolName;
use crate::limits::CALL_STOP_MAX;
use crate::mcp::{Answer, Call, Pending, RequestFacts};
use crate::policy::Permit;
use crate::protect::{Class, Hush, Sensitive};
use crate::sandbox::{Given, Outcome, Reply, RunContext, call_wall};

/// Why a call within is refused that its user would have to be asked about, after an effect.
pub(super) const TOO_LATE: &str = "too-late-to-ask";

/// What the user must be asked about a tool, before the call of it can be made.
pub(super) struct CalleeAsks {
    /// The title of its package.
    pub title: String,
    /// The tool that calls it; none where a client does.
    pub by: Option<ToolName>,
    /// The question.
    pub needed: Needed,
}

/// Where a call lies among those that belong together.
pub(super) struct Node {
    tree: Arc<Tree>,
    /// What it may ask of web hosts.
    allowance: Allowance,
    /// The call that it lies in, and those around that.
    outside: Option<Outside>,
}

/// What all calls of one tree have in common.
struct Tree {
    root: Uuid,
    made: AtomicU32,
    bounds: CallBounds,
    /// What one of them has opened may be with all of them.
    hush: Hush,
}

/// What a call lies in.
struct Outside {
    event: Uuid,
    /// The tools that wait for it, the first one first.
    path: Vec<ToolName>,
    held: Held,
    /// Whether one of them has had an effect outside.
    acted: bool,
    /// When the nearest of them ends.
    deadline: Instant,
}

/// A call that is about to run.
pub(super) struct Here<'a> {
    pub caller: &'a Arc<Caller>,
    pub call: &'a Call,
    pub node: &'a Node,
    pub event: Uuid,
    /// Under what the calls that it makes are traced.
    pub traceparent: Option<String>,
    /// What the tool may be given, in replies to it as well.
    pub guard: &'a Guard<'a>,
    pub data: &'a BTreeSet<Class>,
}

impl Node {
    /// A call that a client made.
    pub fn root(event: Uuid, bounds: CallBounds) -> Self {
        Self {
            tree: Arc::new(Tree {
                root: event,
                made: AtomicU32::new(0),
                bounds,
                hush: Hush::default(),
            }),
            allowance: Allowance::default(),
            outside: None,
        }
    }

    /// The call that it lies in, by the id of its event.
    pub fn parent(&self) -> Option<Uuid> {
        self.outside.as_ref().map(|outside| outside.event)
    }

    /// The call that a client made.
    pub fn root_id(&self) -> Uuid {
        self.tree.root
    }

    /// The tools that wait for it, the first one first; none where a client made it.
    pub fn path(&self) -> &[ToolName] {
        self.outside
            .as_ref()
            .map_or(&[], |outside| outside.path.as_slice())
    }

    /// Whether a call that it lies in has had an effect outside. Then it is too late to ask its user anything.
    pub fn acted(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| outside.acted)
    }

    /// All that the call could be granted, whatever its user agrees to. Where that is too little, nobody is asked.
    pub fn foresee(&self, permit: &Permit) -> Result<CapabilitySet, Box<Ended>> {
        let Some(outside) = &self.outside else {
            return Ok(permit.allowed().clone());
        };
        let enough = outside.held.could_suffice(permit);
        enough.map_err(|missing| {
            let answer = Answer::ToolError(missing.to_string());
            Ended::refused(Stage::Grant, "beyond-caller", answer)
        })?;
        Ok(outside.held.foresee(permit))
    }

    /// What is left of a grant here.
    pub fn narrow(&self, grants: GrantSet) -> GrantSet {
        match &self.outside {
            Some(outside) => grants.under(outside.held.clone()),
            None => grants,
        }
    }

    /// How long the call may take of the time that it would have alone.
    fn time(&self, alone: Duration) -> Duration {
        let left = |outside: &Outside| outside.deadline.saturating_duration_since(Instant::now());
        self.outside
            .as_ref()
            .map_or(alone, |outside| alone.min(left(outside)))
    }

    /// Where a call of `tool` lies that this one makes, unless a bound forbids it.
    fn within(
        &self,
        here: ToolName,
        tool: &ToolName,
        outside: impl FnOnce(Vec<ToolName>) -> Outside,
    ) -> Result<Self, CallError> {
        let mut path = self
            .outside
            .as_ref()
            .map(|outside| outside.path.clone())
            .unwrap_or_default();
        path.push(here);
        if path.contains(tool) {
            return Err(CallError::Cycle);
        }
        let bounds = self.tree.bounds;
        if path.len() >= bounds.depth {
            return Err(CallError::TooDeep);
        }
        let one_more = |made: u32| (made < bounds.tree).then_some(made.saturating_add(1));
        let made = &self.tree.made;
        made.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| CallError::TooMany)?;
        Ok(Self {
            tree: Arc::clone(&self.tree),
            allowance: self.allowance.inner(),
            outside: Some(outside(path)),
        })
    }
}

impl Stages {
    /// Runs the guest, and makes the calls that it hands out. Says also what its user must be asked, where it ended for that.
    pub(super) async fn run(
        &self,
        grants: GrantSet,
        given: &Sensitive<Value>,
        asking: Asking,
        told: Told,
        here: Here<'_>,
    ) -> (Outcome, Option<CalleeAsks>) {
        let (desk, mut requests) = desk();
        let tool = grants.tool();
        let wishes = &tool.package().manifest().limits;
        let deadline = here.node.time(call_wall(wishes, self.call_timeout));
        let (name, held) = (tool.name().clone(), grants.held());
        let context = RunContext {
            deadline,
            progress: here.call.progress.clone(),
            asking,
            cancel: here.call.cancel.clone(),
            clock: Arc::clone(&self.clock),
            given: Given {
                desk: Some(desk),
                told,
                allowance: here.node.allowance.clone(),
                kept: Some(here.guard.kept()),
                hush: here.node.tree.hush.clone(),
            },
        };
        let ends = Instant::now() + deadline;
        let acted = here.node.acted();
        let mut run = pin!(
            self.sandbox
                .run(grants, given.expose().to_string(), context)
        );
        loop {
            let request = tokio::select! {
                biased;
                outcome = &mut run => return (outcome, None),
                request = taken(&mut requests) => request,
            };
            let Request {
                tool,
                arguments,
                acted: just_acted,
                mut answer,
            } = request;
            let outside = |path| Outside {
                event: here.event,
                path,
                held: held.clone(),
                acted: acted || just_acted,
                deadline: ends,
            };
            let node = match here.node.within(name.clone(), &tool, outside) {
                Ok(node) => node,
                Err(error) => {
                    tell(answer, made(Err(error), false));
                    continue;
                }
            };
            let cancel = here.call.cancel.child_token();
            let mut call = within(here.call, tool, arguments, cancel.clone());
            call.traceparent.clone_from(&here.traceparent);
            let mut inner = self.inner(call, Arc::clone(here.caller), node);
            let (answered, asks) = tokio::select! {
                biased;
                mut outcome = &mut run => {
                    outcome.usage.acted |= stop(&cancel, inner).await;
                    return (outcome, None);
                }
                // The consent to call it was taken back; the run goes on, and knows that it may have acted.
                () = answer.closed() => {
                    let mut stopped = pin!(stop(&cancel, inner));
                    tokio::select! {
                        biased;
                        mut outcome = &mut run => {
                            outcome.usage.acted |= stopped.await;
                            return (outcome, None);
                        }
                        _ = &mut stopped => continue,
                    }
                }
                came = &mut inner => came,
            };
            let just_acted = matches!(answered, Answered::Made { acted: true, .. });
            let handed = here.guard.hand_on(answered, here.data, self.clock.now());
            // A provider of keys may be asked for it. Meanwhile the run goes on, and with it its time and its caller.
            let handed = tokio::select! {
                biased;
                mut outcome = &mut run => {
                    outcome.usage.acted |= just_acted;
                    return (outcome, None);
                }
                handed = handed => handed,
            };
            tell(answer, handed);
            if asks.is_some() {
                // Nothing more is made: whoever asks now is told so, and does not wait for nobody.
                drop(requests);
                return (run.await, asks);
            }
        }
    }

    /// One call within another.
    fn inner(&self, call: Call, caller: Arc<Caller>, node: Node) -> Pending<'_, Came> {
        Box::pin(async move {
            let ended = self.recorded(call, caller, Some(node)).await;
            let acted = ended.acted;
            match ended.asks {
                Some(asks) => (Answered::Ends, Some(asks)),
                None => (made(outcome(ended.end, ended.answer), acted), None),
            }
        })
    }
}

/// What comes of a call within another, and what its user must be asked.
type Came = (Answered, Option<CalleeAsks>);

/// The next call that the guest hands out; none ever, when it cannot any more.
async fn taken(requests: &mut mpsc::Receiver<Request>) -> Request {
    match requests.recv().await {
        Some(request) => request,
        None => std::future::pending().await,
    }
}

fn tell(answer: oneshot::Sender<Answered>, answered: Answered) {
    if answer.send(answered).is_err() {
        tracing::debug!("nobody waits any more for a call that a tool made");
    }
}

fn made(outcome: Result<Reply, CallError>, acted: bool) -> Answered {
    Answered::Made { outcome, acted }
}

/// Ends a call that nobody waits for, so that its record says how it ended. Says whether it may have had an effect.
async fn stop(cancel: &CancellationToken, inner: Pending<'_, Came>) -> bool {
    cancel.cancel();
    match tokio::time::timeout(CALL_STOP_MAX, inner).await {
        Ok((Answered::Made { acted, .. }, _)) => acted,
        Ok((Answered::Ends, _)) => false,
        Err(_) => {
            tracing::warn!("a call whose caller has ended has not ended yet, and is dropped");
            true
        }
    }
}

/// The call as it is made: for the same caller, and with nobody at its other end but the guest.
fn within(
    outside: &Call,
    tool: ToolName,
    arguments: Map<String, Value>,
    cancel: CancellationToken,
) -> Call {
    Call {
        tool,
        arguments: Sensitive::new(arguments),
        request: RequestFacts {
            began: Instant::now(),
            ..outside.request.clone()
        },
        era: outside.era,
        can_open_urls: outside.can_open_urls,
        can_show_forms: false,
        request_state: None,
        said: None,
        replied: None,
        traceparent: None,
        progress: None,
        cancel,
    }
}

/// What a guest learns of a call that it made: the reply, what a caller could mend, and nothing of why it may not.
fn outcome(end: End, answer: Answer) -> Result<Reply, CallError> {
    let refused = match (end, answer) {
        (End::Ran { .. }, Answer::Reply(reply)) => return Ok(reply),
        (End::Ran { .. }, Answer::ToolError(text)) => CallError::Failed(text),
        (End::Refused { reason, .. }, _) if reason == TOO_LATE => CallError::NeedsConsent,
        (End::Refused { stage, .. }, answer) => match (stage, answer) {
            (Stage::Arguments | Stage::Data, Answer::ToolError(text)) => {
                CallError::InvalidArguments(text)
            }
            (Stage::Request | Stage::Limits | Stage::Audit, _) => CallError::Unavailable,
            (
                Stage::Identity
                | Stage::Catalog
                | Stage::Policy
                | Stage::Consent
                | Stage::Grant
                | Stage::Arguments
                | Stage::Data,
                _,
            ) => CallError::Denied,
        },
        (End::Asked { .. }, _) => CallError::Denied,
        (End::Ran { .. } | End::Answered | End::Failed { .. }, _) => CallError::Unavailable,
    };
    Err(refused)
}
