//! Forgets native code that nobody uses any more: a package that is gone for long leaves nothing behind.
//!
//! An entry is made again when its package comes back, so to forget costs a compilation and never a right.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::ids::Digest;
use crate::limits::{CACHE_BYTES_MAX, CACHE_UNUSED_MAX};

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    /// When its package was last served at a start, or the entry was made.
    used_at: SystemTime,
    is_served: bool,
}

/// Marks the entries of these components as used now; forgets those that were not used for [`CACHE_UNUSED_MAX`], and the
/// longest unused of those beyond [`CACHE_BYTES_MAX`]. What is served is never forgotten.
pub(super) fn prune(dir: &Path, served: &[Digest], now: SystemTime) -> std::io::Result<Forgotten> {
    prune_to(CACHE_BYTES_MAX, dir, served, now)
}

fn prune_to(
    bytes_max: u64,
    dir: &Path,
    served: &[Digest],
    now: SystemTime,
) -> std::io::Result<Forgotten> {
    let served: Vec<_> = served.iter().map(ToString::to_string).collect();
    let mut entries = entries(dir, &served)?;
    for entry in entries.iter().filter(|entry| entry.is_served) {
        File::open(&entry.path)?.set_modified(now)?;
    }
    entries.sort_by_key(|entry| entry.used_at);
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut forgotten = Forgotten::default();
    for entry in entries.iter().filter(|entry| !entry.is_served) {
        let unused = now.duration_since(entry.used_at).unwrap_or_default();
        if unused < CACHE_UNUSED_MAX && total <= bytes_max {
            continue;
        }
        match std::fs::remove_file(&entry.path) {
            Ok(()) => {}
            // Another server on the same folder was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        total = total.saturating_sub(entry.bytes);
        forgotten.entries += 1;
        forgotten.bytes = forgotten.bytes.saturating_add(entry.bytes);
    }
    Ok(forgotten)
}

/// The entries of the folder. Whatever else lies there is none of ours to remove.
fn entries(dir: &Path, served: &[String]) -> std::io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(component) = name
            .to_str()
            .and_then(|name| name.strip_suffix(".native")?.rsplit_once('-'))
            .map(|(component, _)| component.to_owned())
        else {
            continue;
        };
        // Not followed where it is a link.
        let found = match entry.metadata() {
            Ok(found) if found.is_file() => found,
            Ok(_) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        all.push(Entry {
            path,
            bytes: found.len(),
            used_at: found.modified()?,
            is_served: served.contains(&component),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cache::{Cache, Key};
    use super::super::compile::Part;
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Place {
        dir: tempfile::TempDir,
        cache: Cache,
        now: SystemTime,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(&dir.path().join("cache")).unwrap();
            Self {
                dir,
                cache,
                now: SystemTime::now(),
            }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("cache")
        }

        /// Keeps an entry that was last used so long ago.
        fn keep(&self, text: &str, unused: Duration) -> Key {
            let key = Key {
                component: Digest::of(text.as_bytes()),
                configuration: Digest::of(b"engine"),
                part: Part::Guest,
            };
            let before: Vec<_> = self.files();
            self.cache.keep(key, &[0; 100]).unwrap();
            let mut new = self.files();
            new.retain(|file| !before.contains(file));
            let file = File::open(&new[0]).unwrap();
            file.set_modified(self.now - unused).unwrap();
            key
        }

        fn files(&self) -> Vec<PathBuf> {
            let all = std::fs::read_dir(self.path()).unwrap();
            all.map(|entry| entry.unwrap().path()).collect()
        }

        fn has(&self, key: Key) -> bool {
            self.cache.find(key).unwrap().is_some()
        }
    }

    #[test]
    fn what_was_unused_for_long_is_forgotten_and_what_is_served_never() {
        let place = Place::new();
        let served = place.keep("served", 90 * DAY);
        let old = place.keep("old", CACHE_UNUSED_MAX);
        let fresh = place.keep("fresh", CACHE_UNUSED_MAX - DAY);
        let forgotten = prune(&place.path(), &[served.component], place.now).unwrap();
        assert_eq!(forgotten.entries, 1);
        assert!(place.has(served) && !place.has(old) && place.has(fresh));
        // Served today counts from today.
        let later = place.now + CACHE_UNUSED_MAX - DAY;
        prune(&place.path(), &[], later).unwrap();
        assert!(place.has(served) && !place.has(fresh));
        prune(&place.path(), &[], later + DAY).unwrap();
        assert!(!place.has(served));
    }

    #[test]
    fn beyond_its_size_the_longest_unused_goes_first() {
        let place = Place::new();
        let served = place.keep("served", 9 * DAY);
        let keys: Vec<_> = (1..=4)
            .map(|days| place.keep(&days.to_string(), days * DAY))
            .collect();
        let three = 3 * (100 + 40);
        let forgotten = prune_to(three, &place.path(), &[served.component], place.now).unwrap();
        assert_eq!(forgotten.entries, 2);
        let left: Vec<_> = keys.iter().map(|key| place.has(*key)).collect();
        assert_eq!(left, [true, true, false, false]);
        assert!(place.has(served));
    }

    #[test]
    fn what_is_no_entry_stays() {
        let place = Place::new();
        let outside = place.dir.path().join("outside");
        std::fs::write(&outside, "mine").unwrap();
        let link = place.path().join("link-1.native");
        std::os::unix::fs::symlink(&outside, link).unwrap();
        std::fs::write(place.path().join("notes.txt"), "").unwrap();
        let before = place.files().len();
        let later = place.now + 2 * CACHE_UNUSED_MAX;
        assert_eq!(
            prune_to(0, &place.path(), &[], later).unwrap(),
            Forgotten::default()
        );
        assert_eq!(place.files().len(), before, "the key of the MAC, too");
    }
}
