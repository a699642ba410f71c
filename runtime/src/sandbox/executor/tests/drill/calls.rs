//! What native code in place of a guest tries of the kernel, of which the filter must refuse each.

use std::ffi::CStr;
use std::ptr;

use super::super::super::confine::left;
use super::{REFUSED, forked};

/// What it is for, and the call.
///
/// The arguments are such that the kernel, without our filter, would let it happen or say anything else than the filter says.
type Call = (&'static str, fn() -> i64);

/// Something else: what it is, and whether the process was held.
type Held = (&'static str, fn() -> bool);

/// Ten gigabytes, each page touched.
pub(super) fn ten_gigabytes() -> bool {
    const CHUNK: usize = 64 << 20;
    let mut all = Vec::with_capacity(160);
    let mut is_held = false;
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
            is_held = true;
            break;
        }
        for page in (0..CHUNK).step_by(4096) {
            // SAFETY: within the mapping that was just made.
            unsafe { at.cast::<u8>().add(page).write_volatile(1) };
        }
        all.push(at);
    }
    // What is tried next needs some memory as well.
    for at in all {
        // SAFETY: a mapping that was made above, to which nothing points.
        unsafe { libc::munmap(at, CHUNK) };
    }
    is_held
}

/// Address space without end, private or shared, of which nothing is touched.
pub(super) fn address_space(kind: libc::c_int) -> bool {
    const CHUNK: i64 = 1 << 30;
    let flags = kind | libc::MAP_ANONYMOUS;
    let all = (0..64).map(|_| call!(SYS_mmap, 0, CHUNK, 0, flags, -1, 0));
    let got: Vec<_> = all.filter(|at| *at > 0).collect();
    for at in &got {
        call!(SYS_munmap, *at, CHUNK);
    }
    got.len() < 8
}

/// Processes without end, each of which ends at once.
pub(super) fn bomb() -> bool {
    (0..1_000).all(|_| forked(call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)) < 0)
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

/// A process that the newest call makes, which has its arguments in memory.
fn made_anew() -> i64 {
    // `exit_signal` is the fifth of them.
    let signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let of = [0, 0, 0, 0, signal, 0, 0, 0];
    forked(call!(SYS_clone3, of.as_ptr(), size_of_val(&of)))
}

/// Opens by the newest call, which has its arguments in memory.
fn opened_anew(path: &CStr) -> i64 {
    let how = [0_u64; 3];
    let here = libc::AT_FDCWD;
    call!(
        SYS_openat2,
        here,
        path.as_ptr(),
        how.as_ptr(),
        size_of_val(&how)
    )
}

fn opened(path: &CStr, flags: libc::c_int) -> i64 {
    call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)
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
    ("address space without end", || {
        address_space(libc::MAP_PRIVATE)
    }),
    ("a bomb of processes", bomb),
];

