//! One call from its place to its ending.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wasmtime::{Store, UpdateDeadline};

use super::bindings::ToolPre;
use super::bindings::bailiwick::tool::types::{Error, Reply};
use super::ending::{self, OutOfTime, RunEnded};
use super::executor::{Executors, Mirror, Run};
use super::limits::Limits;
use super::link::{self, LinkError};
use super::outcome::{Ending, Outcome, Usage};
use super::reply;
use super::state::State;
use super::veiled::veiled;
use super::world::{World, wasi};
use super::{RunContext, Sandbox, Target};
use crate::capability::CapabilitySet;
use crate::catalog::Native;
use crate::catalog::manifest::Wishes;
use crate::clock::Timestamp;
use crate::dialogue::Asking;
use crate::grant::Holder;
use crate::host::ask::{Asker, RunEnds};
use crate::host::clock::CallClock;
use crate::host::log::Log;
use crate::host::meter::Meter;
use crate::host::progress::Reporter;
use crate::limits::{
    CALL_WALL_MAX, COMPONENT_HANDLES_MAX, HOSTCALL_BYTES_MAX, MIRROR_MEMORY_BYTES_MAX,
};
use crate::problem::caused;
use crate::revocation::Standing;
use crate::turns::{Turns, Whose};

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
    Ended(Box<Ending>),
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

/// Where a guest runs.
enum Guest<'a> {
    /// In this process.
    Here(Arc<ToolPre<State>>),
    /// In another, which asks a mirror of it here for every host function.
    Apart {
        executors: &'a Arc<Executors>,
        mirror: Arc<Mirror>,
        code: &'a Native,
        turns: &'a Turns,
    },
}

impl Guest<'_> {
    async fn call(
        &self,
        store: &mut Store<State>,
        target: &Target<'_>,
        holder: &Holder,
        arguments: &str,
    ) -> wasmtime::Result<Result<Reply, Error>> {
        match self {
            Self::Here(pre) => {
                let tool = pre.instantiate_async(&mut *store).await?;
                tool.bailiwick_tool_handler()
                    .call_call(store, target.tool, arguments)
                    .await
            }
            Self::Apart {
                executors,
                mirror,
                code,
                turns,
            } => {
                // The guest's memory is there; here is what passes.
                let memory = store.data().limits.memory_bytes_max();
                store.data_mut().limits = Limits::of_memory(MIRROR_MEMORY_BYTES_MAX);
                let run = Run {
                    executors,
                    mirror,
                    code,
                    package: target.digest,
                    tenant: &holder.tenant,
                    tool: target.tool,
                    arguments,
                    memory,
                    turns,
                    whose: Whose::User(&holder.tenant, &holder.user),
                };
                run.call(store).await
            }
        }
    }
}

