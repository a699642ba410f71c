//! Which file each name belongs to, kept from one start to the next: a file that was put there while the server was down
//! takes no name from one that had it.
//!
//! It is kept beside the native code, in the folder that is ours alone, and not in the tools folder, which others write to.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, ToolName};

/// The names of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owned {
    /// The file in the tools folder.
    pub(super) file: String,
    /// Its package.
    pub(super) package: ToolName,
    /// Its tools, as their author wrote them.
    pub(super) tools: Vec<ToolName>,
}

/// What is kept for one tools folder.
pub(super) struct Names {
    path: PathBuf,
    last: Mutex<Vec<Owned>>,
}

impl Names {
    /// Opens what was kept; it is in the order in which the files came. What cannot be read stops the start: without it
    /// a name could go to whoever has the first file name.
    pub(super) fn open(cache_dir: &Path, tools_dir: &Path) -> std::io::Result<(Self, Vec<Owned>)> {
        // One cache may serve several folders.
        let dir = std::path::absolute(tools_dir)?;
        let folder = Digest::of(dir.as_os_str().as_encoded_bytes()).short();
        let path = cache_dir.join(format!("names-{folder}.json"));
        let kept: Vec<Owned> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let last = Mutex::new(kept.clone());
        Ok((Self { path, last }, kept))
    }

    /// Keeps who has which names now, if that is different.
    pub(super) fn keep(&self, owned: Vec<Owned>) -> std::io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == owned {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(&owned)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        *last = owned;
        Ok(())
    }
}