const CALLS: &[Call] = &[
    ("open a file of the host", || opened(c"/etc/passwd", 0)),
    ("open its own memory", || {
        opened(c"/proc/self/mem", libc::O_RDWR)
    }),
    ("open the memory of the first process", || {
        opened(c"/proc/1/mem", libc::O_RDWR)
    }),
    ("open the root of the first process", || {
        opened(c"/proc/1/root", libc::O_RDONLY)
    }),
    ("open what the first process was started with", || {
        opened(c"/proc/1/environ", libc::O_RDONLY)
    }),
    ("open a descriptor of the first process", || {
        opened(c"/proc/1/fd/0", libc::O_RDWR)
    }),
    #[cfg(target_arch = "x86_64")]
    ("open by the oldest call", || {
        call!(SYS_open, c"/etc/passwd".as_ptr(), 0)
    }),
    ("open by the newest call", || opened_anew(c"/etc/passwd")),
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
    // Of the null device, which is no socket.
    ("send to an address", || {
        let (one, address) = ([0_u8], [0_u8; 16]);
        let flags = libc::MSG_NOSIGNAL;
        call!(
            SYS_sendto,
            0,
            one.as_ptr(),
            1_usize,
            flags,
            address.as_ptr(),
            16
        )
    }),
    ("send a message", || {
        call!(SYS_sendmsg, 0, ptr::null::<u8>(), 0)
    }),
    ("send many messages", || {
        call!(SYS_sendmmsg, 0, ptr::null::<u8>(), 1, 0)
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
    ("write its parent's memory", || {
        let none = ptr::null::<u8>();
        call!(SYS_process_vm_writev, 1, none, 0, none, 0, 0)
    }),
    ("a descriptor of its parent", || call!(SYS_pidfd_open, 1, 0)),
    ("take a descriptor of its parent", || {
        call!(SYS_pidfd_getfd, 0, 0, 0)
    }),
    ("run a program", || {
        call!(
            SYS_execve,
            c"/bin/sh".as_ptr(),
            ptr::null::<u8>(),
            ptr::null::<u8>()
        )
    }),
    ("run a program by a descriptor", || {
        let none = ptr::null::<u8>();
        call!(
            SYS_execveat,
            libc::AT_FDCWD,
            c"/bin/sh".as_ptr(),
            none,
            none,
            0
        )
    }),
    ("make a process", || {
        forked(call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0))
    }),
    ("make a process by the newest call", made_anew),
    #[cfg(target_arch = "x86_64")]
    ("make a process by the oldest call", || {
        forked(call!(SYS_fork))
    }),
    #[cfg(target_arch = "x86_64")]
    ("make a process that has its memory", || {
        forked(call!(SYS_vfork))
    }),
    ("make a thread", || {
        let flags = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        call!(SYS_clone, flags, 0, 0, 0, 0)
    }),
    // The signal that is none: whoever may send it may send others.
    ("signal all processes", || call!(SYS_kill, -1, 0)),
    ("signal its group", || call!(SYS_kill, 0, 0)),
    ("signal a thread", || call!(SYS_tgkill, 1, 1, 0)),
    // Of a number that none has, which the kernel would say.
    ("signal any thread", || call!(SYS_tkill, i32::MAX, 0)),
    ("queue a signal", || {
        call!(SYS_rt_sigqueueinfo, i32::MAX, 0, ptr::null::<u8>())
    }),
    ("queue a signal for a thread", || {
        let none = ptr::null::<u8>();
        call!(SYS_rt_tgsigqueueinfo, i32::MAX, i32::MAX, 0, none)
    }),
    ("signal a process by a descriptor", || {
        call!(SYS_pidfd_send_signal, 0, 0, ptr::null::<u8>(), 0)
    }),
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
    ("io_uring that is there", || {
        call!(SYS_io_uring_enter, -1, 1, 1, 0, ptr::null::<u8>(), 0)
    }),
    ("io_uring with descriptors", || {
        call!(SYS_io_uring_register, -1, 0, ptr::null::<u8>(), 0)
    }),
    ("keys of the kernel", || call!(SYS_keyctl, 0, 0, 0, 0, 0)),
    ("a key for the kernel", || {
        let (kind, text) = (c"user".as_ptr(), c"x".as_ptr());
        call!(
            SYS_add_key,
            kind,
            text,
            text,
            1_usize,
            libc::KEY_SPEC_PROCESS_KEYRING
        )
    }),
    ("a key of the kernel", || {
        let (kind, text) = (c"user".as_ptr(), c"x".as_ptr());
        call!(SYS_request_key, kind, text, ptr::null::<u8>(), 0)
    }),
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

/// The bit by which calls of x32 are told from those of x86-64, which one kernel may have both.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Numbers that there are, and some that there will be.
const NUMBERS: std::ops::Range<i64> = 0..1_024;

/// `uretprobe` and `uprobe` of x86-64, which the kernel lets past every filter: they come from code that it puts itself into a
/// process whose every step root wants to see. From elsewhere they do nothing, or end who calls.
const PAST_FILTERS: std::ops::RangeInclusive<i64> = 335..=336;

/// By its number alone, with nothing to work on.
fn by_number(number: i64) -> i64 {
    // SAFETY: a call that should not be there, with pointers that are null.
    super::answer(unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) })
}

/// How much was tried, and what the filter did not refuse.
pub(super) fn tried() -> (usize, Vec<String>) {
    let mut count = 0;
    let mut broken = Vec::new();
    let mut refused = |what: String, done: i64| {
        count += 1;
        if done != REFUSED {
            broken.push(format!("{what} ({done})"));
        }
    };
    for (what, call) in CALLS {
        refused((*what).to_owned(), call());
    }
    let left = left();
    let is_left = |number: &i64| {
        left.contains(number) || (cfg!(target_arch = "x86_64") && PAST_FILTERS.contains(number))
    };
    for number in NUMBERS.filter(|number| !is_left(number)) {
        refused(format!("system call {number}"), by_number(number));
    }
    #[cfg(target_arch = "x86_64")]
    for number in NUMBERS {
        refused(format!("call {number} of x32"), by_number(number | X32));
    }
    for (what, is_held) in HELD {
        count += 1;
        if !is_held() {
            broken.push((*what).to_owned());
        }
    }
    (count, broken)
}

/// The number of this process by the interface of 32 bits, which the kernel of a machine of 64 may have as well.
#[cfg(target_arch = "x86_64")]
pub(super) fn otherwise() -> i64 {
    const GETPID: i64 = 20;
    let mut register = GETPID;
    // SAFETY: a call that touches no memory; what it may change is named.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("rax") register,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    register
}

/// There is no other.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn otherwise() -> i64 {
    0
}
