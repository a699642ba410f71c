//! How much one directory of one user holds, counted across all calls that use it.
//!
//! A count is never too low: what grows is added before it is there, and room is given back by counting anew alone. Whatever
//! changes the contents of a file, or moves a name, has the turn meanwhile, so that two handles or two calls cannot both take
//! the last bytes and no tree moves past a count. A turn may be long, and is waited for without a thread; what is told from
//! outside of it has a lock of its own, which is never held over the disk. Nobody keeps a count between calls: the first that
//! writes walks the directory, so what the operator changes beneath is seen by the next call, and a restart needs no repair.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, fstat, openat, statat};
use rustix::io::Errno;
use tokio::sync::OwnedMutexGuard;

use super::DIRECTORY;
use crate::config::Quota;
use crate::limits::FILES_DEPTH_MAX;

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The directory may hold no more.
    #[error("the folder is full")]
    Full,
    /// It is granted for reading alone.
    #[error("the folder is granted for reading alone")]
    ReadOnly,
    /// The consent behind it ended.
    #[error("the consent for this was revoked")]
    Revoked,
    /// The call ended before it was begun.
    #[error("the call has ended")]
    Over,
    /// What the system said.
    #[error("the file could not be changed")]
    Io(#[from] std::io::Error),
}

/// A change of one file's contents.
#[derive(Debug)]
pub enum Change {
    /// It gets this size.
    Size(u64),
    /// This is written from there on.
    At(u64, Bytes),
    /// This is written behind its end, wherever that is by then.
    Append(Bytes),
}

/// The directories that running calls write in, each once.
#[derive(Debug, Default)]
pub(super) struct Spaces(Mutex<HashMap<(u64, u64), Weak<Space>>>);

impl Spaces {
    /// The space of this directory: the same for every call that has it at this moment.
    pub(super) fn of(&self, root: OwnedFd, quota: Quota) -> Result<Arc<Space>, Errno> {
        let stat = fstat(&root)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, space| space.strong_count() > 0);
        let entry = known.entry((stat.st_dev, stat.st_ino)).or_default();
        if let Some(space) = entry.upgrade() {
            return Ok(space);
        }
        let space = Arc::new(Space {
            root,
            quota,
            used: Arc::default(),
            noted: Mutex::default(),
        });
        *entry = Arc::downgrade(&space);
        Ok(space)
    }
}

/// Whether a change may still be made. Asked right before it, and while a walk lasts.
pub type Still<'a> = &'a dyn Fn() -> Result<(), FileError>;

/// Names, and bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    files: u64,
    bytes: u64,
}

