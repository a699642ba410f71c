//! The server's end of the process that makes executors: how it is started, told, and ended.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use tokio::net::UnixStream;

use super::birth::{END, GO, HALT, MAKE, ORDER_BYTES};
use super::wire::send_with;

/// The process that makes executors, which lives as long as this.
pub struct Maker {
    control: OwnedFd,
    next: AtomicU64,
    process: Option<Mutex<Child>>,
}

impl Maker {
    /// Starts it: before the server lets go of what it takes to make namespaces.
    pub fn start(program: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let (control, end) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let process = Command::new(program)
            .args(arguments)
            .env_clear()
            // What the allocator reserves counts as memory that a process has, unless it is told to wait.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::from(end))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            control,
            next: AtomicU64::new(0),
            process: Some(Mutex::new(process)),
        })
    }

    /// One whose orders a test carries out.
    #[cfg(test)]
    pub(super) fn of(control: OwnedFd) -> Self {
        Self {
            control,
            next: AtomicU64::new(0),
            process: None,
        }
    }

    /// The number of its process; none where a test carries out what it is told.
    pub(super) fn pid(&self) -> Option<u32> {
        let process = self.process.as_ref()?;
        Some(process.lock().unwrap_or_else(PoisonError::into_inner).id())
    }

    /// Whether it lives.
    pub(super) fn lives(&self) -> bool {
        self.process.as_ref().is_none_or(|process| {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(process.try_wait(), Ok(None))
        })
    }

    fn order(&self, what: u8, number: u64) -> [u8; ORDER_BYTES] {
        let mut order = [what; ORDER_BYTES];
        if let Some(rest) = order.last_chunk_mut() {
            *rest = number.to_le_bytes();
        }
        order
    }

    /// Fails at once where so many orders wait that there is no room for another.
    pub(super) fn make(&self) -> io::Result<(u64, UnixStream)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = StdStream::pair()?;
        send_with(
            self.control.as_fd(),
            &self.order(MAKE, number),
            theirs.as_fd(),
        )?;
        ours.set_nonblocking(true)?;
        Ok((number, UnixStream::from_std(ours)?))
    }

    /// Waits for room only where it may. Where the maker is gone, so are all that it made.
    pub(super) fn end(&self, number: u64, flags: SendFlags) -> rustix::io::Result<()> {
        self.tell(END, number, flags)
    }

    /// Fails at once where so many orders wait.
    pub(super) fn halt(&self, number: u64) -> rustix::io::Result<()> {
        self.tell(HALT, number, SendFlags::DONTWAIT)
    }

    /// Fails at once where so many orders wait. One that is not halted goes on as before.
    pub(super) fn release(&self, number: u64) -> rustix::io::Result<()> {
        self.tell(GO, number, SendFlags::DONTWAIT)
    }

    fn tell(&self, what: u8, number: u64, flags: SendFlags) -> rustix::io::Result<()> {
        let order = self.order(what, number);
        rustix::net::send(&self.control, &order, flags | SendFlags::NOSIGNAL).map(drop)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // It ends what it made when it is closed; what is waited for here is that alone.
        if let Err(error) = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both) {
            tracing::error!(%error, "the maker of executors could not be told to end");
        }
        if let Some(process) = &mut self.process {
            // Gone already is as good.
            let _ = process
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .wait();
        }
    }
}
