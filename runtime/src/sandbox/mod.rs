//! Runs a guest under its grants: a fresh instance per call, linked by what is granted.
//!
//! Knows nothing of tokens, rules or consents; a grant set is all that it takes. An instance serves one call and is
//! dropped, whatever came of it.

mod bindings;
mod denied;
mod ending;
pub mod executor;
#[cfg(test)]
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod glue;
mod limits;
mod link;
mod media;
mod outcome;
mod reply;
mod run;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod veiled;
mod world;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;

pub use glue::http::{Closed, OpenHttp};
pub use link::LinkError;
pub use outcome::{Body, Content, Effect, Ending, Outcome, Reply, Usage};
pub use run::{DescribeError, Described};

use crate::capability::CapabilitySet;
use crate::catalog::manifest::Wishes;
use crate::catalog::{Apart, Package};
use crate::clock::SharedClock;
use crate::dialogue::Asking;
use crate::engine::WasmEngine;
use crate::grant::GrantSet;
use crate::host::caller::Told;
use crate::host::config::Settings;
use crate::host::files::Mounts;
use crate::host::http::Allowance;
use crate::host::kv::Stores;
use crate::host::progress::Progress;
use crate::host::reveal::Kept;
use crate::host::secret::Secrets;
use crate::host::tools::Desk;
use crate::ids::{Digest, ToolName};
use crate::limits::CALL_WALL_MAX;
use crate::protect::{Hush, Safeguard};
use crate::throttle::SharedLimits;
use crate::turns::Turns;
use bindings::ToolPre;
use executor::{Executors, Mirror};
use link::Kinds;
use state::State;

/// Components that stay linked; each costs a few KiB and 0.2 ms to link again.
const LINKED_MAX: u64 = 4_096;
/// How long a component that nobody calls stays linked: a retired tool is let go.
const LINKED_IDLE_MAX: Duration = Duration::from_secs(600);

/// What the host functions need of the server.
pub struct Services {
    /// The way out for requests.
    pub http: Arc<dyn OpenHttp>,
    /// The directories that the operator bound.
    pub mounts: Mounts,
    /// What is unreadable in all that a guest says beside its reply.
    pub safeguard: Safeguard,
    /// The stores of keys and values that the operator bound.
    pub stores: Stores,
    /// What the operator set for packages.
    pub settings: Settings,
    /// The secrets that the operator bound.
    pub secrets: Secrets,
}

impl Services {
    /// No way out, no directory, no store, no setting and no secret.
    pub fn none() -> Self {
        Self {
            http: Arc::new(Closed),
            mounts: Mounts::default(),
            safeguard: Safeguard::default(),
            stores: Stores::default(),
            settings: Settings::default(),
            secrets: Secrets::default(),
        }
    }
}

/// What a call is run with, beside its grants and its arguments.
pub struct RunContext {
    /// How long it may take, by the clock; see [`call_wall`].
    pub deadline: Duration,
    /// Who hears of its progress.
    pub progress: Option<mpsc::Sender<Progress>>,
    /// What it may ask its user, and what it was answered in the runs before this one.
    pub asking: Asking,
    /// Ends it when the caller goes away.
    pub cancel: CancellationToken,
    /// The time that it sees: once, or with `clock` as often as it looks.
    pub clock: SharedClock,
    /// What else this call has, as far as it is granted.
    pub given: Given,
}

/// What one call has beside the services of the server.
#[derive(Debug, Default)]
pub struct Given {
    /// Where it hands out calls of other tools; nobody makes them where there is none.
    pub desk: Option<Desk>,
    /// What it can be told of its user.
    pub told: Told,
    /// What is left for requests to web hosts.
    pub allowance: Allowance,
    /// What was encrypted for its package; nothing where there is none.
    pub kept: Option<Kept>,
    /// What makes it silent, and every call that belongs together with it.
    pub hush: Hush,
}

/// How long a call of a package with these wishes may take, where `default` holds when it wishes nothing.
pub fn call_wall(wishes: &Wishes, default: Duration) -> Duration {
    wishes
        .timeout_ms
        .map_or(default, |ms| Duration::from_millis(ms.into()))
        .min(CALL_WALL_MAX)
}

/// Runs guests.
pub struct Sandbox {
    engine: Arc<WasmEngine>,
    http: Arc<dyn OpenHttp>,
    mounts: Arc<Mounts>,
    safeguard: Safeguard,
    stores: Stores,
    settings: Settings,
    secrets: Secrets,
    places: Semaphore,
    turns: Turns,
    /// Those of executors. They are others than those of our own threads: a call that has one of these waits for the other.
    turns_apart: Turns,
    linked: Cache<(Digest, Kinds), Arc<ToolPre<State>>>,
    /// Where guests run in processes of their own: those, and what stands for each guest here.
    executors: Option<Arc<Executors>>,
    mirrors: Cache<(Digest, Kinds), Arc<Mirror>>,
    /// Panics of host functions.
    panics: AtomicU64,
    #[cfg(test)]
    faults: fault::Faults,
}

/// What is linked, for as long as it is called.
fn kept<T: Send + Sync + 'static>() -> Cache<(Digest, Kinds), Arc<T>> {
    Cache::builder()
        .max_capacity(LINKED_MAX)
        .time_to_idle(LINKED_IDLE_MAX)
        .build()
}

