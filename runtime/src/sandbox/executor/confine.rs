//! What an executor lets go of before it sees the first byte of a guest: everything but computing and its one socket.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Display;
use std::io;
use std::ptr;

use libc::c_long;
use rlimit::Resource;
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::CapabilitySets;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::birth::{Namespaces, Origin};
use crate::hardening::{self, Places};
use crate::limits::{
    EXECUTOR_DATA_BYTES_MAX, EXECUTOR_FILE_BYTES_MAX, EXECUTOR_FILES_MAX, MEMORY_BYTES_MAX,
};

/// All that an executor asks of the kernel: memory, its socket, time, chance, and to end. No file is opened, no process is made
/// or signalled but itself, no socket is made.
const ALLOWED: &[c_long] = &[
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    // its socket, and what came over it
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_pwrite64,
    // waiting, time, chance
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    // traps of guests come as signals
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // its end
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Of those, what it needs until it has its code: for the code, for images of its guest's memory, which are files in memory, and for
/// giving all of this up.
const UNTIL_LOADED: &[c_long] = &[
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_recvmsg,
    libc::SYS_prctl,
    libc::SYS_seccomp,
];

/// What it may ask of a descriptor by `fcntl`. Not whose it is and which signal it brings (`F_SETOWN`, `F_SETSIG`): without a
/// process namespace of its own that would be a way to signal others.
const DESCRIPTORS: [libc::c_int; 4] = [
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_ADD_SEALS,
];

/// What is let through, each with what its arguments must be; where nothing is said of them they may be anything.
fn rules() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let asks = DESCRIPTORS.map(|what| argument(1, SeccompCmpOp::Eq, what));
    rules.insert(libc::SYS_fcntl, asks.into_iter().collect::<Result<_, _>>()?);
    // Memory of its own alone: what is shared, and stacks that grow by themselves, count for no limit.
    let kinds = libc::MAP_TYPE | libc::MAP_GROWSDOWN;
    let own = SeccompCmpOp::MaskedEq(u64::from(kinds.unsigned_abs()));
    rules.insert(libc::SYS_mmap, vec![argument(3, own, libc::MAP_PRIVATE)?]);
    // Waiting for itself: a place in a file that others have mapped as well is a place to meet them.
    let private = SeccompCmpOp::MaskedEq(u64::from(libc::FUTEX_PRIVATE_FLAG.unsigned_abs()));
    rules.insert(
        libc::SYS_futex,
        vec![argument(1, private, libc::FUTEX_PRIVATE_FLAG)?],
    );
    let fewer = argument(0, SeccompCmpOp::Eq, libc::PR_SET_NO_NEW_PRIVS)?;
    rules.insert(libc::SYS_prctl, vec![fewer]);
    // A further filter, which only takes away (SECCOMP_SET_MODE_FILTER).
    rules.insert(libc::SYS_seccomp, vec![argument(0, SeccompCmpOp::Eq, 1)?]);
    // To whom its socket leads already: it is the only call of these by which another could be named.
    let nobody = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![nobody])?]);
    Ok(rules)
}

/// The filter alone: what is not in the list is refused, also what a later kernel adds.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules()?, refuse, SeccompAction::Allow, arch)?.try_into()
}

fn argument(
    number: u8,
    compare: SeccompCmpOp,
    value: libc::c_int,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let value = u64::from(value.unsigned_abs());
    let length = SeccompCmpArgLen::Dword;
    let is = SeccompCondition::new(number, length, compare, value)?;
    SeccompRule::new(vec![is])
}

/// What is left when a guest runs, by numbers.
#[cfg(test)]
pub(super) fn left() -> Vec<c_long> {
    let all = rules().unwrap().into_keys();
    all.filter(|call| !UNTIL_LOADED.contains(call)).collect()
}

/// Whether calls are filtered, by what could not be given up.
pub(super) fn is_filtered(absent: &[String]) -> bool {
    !absent.iter().any(|one| one.starts_with(SECCOMP))
}