impl Sandbox {
    /// The guest of a call, linked where it runs.
    fn guest<'a>(
        &'a self,
        target: &Target<'a>,
        granted: &CapabilitySet,
    ) -> Result<Guest<'a>, LinkError> {
        Ok(match (&self.executors, target.apart) {
            (Some(executors), Some(apart)) => Guest::Apart {
                executors,
                mirror: self.mirrored(target, apart, granted)?,
                code: &apart.code,
                turns: &self.turns_apart,
            },
            // A server whose guests run elsewhere runs none itself.
            (Some(_), None) => return Err(LinkError::NoMirror),
            (None, _) => Guest::Here(self.linked(target, granted)?),
        })
    }

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
        let guest = match self.guest(target, granted) {
            Ok(guest) => guest,
            Err(error) => return ended(fault(target.tool, &error), Usage::default()),
        };
        let meter = Meter::default();
        let world = World {
            sandbox: self,
            target,
            granted,
            standing,
            holder,
            context: &context,
            meter: &meter,
            deadline,
        };
        let lender = world.lender();
        // Its directories are opened for it, on a disk that may not answer.
        let state = tokio::select! {
            biased;
            state = world.state(&lender) => state,
            () = context.cancel.cancelled() => Err(Ending::Cancelled),
            () = tokio::time::sleep_until(deadline.into()) => Err(Ending::OutOfTime),
        };
        let state = match state {
            Ok(state) => state,
            Err(ending) => return ended(ending, Usage::default()),
        };
        let mut store = self.store(state, deadline);
        let whose = Whose::User(&holder.tenant, &holder.user);
        let returned = supervise(
            self.turns
                .pace(whose, guest.call(&mut store, target, holder, arguments)),
            standing,
            deadline,
            &context.cancel,
            &self.panics,
        )
        .await;
        // The record that follows holds all that was done: what a guest had begun on the disk is done by then.
        let begun = store.data().begun();
        begun.end().await;
        let state = store.data_mut();
        let ends = state.run_ends.take();
        let (ending, reply_bytes) = match returned {
            Err(Halt::Broke(error)) if error.is::<RunEnded>() => (asked(ends, &mut state.asker), 0),
            Ok(returned) => reply::ending(returned, target.structured),
            Err(halt) => (halt.ending(target.tool, state.limits.refused()), 0),
        };
        let ending = veiled(ending, lender.lent());
        state.log.finish();
        lender.record();
        let usage = Usage {
            wall: Duration::ZERO,
            memory_bytes_peak: state.limits.memory_bytes_peak(),
            reply_bytes,
            log_lines: state.log.lines(),
            acted: meter.has_acted(),
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
            return Err(DescribeError::Ended(Box::new(Ending::Overloaded)));
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
        let guest = async {
            let tool = pre.instantiate_async(&mut store).await?;
            tool.bailiwick_tool_handler()
                .call_describe(&mut store)
                .await
        };
        let described = supervise(
            self.turns.pace(Whose::Own, guest),
            &nothing,
            deadline,
            &CancellationToken::new(),
            &self.panics,
        )
        .await;
        store.data().log.finish();
        let described = described.map_err(|halt| {
            let ending = halt.ending("describe", store.data().limits.refused());
            DescribeError::Ended(Box::new(ending))
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

    /// A fresh store with every limit of a call.
    fn store(&self, state: State, deadline: Instant) -> Store<State> {
        let mut store = Store::new(self.engine.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(COMPONENT_HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Err(OutOfTime.into());
            }
            // Whoever polls it lets the others by; see [`crate::turns`].
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

/// Polls a guest until it returns, its time is over, the caller is gone or what it stands on is. A panic of a host function
/// ends here, and is counted.
async fn supervise<T>(
    guest: impl Future<Output = wasmtime::Result<T>>,
    standing: &Standing,
    deadline: Instant,
    cancel: &CancellationToken,
    panics: &AtomicU64,
) -> Result<T, Halt> {
    let mut guest = pin!(guest);
    let returned = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| guest.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(returned.map_err(Halt::Broke)),
            Err(payload) => {
                panics.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Err(Halt::Panicked(panic_text(&*payload))))
            }
        }
    });
    let returned = tokio::select! {
        biased;
        () = standing.lost() => Err(Halt::Revoked),
        () = cancel.cancelled() => Err(Halt::Cancelled),
        returned = returned => returned,
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
fn asked(ends: Option<RunEnds>, asker: &mut Asker) -> Ending {
    match ends {
        Some(RunEnds::CalleeAsks) => Ending::CalleeAsks(asker.answered()),
        Some(RunEnds::Asked(asked)) => Ending::Asked(asked),
        Some(RunEnds::Otherwise) => Ending::AskedOtherwise,
        // Only our own host function says that a question ended a run, and it leaves the question behind.
        None => Ending::Fault("a run ended with a question that is not there".to_owned()),
    }
}

fn fault(tool: &str, error: &(dyn std::error::Error + 'static)) -> Ending {
    let text = caused(error);
    tracing::error!(tool, text, "the call could not begin");
    Ending::Fault(text)
}
