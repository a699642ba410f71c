//! The line of a call: every stage in order, each fed with what the one before it proved.
//!
//! The audit entry is opened before the line and closed after it, on every path.

mod asked;
mod data;
mod ended;
mod facts;
mod wire;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use crate::audit::{Audit, End, Entry, Stage};
use crate::catalog::{Catalog, Tool};
use crate::clock::SharedClock;
use crate::consent::{Arguments, Carried, ConsentError, Consents, Needed, RequestStates, Waits};
use crate::dialogue::Asking;
use crate::grant::GrantSet;
use crate::identity::{Caller, Identity};
use crate::ids::Digest;
use crate::limits::UNKNOWN_TOOL_WAIT;
use crate::mcp::{Answer, Call, NotScoped, WeakSignIn};
use crate::policy::{Circumstances, Observation, Permit, Refusal, Rules, StepUp};
use crate::protect::Safeguard;
use crate::rate::{Rates, Throttled};
use crate::sandbox::{Outcome, RunContext, Sandbox, call_wall};
use asked::{SoFar, answered, asking};
use data::Guard;
use ended::Ended;
use facts::{decision_facts, state_facts, tool_facts};

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
    /// How often a user may.
    pub rates: Rates,
    /// What happened.
    pub audit: Audit,
    /// What time it is.
    pub clock: SharedClock,
    /// The consent page lies below it.
    pub public_url: Url,
    /// Longest call when a manifest says nothing.
    pub call_timeout: Duration,
    /// Whether whoever has no token may list.
    pub anonymous_discovery: bool,
    /// Counts up when what callers may see may have changed.
    pub changed: watch::Receiver<u64>,
}

impl Stages {
    /// One call, recorded whatever comes of it.
    async fn recorded(&self, call: Call, caller: Arc<Caller>) -> Answer {
        let mut entry = self.audit.open("tools/call");
        entry.caller((&*caller).into());
        entry.asked(call.tool.as_str());
        let id = entry.id();
        let known_from = call.request.began + UNKNOWN_TOOL_WAIT;
        let ended = match self.line(call, caller, &mut entry).await {
            Ok(ended) => ended,
            Err(early) => *early,
        };
        let closed = if ended.durable {
            entry.close(ended.end).await
        } else {
            entry.close_soon(ended.end).await
        };
        if matches!(ended.answer, Answer::UnknownTool) {
            tokio::time::sleep_until(known_from.into()).await;
        }
        match closed {
            Ok(()) => ended.answer,
            Err(error) => {
                // The effect has happened and its intent is durable; that the outcome is not must not look like success.
                tracing::error!(%error, event = %id, "the outcome of a call could not be recorded");
                Answer::Unavailable { id }
            }
        }
    }

    /// The line itself.
    async fn line(
        &self,
        call: Call,
        caller: Arc<Caller>,
        entry: &mut Entry,
    ) -> Result<Ended, Box<Ended>> {
        let rules = self.rules.load_full();
        let tool = self.find(&call, &caller, &rules, entry)?;
        let asked = self.asked(&call);
        let permit = rules.permit(&caller, &tool, asked);
        let observed = rules.observe(&caller, &tool, asked);
        tell(&tool, &permit, &observed, entry.id());
        entry.decision(decision_facts(&permit, &observed, rules.digest()));
        let permit =
            permit.map_err(|refusal| not_permitted(&rules, &caller, &tool, asked, &refusal))?;
        let given = check_arguments(&tool, &call.arguments)?;
        let whole = Arguments::of(&call.arguments);
        let arguments = whole.digest();
        let carried = self.carried(&call, &caller, &tool, arguments)?;
        // A call that its user was asked about is the same call in every run, and counts once.
        let classes = match carried.as_ref().map(Carried::waits) {
            Some(Waits::Form(_)) => BTreeSet::new(),
            Some(Waits::Consent(_)) | None => permit.rates().clone(),
        };
        // Before the consent, of which a call that is refused for its haste shall use up nothing.
        self.rates
            .look(caller.tenant(), caller.user(), &classes, Instant::now())
            .map_err(|throttled| throttle(&throttled))?;
        let guard = Guard::of(&self.safeguard, &tool, &permit);
        let answered = answered(carried.as_ref(), &call);
        // Before the consent: what no decision could allow is not asked about. And before a state is used up, so that its user can
        // answer otherwise.
        let found = guard.foresee(&given, answered, &permit.allowed().classes(), entry)?;
        let (offer, dialogue) = self.resume(carried, &call, &caller, entry).await?;
        let used = dialogue.as_ref().map_or(&[][..], |so_far| &so_far.used);
        let consent = self
            .consents
            .confirm_with(permit, &whole, offer, used, self.clock.now())
            .await;
        let consent = consent
            .map_err(|error| self.not_consented(error, &call, &caller, &tool, arguments, entry))?;
        entry.consent(
            consent
                .records()
                .iter()
                .map(|used| used.id.to_string())
                .collect(),
        );
        let so_far = SoFar::of(dialogue.as_ref(), &consent, self.clock.now());
        let grants = GrantSet::from(consent);
        grants.suffices().map_err(|missing| {
            Ended::refused(
                Stage::Grant,
                "required-capability",
                Answer::ToolError(missing.to_string()),
            )
        })?;
        let data = grants.granted().classes();
        let asking = asking(dialogue, &call, &caller);
        let (given, asking) = guard.hand_in(given, &found, asking, &data, entry)?;
        if call.cancel.is_cancelled() {
            return Err(Ended::refused(
                Stage::Request,
                "caller-gone",
                Answer::Cancelled,
            ));
        }
        self.rates
            .take(caller.tenant(), caller.user(), &classes, Instant::now())
            .map_err(|throttled| throttle(&throttled))?;
        let durable = self.intent(&grants, entry).await?;
        let mut outcome = self.run(grants, call, &given, &tool, asking).await;
        outcome.ending = guard.hand_out(outcome.ending, &data, entry);
        Ok(Ended::of(outcome, durable, entry.id(), |asked| {
            let facts = state_facts(&caller, &tool, arguments);
            self.form(asked, so_far, &facts, &tool, entry.id())
        }))
    }

