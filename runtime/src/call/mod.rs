//! The line of a call: every stage in order, each fed with what the one before it proved.
//!
//! The audit entry is opened before the line and closed after it, on every path.

mod asked;
mod data;
mod ended;
mod facts;
mod limits;
mod nested;
mod question;
mod told;
mod wire;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use crate::audit::{Audit, Entry, EventKind, Stage};
use crate::catalog::{Catalog, Tool};
use crate::clock::SharedClock;
use crate::config::CallBounds;
use crate::consent::{Arguments, Carried, Consents, Offer, RequestStates, Waits};
use crate::grant::GrantSet;
use crate::identity::{Caller, Identity};
use crate::limits::UNKNOWN_TOOL_WAIT;
use crate::mcp::{Answer, Call, NotScoped, WeakSignIn};
use crate::policy::{Circumstances, Observation, Permit, Refusal, Rules, StepUp};
use crate::problem::caused;
use crate::protect::Safeguard;
use crate::sandbox::{Ending, Sandbox};
use crate::seal::Seals;
use crate::throttle::{Calls, Whose};
use asked::{SoFar, answered, asking};
use data::{Guard, HandedIn, unsealed};
use ended::{Ended, Wants};
use facts::{decision_facts, state_facts, tool_facts};
use limits::{Took, limited, tier};
use nested::{Here, Node};
pub use told::Pseudonyms;

/// Every stage, built once.
pub struct Stages {
    /// Who is asking.
    pub identity: Arc<Identity>,
    /// What for.
    pub catalog: Arc<Catalog>,
    /// What the operator allows.
    pub rules: Arc<ArcSwap<Rules>>,
    /// What the user agreed to.
    pub consents: Consents,
    /// What a client carries back to us.
    pub states: RequestStates,
    /// Where the guest runs.
    pub sandbox: Sandbox,
    /// Which data may pass.
    pub safeguard: Safeguard,
    /// What becomes of data that tools may keep and not read.
    pub seals: Seals,
    /// How often, how many at once and how much a day.
    pub limits: Calls,
    /// Under which names tools know users.
    pub pseudonyms: Pseudonyms,
    /// What happened.
    pub audit: Audit,
    /// What time it is.
    pub clock: SharedClock,
    /// The consent page lies below it.
    pub public_url: Url,
    /// Longest call when a manifest says nothing.
    pub call_timeout: Duration,
    /// How far calls of tools by tools go.
    pub call_bounds: CallBounds,
    /// Whether whoever has no token may list.
    pub anonymous_discovery: bool,
    /// Counts up when what callers may see may have changed.
    pub changed: watch::Receiver<u64>,
    /// The calls that run, for the end of the server, which waits for their records.
    pub running: TaskTracker,
}

impl Stages {
    /// One call, recorded whatever comes of it. Where it lies among others is told by `node`; none lies in no other.
    async fn recorded(&self, call: Call, caller: Arc<Caller>, node: Option<Node>) -> Ended {
        let _running = self.running.token();
        let mut entry = self.audit.open("tools/call");
        entry.caller((&*caller).into());
        entry.asked(call.tool.as_str());
        let id = entry.id();
        let node = node.unwrap_or_else(|| Node::root(id, self.call_bounds));
        if let Some(parent) = node.parent() {
            entry.within(parent, node.root_id());
        }
        entry.traced(node.root_id(), call.traceparent.as_deref());
        let known_from = call.request.began + UNKNOWN_TOOL_WAIT;
        let who = caller.who();
        let ended = match self.line(call, caller, &mut entry, &node).await {
            Ok(ended) => ended,
            Err(early) => *early,
        };
        // Whoever calls on without a pause fills no log: so many are recorded one by one, and the rest is counted. What began has
        // its end recorded.
        let often = match ended.answer {
            Answer::Throttled(_) => Some(EventKind::CallThrottled),
            Answer::Busy => Some(EventKind::CallOverloaded),
            _ => None,
        };
        if let Some(kind) = often
            && !entry.has_begun()
            && !self.audit.admits(kind, who)
        {
            entry.counted(&ended.end);
            return ended;
        }
        let end = ended.end.clone();
        let closed = if ended.durable {
            entry.close(end).await
        } else {
            entry.close_soon(end).await
        };
        if matches!(ended.answer, Answer::UnknownTool) {
            tokio::time::sleep_until(known_from.into()).await;
        }
        match closed {
            Ok(()) => ended,
            Err(error) => {
                // The effect has happened and its intent is durable; that the outcome is not must not look like success.
                tracing::error!(error = %caused(&error), event = %id, "the outcome of a call could not be recorded");
                let answer = Answer::Unavailable { id };
                Ended { answer, ..ended }
            }
        }
    }

