//! One call from its place to its ending.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::bindings::ToolPre;
use super::ending::{self, OutOfTime, RunEnded};
use super::glue::stdio::Lines;
use super::limits::Limits;
use super::link::{self, LinkError};
use super::outcome::{Ending, Outcome, Usage};
use super::reply;
use super::state::State;
use super::{RunContext, Sandbox, Target};
use crate::capability::{Access, Capability, CapabilitySet, Files, Kv};
use crate::catalog::manifest::Wishes;
use crate::clock::Timestamp;
use crate::dialogue::Asking;
use crate::grant::Holder;
use crate::host::ask::{Asker, RunEnds};
use crate::host::clock::CallClock;
use crate::host::files::{BindError, Bound};
use crate::host::kv::Session;
use crate::host::log::{Log, Source};
use crate::host::meter::Meter;
use crate::host::progress::Reporter;
use crate::limits::{CALL_WALL_MAX, COMPONENT_HANDLES_MAX, HOSTCALL_BYTES_MAX, RANDOM_BYTES_MAX};
use crate::revocation::{Live, Standing};

/// Ticks of computing after which a guest takes turns with the others that compute for long.
const LONG_RUN_TICKS: u64 = 16;
/// Longest `describe`: an interpreter takes 34 ms to start.
const DESCRIBE_WALL_MAX: Duration = Duration::from_secs(5);

/// One tool, as a component describes it: text that is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The name.
    pub name: String,
    /// A title for people.
    pub title: Option<String>,
    /// What the tool does.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: String,
    /// JSON Schema of structured output.
    pub output_schema: Option<String>,
    /// The kinds of capability that it takes.
    pub capabilities: Vec<String>,
}

/// Why a component could not be asked what it is.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It does not fit what is provided.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It exports no handler of ours.
    #[error("the component does not export `bailiwick:tool/handler@0.1.0`")]
    NoHandler(#[source] wasmtime::Error),
    /// It came to another end.
    #[error("`describe` did not return: {}", .0.name())]
    Ended(Ending),
}

/// Why a supervised guest did not return.
enum Halt {
    Broke(wasmtime::Error),
    Panicked(String),
    OutOfTime,
    Cancelled,
    Revoked,
}

impl Halt {
    fn ending(self, tool: &str, refused: bool) -> Ending {
        match self {
            Self::Broke(error) => {
                let ending = ending::of(&error, refused);
                tracing::debug!(tool, ending = ending.name(), error = ?error, "the guest ended the call");
                ending
            }
            Self::Panicked(text) => {
                tracing::error!(tool, text, "a host function panicked");
                Ending::Fault(format!("a host function panicked: {text}"))
            }
            Self::OutOfTime => Ending::OutOfTime,
            Self::Cancelled => Ending::Cancelled,
            Self::Revoked => Ending::Revoked,
        }
    }
}

impl Sandbox {
    /// Runs a tool with what is granted. The public way in is [`Sandbox::run`], which takes evidence.
    pub(crate) async fn run_with(
        &self,
        target: &Target<'_>,
        granted: &CapabilitySet,
        standing: &Standing,
        holder: &Holder,
        arguments: &str,
        context: RunContext,
    ) -> Outcome {
        let began = Instant::now();
        let ended = |ending, usage| Outcome {
            ending,
            usage: Usage {
                wall: began.elapsed(),
                ..usage
            },
        };
        // A place is taken or refused, never waited for: the pool behind it has as many.
        let Ok(_place) = self.places.try_acquire() else {
            return ended(Ending::Overloaded, Usage::default());
        };
        let deadline = began + context.deadline.min(CALL_WALL_MAX);
        let pre = match self.linked(target, granted) {
            Ok(pre) => pre,
            Err(error) => return ended(fault(target.tool, &error), Usage::default()),
        };
        let meter = Meter::default();
        let bound = self.bind(granted, holder, &meter);
        let bound = match tokio::time::timeout_at(deadline.into(), bound).await {
            Ok(Ok(bound)) => bound,
            Ok(Err(ending)) => return ended(ending, Usage::default()),
            Err(_) => return ended(Ending::OutOfTime, Usage::default()),
        };
        let limits = (&meter, deadline);
        let state = match self.state(target, granted, standing, bound, &context, limits) {
            Ok(state) => state,
            Err(error) => {
                let ending = Ending::Fault(format!("a directory could not be given: {error:#}"));
                return ended(ending, Usage::default());
            }
        };
        let kv = self.session(granted, standing, holder, &context, &meter);
        let state = state.with_values(kv, self.settings.granted(target.package, granted));
        let mut store = self.store(state, deadline);
        let returned = supervise(
            async {
                let tool = pre.instantiate_async(&mut store).await?;
                tool.bailiwick_tool_handler()
                    .call_call(&mut store, target.tool, arguments)
                    .await
            },
            standing,
            deadline,
            &context.cancel,
        )
        .await;
        let state = store.data_mut();
        let ends = state.run_ends.take();
        let (ending, reply_bytes) = match returned {
            Err(Halt::Broke(error)) if error.is::<RunEnded>() => (asked(ends), 0),
            Ok(returned) => reply::ending(returned, target.structured),
            Err(halt) => (halt.ending(target.tool, state.limits.refused()), 0),
        };
        state.log.finish();
        let usage = Usage {
            wall: Duration::ZERO,
            memory_bytes_peak: state.limits.memory_bytes_peak(),
            reply_bytes,
            log_lines: state.log.lines(),
            effects: meter.snapshot(),
        };
        // The instance goes back to the pool before its place does.
        drop(store);
        ended(ending, usage)
    }

