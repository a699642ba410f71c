//! The escape drill: native code in place of a guest, after its process let go, tries everything.
//!
//! It is done in full, where only the answer of the filter counts; and once for each wall behind the filter, as if there were
//! none, where only the answer of that wall counts. What is tried against walls is done as well where there are none at all: who
//! cannot do it there would prove nothing.

#![allow(unsafe_code, reason = "whoever escaped writes what he likes")]

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use wasmtime::Engine;

use super::super::birth::{Namespaces, Origin, close_all_but};
use super::super::confine::{apart, confine, left, shut, wall};
use super::super::pool::Executors;
use super::super::wire::{Channel, Kind, Message};
use super::maker_with;

/// A system call, and what it gave, or its error as a negative number.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        $crate::sandbox::executor::tests::drill::answer(
            // SAFETY: a system call with pointers that are null, of this process or made up; it is there to be refused.
            unsafe { libc::syscall(libc::$number $(, $argument)*) },
        )
    };
}

mod around;
mod calls;
mod walls;

use around::{Around, Surroundings};
use walls::Walls;

/// What the filter answers.
const REFUSED: i64 = -1;
const _: () = assert!(libc::EPERM == 1);

/// What a call gave, or its error.
fn answer(done: libc::c_long) -> i64 {
    match done {
        -1 => -io::Error::last_os_error()
            .raw_os_error()
            .map_or(0, i64::from),
        done => done,
    }
}

/// Whether there is a new process, which ends at once.
fn forked(done: i64) -> i64 {
    if done == 0 {
        // SAFETY: a copy of a process that has nothing to do.
        unsafe { libc::_exit(0) };
    }
    done
}

/// What an executor does in place of all that it is for: lets go, says of what it could not, and says how many attempts it made
/// and which were not in vain.
fn drill(
    socket: UnixStream,
    let_go: impl FnOnce() -> io::Result<Vec<String>>,
    attempt: impl FnOnce(&Around) -> (usize, Vec<String>),
) -> ! {
    let done = (|| -> io::Result<()> {
        close_all_but(socket.as_fd())?;
        let around = Around::told(socket.as_raw_fd());
        let absent = let_go()?;
        let mut channel = Channel(socket);
        let mut ready = Message::new(Kind::Ready).u32(u32::try_from(absent.len()).unwrap());
        for one in &absent {
            ready = ready.part(one.as_bytes());
        }
        channel.send(ready)?;
        let (tried, done) = attempt(&around);
        let said = format!("{tried} tried; {}", done.join(", "));
        let said = Message::new(Kind::Unloadable).part(said.as_bytes());
        channel.0.write_all(&said.finish()?)
    })();
    std::process::exit(i32::from(done.is_err()))
}

/// As it is for a guest, whose code is there by then.
fn as_for_a_guest(origin: Origin) -> io::Result<Vec<String>> {
    let absent = confine(origin);
    shut()?;
    Ok(absent)
}

/// In full.
pub(super) fn live(_: &Engine, socket: UnixStream, origin: Origin) -> ! {
    drill(
        socket,
        || as_for_a_guest(origin),
        |around| {
            let (mut tried, mut done) = calls::tried();
            let walls = walls::tried(around, Walls::Filter);
            tried += walls.0;
            done.extend(walls.1);
            (tried, done)
        },
    )
}

/// The same calls by the numbers of another machine, which its kernel understands as well.
pub(super) fn speaks_otherwise(_: &Engine, socket: UnixStream, origin: Origin) -> ! {
    drill(
        socket,
        || as_for_a_guest(origin),
        |_| (1, vec![format!("answered {}", calls::otherwise())]),
    )
}

/// Without any wall.
pub(super) fn bare(_: &Engine, socket: UnixStream, _: Origin) -> ! {
    drill(
        socket,
        || Ok(Vec::new()),
        |around| walls::tried(around, Walls::None),
    )
}

/// Behind its namespaces, its limits and the rights that it gave up.
pub(super) fn behind_namespaces(_: &Engine, socket: UnixStream, origin: Origin) -> ! {
    drill(
        socket,
        || Ok(apart(origin)),
        |around| walls::tried(around, Walls::Namespaces),
    )
}

