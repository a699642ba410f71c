//! Where a server works: the folders that it needs, and that it is the only one on its state.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::StartError;

/// For how long a server waits for another one that works on its state. One that was killed holds its lock until its memory is gone.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The lock on a state: a second server would take the running calls of the first for interrupted ones, and count limits
/// apart from it. Commands beside a server need none.
#[derive(Debug)]
pub struct Alone {
    /// Let go when it is closed, also by the end of the process.
    _file: File,
}

impl Alone {
    /// Waits for a moment while another server has it.
    pub async fn on(state: &Path) -> Result<Self, StartError> {
        // By whatever name it is called, it is one file. Before the first start there is none, and its name is the only one.
        let file = state.canonicalize().unwrap_or_else(|_| state.to_owned());
        let path = lock_of(&file);
        let failed = |source| StartError::Lock {
            file: path.clone(),
            source,
        };
        let mut file = opened(&path).map_err(failed)?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { _file: file }),
                // Somebody took it away; whoever comes next would make another.
                Ok(()) => file = opened(&path).map_err(failed)?,
                Err(TryLockError::WouldBlock) if !told => {
                    told = true;
                    tracing::warn!(state = %state.display(), wait = ?WAIT_MAX, "another server works on this state; it is waited for");
                }
                Err(TryLockError::WouldBlock) if began.elapsed() < WAIT_MAX => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StartError::InUse {
                        state: state.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}

fn opened(lock: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock)
}

/// Whether the name still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let same =
        |file: Metadata, named: Metadata| (file.dev(), file.ino()) == (named.dev(), named.ino());
    let both = file
        .metadata()
        .and_then(|file| Ok((file, path.metadata()?)));
    both.is_ok_and(|(file, named)| same(file, named))
}

fn lock_of(state: &Path) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Makes a folder that only we can read, if there is none.
pub fn folder(dir: &Path) -> Result<(), StartError> {
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StartError::Folder {
            dir: dir.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_server_at_a_time_works_on_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s.db");
        let first = Alone::on(&state).await.unwrap();
        let refused = Alone::on(&state).await.unwrap_err();
        assert!(matches!(refused, StartError::InUse { .. }), "{refused}");
        Alone::on(&folder.path().join("t.db")).await.unwrap();
        // One that ends in time is waited for.
        let (waited, ()) = tokio::join!(Alone::on(&state), async {
            tokio::time::sleep(2 * LOOK_EVERY).await;
            drop(first);
        });
        waited.unwrap();
        let nowhere = Alone::on(&folder.path().join("none/s.db")).await;
        assert!(matches!(nowhere, Err(StartError::Lock { .. })));
    }

    #[tokio::test]
    async fn another_name_of_a_state_is_the_same_state() {
        let folder = tempfile::tempdir().unwrap();
        let (state, link) = (folder.path().join("s.db"), folder.path().join("t.db"));
        std::fs::write(&state, "").unwrap();
        std::os::unix::fs::symlink(&state, &link).unwrap();
        let first = Alone::on(&link).await.unwrap();
        let refused = Alone::on(&state).await.unwrap_err();
        assert!(matches!(refused, StartError::InUse { .. }), "{refused}");
        drop(first);
        Alone::on(&state).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_was_taken_away_while_it_was_waited_for_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s.db");
        let first = Alone::on(&state).await.unwrap();
        let (second, ()) = tokio::join!(Alone::on(&state), async {
            tokio::time::sleep(2 * LOOK_EVERY).await;
            std::fs::remove_file(folder.path().join("s.db.lock")).unwrap();
            drop(first);
        });
        let _second = second.unwrap();
        let third = Alone::on(&state).await;
        assert!(matches!(third, Err(StartError::InUse { .. })));
    }
}