    /// The line itself.
    async fn line(
        &self,
        call: Call,
        caller: Arc<Caller>,
        entry: &mut Entry,
        node: &Node,
    ) -> Result<Ended, Box<Ended>> {
        let rules = self.rules.load_full();
        entry.stage("catalog");
        let tool = self.find(&call, &caller, &rules, entry)?;
        let asked = self.asked(&call);
        entry.stage("policy");
        let permit = rules.permit(&caller, &tool, asked);
        let observed = rules.observe(&caller, &tool, asked);
        tell(&tool, &permit, &observed, entry.id());
        entry.decision(decision_facts(&permit, &observed, rules.digest()));
        let permit =
            permit.map_err(|refusal| not_permitted(&rules, &caller, &tool, asked, &refusal))?;
        entry.stage("arguments");
        let given = check_arguments(&tool, call.arguments.expose())?;
        let whole = Arguments::of(call.arguments.expose());
        let arguments = whole.digest();
        let carried = self.carried(&call, &caller, &tool, arguments)?;
        // A call that its user was asked about is the same call in every run, and counts once.
        let goes_on = match carried.as_ref().map(Carried::waits) {
            Some(Waits::Form(_) | Waits::Callee(..)) => true,
            Some(Waits::Consent(_)) | None => false,
        };
        let classes = permit.rates().clone();
        let whose = Whose {
            tenant: caller.tenant(),
            user: caller.user(),
            client: caller.client(),
            tool: tool.name(),
            tier: tier(&permit),
            classes: &classes,
            goes_on,
        };
        // Before the consent, of which a call that is refused for its haste shall use up nothing.
        let looked = self.limits.look(whose, Instant::now(), self.clock.day());
        let looked = while_wanted(&call, looked).await?;
        looked.map_err(|error| limited(error, entry.id()))?;
        // Nor one for which there is no place, as far as that can be told before it takes one.
        if self.sandbox.is_full() {
            return Err(Ended::overloaded());
        }
        let guard = Guard::of(&self.safeguard, &self.seals, &tool, &permit);
        let answered = answered(carried.as_ref(), &call);
        // Before the consent: what no decision could allow is not asked about. And before a state is used up, so that its user can
        // answer otherwise.
        let found = guard.foresee(&given, answered, &node.foresee(&permit)?, entry)?;
        let resumed = self.resume(carried, &call, &caller, entry);
        let (offer, dialogue) = while_wanted(&call, resumed).await??;
        let offer = if node.acted() { Offer::Never } else { offer };
        entry.stage("consent");
        let used = dialogue.as_ref().map_or(&[][..], |so_far| &so_far.used);
        let now = self.clock.now();
        let consent = self
            .consents
            .confirm_with(permit, &whole, node.path(), offer, used, now);
        let consent = while_wanted(&call, consent).await?;
        let consent = consent.map_err(|error| {
            let facts = state_facts(&caller, &tool, arguments);
            self.not_consented(error, &call, &facts, &tool, node, entry)
        })?;
        entry.consent(
            consent
                .records()
                .iter()
                .map(|used| used.id.to_string())
                .collect(),
        );
        entry.stage("grant");
        let so_far = SoFar::of(dialogue.as_ref(), &consent, self.clock.now());
        let grants = node.narrow(GrantSet::from(consent));
        grants.suffices().map_err(|missing| {
            Ended::refused(
                Stage::Grant,
                "required-capability",
                Answer::ToolError(missing.to_string()),
            )
        })?;
        let data = grants.granted().classes();
        let shown = grants.granted().shown();
        let asking = asking(dialogue, &call, &caller);
        entry.stage("data-in");
        let handed = guard.hand_in(given, &found, asking, &data, self.clock.now(), entry);
        let HandedIn {
            arguments: given,
            asking,
            sealed,
        } = while_wanted(&call, handed).await??;
        if call.cancel.is_cancelled() {
            return Err(gone());
        }
        let taken = self.limits.take(whose, Instant::now(), self.clock.day());
        let taken = while_wanted(&call, taken).await?;
        let taken = taken.map_err(|error| limited(error, entry.id()))?;
        let told = while_wanted(&call, self.told(&caller, &grants, entry)).await??;
        entry.stage("intent");
        let durable = while_wanted(&call, self.intent(&grants, entry)).await;
        // Its intent may stand in the log, and then so does its end.
        let durable = durable.map_err(|gone| match entry.has_begun() {
            true => Ended::cancelled(),
            false => gone,
        })??;
        if let Some(sealed) = sealed {
            let kept = while_wanted(&call, sealed.keep(self.clock.now())).await;
            let kept = kept.map_err(|_| Ended::cancelled())?;
            kept.map_err(|error| unsealed(&error, entry.id()))?;
        }
        entry.stage("sandbox");
        let here = Here {
            traceparent: entry.traceparent(),
            caller: &caller,
            call: &call,
            node,
            event: entry.id(),
            guard: &guard,
            data: &data,
        };
        let (mut outcome, asks) = self.run(grants, &given, asking, told, here).await;
        let asks = asks.filter(|_| matches!(outcome.ending, Ending::CalleeAsks(_)));
        let now = self.clock.now();
        entry.stage("data-out");
        let handed = guard.hand_out(outcome.ending, &shown, now, entry);
        // What the guest did is done; what it answered is for nobody any more.
        let handed = while_wanted(&call, handed).await;
        outcome.ending = handed.unwrap_or(Ending::Cancelled);
        let (acted, took) = (outcome.usage.acted, Took::of(&outcome.usage));
        let facts = state_facts(&caller, &tool, arguments);
        let mut ended = Ended::of(outcome, durable, entry.id(), |asked| match asked {
            Wants::Form(asked) => self.form(*asked, so_far, &facts, &tool, entry.id()),
            // The question goes on to the call around this one.
            Wants::Callee(_) if node.parent().is_some() => Answer::Denied,
            Wants::Callee(answered) => {
                let asks = asks.as_ref();
                self.callee_asks(asks, answered, so_far, &facts, &call, entry.id())
            }
        });
        ended.acted = acted;
        ended.asks = asks;
        // It is counted at once. Where nobody waits for that to be written down, the next call that draws on the budget does.
        let written = while_wanted(&call, taken.ended(took.wall, took.reply_bytes));
        if let Ok(Err(error)) = written.await {
            // The next call that draws on the budget is refused, since that cannot be written either.
            tracing::error!(error = %caused(&error), event = %entry.id(), "what a call took could not be written down");
        }
        Ok(ended)
    }