/// Behind all but the filter: with Landlock, and with namespaces where it was born in them.
pub(super) fn behind_walls(_: &Engine, socket: UnixStream, origin: Origin) -> ! {
    let walls = match origin.namespaces {
        Namespaces::Own { .. } => Walls::Both,
        Namespaces::Shared => Walls::Landlock,
    };
    drill(
        socket,
        || Ok(wall(origin)),
        |around| walls::tried(around, walls),
    )
}

/// One at a time: each takes all the memory that it gets.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Executors that live this, among these surroundings.
async fn executors(which: &str, around: &Surroundings) -> Arc<Executors> {
    let maker = maker_with(which, &around.told());
    Executors::open(maker).await.unwrap()
}

/// Whether this machine has namespaces for a process such as this one: asked by other means than ours.
fn are_there_namespaces() -> bool {
    let all = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS;
    let mut command = Command::new("true");
    // SAFETY: one system call between fork(2) and execve(2).
    unsafe {
        command.pre_exec(move || match libc::unshare(all) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    };
    command.status().is_ok_and(|status| status.success())
}

/// Tells that this machine has no namespaces, also where the test passes.
fn tell_of_none() {
    // Past what a test is captured by.
    let told = io::stderr()
        .write_all(b"\nthis machine lets nobody make namespaces: their walls are not tried here\n");
    told.unwrap();
}

/// What could not be let go of: nothing, but namespaces on a machine that has none.
fn lacks_nothing(absent: &[String]) {
    if are_there_namespaces() {
        assert!(absent.is_empty(), "{absent:?}");
        return;
    }
    tell_of_none();
    lacks_namespaces(absent);
}

fn lacks_namespaces(absent: &[String]) {
    let beside = { absent.iter() }.filter(|one| !one.starts_with("the namespaces of the server:"));
    assert_eq!(beside.collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(absent.len(), 1);
}

/// Nothing was done that is named behind the number of attempts.
#[track_caller]
fn in_vain(said: Option<String>) {
    let said = said.unwrap();
    let (tried, done) = said.split_once(" tried; ").unwrap();
    assert!(tried.parse::<usize>().unwrap() > 10, "{tried}");
    assert_eq!(done, "", "other answers than of who should refuse it");
}

/// Drills executors that live this and may lack so much. What they reached of their surroundings, in order of its name.
async fn drilled(which: &str, may_lack: fn(&[String])) -> Vec<&'static str> {
    let _alone = ALONE.lock().await;
    let around = Surroundings::new();
    let executors = executors(which, &around).await;
    may_lack(executors.absent());
    in_vain(executors.said().await);
    let mut touched = around.touched();
    touched.sort_unstable();
    touched
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn whoever_takes_an_executor_over_has_nothing() {
    assert_eq!(drilled("drill", lacks_nothing).await, NOTHING);
}

#[tokio::test]
async fn the_filter_alone_refuses_the_same_where_there_are_no_namespaces() {
    assert_eq!(drilled("drill in none", lacks_namespaces).await, NOTHING);
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn calls_of_another_machine_end_who_makes_them() {
    let _alone = ALONE.lock().await;
    let around = Surroundings::new();
    let executors = executors("otherwise", &around).await;
    assert_eq!(executors.said().await, None);
}

#[test]
fn so_many_system_calls_are_left_as_the_documents_say() {
    // docs/isolation.md and SECURITY.md.
    assert_eq!(left().len(), 24);
}

#[tokio::test]
async fn without_a_wall_what_is_tried_is_done() {
    let touched = drilled("bare", |_| ()).await;
    assert_eq!(touched, ["a file", "abstract", "path", "tcp", "udp"]);
}

#[tokio::test]
async fn namespaces_and_limits_hold_by_themselves() {
    if !are_there_namespaces() {
        return tell_of_none();
    }
    assert_eq!(drilled("namespaces", lacks_nothing).await, NOTHING);
}

#[tokio::test]
async fn landlock_holds_by_itself() {
    // What it does not speak of: the filter and the namespaces do.
    let touched = drilled("landlock", lacks_namespaces).await;
    assert_eq!(touched, ["path", "udp"]);
}

#[tokio::test]
async fn all_walls_hold_without_the_filter() {
    let touched = drilled("walls", lacks_nothing).await;
    if are_there_namespaces() {
        assert_eq!(touched, NOTHING);
    }
}
