//! How executors are born: a process of our own program, started before the server lets go, makes them by `clone`.
//!
//! The server itself may neither mount nor make namespaces once it has let go, so another process does it, which holds nothing:
//! no configuration, no key, no connection but the one on which it is told to make an executor, or to end one. It holds the
//! engine, so that an executor begins with it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use wasmtime::Engine;

use super::wire::{Channel, Kind, Message, receive_with};
use crate::engine::WasmEngine;

/// Length of an order: what to do, and with which executor.
pub(super) const ORDER_BYTES: usize = 9;
/// To make the executor of this number, on the socket that comes with it.
pub(super) const MAKE: u8 = b'm';
/// To end it.
pub(super) const END: u8 = b'e';
/// To halt it, and to let it go on.
pub(super) const HALT: u8 = b'h';
pub(super) const GO: u8 = b'g';

/// What a newborn process is for: the engine, its end of the socket, and what it was born as.
pub(super) type Life = fn(&Engine, UnixStream, Origin) -> !;

/// What a newborn process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) namespaces: Namespaces,
    /// Why it is root outside of them, where it could be somebody else.
    pub(super) root: Option<Errno>,
}

/// What a process sees of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// Its own users, files, network, messages and processes; outside it is this user.
    Own { user: u32, group: u32 },
    /// Those of the server: the kernel refused others.
    Shared,
}

const ALL: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUTS;

/// In which namespaces executors are born: in those that the kernel lets us have first.
pub(super) const KINDS: &[libc::c_int] = &[ALL, 0];

/// A user who owns nothing and whom no usual system has, though every container has the number. Not 65534, by which daemons run that
/// could then end an executor, or trace one that is just born.
pub(super) const NOBODY: u32 = 65_533;

/// Makes and ends executors as it is told on `control`, until that is closed. They are born in namespaces of one of these kinds.
pub(super) fn attend(control: &OwnedFd, life: Life, kinds: &[libc::c_int]) -> io::Result<()> {
    let engine = WasmEngine::for_executor().map_err(io::Error::other)?;
    forget_children()?;
    let root = leave_root();
    let mut living = HashMap::<u64, OwnedFd>::new();
    let ended = loop {
        let mut order = [0; ORDER_BYTES];
        let (read, socket) = match receive_with(control.as_fd(), &mut order) {
            Ok((0, _)) => break Ok(()),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Err(error),
        };
        let [what, number @ ..] = order;
        let number = u64::from_le_bytes(number);
        match (read == ORDER_BYTES, what, socket) {
            (true, MAKE, Some(socket)) => match born(&engine, socket.into(), life, kinds, root) {
                Ok(child) => {
                    living.insert(number, child);
                }
                // Whoever asked sees the socket closed.
                Err(error) => eprintln!("bailiwick: an executor was not made: {error}"),
            },
            (true, END, _) => signal(living.remove(&number).as_ref(), Signal::KILL),
            (true, HALT, _) => signal(living.get(&number), Signal::STOP),
            (true, GO, _) => signal(living.get(&number), Signal::CONT),
            _ => eprintln!("bailiwick: an order for an executor cannot be carried out"),
        }
    };
    let left = living.values();
    left.for_each(|child| signal(Some(child), Signal::KILL));
    ended
}

/// Ends, halts or wakes a process, which can do nothing about it: also the first one of its namespace cannot, where another one
/// sends these. One that is gone already has ended.
fn signal(child: Option<&OwnedFd>, signal: Signal) {
    if let Some(child) = child {
        let _ = rustix::process::pidfd_send_signal(child, signal);
    }
}

/// Children are not waited for: what became of one shows at its socket.
fn forget_children() -> io::Result<()> {
    // SAFETY: `signal(2)` with SIG_IGN installs no code; this process has one thread.
    #[allow(unsafe_code, reason = "no crate at hand ignores SIGCHLD")]
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    match before == libc::SIG_ERR {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

/// Stops being root: the kernel counts no processes of root (`RLIMIT_NPROC`), and what there is of files is root's. Gives why it
/// is root still. Where there is nobody else to be, in a container of one user, that one is not root outside of it.
fn leave_root() -> Option<Errno> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    match be_nobody() {
        Ok(()) => None,
        Err(Errno::INVAL) if !is_root_outside() => None,
        Err(why) => Some(why),
    }
}

/// Whether root of this user namespace is root of the one around it; also where that cannot be told.
fn is_root_outside() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    root_of(&map).is_none_or(|outside| outside == 0)
}

