//! The escape drill: native code in place of a guest, after its process let go, tries everything.

#![allow(unsafe_code, reason = "whoever escaped writes what he likes")]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::ptr;

use wasmtime::Engine;

use super::super::birth::{Namespaces, close_all_but};
use super::super::confine::{confine, shut};
use super::super::pool::Executors;
use super::super::wire::{Channel, Kind, Message};
use super::maker_of;

/// A system call: what it is for, and what it gave, or its error as a negative number.
///
/// The arguments are such that the kernel, without our filter, would let it happen or say anything else than the filter says.
type Call = (&'static str, fn() -> i64);

/// What the filter answers.
const REFUSED: i64 = -1;
const _: () = assert!(libc::EPERM == 1);

/// Something else: what it is, and whether the process was held.
type Held = (&'static str, fn() -> bool);

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: a system call with pointers that are null or texts that end; this process is there to be refused.
        match unsafe { libc::syscall(libc::$number $(, $argument)*) } {
            -1 => -std::io::Error::last_os_error().raw_os_error().map_or(0, i64::from),
            done => done,
        }
    }};
}

/// Ten gigabytes, each page touched.
fn ten_gigabytes() -> bool {
    const CHUNK: usize = 64 << 20;
    for _ in 0..160 {
        // SAFETY: a new private mapping at a place that the kernel chooses.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                CHUNK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return true;
        }
        for page in (0..CHUNK).step_by(4096) {
            // SAFETY: within the mapping that was just made.
            unsafe { at.cast::<u8>().add(page).write_volatile(1) };
        }
    }
    false
}

/// Address space without end, of which nothing is touched.
fn address_space() -> bool {
    let mut got = 0;
    for _ in 0..64 {
        let at = call!(
            SYS_mmap,
            0,
            1_i64 << 30,
            0,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0
        );
        got += i64::from(at > 0);
    }
    got < 8
}

/// A page of this kind of memory.
fn mapped(flags: libc::c_int) -> i64 {
    call!(
        SYS_mmap,
        0,
        4096,
        libc::PROT_READ | libc::PROT_WRITE,
        flags,
        -1,
        0
    )
}

/// Any descriptor beside the socket that is a file, a socket or anything to use.
fn other_descriptors() -> bool {
    let mut found = 0;
    for number in 0..1024 {
        if call!(SYS_fcntl, number, libc::F_GETFL) >= 0 {
            found += 1;
        }
    }
    // The null device in three places, and the socket.
    found == 4
}

const HELD: &[Held] = &[
    ("other descriptors", other_descriptors),
    ("ten gigabytes", ten_gigabytes),
    ("address space without end", address_space),
];

