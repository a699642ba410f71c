//! Names the way in which a guest that did not return came to its end.

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::executor::Halted;
use super::outcome::Ending;

/// The deadline passed while the guest was computing.
#[derive(Debug, thiserror::Error)]
#[error("the deadline of the call passed")]
pub(super) struct OutOfTime;

/// A question ended the run; what it was stands in the store.
#[derive(Debug, thiserror::Error)]
#[error("the run ended with a question")]
pub(super) struct RunEnded;

/// The ending behind an error of the engine. `refused` says whether the guest was refused memory or table space.
pub(super) fn of(error: &wasmtime::Error, refused: bool) -> Ending {
    if let Some(halted) = error.downcast_ref::<Halted>() {
        return halted.ending();
    }
    if error.is::<OutOfTime>() {
        return Ending::OutOfTime;
    }
    if error.is::<I32Exit>() {
        return Ending::Exited;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Ending::Overloaded;
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Ending::OutOfBounds;
    }
    let within = error.is::<WasmBacktrace>();
    if has_text(error, HOSTCALL_LIMIT) {
        // Without guest frames, what was too much is what the guest returned.
        return if within {
            Ending::OutOfBounds
        } else {
            Ending::ReplyTooLarge
        };
    }
    if has_text(error, HANDLE_LIMIT) {
        return Ending::OutOfBounds;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Ending::OutOfTime,
        Some(Trap::AllocationTooLarge) => Ending::OutOfBounds,
        _ if refused => Ending::OutOfBounds,
        Some(_) => Ending::Trapped,
        // A host function that a guest misuses ends the call with an error of its own.
        None => Ending::Trapped,
    }
}

/// The engine has no public types for these; a test for each keeps the words true.
const HOSTCALL_LIMIT: &str = "fuel allocated for hostcalls has been exhausted";
const HANDLE_LIMIT: &str = "store handle limit exceeded";
const HANDLE_UNKNOWN: &str = "unknown handle index";
const HANDLE_OTHER: &str = "used with the wrong type";

/// Whether a handle was used that whoever used it was never given, or as what it is not.
pub(super) fn is_made_up_handle(error: &wasmtime::Error) -> bool {
    has_text(error, HANDLE_UNKNOWN) || has_text(error, HANDLE_OTHER)
}

fn has_text(error: &wasmtime::Error, text: &str) -> bool {
    error.chain().any(|cause| cause.to_string().contains(text))
}
