//! Keys in a file of the operator: one version a line, `VERSION BASE64`, the highest is the one to encrypt with.
//!
//! The file is read anew each time and kept nowhere. A version is known by a fingerprint as well, so that another key under its
//! number is told from a row that was changed.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::cipher::{Bound, KEY_BYTES, Key};
use super::provider::{KeyProvider, ProviderError};
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::private_file::{self, PrivateFileError};
use crate::store::StoreError;
use crate::store::seals::WrappedKey;

/// What the names of its keys begin with: `file:VERSION:FINGERPRINT`.
const KIND: &str = "file";
/// Letters of a key in base64, with its padding.
const KEY_LETTERS: usize = 44;
/// What a new file begins with.
const HEADER: &str = "# Keys of Bailiwick: VERSION BASE64, the highest version is used for what is new. Never remove a version that is in use:\n\
                      # `bailiwick keys rewrap` says which are not. Keep a copy elsewhere.\n";

/// A key file.
pub(super) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    async fn read(&self) -> Result<Versions, ProviderError> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || Versions::read(&path))
            .await
            .unwrap_or(Err(ProviderError::GivenUp))
    }
}

#[async_trait]
impl KeyProvider for KeyFile {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn newest(&self) -> Result<String, ProviderError> {
        let versions = self.read().await?;
        let (version, key) = versions.newest(&self.path)?;
        Ok(name(version, key))
    }

    async fn known(&self) -> Result<Vec<String>, ProviderError> {
        let versions = self.read().await?;
        let all = versions.0.iter();
        Ok(all.map(|(version, key)| name(*version, key)).collect())
    }

    async fn wrap(&self, key: &Key, bound: &Bound) -> Result<WrappedKey, ProviderError> {
        let versions = self.read().await?;
        let (version, own) = versions.newest(&self.path)?;
        Ok(WrappedKey {
            provider_key: name(version, own),
            bytes: own.seal(key.expose(), bound)?,
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, bound: &Bound) -> Result<Key, ProviderError> {
        let wanted = &wrapped.provider_key;
        let parts = wanted.strip_prefix(KIND).and_then(|rest| {
            let (version, fingerprint) = rest.strip_prefix(':')?.split_once(':')?;
            Some((version.parse::<u32>().ok()?, fingerprint))
        });
        let Some((version, fingerprint)) = parts else {
            return Err(ProviderError::OtherProvider {
                wanted: wanted.clone(),
            });
        };
        let versions = self.read().await?;
        let own = versions.0.get(&version);
        let own = own.ok_or_else(|| ProviderError::NoVersion {
            path: self.path.clone(),
            version,
            fingerprint: fingerprint.to_owned(),
        })?;
        let found = fingerprint_of(own);
        if found != fingerprint {
            return Err(ProviderError::OtherKey {
                path: self.path.clone(),
                version,
                fingerprint: fingerprint.to_owned(),
                found,
            });
        }
        let opened = own.open(&wrapped.bytes, bound).ok();
        let key = opened.and_then(|bytes| Key::of(&bytes));
        key.ok_or_else(|| ProviderError::DoesNotOpen {
            wanted: wanted.clone(),
        })
    }
}

fn name(version: u32, key: &Key) -> String {
    format!("{KIND}:{version}:{}", fingerprint_of(key))
}

/// Says which key it is and nothing of it.
fn fingerprint_of(key: &Key) -> String {
    let mark = key.mark(b"", &Bound::to("fingerprint"));
    let (short, _) = mark.split_at(8);
    hex::encode(short)
}

struct Versions(BTreeMap<u32, Key>);

impl Versions {
    fn read(path: &Path) -> Result<Self, ProviderError> {
        let bytes = private_file::read(path, KEY_FILE_BYTES_MAX);
        let bytes = bytes.map_err(|source| ProviderError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ProviderError> {
        let mut all = BTreeMap::new();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let wrong = || ProviderError::Line {
                path: path.to_owned(),
                line: at + 1,
            };
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (version, key) = version_line(line).ok_or_else(wrong)?;
            if all.insert(version, key).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self(all))
    }

    fn newest(&self, path: &Path) -> Result<(u32, &Key), ProviderError> {
        let last = self.0.last_key_value();
        let (version, key) = last.ok_or_else(|| ProviderError::Empty {
            path: path.to_owned(),
        })?;
        Ok((*version, key))
    }
}

/// `VERSION BASE64`, in the one spelling that we write.
fn version_line(line: &[u8]) -> Option<(u32, Key)> {
    let mut words = line.split(|byte| *byte == b' ');
    let (number, letters, None) = (words.next()?, words.next()?, words.next()) else {
        return None;
    };
    if !number.iter().all(u8::is_ascii_digit) || number.starts_with(b"0") {
        return None;
    }
    let version = std::str::from_utf8(number).ok()?.parse().ok()?;
    if letters.len() != KEY_LETTERS {
        return None;
    }
    // Room for what 44 letters without padding would be.
    let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
    let length = STANDARD.decode_slice(letters, bytes.as_mut_slice()).ok()?;
    Key::of(bytes.get(..length)?).map(|key| (version, key))
}

/// A version that was added to a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// Its number.
    pub version: u32,
    /// Which key it is, for comparison.
    pub fingerprint: String,
    /// Whether the file was made for it.
    pub made: bool,
}

/// A version cannot be added to a key file. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NewVersionError {
    /// The file cannot be used as it is.
    #[error(transparent)]
    File(#[from] ProviderError),
    /// The file cannot be written.
    #[error("`{}` cannot be written", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else is at it.
    #[error(
        "`{}` is there already: another `keys new` is at work, or was broken off; remove it if none is", path.display()
    )]
    Busy {
        /// What is there.
        path: PathBuf,
    },
    /// No more versions have room.
    #[error(
        "the key file is full; remove versions that are not in use, as `bailiwick keys rewrap` tells them"
    )]
    Full,
}