    /// What the rules are asked about this call, now.
    fn asked<'a>(&self, call: &'a Call) -> Circumstances<'a> {
        Circumstances {
            arguments: call.arguments.expose(),
            now: self.clock.now(),
        }
    }

    /// What for. An unknown tool answers as a hidden one.
    fn find(
        &self,
        call: &Call,
        caller: &Arc<Caller>,
        rules: &Rules,
        entry: &mut Entry,
    ) -> Result<Tool, Box<Ended>> {
        let Some(tool) = self.catalog.find(call.tool.as_str()) else {
            self.as_if_hidden(call, caller, rules);
            return Err(Ended::refused(
                Stage::Catalog,
                "unknown-tool",
                Answer::UnknownTool,
            ));
        };
        entry.tool(tool_facts(&tool));
        entry.arguments(call.arguments.expose(), &tool.definition().input_schema);
        Ok(tool)
    }

    /// The same questions and the same line in the log as about a hidden tool: the time shall not tell the two apart.
    fn as_if_hidden(&self, call: &Call, caller: &Arc<Caller>, rules: &Rules) {
        let Some(other) = self.stand_in(call.tool.as_str()) else {
            return;
        };
        let asked = self.asked(call);
        let _ = rules.permit(caller, &other, asked);
        let _ = rules.observe(caller, &other, asked);
        rules.lists(caller, &other);
        let none: &[String] = &[];
        tracing::info!(reason = "unknown-tool", rules = ?none, "a call is not permitted");
    }

    /// The tool about which is asked instead of one that does not exist: always the same for one name, any one for another,
    /// and nobody can tell which. So a name that was never called costs what a tool costs that was never called.
    fn stand_in(&self, name: &str) -> Option<Tool> {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let snapshot = self.catalog.snapshot();
        let count = u64::try_from(snapshot.tools.len()).ok()?;
        let place = KEYS.hash_one(name).checked_rem(count)?;
        let mut tools = snapshot.tools.values();
        tools.nth(usize::try_from(place).ok()?).cloned()
    }

    /// No record, no effect. A call that can do nothing outside needs not wait for the disk.
    async fn intent(&self, grants: &GrantSet, entry: &mut Entry) -> Result<bool, Box<Ended>> {
        entry.granted(grants.granted());
        let effects = !grants.granted().is_empty();
        let written = if effects {
            entry.intent().await
        } else {
            entry.intent_soon().await
        };
        written.map(|()| effects).map_err(|error| {
            tracing::error!(error = %caused(&error), event = %entry.id(), "the intent of a call could not be recorded, so it does not run");
            Ended::failed("audit", Answer::Unavailable { id: entry.id() })
        })
    }
}

