//! What one call has open of the files that it was given, and under which grant.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

use rustix::fs::fstatfs;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::begun::{Beginning, Begun};
use super::space::{Change, FileError, Place, Space, Turn};
use crate::capability::Files;
use crate::host::meter::Meter;
use crate::host::task::joined;
use crate::limits::{FILES_LISTINGS_MAX, FILES_OPEN_MAX, FILES_READERS_MAX, FILES_WRITERS_MAX};
use crate::revocation::Live;
use crate::sandbox::Effect;

/// File systems of the kernel, by their magic numbers in `linux/magic.h`: what looks like a file there acts on the machine.
const KERNEL_FILE_SYSTEMS: [u64; 10] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
];

/// Whether a file lies on a file system that is the kernel's own. What cannot be told is.
pub fn is_kernels(file: impl std::os::fd::AsFd) -> bool {
    fstatfs(file).map_or(true, |system| {
        u64::try_from(system.f_type).map_or(true, |kind| KERNEL_FILE_SYSTEMS.contains(&kind))
    })
}

/// How far one granted directory reaches.
#[derive(Debug)]
pub struct Reach {
    reads: String,
    writes: String,
    /// None where it is granted for reading alone.
    space: Option<Arc<Space>>,
    live: Live,
    meter: Meter,
    /// What the call has begun, in all of its folders.
    begun: Begun,
}

impl Reach {
    /// Of a directory that is granted by `files`.
    pub fn new(files: &Files, space: Option<Arc<Space>>, live: Live, meter: Meter) -> Self {
        Self {
            reads: format!("files reads {}", files.mount),
            writes: format!("files writes {}", files.mount),
            space,
            live,
            meter,
            begun: Begun::default(),
        }
    }

    /// Notes one look, and how many bytes it brought.
    pub fn read(&self, bytes: usize, refused: bool) {
        let effect = Effect {
            count: 1,
            refused: u64::from(refused),
            bytes_in: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..Effect::default()
        };
        self.meter.note(self.reads.clone(), effect);
    }

    /// Notes one change, and how many bytes it took.
    pub fn wrote(&self, bytes: usize, refused: bool) {
        let effect = Effect {
            count: 1,
            refused: u64::from(refused),
            bytes_out: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..Effect::default()
        };
        self.meter.note(self.writes.clone(), effect);
    }

    /// Changes what a file holds. Until it has its turn nothing has begun, and whoever drops it takes it back.
    pub async fn change(
        self: Arc<Self>,
        file: Arc<File>,
        change: Change,
    ) -> Result<usize, FileError> {
        match self.turn().await {
            Ok((mut turn, beginning)) => {
                let reach = self.clone();
                on_disk(move || {
                    let done = turn.change(&file, &change, &|| reach.still());
                    drop(turn);
                    reach.changed(&done);
                    drop(beginning);
                    done
                })
                .await
            }
            Err(error) => {
                let done = Err(error);
                self.changed(&done);
                done
            }
        }
    }

    /// Takes room for one name, and for the bytes that come with it.
    pub async fn place(self: Arc<Self>, bytes: u64) -> Result<Place, FileError> {
        let (mut turn, beginning) = self.turn().await?;
        on_disk(move || {
            let place = turn.place(bytes, &|| self.still());
            drop(beginning);
            place
        })
        .await
    }

    /// The turn to change the folder, and what the call waits for from then on.
    pub async fn turn(&self) -> Result<(Turn, Beginning), FileError> {
        self.still()?;
        let space = self.space.as_ref().ok_or(FileError::ReadOnly)?;
        let turn = space.clone().turn().await;
        // The turn took its time.
        self.still()?;
        Ok((turn, self.begun.begin()?))
    }

    /// Begins what needs no turn.
    pub fn begin(&self) -> Result<Beginning, FileError> {
        self.still()?;
        self.begun.begin()
    }

    fn changed(&self, done: &Result<usize, FileError>) {
        let refused = done.as_ref().is_err_and(FileError::is_refusal);
        match done {
            // It was never begun.
            Err(FileError::Over) => {}
            Ok(written) => self.wrote(*written, refused),
            Err(_) => self.wrote(0, refused),
        }
    }

