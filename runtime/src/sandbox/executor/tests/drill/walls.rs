//! What is tried against the walls behind the filter, each of which must hold by itself.
//!
//! Each of them has another answer, so that the answer says which one refused: a path that is not there is the empty root's, one
//! that is there and may not be opened is Landlock's, and so on.

use std::ffi::CString;
use std::ptr;

use libc::{
    EACCES, ECONNREFUSED, EFBIG, EISCONN, EMFILE, ENETUNREACH, ENOENT, EPERM, EROFS, ESRCH,
};
use rustix::thread::CapabilitySet;

use super::around::Around;
use super::calls::{address_space, bomb, ten_gigabytes};
use super::{REFUSED, forked};

/// Behind which of them something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walls {
    None,
    Namespaces,
    Landlock,
    Both,
    /// Both, and the filter before them.
    Filter,
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Done,
    No(i32),
    /// It is not tried: it would be done to this machine, or depends on it.
    Untried,
}
use Answer::{Done, No, Untried};

/// What is tried, how, and what is answered without a wall, behind namespaces alone, behind Landlock alone and behind both.
///
/// Limits and the loss of rights stand wherever a wall does.
type Attempt = (&'static str, fn(&Around) -> i64, [Answer; 4]);

/// A descriptor that was got, and is let go of.
fn got(descriptor: i64) -> i64 {
    if descriptor >= 0 {
        call!(SYS_close, descriptor);
        return 0;
    }
    descriptor
}

fn open(path: &str, flags: libc::c_int) -> i64 {
    let path = CString::new(path).unwrap();
    got(call!(
        SYS_openat,
        libc::AT_FDCWD,
        path.as_ptr(),
        flags,
        0o600
    ))
}

/// The address of a port of this machine.
fn loopback(port: u16) -> Vec<u8> {
    let family = libc::sa_family_t::try_from(libc::AF_INET).unwrap();
    let mut address = family.to_ne_bytes().to_vec();
    address.extend(port.to_be_bytes());
    address.extend([127, 0, 0, 1]);
    address.resize(size_of::<libc::sockaddr_in>(), 0);
    address
}

/// The address of a path, or of a name behind a zero.
fn local(name: &str) -> Vec<u8> {
    let family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap();
    let mut address = family.to_ne_bytes().to_vec();
    address.extend(name.as_bytes());
    address
}

/// Does something with a socket of its own.
fn with_socket(family: libc::c_int, kind: libc::c_int, act: impl FnOnce(i64) -> i64) -> i64 {
    let socket = call!(SYS_socket, family, kind, 0);
    if socket < 0 {
        return socket;
    }
    let done = act(socket);
    got(socket);
    done
}

fn connect(family: libc::c_int, address: &[u8]) -> i64 {
    with_socket(family, libc::SOCK_STREAM, |socket| {
        call!(SYS_connect, socket, address.as_ptr(), address.len())
    })
}

fn send_to(socket: i64, address: &[u8]) -> i64 {
    let one = [0_u8];
    call!(
        SYS_sendto,
        socket,
        one.as_ptr(),
        one.len(),
        libc::MSG_NOSIGNAL,
        address.as_ptr(),
        address.len()
    )
}

/// The same by the call that takes all of it as one.
fn send_message_to(socket: i64, address: &mut [u8]) -> i64 {
    // SAFETY: a record of numbers and pointers, of which none is the one of nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = address.len().try_into().unwrap();
    call!(SYS_sendmsg, socket, &raw const message, libc::MSG_NOSIGNAL)
}

/// Something with a descriptor of a process.
fn with_process(pid: i32, act: impl FnOnce(i64) -> i64) -> i64 {
    let process = call!(SYS_pidfd_open, pid, 0);
    if process < 0 {
        return process;
    }
    let done = act(process);
    got(process);
    done
}

/// A byte of the memory of a process, read or written.
fn memory(pid: i32, number: fn([i64; 6]) -> i64) -> i64 {
    let mut byte = 0_u8;
    let here = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let there = libc::iovec {
        iov_base: ptr::without_provenance_mut(4096),
        iov_len: 1,
    };
    let place = |one: &libc::iovec| i64::try_from(ptr::from_ref(one).addr()).unwrap();
    number([pid.into(), place(&here), 1, place(&there), 1, 0])
}

/// A signal that a process queues, which is none.
fn queue(pid: i32) -> i64 {
    // SAFETY: a record of numbers.
    let mut of: libc::siginfo_t = unsafe { std::mem::zeroed() };
    of.si_code = libc::SI_QUEUE;
    call!(SYS_rt_sigqueueinfo, pid, 0, &raw const of)
}

/// More files in memory than it may have.
fn large_file() -> i64 {
    // Else its signal would end us where it is not the first one of its namespace.
    // SAFETY: ignoring a signal installs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let file = call!(SYS_memfd_create, c"x".as_ptr(), 0);
    if file < 0 {
        return file;
    }
    let done = call!(SYS_ftruncate, file, 10_i64 << 30);
    got(file);
    done
}

/// Descriptors without end.
fn descriptors() -> i64 {
    let mut all = Vec::new();
    let mut done = 0;
    while done >= 0 && all.len() < 4096 {
        done = call!(SYS_fcntl, 0, libc::F_DUPFD, 0);
        all.push(done);
    }
    for one in all {
        got(one);
    }
    done.min(0)
}

fn higher_limit() -> i64 {
    let most = libc::rlimit {
        rlim_cur: 4096,
        rlim_max: 4096,
    };
    call!(
        SYS_prlimit64,
        0,
        libc::RLIMIT_NPROC,
        &raw const most,
        ptr::null::<u8>()
    )
}

fn mount() -> i64 {
    let kind = c"tmpfs".as_ptr();
    call!(SYS_mount, kind, c"/".as_ptr(), kind, 0, ptr::null::<u8>())
}

const ATTEMPTS: &[Attempt] = &[
    (
        "open a file of the host",
        |around| open(&around.file(), libc::O_RDONLY),
        [Done, No(ENOENT), No(EACCES), No(ENOENT)],
    ),
    (
        "make a file of the host",
        |around| open(&around.made(), libc::O_WRONLY | libc::O_CREAT),
        [Done, No(ENOENT), No(EACCES), No(ENOENT)],
    ),
    // There is one in each case, with nothing in it behind namespaces.
    (
        "open the root",
        |_| open("/", libc::O_RDONLY | libc::O_DIRECTORY),
        [Done, Done, No(EACCES), No(EACCES)],
    ),
    (
        "make a file in the root",
        |_| open("/made", libc::O_WRONLY | libc::O_CREAT),
        [Untried, No(EROFS), No(EACCES), No(EROFS)],
    ),
    (
        "what the kernel tells of another process",
        |around| open(&format!("/proc/{}/status", around.pid), libc::O_RDONLY),
        [Done, No(ENOENT), No(EACCES), No(ENOENT)],
    ),
    (
        "open the memory of another process",
        |around| open(&format!("/proc/{}/mem", around.pid), libc::O_RDWR),
        [Untried, No(ENOENT), No(EACCES), No(ENOENT)],
    ),
    (
        "connect to a port",
        |around| connect(libc::AF_INET, &loopback(around.tcp)),
        [Done, No(ENETUNREACH), No(EACCES), No(EACCES)],
    ),
    // Landlock speaks of TCP, and of sockets without a path.
    (
        "send to a port",
        |around| {
            with_socket(libc::AF_INET, libc::SOCK_DGRAM, |socket| {
                send_to(socket, &loopback(around.udp)).min(0)
            })
        },
        [Done, No(ENETUNREACH), Done, No(ENETUNREACH)],
    ),
    (
        "connect to a socket with a path",
        |around| connect(libc::AF_UNIX, &local(&around.path())),
        [Done, No(ENOENT), Done, No(ENOENT)],
    ),
    (
        "connect to a socket without a path",
        |around| connect(libc::AF_UNIX, &local(&format!("\0{}", around.name()))),
        [Done, No(ECONNREFUSED), No(EPERM), No(ECONNREFUSED)],
    ),
    // Its own socket leads to the server, and nowhere else.
    (
        "send to another by its socket",
        |around| send_to(around.socket.into(), &local(&around.path())),
        [No(EISCONN); 4],
    ),
    (
        "send to another by its socket, all as one",
        |around| send_message_to(around.socket.into(), &mut local(&around.path())),
        [No(EISCONN); 4],
    ),
    (
        "signal another process",
        |around| call!(SYS_kill, around.pid, 0),
        [Done, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "signal a thread of another process",
        |around| call!(SYS_tkill, around.pid, 0),
        [Done, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "queue a signal for another process",
        |around| queue(around.pid),
        [Done, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "signal another process by a descriptor",
        |around| {
            with_process(around.pid, |process| {
                call!(SYS_pidfd_send_signal, process, 0, ptr::null::<u8>(), 0)
            })
        },
        [Done, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "take a descriptor of another process",
        |around| {
            with_process(around.pid, |process| {
                got(call!(SYS_pidfd_getfd, process, 0, 0))
            })
        },
        [Untried, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "trace another process",
        |around| call!(SYS_ptrace, libc::PTRACE_SEIZE, around.pid, 0, 0),
        [Untried, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "read the memory of another process",
        |around| {
            memory(around.pid, |[pid, here, count, there, of, flags]| {
                call!(SYS_process_vm_readv, pid, here, count, there, of, flags)
            })
        },
        [Untried, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "write the memory of another process",
        |around| {
            memory(around.pid, |[pid, here, count, there, of, flags]| {
                call!(SYS_process_vm_writev, pid, here, count, there, of, flags)
            })
        },
        [Untried, No(ESRCH), No(EPERM), No(ESRCH)],
    ),
    (
        "run a program",
        |_| {
            let none = ptr::null::<u8>();
            call!(SYS_execve, c"/bin/true".as_ptr(), none, none)
        },
        [Untried, No(ENOENT), No(EACCES), No(ENOENT)],
    ),
    (
        "make a process",
        |_| forked(call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)).min(0),
        [Done, No(libc::EAGAIN), No(libc::EAGAIN), No(libc::EAGAIN)],
    ),
    (
        "a file in memory past every bound",
        |_| large_file(),
        [Done, No(EFBIG), No(EFBIG), No(EFBIG)],
    ),
    (
        "descriptors without end",
        |_| descriptors(),
        [Untried, No(EMFILE), No(EMFILE), No(EMFILE)],
    ),
    (
        "higher limits",
        |_| higher_limit(),
        [Untried, No(EPERM), No(EPERM), No(EPERM)],
    ),
    (
        "a mount",
        |_| mount(),
        [Untried, No(EPERM), No(EPERM), No(EPERM)],
    ),
    // The last: it has rights again in namespaces of its own making, in which Landlock alone refuses what they are for.
    (
        "a mount in other namespaces",
        |_| {
            let made = call!(SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS);
            // Whoever cannot make them has none.
            if made < 0 {
                return REFUSED;
            }
            mount()
        },
        [Untried, Untried, No(EPERM), No(EPERM)],
    ),
];

/// What is tried, and whether the process was held.
type Held = (&'static str, fn() -> bool);

/// What must be so wherever a wall stands.
const HELD: &[Held] = &[
    ("a bomb of processes", bomb),
    ("ten gigabytes", ten_gigabytes),
    ("address space without end", || {
        address_space(libc::MAP_PRIVATE)
    }),
    ("shared address space without end", || {
        address_space(libc::MAP_SHARED)
    }),
    ("rights", || {
        let has = rustix::thread::capabilities(None).unwrap();
        (has.effective | has.permitted | has.inheritable) == CapabilitySet::empty()
    }),
];

/// No program gives new rights, and that stays so. Where the filter stands it was asked before.
fn are_rights_final() -> bool {
    let unset = call!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    unset == -i64::from(libc::EINVAL)
        && call!(SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
}

/// How much was tried behind these walls, and what got another answer than it should.
pub(super) fn tried(around: &Around, walls: Walls) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut otherwise = Vec::new();
    let mut hold = |what: &str, holds: bool| {
        count += 1;
        if !holds {
            otherwise.push(what.to_owned());
        }
    };
    match walls {
        // There they are held to it elsewhere, or not at all.
        Walls::None | Walls::Filter => {}
        Walls::Namespaces | Walls::Landlock | Walls::Both => {
            for (what, is_held) in HELD {
                hold(what, is_held());
            }
            if walls != Walls::Namespaces {
                hold("new rights by a program", are_rights_final());
            }
        }
    }
    for (what, attempt, [none, namespaces, landlock, both]) in ATTEMPTS {
        let answer = match walls {
            Walls::None => none,
            Walls::Namespaces => namespaces,
            Walls::Landlock => landlock,
            Walls::Both => both,
            Walls::Filter => &No(EPERM),
        };
        let should = match answer {
            Done => 0,
            No(error) => -i64::from(*error),
            Untried => continue,
        };
        let done = attempt(around);
        count += 1;
        if done != should {
            otherwise.push(format!("{what} ({done} for {should})"));
        }
    }
    (count, otherwise)
}
