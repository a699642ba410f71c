//! Guests in processes of their own: a sandbox behind the sandbox.
//!
//! A process that runs guests has no key, no token, no file, no network, and nothing of the system but memory and one socket.
//! It is made by `birth`, lets go in `confine` and lives in `child`. On the other end of the socket stands `call`, which
//! holds the grant of the call: what comes over the socket is one call of the guest's mirror (`catalog::mirror`), which is
//! linked in the server exactly as the guest would be.

mod birth;
mod call;
mod child;
mod confine;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod maker;
mod pool;
mod reins;
mod shape;
#[cfg(test)]
pub(super) mod tests;
mod wire;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

pub(super) use call::{Halted, Mirror, Run};
pub use maker::Maker;
pub use pool::{ExecutorError, Executors};

use super::bindings::bailiwick::tool::types::{Error as ToolError, Reply};

/// The hidden subcommand that calls [`make_executors`].
pub const SUBCOMMAND: &str = "make-executors";

/// Starts the process that makes executors, of this program.
pub fn maker(program: &Path) -> io::Result<Maker> {
    Maker::start(program, &[OsString::from(SUBCOMMAND)])
}

/// What that process does, with its standard input as its orders.
///
/// Only for a process that does nothing else and has one thread.
pub fn make_executors() -> io::Result<()> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    birth::attend(&control, child::live, birth::KINDS)
}