const CALLS: &[Call] = &[
    ("open a file of the host", || {
        call!(SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0)
    }),
    ("open its own memory", || {
        call!(SYS_openat, libc::AT_FDCWD, c"/proc/self/mem".as_ptr(), 2)
    }),
    ("look at a path", || {
        let mut room = [0_u8; 512];
        call!(
            SYS_newfstatat,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            room.as_mut_ptr(),
            0
        )
    }),
    ("make a file", || {
        call!(
            SYS_openat,
            libc::AT_FDCWD,
            c"/x".as_ptr(),
            libc::O_CREAT | 1,
            0o600
        )
    }),
    ("a socket of the internet", || {
        call!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)
    }),
    ("a socket of files", || {
        call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)
    }),
    ("a pair of sockets", || {
        let mut pair = [0; 2];
        call!(
            SYS_socketpair,
            libc::AF_UNIX,
            libc::SOCK_STREAM,
            0,
            pair.as_mut_ptr()
        )
    }),
    ("connect to another socket", || {
        call!(SYS_connect, 3, ptr::null::<u8>(), 0)
    }),
    ("trace another process", || {
        call!(SYS_ptrace, libc::PTRACE_SEIZE, 1, 1, 0)
    }),
    ("read its parent's memory", || {
        call!(
            SYS_process_vm_readv,
            1,
            ptr::null::<u8>(),
            0,
            ptr::null::<u8>(),
            0,
            0
        )
    }),
    ("take a descriptor of its parent", || {
        call!(SYS_pidfd_open, 1, 0)
    }),
    ("run a program", || {
        call!(
            SYS_execve,
            c"/bin/sh".as_ptr(),
            ptr::null::<u8>(),
            ptr::null::<u8>()
        )
    }),
    ("make a process", || {
        call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)
    }),
    ("make a thread", || {
        let flags = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        call!(SYS_clone, flags, 0, 0, 0, 0)
    }),
    // The signal that is none: whoever may send it may send others.
    ("signal all processes", || call!(SYS_kill, -1, 0)),
    ("signal its group", || call!(SYS_kill, 0, 0)),
    ("signal a thread", || call!(SYS_tgkill, 1, 1, 0)),
    // Of the null device, which is there in every process.
    ("signals by a descriptor", || {
        call!(SYS_fcntl, 0, libc::F_SETOWN, 1)
    }),
    ("other signals by a descriptor", || {
        call!(SYS_fcntl, 0, 10, libc::SIGKILL)
    }),
    ("io_uring", || {
        call!(SYS_io_uring_setup, 1, ptr::null::<u8>())
    }),
    ("keys of the kernel", || call!(SYS_keyctl, 0, 0, 0, 0, 0)),
    ("programs of the kernel", || {
        call!(SYS_bpf, 0, ptr::null::<u8>(), 1 << 20)
    }),
    // Those of its own mode alone, which need no right.
    ("faults of the kernel", || call!(SYS_userfaultfd, 1)),
    ("namespaces", || call!(SYS_unshare, 0)),
    ("a mount", || {
        call!(
            SYS_mount,
            ptr::null::<u8>(),
            ptr::null::<u8>(),
            ptr::null::<u8>(),
            libc::MS_REMOUNT,
            ptr::null::<u8>()
        )
    }),
    ("another root", || call!(SYS_chroot, ptr::null::<u8>())),
    ("other rights", || call!(SYS_setuid, -1)),
    ("other limits", || {
        call!(
            SYS_prlimit64,
            0,
            libc::RLIMIT_DATA,
            ptr::null::<u8>(),
            ptr::null::<u8>()
        )
    }),
    ("no filter any more", || {
        call!(SYS_prctl, libc::PR_SET_SECCOMP, 0, 0, 0, 0)
    }),
    ("memory that is shared", || {
        mapped(libc::MAP_SHARED | libc::MAP_ANONYMOUS)
    }),
    ("memory that grows by itself", || {
        mapped(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN)
    }),
    ("a file in memory", || {
        call!(SYS_memfd_create, c"x".as_ptr(), 0)
    }),
    ("files of others", || {
        call!(SYS_recvmsg, 0, ptr::null::<u8>(), 0)
    }),
    ("meeting others at a file", || {
        let word = 0_u32;
        call!(SYS_futex, &raw const word, libc::FUTEX_WAKE, 1)
    }),
];

const TRIED: usize = CALLS.len() + HELD.len();

/// What the process does in place of a guest: it says what every attempt came to.
pub(super) fn live(_: &Engine, socket: UnixStream, namespaces: Namespaces) -> ! {
    let done = (|| -> std::io::Result<()> {
        use std::os::fd::AsFd;
        close_all_but(socket.as_fd())?;
        let absent = confine(namespaces);
        // As it is for a guest, whose code is there by then.
        shut()?;
        let mut channel = Channel(socket);
        let mut ready = Message::new(Kind::Ready).u32(u32::try_from(absent.len()).unwrap());
        for one in &absent {
            ready = ready.part(one.as_bytes());
        }
        channel.send(ready)?;
        let mut broken = Vec::new();
        for (what, call) in CALLS {
            let done = call();
            if done != REFUSED {
                broken.push(format!("{what} ({done})"));
            }
        }
        for (what, is_held) in HELD {
            if !is_held() {
                broken.push((*what).to_owned());
            }
        }
        let said = format!("{TRIED} tried; {}", broken.join(", "));
        channel.0.write_all(
            &Message::new(Kind::Unloadable)
                .part(said.as_bytes())
                .finish()?,
        )
    })();
    std::process::exit(i32::from(done.is_err()))
}

#[tokio::test]
async fn whoever_takes_an_executor_over_has_nothing() {
    let executors = Executors::open(maker_of("drill")).await.unwrap();
    let absent = executors.absent();
    // Where the kernel has no namespaces for us, that is told; every other layer holds everywhere.
    let beside: Vec<_> = absent
        .iter()
        .filter(|one| !one.starts_with("namespaces"))
        .collect();
    assert!(beside.is_empty(), "{absent:?}");
    let said = executors.said().await;
    assert_eq!(
        said,
        format!("{TRIED} tried; "),
        "done in vain: the filter did not refuse those that are named"
    );
}