/// What a stage comes to, as long as somebody waits for the call. Clients and providers of keys may be asked in it, and locks of
/// others be waited for, which takes seconds.
async fn while_wanted<T>(call: &Call, stage: impl Future<Output = T>) -> Result<T, Box<Ended>> {
    tokio::select! {
        biased;
        done = stage => Ok(done),
        () = call.cancel.cancelled() => Err(gone()),
    }
}

/// Nobody waits for the call any more.
fn gone() -> Box<Ended> {
    Ended::refused(Stage::Request, "caller-gone", Answer::Cancelled)
}

/// Tells the operator what was refused, what went wrong, and what rules under trial would have changed.
fn tell(tool: &Tool, permit: &Result<Permit, Refusal>, observed: &[Observation], event: Uuid) {
    let tool = tool.name();
    for seen in observed {
        tracing::info!(%tool, question = seen.question, rules = ?seen.rules, decided = %seen.decided(), would = %seen.would, %event, "a rule under trial would have decided otherwise");
    }
    // The refusal itself may quote arguments that a rule could not use; those stay out of the log.
    match permit {
        Ok(_) => {}
        Err(refusal @ Refusal::Evaluation { erred, .. }) => {
            tracing::warn!(%tool, reason = refusal.name(), rules = ?erred, %event, "a rule could not be evaluated, so a call is not permitted");
        }
        Err(refusal) => {
            tracing::info!(%tool, reason = refusal.name(), rules = ?refusal.rules(), %event, "a call is not permitted");
        }
    }
}

/// A caller who may not see the tool learns no more than that of a tool that does not exist.
fn not_permitted(
    rules: &Rules,
    caller: &Caller,
    tool: &Tool,
    asked: Circumstances<'_>,
    refusal: &Refusal,
) -> Box<Ended> {
    if !rules.lists(caller, tool) {
        return Ended::refused(Stage::Policy, refusal.name(), Answer::UnknownTool);
    }
    // Arguments that do not fit their schema cannot fit a rule about them either: say what can be mended.
    if let Err(ended) = check_arguments(tool, asked.arguments) {
        return ended;
    }
    if let Some(needed) = rules.step_up(caller, tool, Some(asked)) {
        return better_token(needed);
    }
    if let Refusal::WeakSignIn { .. } = refusal {
        let text = "this tool asks for a stronger sign-in than that of your token".to_owned();
        return Ended::refused(Stage::Policy, refusal.name(), Answer::ToolError(text));
    }
    Ended::refused(Stage::Policy, refusal.name(), Answer::Denied)
}

/// What the caller's next token must have for this call.
fn better_token(needed: StepUp) -> Box<Ended> {
    let StepUp { scopes, sign_in } = needed;
    let Some(sign_in) = sign_in else {
        let answer = Answer::NotScoped(NotScoped { needed: scopes });
        return Ended::refused(Stage::Policy, "missing-scopes", answer);
    };
    let answer = Answer::WeakSignIn(WeakSignIn {
        acr_values: sign_in.acr,
        max_age_secs: sign_in.max_age_secs,
        needed: scopes,
    });
    Ended::refused(Stage::Policy, "weak-sign-in", answer)
}

/// The arguments, once they fit the tool's schema.
fn check_arguments(tool: &Tool, arguments: &Map<String, Value>) -> Result<Value, Box<Ended>> {
    let given = Value::Object(arguments.clone());
    tool.check_arguments(&given).map_err(|mismatch| {
        let text = format!("the arguments do not fit the tool's schema: {mismatch}");
        Ended::refused(Stage::Arguments, "schema", Answer::ToolError(text))
    })?;
    Ok(given)
}