/// As whom root counts outside of a user namespace, by its `uid_map`.
fn root_of(map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(0)), Some(Ok(outside))) => Some(outside),
            _ => None,
        }
    })
}

/// Becomes nobody, with one right at most: to make namespaces, which not every kernel lets everybody.
///
/// Of this thread alone, which is the only one; a copy of it is the same.
fn be_nobody() -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // First what says that there is no such group here.
    set_thread_res_gid(group, group, group)?;
    set_thread_groups(&[])?;
    set_keep_capabilities(true)?;
    set_thread_res_uid(user, user, user)?;
    let kept = capabilities(None)?.permitted & CapabilitySet::SYS_ADMIN;
    let kept = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, kept)
}

/// Makes a process that lives `life`, in namespaces of the first of these kinds that the kernel lets us have.
fn born(
    engine: &Engine,
    socket: UnixStream,
    life: Life,
    kinds: &[libc::c_int],
    root: Option<Errno>,
) -> io::Result<OwnedFd> {
    let own = Namespaces::Own {
        user: rustix::process::geteuid().as_raw(),
        group: rustix::process::getegid().as_raw(),
    };
    for flags in kinds.iter().copied() {
        let namespaces = match flags {
            0 => Namespaces::Shared,
            _ => own,
        };
        match clone(flags) {
            Ok(Some((number, child))) => {
                let born = Message::new(Kind::Born).u32(number);
                // Where nobody asks for it any more, it is ended by whoever asked.
                let _ = Channel(socket).send(born);
                return Ok(child);
            }
            Ok(None) => life(engine, socket, Origin { namespaces, root }),
            // What the kernel does not let us have at all. Anything else may be there the next time.
            Err(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::NOSPC) if flags != 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("no process"))
}

/// `clone(2)` as `fork` does it: none in the child, its number and a descriptor of it in the parent.
fn clone(flags: libc::c_int) -> Result<Option<(u32, OwnedFd)>, Errno> {
    let mut child: RawFd = -1;
    let flags = flags | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack given, the child has a copy of all memory and goes on where it is, as after
    // fork(2). This process has a single thread, so no lock is held by a thread that the child does not have. The third
    // argument is where CLONE_PIDFD writes the descriptor; those after it are not looked at with these flags.
    #[allow(unsafe_code, reason = "no crate at hand makes a process in namespaces")]
    let made = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            0 as libc::c_long,
            std::ptr::from_mut(&mut child),
            0 as libc::c_long,
            0 as libc::c_long,
        )
    };
    match made {
        0 => Ok(None),
        number @ 1.. => {
            // SAFETY: the kernel just made this descriptor for us, and nobody else has it.
            #[allow(unsafe_code, reason = "the kernel gives a number")]
            let child = unsafe { OwnedFd::from_raw_fd(child) };
            let number = u32::try_from(number).map_err(|_| Errno::OVERFLOW)?;
            Ok(Some((number, child)))
        }
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Leaves a process nothing but `kept`, and nothing to read from or to write to.
pub(super) fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let nothing = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for standard in 0..3 {
        put(nothing.as_fd(), standard)?;
    }
    let kept = kept.as_raw_fd().unsigned_abs();
    close_range(3, kept.saturating_sub(1))?;
    close_range(kept.saturating_add(1), u32::MAX)?;
    // Closed above, by its number.
    let _ = std::os::fd::IntoRawFd::into_raw_fd(nothing);
    Ok(())
}

fn put(file: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2(2) of an open file onto the standard descriptors, of which this process, which runs nothing else, keeps no
    // owner that would close them.
    #[allow(unsafe_code, reason = "the standard descriptors have no owner")]
    let done = unsafe { libc::dup2(file.as_raw_fd(), number) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: what is closed belongs to the process of which this is a copy; nothing that runs in this one from here on has an
    // owner of any of them, and none of those that it was copied with is dropped, since it ends by `exit`.
    #[allow(
        unsafe_code,
        reason = "a copy of a process closes what it was copied with"
    )]
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_outside_is_whom_the_map_says() {
        for (map, root) in [
            ("         0          0 4294967295\n", Some(0)),
            ("         0       1000          1\n", Some(1_000)),
            ("      1000          0          1\n", None),
            (
                "      1000       1000 1\n         0     100000      65536\n",
                Some(100_000),
            ),
            ("", None),
            ("0\n", None),
            ("0 x 1\n", None),
        ] {
            assert_eq!(root_of(map), root, "{map}");
        }
    }
}