/// What is run: a component, of which package, and which of its tools.
pub(crate) struct Target<'a> {
    pub(crate) component: &'a Component,
    /// What it needs to run in a process of its own.
    pub(crate) apart: Option<&'a Apart>,
    pub(crate) digest: Digest,
    pub(crate) package: &'a ToolName,
    pub(crate) tool: &'a str,
    pub(crate) wishes: &'a Wishes,
    /// Whether the definition has an output schema.
    pub(crate) structured: bool,
}

impl Sandbox {
    /// A sandbox with as many places as the engine's pool.
    pub fn new(engine: Arc<WasmEngine>, services: Services) -> Self {
        let places = usize::try_from(engine.pool().calls_in_flight_max).unwrap_or(usize::MAX);
        Self {
            engine,
            http: services.http,
            mounts: Arc::new(services.mounts),
            safeguard: services.safeguard,
            stores: services.stores,
            settings: services.settings,
            secrets: services.secrets,
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            turns: Turns::new(threads()),
            turns_apart: Turns::new(threads()),
            linked: kept(),
            executors: None,
            mirrors: kept(),
            panics: AtomicU64::new(0),
            #[cfg(test)]
            faults: fault::Faults::default(),
        }
    }

    /// One whose guests run in processes of their own, where there are any.
    #[must_use]
    pub fn with_executors(self, executors: Option<Arc<Executors>>) -> Self {
        Self { executors, ..self }
    }

    /// The processes in which guests run; none where they run in this one.
    pub fn executors(&self) -> Option<&Arc<Executors>> {
        self.executors.as_ref()
    }

    /// With the shares that the operator gives to tenants.
    pub fn with_limits(mut self, limits: SharedLimits) -> Self {
        self.turns = self.turns.with_limits(Arc::clone(&limits));
        self.turns_apart = self.turns_apart.with_limits(limits);
        self
    }

    /// Turns that are taken where guests run, and calls that take turns there.
    pub fn turns(&self) -> (usize, usize) {
        match self.executors {
            Some(_) => self.turns_apart.counts(),
            None => self.turns.counts(),
        }
    }

    /// How many places are taken, and how many there are.
    pub fn places(&self) -> (usize, usize) {
        let all = usize::try_from(self.engine.pool().calls_in_flight_max).unwrap_or(usize::MAX);
        let all = all.min(Semaphore::MAX_PERMITS);
        (all.saturating_sub(self.places.available_permits()), all)
    }

    /// How many host functions panicked, each of which ended one call.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Whether every place is taken at this moment.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Runs the tool of `grants` with `arguments`, the text of a JSON object that its input schema accepted.
    pub async fn run(&self, grants: GrantSet, arguments: String, context: RunContext) -> Outcome {
        if let Err(ungranted) = grants.suffices() {
            return Outcome {
                ending: Ending::Denied(ungranted.to_string()),
                usage: Usage::default(),
            };
        }
        let tool = grants.tool();
        let (package, definition) = (tool.package(), tool.definition());
        let target = Target {
            component: package.component(),
            apart: package.apart(),
            digest: package.component_digest(),
            package: &package.manifest().name,
            tool: definition.name.as_str(),
            wishes: &package.manifest().limits,
            structured: definition.output_schema.is_some(),
        };
        let mut outcome = self
            .run_with(
                &target,
                grants.granted(),
                grants.standing(),
                grants.holder(),
                &arguments,
                context,
            )
            .await;
        // Structured output must be what the definition promises (MCP 2026-07-28, tools, output schema).
        if let Ending::Replied(reply) = &outcome.ending
            && let Some(structured) = &reply.structured
            && let Err(mismatch) = tool.check_structured(structured)
        {
            outcome.ending = Ending::ReplyInvalid(mismatch.to_string());
        }
        outcome
    }

    /// Links a package as far as that can be done before a call, so that a component which does not fit is found when
    /// it is admitted.
    pub fn prepare(&self, package: &Package) -> Result<(), LinkError> {
        link::link(self.engine.engine(), package.component(), Kinds::default()).map(drop)
    }

    /// The linked mirror of a guest that runs in a process of its own, from the cache if it was called lately.
    fn mirrored(
        &self,
        target: &Target<'_>,
        apart: &Apart,
        granted: &CapabilitySet,
    ) -> Result<Arc<Mirror>, LinkError> {
        let kinds = Kinds::of(granted);
        let key = (target.digest, kinds);
        if let Some(mirror) = self.mirrors.get(&key) {
            return Ok(mirror);
        }
        let engine = self.engine.engine();
        let pre = link::link(engine, &apart.mirror, kinds)?;
        let mirror = Mirror::of(engine, target.component, &apart.mirror, pre);
        let mirror = Arc::new(mirror.map_err(LinkError::Mismatch)?);
        self.mirrors.insert(key, mirror.clone());
        Ok(mirror)
    }

    /// The linked component, from the cache if it was called lately.
    fn linked(
        &self,
        target: &Target<'_>,
        granted: &CapabilitySet,
    ) -> Result<Arc<ToolPre<State>>, LinkError> {
        let kinds = Kinds::of(granted);
        let key = (target.digest, kinds);
        if let Some(linked) = self.linked.get(&key) {
            return Ok(linked);
        }
        let pre = link::link(self.engine.engine(), target.component, kinds)?;
        let pre = Arc::new(ToolPre::new(pre).map_err(LinkError::Mismatch)?);
        self.linked.insert(key, pre.clone());
        Ok(pre)
    }
}

/// Threads that run calls.
fn threads() -> usize {
    match Handle::try_current() {
        Ok(handle) => handle.metrics().num_workers(),
        Err(_) => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}