    /// What the rules are asked about this call, now.
    fn asked<'a>(&self, call: &'a Call) -> Circumstances<'a> {
        Circumstances {
            arguments: &call.arguments,
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
        entry.arguments(&call.arguments, &tool.definition().input_schema);
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

    fn not_consented(
        &self,
        error: ConsentError,
        call: &Call,
        caller: &Caller,
        tool: &Tool,
        arguments: Digest,
        entry: &Entry,
    ) -> Box<Ended> {
        let refused = |reason: &str, text: String| {
            Ended::refused(Stage::Consent, reason, Answer::ToolError(text))
        };
        match error {
            ConsentError::Needed(needed) => self.ask(&needed, call, caller, tool, arguments, entry),
            ConsentError::Denied { again_from } => refused(
                "denied-by-user",
                format!(
                    "the user did not allow this; do not ask again before {}",
                    again_from.rfc3339()
                ),
            ),
            ConsentError::NoUser => refused(
                "no-user",
                "this token stands for no user who could consent; the operator can record a consent for it".to_owned(),
            ),
            ConsentError::NotShowable => refused("not-showable", error.to_string()),
            ConsentError::TooManyQuestions | ConsentError::Contended => refused("too-many-questions", error.to_string()),
            ConsentError::Store(_) | ConsentError::Audit(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, event = %entry.id(), "consent could not be looked up");
                Ended::failed("store", Answer::Unavailable { id: entry.id() })
            }
        }
    }

    /// The question, in the form that this client can show.
    fn ask(
        &self,
        needed: &Needed,
        call: &Call,
        caller: &Caller,
        tool: &Tool,
        arguments: Digest,
        entry: &Entry,
    ) -> Box<Ended> {
        let failed = || Ended::failed("consent-url", Answer::Fault { id: entry.id() });
        let Ok(url) = self.public_url.join(&needed.path) else {
            return failed();
        };
        let mut message = format!(
            "“{}” asks for your consent: {}.",
            tool.package().manifest().title,
            needed.sentences.join("; ")
        );
        if needed.optional {
            message.push_str(" It also runs without.");
        }
        let answer = match call.can_open_urls {
            true => {
                let facts = state_facts(caller, tool, arguments);
                match self.states.seal(&facts, &needed.ticket, self.clock.now()) {
                    Ok(state) => Answer::ConsentNeeded {
                        url,
                        message,
                        state,
                        ticket: needed.ticket.clone(),
                    },
                    Err(error) => {
                        tracing::error!(%error, event = %entry.id(), "a request state could not be sealed");
                        return failed();
                    }
                }
            }
            false if needed.optional => Answer::ToolError(format!(
                "{message} Tell the user to open {url} to allow it or not, then call the tool again. A call before the user has decided goes on without."
            )),
            false => Answer::ToolError(format!(
                "{message} Ask the user to open {url} and decide there, then call the tool again."
            )),
        };
        Box::new(Ended {
            answer,
            end: End::Asked {
                ticket: needed.ticket.hash(),
            },
            durable: false,
        })
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
            tracing::error!(%error, event = %entry.id(), "the intent of a call could not be recorded, so it does not run");
            Ended::failed("audit", Answer::Unavailable { id: entry.id() })
        })
    }

    async fn run(
        &self,
        grants: GrantSet,
        call: Call,
        given: &Value,
        tool: &Tool,
        asking: Asking,
    ) -> Outcome {
        let arguments = given.to_string();
        let context = RunContext {
            deadline: call_wall(&tool.package().manifest().limits, self.call_timeout),
            progress: call.progress,
            asking,
            cancel: call.cancel,
            clock: Arc::clone(&self.clock),
        };
        self.sandbox.run(grants, arguments, context).await
    }
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

fn throttle(throttled: &Throttled) -> Box<Ended> {
    Ended::refused(
        Stage::Limits,
        format!("rate:{}", throttled.class),
        Answer::ToolError(throttled.to_string()),
    )
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