    /// Whether it is granted for writing.
    pub fn is_writable(&self) -> bool {
        self.space.is_some()
    }

    /// A guest has this file open.
    pub fn opened(&self, file: &Arc<File>) {
        if let Some(space) = &self.space {
            space.opened(file);
        }
    }

    /// Something was removed, or replaced.
    pub fn released(&self) {
        if let Some(space) = &self.space {
            space.released();
        }
    }

    /// Looked at right before the disk is touched: a change may have waited for its turn.
    fn still(&self) -> Result<(), FileError> {
        if self.live.is_revoked() {
            return Err(FileError::Revoked);
        }
        self.begun.still()
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    match joined(spawn_blocking(work).await) {
        Ok(done) => done,
        Err(error) => Err(FileError::Io(std::io::Error::other(error))),
    }
}

impl FileError {
    /// Whether we said no, and not the system.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Full | Self::ReadOnly | Self::Revoked => true,
            Self::Over | Self::Io(_) => false,
        }
    }
}

/// The open files and directories of one call.
#[derive(Debug)]
pub struct Desk {
    /// What is granted, by where the guest finds it.
    granted: HashMap<String, Arc<Reach>>,
    /// Under which grant each descriptor was opened.
    descriptors: HashMap<u32, Arc<Reach>>,
    /// Every file that is open: a stream keeps one open after its descriptor is gone.
    open: Vec<Weak<File>>,
    listings: usize,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    begun: Begun,
}

/// A place among the streams of a call that read, or that write.
pub type StreamPlace = OwnedSemaphorePermit;

impl Default for Desk {
    fn default() -> Self {
        Self {
            granted: HashMap::new(),
            descriptors: HashMap::new(),
            open: Vec::new(),
            listings: 0,
            readers: Arc::new(Semaphore::new(FILES_READERS_MAX)),
            writers: Arc::new(Semaphore::new(FILES_WRITERS_MAX)),
            begun: Begun::default(),
        }
    }
}

/// A call that is dropped waits for nothing; what has not begun is not begun then.
impl Drop for Desk {
    fn drop(&mut self) {
        self.begun.close();
    }
}

impl Desk {
    /// Puts a granted directory on it.
    pub fn grant(&mut self, guest_path: String, mut reach: Reach) {
        reach.begun = self.begun.clone();
        self.granted.insert(guest_path, Arc::new(reach));
    }

    /// The guest found this descriptor at `guest_path`.
    pub fn found(&mut self, descriptor: u32, guest_path: &str) {
        if let Some(reach) = self.granted.get(guest_path) {
            self.descriptors.insert(descriptor, reach.clone());
        }
    }

    /// Under which grant a descriptor is.
    pub fn reach(&self, descriptor: u32) -> Option<Arc<Reach>> {
        self.descriptors.get(&descriptor).cloned()
    }

    /// Whether one more file may be open.
    pub fn has_room(&mut self) -> bool {
        self.open.retain(|one| one.strong_count() > 0);
        self.open.len() < FILES_OPEN_MAX
    }

    /// This descriptor was opened, under this grant.
    pub fn opened(&mut self, descriptor: u32, file: &Arc<File>, reach: Arc<Reach>) {
        self.open.push(Arc::downgrade(file));
        self.descriptors.insert(descriptor, reach);
    }

    /// The descriptor is gone.
    pub fn closed(&mut self, descriptor: u32) {
        self.descriptors.remove(&descriptor);
    }

    /// A place for one more stream that reads.
    pub fn reader(&self) -> Option<StreamPlace> {
        self.readers.clone().try_acquire_owned().ok()
    }

    /// A place for one more stream that writes.
    pub fn writer(&self) -> Option<StreamPlace> {
        self.writers.clone().try_acquire_owned().ok()
    }

    /// What the call has begun on the disk.
    pub fn begun(&self) -> Begun {
        self.begun.clone()
    }

    /// Whether one more listing may be held; it is counted then.
    pub fn list(&mut self) -> bool {
        let more = self.listings < FILES_LISTINGS_MAX;
        self.listings += usize::from(more);
        more
    }

    /// A listing is gone.
    pub fn listed(&mut self) {
        self.listings = self.listings.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
