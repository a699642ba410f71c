//! Native code of admitted packages, kept between runs.
//!
//! Native code is loaded without any check of its own, so only what this very installation wrote is loaded: the folder
//! is ours alone, and each entry ends with a MAC over its code and what that was made from. Code is mapped from its
//! entry, not copied, so that a tool that nobody calls costs next to no memory of its own.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::{constant_time, hmac};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compile::Part;
use crate::ids::Digest;
use crate::limits::COMPILE_OUTPUT_BYTES_MAX;

/// What stands behind the code and before the MAC. Code comes first, since it is mapped from the start of its file.
const MAGIC: &[u8; 8] = b"bwnative";
/// Length of the MAC: HMAC-SHA256.
const MAC_BYTES: usize = 32;
/// What the MAC is for, so that the key serves nothing else.
const PURPOSE: &[u8] = b"bailiwick native code 3 ";
/// How much of an entry is read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Name of the key file in the folder.
const KEY_FILE: &str = "mac.key";
/// Length of the key.
const KEY_BYTES: usize = 32;

/// What native code belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the package file.
    pub component: Digest,
    /// The engine's configuration.
    pub configuration: Digest,
    /// Which of the codes that are made of a package.
    pub part: Part,
}

/// Why the cache cannot be used, or an entry of it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder or a file in it cannot be used.
    #[error("the cache `{}` cannot be used; look at its space and permissions", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Others can reach the folder or the key.
    #[error("`{}` must be ours alone: {what}; remove it, and it is made again", .path.display())]
    Exposed { path: PathBuf, what: &'static str },
    /// The entry was not written by us, or not for this.
    #[error("the cache entry `{}` {what}", .path.display())]
    Entry { path: PathBuf, what: &'static str },
}

/// Native code that we compiled, as the MAC of its entry shows: the open file.
pub struct Native(File);

impl AsFd for Native {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Native {
    /// Makes a component of it, mapped from the file.
    pub fn load(&self, engine: &Engine) -> Result<Component, wasmtime::Error> {
        // The very file that was checked, whatever stands at its path by now.
        let itself = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // SAFETY: `Component::deserialize_file` asks that the file comes from `Engine::precompile_component` and never
        // changes. A `Native` is made in one place, `Cache::find`, from an entry whose MAC was right. We write an entry
        // under another name, once, and then only ever replace or unlink it, which leaves a mapped file as it is; and
        // nobody else can write to the folder, which is checked to be ours alone, as its key is. Behind the code stand
        // the magic and the MAC, which no section of the code reaches. The engine itself refuses code of another version
        // or configuration.
        #[allow(unsafe_code, reason = "there is no other way to load native code")]
        unsafe {
            Component::deserialize_file(engine, itself)
        }
    }
}

/// The folder and its key.
pub struct Cache {
    dir: PathBuf,
    key: hmac::Key,
}

impl Cache {
    /// Opens or makes the folder, and the key in it.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io {
            path: dir.to_owned(),
            source,
        };
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io(error));
            }
            Ok(()) | Err(_) => {}
        }
        private(dir, true)?;
        Ok(Self {
            key: key(dir)?,
            dir: dir.to_owned(),
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The code for this key; none when there is no entry, an error when there is one that is not ours.
    pub fn find(&self, key: Key) -> Result<Option<Native>, CacheError> {
        let path = self.path(key);
        let io = |source| CacheError::Io {
            path: path.clone(),
            source,
        };
        let refuse = |what| CacheError::Entry {
            path: path.clone(),
            what,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let tail = (MAGIC.len() + MAC_BYTES) as u64;
        let code = match file.metadata().map_err(io)?.len().checked_sub(tail) {
            Some(code) if code <= COMPILE_OUTPUT_BYTES_MAX => code,
            Some(_) => return Err(refuse("is too large")),
            None => return Err(refuse("is cut off")),
        };
        let expected = self.mac_of(key, &mut (&mut file).take(code)).map_err(io)?;
        let (mut magic, mut mac) = ([0; MAGIC.len()], [0; MAC_BYTES]);
        file.read_exact(&mut magic).map_err(io)?;
        file.read_exact(&mut mac).map_err(io)?;
        if magic != *MAGIC {
            return Err(refuse("is none of ours"));
        }
        constant_time::verify_slices_are_equal(expected.as_ref(), &mac)
            .map_err(|_| refuse("was changed, or belongs to something else"))?;
        Ok(Some(Native(file)))
    }

    /// Keeps code that was just compiled for this key, and gives it as it is kept.
    pub fn keep(&self, key: Key, code: &[u8]) -> Result<Native, CacheError> {
        let path = self.path(key);
        let io = |source| CacheError::Io {
            path: path.clone(),
            source,
        };
        let mac = self.mac_of(key, &mut &*code).map_err(io)?;
        let mut file = tempfile::Builder::new()
            .permissions(PermissionsExt::from_mode(0o600))
            .tempfile_in(&self.dir)
            .map_err(io)?;
        file.write_all(code).map_err(io)?;
        file.write_all(MAGIC).map_err(io)?;
        file.write_all(mac.as_ref()).map_err(io)?;
        file.persist(&path).map_err(|error| io(error.error))?;
        self.find(key)?.ok_or(CacheError::Entry {
            path,
            what: "was removed while it was made",
        })
    }

    fn mac_of(&self, key: Key, code: &mut dyn Read) -> std::io::Result<hmac::Tag> {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(PURPOSE);
        mac.update(key.part.name().as_bytes());
        mac.update(key.component.as_bytes());
        mac.update(key.configuration.as_bytes());
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = code.read(&mut chunk)?;
            let Some(some) = chunk.get(..read).filter(|some| !some.is_empty()) else {
                return Ok(mac.sign());
            };
            mac.update(some);
        }
    }

    fn path(&self, key: Key) -> PathBuf {
        self.dir.join(format!(
            "{}-{}_{}.native",
            key.component,
            key.configuration.short(),
            key.part.name()
        ))
    }
}

/// The key of this folder, made when there is none.
fn key(dir: &Path) -> Result<hmac::Key, CacheError> {
    let path = dir.join(KEY_FILE);
    let io = |source| CacheError::Io {
        path: path.clone(),
        source,
    };
    if !path.exists() {
        let mut fresh = zeroize::Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *fresh)
            .map_err(|_| io(std::io::Error::other("no random bytes")))?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
        file.write_all(&*fresh).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        match file.persist_noclobber(&path) {
            // Another process was first: its key is the key.
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error.error)),
            Ok(_) => {}
        }
    }
    private(&path, false)?;
    let bytes = zeroize::Zeroizing::new(std::fs::read(&path).map_err(io)?);
    if bytes.len() != KEY_BYTES {
        return Err(CacheError::Exposed {
            path,
            what: "it does not hold a key",
        });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Whether a path is a folder or file, no link, of our own user, with no right for anyone else.
fn private(path: &Path, folder: bool) -> Result<(), CacheError> {
    let io = |source| CacheError::Io {
        path: path.to_owned(),
        source,
    };
    let refuse = |what| {
        Err(CacheError::Exposed {
            path: path.to_owned(),
            what,
        })
    };
    let found = std::fs::symlink_metadata(path).map_err(io)?;
    if folder && !found.is_dir() {
        return refuse("it is no folder");
    }
    if !folder && !found.is_file() {
        return refuse("it is no plain file");
    }
    if found.permissions().mode() & 0o077 != 0 {
        return refuse("its mode lets other users in");
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::engine;

    #[expect(clippy::disallowed_methods, reason = "a component of a test")]
    fn native() -> (Vec<u8>, Key) {
        let component = wat::parse_str("(component)").unwrap();
        let code = crate::engine::WasmEngine::for_compiler()
            .unwrap()
            .precompile_component(&component)
            .unwrap();
        let configuration = engine().configuration_digest();
        (
            code,
            Key {
                component: Digest::of(&component),
                configuration,
                part: Part::Guest,
            },
        )
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("cache");
        (parent, dir)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_found_also_by_the_next_process() {
        let (_parent, dir) = folder();
        let (code, key) = native();
        let cache = Cache::open(&dir).unwrap();
        assert!(cache.find(key).unwrap().is_none());
        cache
            .keep(key, &code)
            .unwrap()
            .load(engine().engine())
            .unwrap();
        let again = Cache::open(&dir).unwrap();
        again
            .find(key)
            .unwrap()
            .unwrap()
            .load(engine().engine())
            .unwrap();
    }

    #[test]
    fn the_folder_and_the_key_are_ours_alone() {
        let (_parent, dir) = folder();
        Cache::open(&dir).unwrap();
        assert_eq!((mode(&dir), mode(&dir.join(KEY_FILE))), (0o700, 0o600));
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o750)).unwrap();
        assert!(matches!(Cache::open(&dir), Err(CacheError::Exposed { .. })));
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::set_permissions(dir.join(KEY_FILE), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(Cache::open(&dir), Err(CacheError::Exposed { .. })));
    }

    #[test]
    fn a_link_is_no_folder() {
        let (parent, dir) = folder();
        std::fs::create_dir(parent.path().join("real")).unwrap();
        std::os::unix::fs::symlink(parent.path().join("real"), &dir).unwrap();
        assert!(matches!(Cache::open(&dir), Err(CacheError::Exposed { .. })));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (_parent, dir) = folder();
        let (code, key) = native();
        let cache = Cache::open(&dir).unwrap();
        cache.keep(key, &code).unwrap();
        let path = cache.path(key);
        let whole = std::fs::read(&path).unwrap();
        for at in [
            0,
            whole.len() / 2,
            whole.len() - MAC_BYTES - MAGIC.len(),
            whole.len() - MAC_BYTES,
            whole.len() - 1,
        ] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(
                matches!(cache.find(key), Err(CacheError::Entry { .. })),
                "{at}"
            );
        }
        for cut in [0, 5, MAGIC.len() + MAC_BYTES, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(
                matches!(cache.find(key), Err(CacheError::Entry { .. })),
                "{cut}"
            );
        }
        std::fs::write(&path, whole).unwrap();
        assert!(cache.find(key).unwrap().is_some());
    }

    #[test]
    fn an_entry_serves_only_what_it_was_made_for() {
        let (_parent, dir) = folder();
        let (code, key) = native();
        let cache = Cache::open(&dir).unwrap();
        cache.keep(key, &code).unwrap();
        let other = Key {
            component: Digest::of(b"another"),
            ..key
        };
        std::fs::copy(cache.path(key), cache.path(other)).unwrap();
        assert!(matches!(cache.find(other), Err(CacheError::Entry { .. })));
        let newer = Key {
            configuration: Digest::of(b"newer"),
            ..key
        };
        std::fs::copy(cache.path(key), cache.path(newer)).unwrap();
        assert!(matches!(cache.find(newer), Err(CacheError::Entry { .. })));
    }

    #[test]
    fn an_entry_of_another_installation_is_refused() {
        let ((_a, ours), (_b, theirs)) = (folder(), folder());
        let (code, key) = native();
        let (ours, theirs) = (Cache::open(&ours).unwrap(), Cache::open(&theirs).unwrap());
        theirs.keep(key, &code).unwrap();
        std::fs::copy(theirs.path(key), ours.path(key)).unwrap();
        assert!(matches!(ours.find(key), Err(CacheError::Entry { .. })));
    }
}
