//! Looks at the tools folder: flat, plain files called `*.wasm`, each read once.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::admit::AdmissionError;
use crate::limits::{PACKAGE_BYTES_MAX, TOOLS_FILES_MAX};

/// A file that was touched this recently may be touched again without its times showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells that a file is the one that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change lies far enough back that one more would have shown.
    fn settled(&self, now: SystemTime) -> bool {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(self.changed.0).is_ok_and(|changed| {
            now.checked_sub(Duration::from_secs(changed))
                .is_some_and(|age| age > SETTLED)
        })
    }
}

/// One file that was looked at.
pub(super) struct Found {
    /// Its name.
    pub(super) file: String,
    /// Its stamp, when one may be relied on next time.
    pub(super) stamp: Option<Stamp>,
    /// Its bytes; none when it is the one that was read before.
    pub(super) bytes: Result<Option<Vec<u8>>, AdmissionError>,
}

/// Looks at every package file, in the order of their names. `known` gives the stamp of what was read before.
pub(super) fn look(
    dir: &Path,
    known: impl Fn(&str) -> Option<Stamp>,
) -> Result<Vec<Found>, std::io::Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)?.take(TOOLS_FILES_MAX) {
        // A name that is no text is no package: `*.wasm` cannot be told of it.
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".wasm")
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    let now = SystemTime::now();
    Ok(names
        .into_iter()
        .filter_map(|file| {
            let known = known(&file);
            let found = one(&dir.join(&file), known, now).transpose()?;
            let (stamp, bytes) = match found {
                Ok((stamp, bytes)) => (Some(stamp).filter(|s| s.settled(now)), Ok(bytes)),
                Err(error) => (None, Err(error)),
            };
            Some(Found { file, stamp, bytes })
        })
        .collect())
}

/// A stamp, and the bytes unless they are those of that stamp before.
type Look = (Stamp, Option<Vec<u8>>);

/// None when the file went away meanwhile.
fn one(path: &Path, known: Option<Stamp>, now: SystemTime) -> Result<Option<Look>, AdmissionError> {
    // Asked before it is opened, so that the answer says what it is; what was opened is asked again.
    let before = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return gone(error),
    };
    if before.is_symlink() {
        return Err(AdmissionError::NotAFile("a link"));
    }
    if before.is_dir() {
        return Err(AdmissionError::NotAFile("a folder"));
    }
    if !before.is_file() {
        return Err(AdmissionError::NotAFile("a device, pipe or socket"));
    }
    let stamp = Stamp::of(&before);
    if known == Some(stamp) && stamp.settled(now) {
        return Ok(Some((stamp, None)));
    }
    if stamp.size > PACKAGE_BYTES_MAX {
        return Err(AdmissionError::Size { found: stamp.size });
    }
    contents(path, stamp)
}

/// The bytes of the file that had this stamp a moment ago, whatever has taken its place since.
fn contents(path: &Path, stamp: Stamp) -> Result<Option<Look>, AdmissionError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(Errno::LOOP) => return Err(AdmissionError::NotAFile("a link")),
        Err(error) => return gone(error.into()),
    };
    let metadata = file.metadata().map_err(AdmissionError::Read)?;
    let opened = Stamp::of(&metadata);
    if !metadata.is_file() || (opened.device, opened.inode) != (stamp.device, stamp.inode) {
        return Err(AdmissionError::NotAFile("another thing than a moment ago"));
    }
    let mut bytes = Vec::new();
    let read = file
        .take(PACKAGE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(AdmissionError::Read)?;
    let found = u64::try_from(read).unwrap_or(u64::MAX);
    if found > PACKAGE_BYTES_MAX {
        return Err(AdmissionError::Size { found });
    }
    Ok(Some((opened, Some(bytes))))
}

/// What an error means: a file that is not there any more is none.
fn gone(error: std::io::Error) -> Result<Option<Look>, AdmissionError> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(None),
        _ => Err(AdmissionError::Read(error)),
    }
}

/// Opens what stands there by now. A link is not followed, and a pipe without a writer does not keep us waiting.
fn open(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<(String, bool)> {
        let found = look(dir, |_| None).unwrap();
        found
            .into_iter()
            .map(|found| (found.file, found.bytes.is_ok()))
            .collect()
    }

    #[test]
    fn only_plain_files_of_the_right_name_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("b.wasm"), "b").unwrap();
        std::fs::write(at("a.wasm"), "a").unwrap();
        std::fs::write(at(".hidden.wasm"), "x").unwrap();
        std::fs::write(at("readme.md"), "x").unwrap();
        std::fs::create_dir(at("folder.wasm")).unwrap();
        std::os::unix::fs::symlink(at("a.wasm"), at("link.wasm")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket.wasm")).unwrap());
        let expected = [
            ("a.wasm", true),
            ("b.wasm", true),
            ("folder.wasm", false),
            ("link.wasm", false),
            ("socket.wasm", false),
        ];
        assert_eq!(
            names(dir.path()),
            expected.map(|(name, fine)| (name.to_owned(), fine))
        );
    }

    fn pipe(path: &Path) {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// What `run` answers; a run that waits for good fails the test and does not stop it.
    fn soon<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(run()));
        told.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_pipe_is_refused_and_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        pipe(&path);
        let at = path.clone();
        let found = soon(move || one(&at, None, SystemTime::now()));
        assert!(matches!(found, Err(AdmissionError::NotAFile(_))));
        // One that took the place of a file after it was asked what it is.
        let (at, inode) = (path.clone(), std::fs::symlink_metadata(&path).unwrap());
        let found = soon(move || contents(&at, Stamp::of(&inode)));
        assert!(matches!(found, Err(AdmissionError::NotAFile(_))));
    }

    #[test]
    fn a_link_that_took_the_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("secret"), dir.path().join("a.wasm"));
        std::fs::write(&file, "secret").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&file).unwrap());
        assert!(contents(&file, stamp).unwrap().is_some());
        let found = contents(&link, stamp);
        assert!(matches!(found, Err(AdmissionError::NotAFile("a link"))));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("a.wasm")).unwrap();
        file.set_len(PACKAGE_BYTES_MAX + 1).unwrap();
        let found = look(dir.path(), |_| None).unwrap().remove(0);
        assert!(matches!(found.bytes, Err(AdmissionError::Size { .. })));
    }

    #[test]
    fn a_file_that_was_just_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        std::fs::write(&path, "one").unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&path).unwrap());
        let now = SystemTime::now();
        let (_, bytes) = one(&path, Some(stamp), now).unwrap().unwrap();
        assert_eq!(bytes.as_deref(), Some(&b"one"[..]));
        let later = now + Duration::from_secs(60);
        let (_, bytes) = one(&path, Some(stamp), later).unwrap().unwrap();
        assert_eq!(bytes, None);
    }
}