/// Makes a key file with one version, readable by its owner alone, or adds the next version to one.
pub fn add_version(path: &Path) -> Result<NewVersion, NewVersionError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = |source| NewVersionError::Write {
        path: beside.clone(),
        source,
    };
    // One at a time: it is there from before the old file is read until it takes its place.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default(),
    );
    let mut file = options.open(&beside).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            return NewVersionError::Busy {
                path: beside.clone(),
            };
        }
        write(source)
    })?;
    let added = extended(path).and_then(|(text, added)| {
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(write)?;
        // The new name is there after a loss of power as well.
        let folder = path.parent().filter(|one| !one.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(write)?;
        Ok(added)
    });
    if added.is_err() {
        // It may have taken its place already.
        let _ = std::fs::remove_file(&beside);
    }
    added
}

/// What the file holds with a version more.
fn extended(path: &Path) -> Result<(Zeroizing<Vec<u8>>, NewVersion), NewVersionError> {
    let missing = |error: &PrivateFileError| match error {
        PrivateFileError::Open(source) => source.kind() == std::io::ErrorKind::NotFound,
        PrivateFileError::NotAFile
        | PrivateFileError::Owner
        | PrivateFileError::Mode
        | PrivateFileError::TooLarge(_) => false,
    };
    let (before, made) = match private_file::read(path, KEY_FILE_BYTES_MAX) {
        Ok(bytes) => (bytes, false),
        Err(error) if missing(&error) => (Zeroizing::new(HEADER.as_bytes().to_vec()), true),
        Err(source) => {
            let path = path.to_owned();
            return Err(ProviderError::File { path, source }.into());
        }
    };
    let versions = Versions::parse(path, &before)?;
    let last = versions.0.last_key_value().map_or(0, |(last, _)| *last);
    let version = last.checked_add(1).ok_or(NewVersionError::Full)?;
    let key = Key::random().map_err(ProviderError::Store)?;
    let mut letters = Zeroizing::new([0; KEY_LETTERS]);
    STANDARD
        .encode_slice(key.expose(), letters.as_mut_slice())
        .map_err(|_| ProviderError::Store(StoreError::Random))?;
    let number = format!("{version} ");
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX + 1));
    text.extend_from_slice(&before);
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(number.as_bytes());
    text.extend_from_slice(letters.as_slice());
    text.push(b'\n');
    if text.len() > KEY_FILE_BYTES_MAX {
        return Err(NewVersionError::Full);
    }
    let added = NewVersion {
        version,
        fingerprint: fingerprint_of(&key),
        made,
    };
    Ok((text, added))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bound() -> Bound {
        Bound::to("tenant key").and(b"acme")
    }

    #[tokio::test]
    async fn a_file_that_was_made_wraps_under_its_newest_version_and_opens_under_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let first = add_version(&path).unwrap();
        assert_eq!((first.version, first.made), (1, true));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let file = KeyFile::new(&path);
        let key = Key::random().unwrap();
        let old = file.wrap(&key, &bound()).await.unwrap();
        assert_eq!(old.provider_key, format!("file:1:{}", first.fingerprint));
        let second = add_version(&path).unwrap();
        assert_eq!((second.version, second.made), (2, false));
        assert_ne!(first.fingerprint, second.fingerprint);
        let new = file.wrap(&key, &bound()).await.unwrap();
        assert_eq!(new.provider_key, file.newest().await.unwrap());
        assert_eq!(
            file.known().await.unwrap(),
            [old.provider_key.clone(), new.provider_key.clone()]
        );
        for wrapped in [&old, &new] {
            let opened = file.unwrap(wrapped, &bound()).await.unwrap();
            assert_eq!(opened.expose(), key.expose());
        }
        assert!(!dir.path().join("keys.new").exists());
    }

    #[tokio::test]
    async fn a_lost_another_or_an_older_file_says_which_key_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        add_version(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let second = add_version(&path).unwrap();
        let file = KeyFile::new(&path);
        let wrapped = file.wrap(&Key::random().unwrap(), &bound()).await.unwrap();
        let refused = async || match file.unwrap(&wrapped, &bound()).await {
            Ok(_) => panic!("it opens"),
            Err(error) => error,
        };
        // Another place, or another text.
        let moved = Bound::to("tenant key").and(b"other");
        assert!(matches!(
            file.unwrap(&wrapped, &moved).await,
            Err(ProviderError::DoesNotOpen { .. })
        ));
        // Downgraded.
        std::fs::write(&path, &before).unwrap();
        let error = refused().await;
        assert!(matches!(error, ProviderError::NoVersion { version: 2, .. }));
        assert!(error.to_string().contains(&second.fingerprint));
        // Another key as version 2.
        add_version(&path).unwrap();
        let error = refused().await;
        assert!(matches!(error, ProviderError::OtherKey { version: 2, .. }));
        // Empty, lost, open to others.
        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(refused().await, ProviderError::NoVersion { .. }));
        assert!(matches!(
            file.newest().await,
            Err(ProviderError::Empty { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(refused().await, ProviderError::File { .. }));
        std::fs::write(&path, &before).unwrap();
        assert!(matches!(
            refused().await,
            ProviderError::File {
                source: PrivateFileError::Mode,
                ..
            }
        ));
        assert!(!refused().await.is_passing());
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_with_its_line_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let key = STANDARD.encode([7; KEY_BYTES]);
        let short = STANDARD.encode([7; KEY_BYTES - 1]);
        let long = STANDARD.encode([7; KEY_BYTES + 1]);
        for (text, line) in [
            (format!("1 {key}\n1 {key}\n"), 2),
            (format!("# a\n\n0 {key}\n"), 3),
            (format!("01 {key}\n"), 1),
            (format!("+1 {key}\n"), 1),
            (format!("-1 {key}\n"), 1),
            (format!("4294967296 {key}\n"), 1),
            (format!("1  {key}\n"), 1),
            (format!("1 {key} 2\n"), 1),
            (format!("{key}\n"), 1),
            (format!("1 {short}\n"), 1),
            (format!("1 {long}\n"), 1),
            (format!("1 {}\n", key.replace('=', "A")), 1),
            (format!("1 {}\n", hex::encode([7; 22])), 1),
        ] {
            std::fs::write(&path, &text).unwrap();
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private).unwrap();
            let error = Versions::read(&path).err().unwrap();
            let ProviderError::Line { line: found, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(*found, line, "{text}");
            assert!(!error.to_string().contains(&key));
            assert!(add_version(&path).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert!(!dir.path().join("keys.new").exists());
        }
        let good = format!("# a\n\r\n 7 {key}\r\n2 {key}");
        let versions = Versions::parse(&path, good.as_bytes()).unwrap();
        assert_eq!(versions.newest(&path).unwrap().0, 7);
    }

    #[test]
    fn one_version_is_added_at_a_time_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(dir.path().join("keys.new"), "").unwrap();
        assert!(matches!(
            add_version(&path),
            Err(NewVersionError::Busy { .. })
        ));
        assert!(dir.path().join("keys.new").exists() && !path.exists());
        std::fs::remove_file(dir.path().join("keys.new")).unwrap();
        let target = dir.path().join("target");
        add_version(&target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(
            add_version(&path),
            Err(NewVersionError::File(ProviderError::File {
                source: PrivateFileError::NotAFile,
                ..
            }))
        ));
    }
}