    /// Asks a component which tools it serves, in a sandbox in which every capability is absent.
    pub async fn describe(&self, component: &Component) -> Result<Vec<Described>, DescribeError> {
        let pre = link::link(self.engine.engine(), component, link::Kinds::default())?;
        let pre = ToolPre::new(pre).map_err(DescribeError::NoHandler)?;
        let Ok(_place) = self.places.try_acquire() else {
            return Err(DescribeError::Ended(Ending::Overloaded));
        };
        let deadline = Instant::now() + DESCRIBE_WALL_MAX;
        let nothing = Standing::free([]);
        let log = Log::new("describe", self.safeguard.clone());
        let state = State::new(
            wasi(&log, CallClock::frozen(Timestamp(0))).build(),
            None,
            Limits::new(&Wishes::default()),
            log,
            (
                Reporter::new(None, Meter::default(), self.safeguard.clone()),
                Asker::new(Asking::default(), Meter::default()),
            ),
            nothing.clone(),
            None,
        );
        let mut store = self.store(state, deadline);
        let described = supervise(
            async {
                let tool = pre.instantiate_async(&mut store).await?;
                tool.bailiwick_tool_handler()
                    .call_describe(&mut store)
                    .await
            },
            &nothing,
            deadline,
            &CancellationToken::new(),
        )
        .await;
        store.data().log.finish();
        let described = described.map_err(|halt| {
            DescribeError::Ended(halt.ending("describe", store.data().limits.refused()))
        })?;
        let definitions = described.tools.into_iter();
        Ok(definitions
            .map(|definition| Described {
                name: definition.name,
                title: definition.title,
                description: definition.description,
                input_schema: definition.input_schema,
                output_schema: definition.output_schema,
                capabilities: definition.capabilities,
            })
            .collect())
    }

    /// Opens the directories that are granted.
    async fn bind(
        &self,
        granted: &CapabilitySet,
        holder: &Holder,
        meter: &Meter,
    ) -> Result<Vec<Bound>, Ending> {
        let files: Vec<Files> = granted
            .iter()
            .filter_map(|capability| match capability {
                Capability::Files(files) => Some(files.clone()),
                Capability::Http(_)
                | Capability::Clock
                | Capability::Progress
                | Capability::Data(_)
                | Capability::Ask
                | Capability::Kv(_)
                | Capability::Config(_) => None,
            })
            .collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let (mounts, holder, meter) = (self.mounts.clone(), holder.clone(), meter.clone());
        tokio::task::spawn_blocking(move || mounts.bind(&files, &holder, &meter))
            .await
            .map_err(|error| Ending::Fault(format!("binding a mount: {error}")))?
            .map_err(|error: BindError| {
                if error.is_refusal() {
                    Ending::Denied(error.to_string())
                } else {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    Ending::Fault(format!("{error}: {}", source.unwrap_or_default()))
                }
            })
    }

    /// What the call may do in stores of keys and values; none without the grant.
    fn session(
        &self,
        granted: &CapabilitySet,
        standing: &Standing,
        holder: &Holder,
        context: &RunContext,
        meter: &Meter,
    ) -> Option<Session> {
        let scope = |capability: &Capability| match capability {
            Capability::Kv(kv) => Some((kv.clone(), standing.of(capability))),
            Capability::Http(_)
            | Capability::Files(_)
            | Capability::Clock
            | Capability::Progress
            | Capability::Data(_)
            | Capability::Ask
            | Capability::Config(_) => None,
        };
        let scopes: Vec<(Kv, Live)> = granted.iter().filter_map(scope).collect();
        let (meter, clock) = (meter.clone(), context.clock.clone());
        (!scopes.is_empty()).then(|| self.stores.session(scopes, holder, meter, clock))
    }

