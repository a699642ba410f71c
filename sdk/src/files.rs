//! Files in the folders that the operator mounted and the user agreed to.

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use crate::capability::Capability;

/// Largest file that [`Dir::read`] takes up. A tool has little memory, and models read less than this.
pub const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The folders that this call may reach. Kind `files`.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
}

/// One mounted folder.
#[derive(Debug)]
pub struct Dir {
    root: PathBuf,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
    /// The size in bytes.
    pub size: u64,
}

/// Why a file could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilesError {
    /// The call has no grant for this, whether or not it exists.
    Denied,
    /// The path is empty or absolute, or goes upwards.
    InvalidPath(String),
    /// There is no such file in the folder.
    NotFound,
    /// The file is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It did not work.
    Failed(String),
}

impl Capability for Files {
    const KIND: &'static str = "files";

    fn handle() -> Self {
        Self::rooted_at("/")
    }
}

impl Files {
    /// Takes the folders below `root` for the mounts: for tests outside a sandbox.
    ///
    /// Within a sandbox it opens nothing that is not granted.
    pub fn rooted_at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that the manifest names `name`.
    ///
    /// # Errors
    ///
    /// [`FilesError::Denied`] when this call was not granted it.
    pub fn mount(&self, name: &str) -> Result<Dir, FilesError> {
        let root = self.root.join(relative(name)?);
        match fs::metadata(&root) {
            Ok(meta) if meta.is_dir() => Ok(Dir { root }),
            _ => Err(FilesError::Denied),
        }
    }
}

impl Dir {
    /// The bytes of a file of at most [`READ_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// See [`FilesError`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        let file = fs::File::open(self.at(path)?)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells "just fits" from "too large", whatever size the file claims to have.
        file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > READ_BYTES_MAX {
            return Err(FilesError::TooLarge {
                limit: READ_BYTES_MAX,
            });
        }
        Ok(bytes)
    }

    /// The text of a file.
    ///
    /// # Errors
    ///
    /// See [`FilesError`]; [`FilesError::Failed`] when it is not UTF-8.
    pub fn read_text(&self, path: &str) -> Result<String, FilesError> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| FilesError::Failed("the file is not text in UTF-8".into()))
    }

    /// Writes a file in place of what was there.
    ///
    /// # Errors
    ///
    /// See [`FilesError`]; [`FilesError::Denied`] also when the folder was granted for reading alone.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), FilesError> {
        Ok(fs::write(self.at(path)?, bytes)?)
    }

    /// Writes a file so that nobody ever reads half of it: whoever reads finds what was there before, or all of this.
    ///
    /// The bytes go to a new file beside it first, which then takes its place; if something fails, that file is removed. It
    /// needs room for both for a moment. A call that is ended in between leaves a file `.new-` and digits behind. Of two
    /// calls that replace one file at once, the later one stays.
    ///
    /// # Errors
    ///
    /// See [`FilesError`]; what was there is unchanged then.
    pub fn replace(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), FilesError> {
        let at = self.at(path)?;
        // Keys by chance: a name that no other call writes to at the same time.
        let chance = RandomState::new().build_hasher().finish();
        let beside = at.with_file_name(format!(".new-{chance:016x}"));
        let written = fs::File::create_new(&beside)
            .and_then(|mut file| file.write_all(bytes.as_ref()))
            .and_then(|()| fs::rename(&beside, &at));
        if written.is_err() {
            // What failed first is what is told.
            let _removed = fs::remove_file(&beside);
        }
        Ok(written?)
    }

    /// What is in the folder itself, by name.
    ///
    /// # Errors
    ///
    /// See [`FilesError`].
    pub fn list(&self) -> Result<Vec<Entry>, FilesError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: meta.is_dir(),
                size: meta.len(),
            });
        }
        entries.sort();
        Ok(entries)
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// See [`FilesError`].
    pub fn remove(&self, path: &str) -> Result<(), FilesError> {
        Ok(fs::remove_file(self.at(path)?)?)
    }

    fn at(&self, path: &str) -> Result<PathBuf, FilesError> {
        Ok(self.root.join(relative(path)?))
    }
}

/// The path, if every part of it is a plain name.
///
/// The host holds the border; this is for the author, whose mistake gets a clear answer.
fn relative(path: &str) -> Result<&Path, FilesError> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.as_os_str().is_empty() || !plain {
        return Err(FilesError::InvalidPath(path.display().to_string()));
    }
    Ok(path)
}

impl From<std::io::Error> for FilesError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("this call may not reach that folder or file"),
            Self::InvalidPath(path) => write!(f, "`{path}` is not a path within the folder"),
            Self::NotFound => f.write_str("there is no such file"),
            Self::TooLarge { limit } => write!(f, "the file is larger than {limit} bytes"),
            Self::Failed(what) => write!(f, "the file could not be used: {what}"),
        }
    }
}

impl std::error::Error for FilesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_folder() {
        assert!(relative("a/b.txt").is_ok());
        for path in ["", "/etc/passwd", "..", "a/../../b", "./../b"] {
            assert!(relative(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_folder_that_is_not_mounted_is_denied() {
        let files = Files::rooted_at(std::env::temp_dir());
        assert_eq!(
            files.mount("no-such-mount-here").unwrap_err(),
            FilesError::Denied
        );
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_behind() {
        let root = std::env::temp_dir().join(format!("sdk-replace-{}", std::process::id()));
        fs::create_dir_all(root.join("notes/folder")).unwrap();
        let dir = Files::rooted_at(&root).mount("notes").unwrap();
        dir.write("one", "before").unwrap();
        dir.replace("one", "after").unwrap();
        assert_eq!(dir.read_text("one").unwrap(), "after");
        dir.replace("two", "new").unwrap();
        // A folder cannot be replaced by a file.
        assert!(dir.replace("folder", "x").is_err());
        let names: Vec<_> = dir
            .list()
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names, ["folder", "one", "two"]);
        fs::remove_dir_all(root).unwrap();
    }
}