impl Room {
    fn and(self, more: Self) -> Self {
        Self {
            files: self.files.saturating_add(more.files),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    fn without(self, less: Self) -> Self {
        Self {
            files: self.files.saturating_sub(less.files),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }
}

/// One directory, with what it may hold and what it holds.
#[derive(Debug)]
pub struct Space {
    root: OwnedFd,
    quota: Quota,
    used: Arc<tokio::sync::Mutex<Used>>,
    noted: Mutex<Noted>,
}

/// What the last walk found, and what was changed in turns since.
#[derive(Debug, Default)]
struct Used {
    /// Whether the directory was walked at all.
    counted: bool,
    room: Room,
    /// Whether a file was cut since, or a name may have been counted twice.
    stale: bool,
    /// How often room had been given back when the walk began.
    released: u64,
    /// Files that were removed and still open: they take their room until they are closed.
    removed: Vec<Weak<File>>,
}

/// What is told at any time, a turn or none. The lock of it is never held over the disk: whoever drops a call takes it.
#[derive(Debug, Default)]
struct Noted {
    /// What is being made at this moment.
    pending: Room,
    /// What was made since the last walk began.
    made: Room,
    /// How often something was removed, or replaced.
    released: u64,
    /// Files that a guest has open: one that was removed meanwhile takes its room until it is closed.
    open: Vec<Weak<File>>,
}

/// Room for one name that is being made.
#[derive(Debug)]
pub struct Place {
    space: Arc<Space>,
    room: Room,
    made: bool,
}

impl Place {
    /// From here on it may be made.
    pub fn begun(mut self) -> Self {
        self.made = true;
        self
    }

    /// Nothing was made.
    pub fn give_back(mut self) {
        self.made = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut noted = self.space.noted();
        noted.pending = noted.pending.without(self.room);
        // Who broke off in the middle may have made it or not: it counts until the next walk.
        if self.made {
            noted.made = noted.made.and(self.room);
        }
    }
}

impl Space {
    /// The turn to change it, which one has at a time. Waits for it, and takes no thread meanwhile.
    pub async fn turn(self: Arc<Self>) -> Turn {
        let used = self.used.clone().lock_owned().await;
        Turn { space: self, used }
    }

    /// Something was removed, or replaced.
    pub fn released(&self) {
        let mut noted = self.noted();
        noted.released = noted.released.wrapping_add(1);
    }

    /// A guest has this file open.
    pub fn opened(&self, file: &Arc<File>) {
        let mut noted = self.noted();
        noted.open.retain(|one| one.strong_count() > 0);
        noted.open.push(Arc::downgrade(file));
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to change a space.
#[derive(Debug)]
pub struct Turn {
    space: Arc<Space>,
    used: OwnedMutexGuard<Used>,
}

impl Turn {
    /// Takes room for one name, and for the bytes that come with it. Touches the disk.
    pub fn place(&mut self, bytes: u64, still: Still<'_>) -> Result<Place, FileError> {
        let room = Room { files: 1, bytes };
        self.make_room(room, still)?;
        still()?;
        let mut noted = self.space.noted();
        noted.pending = noted.pending.and(room);
        Ok(Place {
            space: self.space.clone(),
            room,
            made: false,
        })
    }

    /// Changes what a file holds, if there is room, and says how many bytes were written. Touches the disk.
    pub fn change(
        &mut self,
        file: &File,
        change: &Change,
        still: Still<'_>,
    ) -> Result<usize, FileError> {
        let was = file.metadata()?.len();
        let end = match change {
            Change::Size(size) => *size,
            Change::At(_, bytes) | Change::Append(bytes) if bytes.is_empty() => return Ok(0),
            Change::At(at, bytes) => at.saturating_add(length(bytes)).max(was),
            Change::Append(bytes) => was.saturating_add(length(bytes)),
        };
        if end > was {
            let bytes = end - was;
            self.make_room(Room { files: 0, bytes }, still)?;
        }
        // The turn and the walk took their time.
        still()?;
        let done = match change {
            Change::Size(size) => file.set_len(*size).map(|()| 0),
            Change::At(at, bytes) => file.write_all_at(bytes, *at).map(|()| bytes.len()),
            Change::Append(bytes) => file.write_all_at(bytes, was).map(|()| bytes.len()),
        };
        // What was written before an error counts as well; where even that cannot be told, all of it does.
        let is = file.metadata().map_or(end.max(was), |file| file.len());
        self.used.room.bytes = self.used.room.bytes.saturating_add(is.saturating_sub(was));
        self.used.stale |= is < was;
        Ok(done?)
    }

    fn make_room(&mut self, more: Room, still: Still<'_>) -> Result<(), FileError> {
        if !self.used.counted || (!self.fits(more) && self.is_stale()) {
            self.count(still)?;
        }
        if self.fits(more) {
            Ok(())
        } else {
            Err(FileError::Full)
        }
    }

    fn fits(&self, more: Room) -> bool {
        let noted = self.space.noted();
        let all = self.used.room.and(noted.made).and(noted.pending).and(more);
        let quota = self.space.quota;
        // What takes no bytes is refused for its name alone, so that an empty file can be made where room is used up.
        all.files <= quota.files && (more.bytes == 0 || all.bytes <= quota.bytes)
    }

    /// Whether a walk could find more room than is known of. What is removed and still open gives none.
    fn is_stale(&self) -> bool {
        let closed = |one: &Weak<File>| one.strong_count() == 0;
        self.used.stale
            || self.used.released != self.space.noted().released
            || self.used.removed.iter().any(closed)
    }

    /// Counts anew. Ends where there are more names than allowed, or deeper ones: the space is full then.
    fn count(&mut self, still: Still<'_>) -> Result<(), FileError> {
        self.used.counted = false;
        let (released, in_the_making) = {
            let mut noted = self.space.noted();
            noted.made = Room::default();
            (noted.released, noted.pending.files > 0)
        };
        let mut tally = Tally {
            room: Room::default(),
            files_max: self.space.quota.files,
            still,
        };
        walk(&self.space.root, FILES_DEPTH_MAX, &mut tally)?;
        let open: Vec<_> = {
            let mut noted = self.space.noted();
            noted.open.retain(|one| one.strong_count() > 0);
            noted.open.iter().filter_map(Weak::upgrade).collect()
        };
        let mut removed = Vec::new();
        for file in &open {
            let found = file.metadata()?;
            if found.nlink() == 0 {
                removed.push(Arc::downgrade(file));
                tally.add(found.len());
            }
        }
        *self.used = Used {
            counted: true,
            room: tally.room,
            // A name in the making may be on the disk by now and be counted twice.
            stale: in_the_making,
            released,
            removed,
        };
        Ok(())
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

struct Tally<'a> {
    room: Room,
    files_max: u64,
    still: Still<'a>,
}

impl Tally<'_> {
    fn add(&mut self, bytes: u64) {
        self.room.bytes = self.room.bytes.saturating_add(bytes);
        self.room.files = self.room.files.saturating_add(1);
    }
}

/// Adds up what is in a directory and below it; follows no link. A hole in a file counts as if it were written.
fn walk(directory: &OwnedFd, depth: usize, tally: &mut Tally<'_>) -> Result<(), FileError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(FileError::Full);
    };
    for entry in Dir::read_from(directory).map_err(std::io::Error::from)? {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // A walk may take seconds, and what it was for may end meanwhile.
        (tally.still)()?;
        tally.add(0);
        if tally.room.files > tally.files_max {
            return Ok(());
        }
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Another call removed it since.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(FileError::Io(errno.into())),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            tally.room.bytes = tally.room.bytes.saturating_add(size);
            continue;
        }
        match openat(
            directory,
            name,
            DIRECTORY | rustix::fs::OFlags::NOFOLLOW,
            Mode::empty(),
        ) {
            Ok(inner) => walk(&inner, depth, tally)?,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(FileError::Io(errno.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
