//! The two streams of a file: one that counts what is read, and one that asks for room before it writes.

use std::fs::File;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::host::files::desk::{Reach, StreamPlace};
use crate::host::files::space::{Change, FileError};
use crate::host::task::joined;

/// Most bytes that a guest may write at once: what one stream keeps in memory until the disk has it.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Counts what is read.
pub(super) struct Reader {
    pub(super) stream: DynInputStream,
    pub(super) reach: Arc<Reach>,
    pub(super) _place: StreamPlace,
}

impl Reader {
    fn counted(&self, read: StreamResult<Bytes>) -> StreamResult<Bytes> {
        if let Ok(bytes) = &read
            && !bytes.is_empty()
        {
            self.reach.read(bytes.len(), false);
        }
        read
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let read = self.stream.read(size);
        self.counted(read)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let read = self.stream.blocking_read(size).await;
        self.counted(read)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

/// Writes from a place on, or behind the end.
pub(super) struct Writer {
    reach: Arc<Reach>,
    file: Arc<File>,
    /// Where the next bytes go; none for the end.
    at: Option<u64>,
    state: Writing,
    _place: StreamPlace,
}

enum Writing {
    Ready,
    /// Dropped, it is not begun any more; what has begun is waited for by the end of the call.
    Busy(AbortOnDropHandle<Result<usize, FileError>>),
    Failed(FileError),
    Closed,
}

impl Writer {
    pub(super) fn new(
        reach: Arc<Reach>,
        file: Arc<File>,
        at: Option<u64>,
        place: StreamPlace,
    ) -> Self {
        Self {
            reach,
            file,
            at,
            state: Writing::Ready,
            _place: place,
        }
    }

    /// Says once why it failed; from then on it is closed.
    fn failure(&mut self) -> StreamError {
        match mem::replace(&mut self.state, Writing::Closed) {
            Writing::Failed(error) => StreamError::LastOperationFailed(error.into()),
            _ => StreamError::Closed,
        }
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.state {
            Writing::Ready if bytes.len() <= WRITE_BYTES_MAX => {}
            Writing::Closed => return Err(StreamError::Closed),
            _ => {
                return Err(StreamError::trap(
                    "more was written than `check-write` allows",
                ));
            }
        }
        let change = match self.at {
            Some(at) => Change::At(at, bytes),
            None => Change::Append(bytes),
        };
        let (reach, file) = (self.reach.clone(), self.file.clone());
        let task = tokio::spawn(reach.change(file, change));
        self.state = Writing::Busy(AbortOnDropHandle::new(task));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.state {
            Writing::Ready | Writing::Busy(_) => Ok(()),
            Writing::Failed(_) | Writing::Closed => Err(self.failure()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.state {
            Writing::Ready => Ok(WRITE_BYTES_MAX),
            Writing::Busy(_) => Ok(0),
            Writing::Failed(_) | Writing::Closed => Err(self.failure()),
        }
    }

    async fn cancel(&mut self) {
        if let Writing::Busy(task) = mem::replace(&mut self.state, Writing::Closed) {
            // A task on the disk cannot be stopped; without waiting, a guest could begin any number of them.
            let _ended = joined(task.await);
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        let Writing::Busy(task) = &mut self.state else {
            return;
        };
        self.state = match joined(task.await) {
            Ok(Ok(written)) => {
                let written = u64::try_from(written).unwrap_or(u64::MAX);
                self.at = self.at.map(|at| at.saturating_add(written));
                Writing::Ready
            }
            Ok(Err(error)) => Writing::Failed(error),
            Err(error) => Writing::Failed(FileError::Io(std::io::Error::other(error))),
        };
    }
}
