//! Files that hold keys and secrets: read only where nobody else can have written or read them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;
use zeroize::Zeroizing;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// A named pipe is not waited for; that it is no file is seen after.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// A file cannot be read, or somebody else has a hand in it.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is no such file, or it may not be opened.
    #[error("its file cannot be opened")]
    Open(#[source] std::io::Error),
    /// It is a link, a folder or something else.
    #[error("it is not in a plain file; links are not followed")]
    NotAFile,
    /// Somebody else could have written it.
    #[error("its file belongs to somebody else; give it to the user of the server, or to root")]
    Owner,
    /// Somebody else can read it.
    #[error("others than its owner have access to its file; take it from them with `chmod 600`")]
    Mode,
    /// It is larger than what is looked for can be.
    #[error("its file is larger than {0} bytes")]
    TooLarge(usize),
}

/// Opens a file below a folder; `segments` lead from there to it, and no link is followed on that way. The file is plain, belongs
/// to us or to root, and nobody else has access to it.
pub fn open_below<S: AsRef<str>>(folder: &Path, segments: &[S]) -> Result<File, PrivateFileError> {
    let failed = |errno: Errno| match errno {
        // A link where none is followed, or a file where a folder must be.
        Errno::LOOP | Errno::NOTDIR => PrivateFileError::NotAFile,
        other => PrivateFileError::Open(other.into()),
    };
    let Some((name, folders)) = segments.split_last() else {
        return Err(PrivateFileError::NotAFile);
    };
    let mut folder = open(folder, DIRECTORY, Mode::empty()).map_err(failed)?;
    for one in folders {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        folder = openat(&folder, one.as_ref(), flags, Mode::empty()).map_err(failed)?;
    }
    let file = openat(&folder, name.as_ref(), FILE, Mode::empty()).map_err(failed)?;
    // What is looked at is what is read: the open file, whatever its name leads to by now.
    let stat = fstat(&file).map_err(failed)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(PrivateFileError::NotAFile);
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(PrivateFileError::Owner);
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(PrivateFileError::Mode);
    }
    Ok(File::from(file))
}

/// Reads at most `bytes_max` bytes of such a file; the folders that lead to it are the operator's own, links and all.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or(PrivateFileError::NotAFile)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = open_below(folder, &[name])?;
    // Room for all of it at once: a vector that grows leaves what it held behind.
    let most = bytes_max.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    file.take(u64::try_from(most).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(PrivateFileError::Open)?;
    if bytes.len() > bytes_max {
        return Err(PrivateFileError::TooLarge(bytes_max));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_that_others_have_a_hand_in_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "12345").unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [0o644, 0o640, 0o604, 0o620, 0o660, 0o601] {
            mode(open);
            assert!(matches!(read(&path, 5), Err(PrivateFileError::Mode)));
        }
        for closed in [0o600, 0o400] {
            mode(closed);
            assert_eq!(read(&path, 5).unwrap().as_slice(), b"12345");
        }
        assert!(matches!(read(&path, 4), Err(PrivateFileError::TooLarge(4))));
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 5), Err(PrivateFileError::NotAFile)));
        assert!(matches!(
            read(dir.path(), 5),
            Err(PrivateFileError::NotAFile)
        ));
        let none = dir.path().join("none");
        assert!(matches!(read(&none, 5), Err(PrivateFileError::Open(_))));
        // The folders that lead to it are the operator's own.
        let folder = dir.path().join("folder");
        symlink(dir.path(), &folder).unwrap();
        assert_eq!(read(&folder.join("key"), 5).unwrap().as_slice(), b"12345");
        assert!(matches!(
            open_below(dir.path(), &["folder", "key"]),
            Err(PrivateFileError::NotAFile)
        ));
    }

    #[test]
    fn a_file_of_somebody_else_is_not_read() {
        // Only root can give a file away.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "12345").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        assert!(matches!(read(&path, 5), Err(PrivateFileError::Owner)));
    }
}