/// Gives up what was needed until the code was loaded. Nothing of a guest runs before.
pub(super) fn shut() -> io::Result<()> {
    let rules = UNTIL_LOADED
        .iter()
        .map(|call| (*call, Vec::new()))
        .collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let filter: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

/// What the filter is called among what could not be given up.
const SECCOMP: &str = "system calls (seccomp)";

/// Lets go, and says of what it could not.
pub(super) fn confine(origin: Origin) -> Vec<String> {
    let mut absent = wall(origin);
    // Last: it refuses what the others are made with.
    absent.extend(hardening::let_go_of_calls(&Places::default()).absent());
    let allowed = filter().map_err(|error| error.to_string());
    let allowed = allowed
        .and_then(|filter| seccompiler::apply_filter(&filter).map_err(|error| error.to_string()));
    note(&mut absent, SECCOMP, allowed);
    absent
}

/// All that stands behind the filter of system calls.
pub(super) fn wall(origin: Origin) -> Vec<String> {
    let mut absent = apart(origin);
    absent.extend(hardening::let_go_but_calls(&Places::default()).absent());
    let parent = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    note(&mut absent, "a life beyond its maker", parent);
    absent
}

/// Of that, its namespaces, its limits and its rights.
pub(super) fn apart(origin: Origin) -> Vec<String> {
    let mut absent = Vec::new();
    // Before there is nothing to read it from.
    let has = Has::read();
    match origin.namespaces {
        Namespaces::Own { user, group } => {
            note(&mut absent, "the users of the server", users(user, group));
            note(&mut absent, "the files of the server", empty_root());
        }
        Namespaces::Shared => note(
            &mut absent,
            "the namespaces of the server",
            Err("the kernel refused others"),
        ),
    }
    note(
        &mut absent,
        "being root outside",
        origin.root.map_or(Ok(()), Err),
    );
    note(&mut absent, "more than its limits", has.and_then(limits));
    note(&mut absent, "capabilities", capabilities());
    absent
}

fn note(absent: &mut Vec<String>, what: &str, outcome: Result<(), impl Display>) {
    if let Err(error) = outcome {
        absent.push(format!("{what}: {error}"));
    }
}

/// Whoever it is outside, it is the only user there is inside.
fn users(user: u32, group: u32) -> io::Result<()> {
    // Whoever allows no dumps of himself may not write these. It has nothing yet, and allows none again before it has.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

fn checked(done: libc::c_int) -> io::Result<()> {
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mount(kind: Option<&CStr>, at: &CStr, flags: libc::c_ulong, data: &CStr) -> io::Result<()> {
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null or a text that ends and outlives the call.
    #[allow(unsafe_code, reason = "no crate at hand mounts")]
    let done = unsafe { libc::mount(kind, at.as_ptr(), kind, flags, data.as_ptr().cast()) };
    checked(done)
}

/// Leaves it a root with nothing in it, which cannot be written to.
fn empty_root() -> io::Result<()> {
    mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    let still = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(Some(c"tmpfs"), c"/proc", still, c"size=4k,nr_inodes=2")?;
    std::env::set_current_dir("/proc")?;
    // SAFETY: both are texts that end; this process has one thread, whose root it is.
    #[allow(unsafe_code, reason = "no crate at hand changes the root")]
    let done = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    match done {
        0 => {}
        _ => return Err(io::Error::last_os_error()),
    }
    // SAFETY: a text that ends. What was the root lies over the new one and goes away with this.
    #[allow(unsafe_code, reason = "no crate at hand unmounts")]
    checked(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    std::env::set_current_dir("/")?;
    let fixed = libc::MS_REMOUNT | libc::MS_RDONLY | still;
    mount(Some(c"tmpfs"), c"/", fixed, c"")
}

/// What it was copied with, in bytes.
struct Has {
    data: u64,
    space: u64,
}

impl Has {
    fn read() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let bytes = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
                .map(|kib| kib.saturating_mul(1024))
                .ok_or_else(|| io::Error::other("the kernel does not say how much memory it has"))
        };
        Ok(Self {
            data: bytes("VmData:")?,
            space: bytes("VmSize:")?,
        })
    }
}

fn limits(has: Has) -> io::Result<()> {
    let memory = u64::try_from(MEMORY_BYTES_MAX).unwrap_or(u64::MAX);
    let more = memory.saturating_add(EXECUTOR_DATA_BYTES_MAX);
    // The pool has its address space already; code and images of memory take as much once more.
    let space = has.space.saturating_add(more.saturating_mul(2));
    for (resource, limit) in [
        (Resource::CORE, 0),
        (Resource::NOFILE, EXECUTOR_FILES_MAX),
        (Resource::NPROC, 1),
        (Resource::FSIZE, EXECUTOR_FILE_BYTES_MAX),
        (Resource::DATA, has.data.saturating_add(more)),
        (Resource::AS, space),
    ] {
        let (_, hard) = resource.get()?;
        let limit = limit.min(hard);
        resource.set(limit, limit)?;
    }
    Ok(())
}

fn capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: rustix::thread::CapabilitySet::empty(),
        permitted: rustix::thread::CapabilitySet::empty(),
        inheritable: rustix::thread::CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, none)?)
}