    /// The data of one store: how far everything that is linked reaches.
    fn state(
        &self,
        target: &Target<'_>,
        granted: &CapabilitySet,
        standing: &Standing,
        bound: Vec<Bound>,
        context: &RunContext,
        (meter, deadline): (&Meter, Instant),
    ) -> wasmtime::Result<State> {
        let mut scopes = Vec::new();
        let mut clock = None;
        let mut listener = None;
        let mut asking = Asking::default();
        let mut writes = None;
        for capability in granted.iter() {
            match capability {
                Capability::Http(http) => scopes.push((http.clone(), standing.of(capability))),
                Capability::Clock => clock = Some(CallClock::running(context.clock.clone())),
                Capability::Progress => listener = context.progress.clone(),
                Capability::Files(files) if files.access == Access::Write => {
                    writes = Some(meter.clone());
                }
                // What data says of arguments and replies is kept outside of the sandbox.
                Capability::Files(_)
                | Capability::Data(_)
                | Capability::Kv(_)
                | Capability::Config(_) => {}
                Capability::Ask => asking = context.asking.clone(),
            }
        }
        let log = Log::new(target.tool, self.safeguard.clone());
        let clock = clock.unwrap_or_else(|| CallClock::frozen(context.clock.now()));
        let mut wasi = wasi(&log, clock);
        for one in bound {
            preopen(&mut wasi, one)?;
        }
        let hooks = (!scopes.is_empty()).then(|| self.http.open(scopes, meter.clone(), deadline));
        Ok(State::new(
            wasi.build(),
            hooks,
            Limits::new(target.wishes),
            log,
            (
                Reporter::new(listener, meter.clone(), self.safeguard.clone()),
                Asker::new(asking, meter.clone()),
            ),
            standing.clone(),
            writes,
        ))
    }

    /// A fresh store with every limit of a call.
    fn store(&self, state: State, deadline: Instant) -> Store<State> {
        let mut store = Store::new(self.engine.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(COMPONENT_HANDLES_MAX);
        store.set_epoch_deadline(1);
        let turns = self.engine.turns().clone();
        store.epoch_deadline_callback(move |mut store| {
            if Instant::now() >= deadline {
                return Err(OutOfTime.into());
            }
            let state = store.data_mut();
            state.ticks = state.ticks.saturating_add(1);
            let turns = (state.ticks > LONG_RUN_TICKS).then(|| turns.clone());
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    if let Some(turns) = turns
                        && let Ok(turn) = turns.acquire().await
                    {
                        // It is used up; the next tick brings another.
                        turn.forget();
                    }
                }),
            ))
        });
        store
    }
}

/// A world with nothing in it but a log, chance and a clock.
fn wasi(log: &Log, clock: CallClock) -> WasiCtxBuilder {
    let lines = |source| Lines {
        log: log.clone(),
        source,
    };
    let mut wasi = WasiCtx::builder();
    wasi.stdout(lines(Source::Stdout))
        .stderr(lines(Source::Stderr))
        .allow_blocking_current_thread(false)
        .allow_ip_name_lookup(false)
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(RANDOM_BYTES_MAX)
        .wall_clock(clock.clone())
        .monotonic_clock(clock);
    wasi
}

/// Gives an open directory to the guest. It is opened again through its own descriptor, so it is the same directory.
fn preopen(wasi: &mut WasiCtxBuilder, bound: Bound) -> wasmtime::Result<()> {
    use std::os::fd::AsRawFd;

    let permissions = match bound.access {
        Access::Read => FsPerms::ReadOnly,
        Access::Write => FsPerms::ReadWrite,
    };
    let itself = format!("/proc/self/fd/{}", bound.directory.as_raw_fd());
    wasi.preopened_dir(itself, &bound.guest_path, permissions)
        .map(drop)
}

/// Polls a guest until it returns, its time is over, the caller is gone or what it stands on is. A panic of a host function
/// ends here.
async fn supervise<T>(
    guest: impl Future<Output = wasmtime::Result<T>>,
    standing: &Standing,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Result<T, Halt> {
    let mut guest = pin!(guest);
    let returned = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| guest.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(returned.map_err(Halt::Broke)),
            Err(payload) => Poll::Ready(Err(Halt::Panicked(panic_text(&*payload)))),
        }
    });
    let returned = tokio::select! {
        biased;
        () = standing.lost() => Err(Halt::Revoked),
        returned = returned => returned,
        () = cancel.cancelled() => Err(Halt::Cancelled),
        () = tokio::time::sleep_until(deadline.into()) => Err(Halt::OutOfTime),
    };
    // A guest that was refused its handles came to an end of its own just before; the cause is the same.
    if standing.is_lost() {
        return Err(Halt::Revoked);
    }
    returned
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    reply::cut(text.unwrap_or_default(), 1024)
}

/// The ending of a run that a question ended.
fn asked(ends: Option<RunEnds>) -> Ending {
    match ends {
        Some(RunEnds::Asked(asked)) => Ending::Asked(asked),
        Some(RunEnds::Otherwise) => Ending::AskedOtherwise,
        // Only our own host function says that a question ended a run, and it leaves the question behind.
        None => Ending::Fault("a run ended with a question that is not there".to_owned()),
    }
}

fn fault(tool: &str, error: &(dyn std::error::Error + 'static)) -> Ending {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(tool, text, "the call could not begin");
    Ending::Fault(text)
}
