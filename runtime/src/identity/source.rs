//! The keys of one issuer, kept fresh.
//!
//! A set is read again when its time is up, when its file changes, or when a token names a key that it lacks; by one reader at a
//! time, and from the network no more often than [`JWKS_REFETCH_MIN`]. A broken answer never replaces a good set, and a good set
//! does not serve for ever. (A cache that only knows "present" and "expired" holds neither rule, so this is not one.)

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use url::Url;

use super::FetchKeys;
use super::discovery::discover;
use super::keys::{KeyError, KeySet};
use crate::clock::Timestamp;
use crate::config::{IssuerConfig, KeySource};
use crate::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MAX, JWKS_REFETCH_MIN, JWKS_STALE_MAX, JWKS_TTL};

/// One issuer: its configuration and its keys.
pub(super) struct IssuerKeys {
    pub(super) config: IssuerConfig,
    fetch: Arc<dyn FetchKeys>,
    state: ArcSwap<State>,
    /// When the file was last seen unchanged since its good set was read, in milliseconds since 1970.
    seen_at: AtomicI64,
    /// Held by the one reader; only it writes `state`.
    reading: Arc<Mutex<()>>,
}

/// A key set, and the number of sets that came before it.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) set: Arc<KeySet>,
    pub(super) epoch: u64,
}

#[derive(Clone)]
struct State {
    loaded: Option<Loaded>,
    /// When the set was read; stored together with it, so that no one sees a new set with an old age.
    good_at: Timestamp,
    tried_at: Option<Timestamp>,
    /// The file as it was when it was last read.
    stamp: Option<Stamp>,
    /// Why the last reading gave no set; nothing when it gave one.
    failure: Option<Arc<KeyError>>,
}

/// What changes when a file does: a file that is replaced has another inode, even within one tick of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// Whether the set must be read before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As good as a new one.
    Fresh,
    /// To be read now.
    Due,
    /// It should be read, but was tried just now; it serves as long as it is not too old.
    Tried,
}

impl IssuerKeys {
    /// An issuer whose keys were not read yet.
    pub(super) fn new(config: IssuerConfig, fetch: Arc<dyn FetchKeys>) -> Self {
        Self {
            config,
            fetch,
            state: ArcSwap::from_pointee(State {
                loaded: None,
                good_at: Timestamp(0),
                tried_at: None,
                stamp: None,
                failure: None,
            }),
            seen_at: AtomicI64::new(0),
            reading: Arc::default(),
        }
    }

    /// Whether there is a set with a key in it.
    pub(super) fn ready(&self) -> bool {
        let state = self.state.load();
        state
            .loaded
            .as_ref()
            .is_some_and(|loaded| !loaded.set.is_empty())
    }

    /// The set to judge a token by that names `key_id`.
    pub(super) async fn current(
        self: &Arc<Self>,
        key_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Loaded, Arc<KeyError>> {
        let mut standing = self.standing(key_id, now);
        if standing == Standing::Due {
            let reading = Arc::clone(&self.reading).lock_owned().await;
            // Whoever held the lock may have read what we came for.
            if self.standing(key_id, now) == Standing::Due {
                let keys = Arc::clone(self);
                // A task of its own: a caller who hangs up must not undo the reading that others wait for, nor spend its turn.
                let read = tokio::spawn(async move {
                    keys.read(now).await;
                    drop(reading);
                });
                if let Err(error) = read.await {
                    tracing::error!(issuer = %self.config.issuer, %error, "reading the keys broke off");
                }
            }
            standing = self.standing(key_id, now);
        }
        self.usable(standing, now)
    }

    fn usable(&self, standing: Standing, now: Timestamp) -> Result<Loaded, Arc<KeyError>> {
        let state = self.state.load();
        let Some(loaded) = &state.loaded else {
            return Err(state
                .failure
                .clone()
                .unwrap_or_else(|| Arc::new(KeyError::NotYet)));
        };
        let is_file = matches!(self.config.keys, KeySource::File(_));
        if standing == Standing::Fresh && is_file {
            // A file that has not changed is as good now as when it was read.
            self.seen_at.store(now.0, Ordering::SeqCst);
        }
        let seen_at = Timestamp(self.seen_at.load(Ordering::SeqCst));
        if now.since(state.good_at.max(seen_at)) < JWKS_STALE_MAX {
            return Ok(loaded.clone());
        }
        Err(Arc::new(KeyError::Stale {
            max: JWKS_STALE_MAX,
        }))
    }

    fn standing(&self, key_id: Option<&str>, now: Timestamp) -> Standing {
        let state = self.state.load();
        // A clock that was set back must neither keep an old set fresh nor put off the next reading.
        let within = |at: Timestamp, span: Duration| at <= now && now.since(at) < span;
        let tried = state
            .tried_at
            .is_some_and(|at| within(at, JWKS_REFETCH_MIN));
        match &self.config.keys {
            KeySource::File(path) => {
                // One `stat` of a local file costs less than the digest of the token; a queue for it would cost more.
                let stamp = Stamp::of(path);
                match (&state.failure, stamp.is_some() && stamp == state.stamp) {
                    (None, true) if state.loaded.is_some() => Standing::Fresh,
                    (_, true) if tried => Standing::Tried,
                    (_, false) if tried && stamp.is_none() => Standing::Tried,
                    _ => Standing::Due,
                }
            }
            KeySource::Url(_) | KeySource::Discovery => {
                let fresh = state.loaded.as_ref().is_some_and(|loaded| {
                    within(state.good_at, JWKS_TTL)
                        && key_id.is_none_or(|id| loaded.set.find(id).is_some())
                });
                match (fresh, tried) {
                    (true, _) => Standing::Fresh,
                    (false, true) => Standing::Tried,
                    (false, false) => Standing::Due,
                }
            }
        }
    }

    /// Reads the set once. Only the holder of `reading` calls this.
    async fn read(&self, now: Timestamp) {
        let before = self.state.load_full();
        // Taken before the bytes: a file that changes while it is read has another stamp afterwards, and is read again.
        let stamp = match &self.config.keys {
            KeySource::File(path) => Stamp::of(path),
            KeySource::Url(_) | KeySource::Discovery => None,
        };
        let read = tokio::time::timeout(JWKS_FETCH_MAX, self.bytes())
            .await
            .unwrap_or(Err(KeyError::Deadline {
                limit: JWKS_FETCH_MAX,
            }))
            .and_then(|bytes| KeySet::parse(&bytes, &self.config.algorithms));
        let mut after = State {
            tried_at: Some(now),
            stamp,
            ..before.as_ref().clone()
        };
        match read {
            Ok(set) => {
                after.good_at = now;
                after.failure = None;
                after.loaded = Some(self.successor(before.loaded.as_ref(), set));
            }
            Err(error) => {
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    issuer = %self.config.issuer,
                    error = cause,
                    "the issuer's keys could not be read; the last good set stays"
                );
                after.failure = Some(Arc::new(error));
            }
        }
        self.state.store(Arc::new(after));
    }

    /// The set that stands now: the one before when nothing changed, else the next epoch.
    fn successor(&self, before: Option<&Loaded>, set: KeySet) -> Loaded {
        match before {
            Some(before) if before.set.digest() == set.digest() => before.clone(),
            _ => {
                self.announce(&set);
                Loaded {
                    set: Arc::new(set),
                    epoch: before.map_or(0, |before| before.epoch + 1),
                }
            }
        }
    }

    fn announce(&self, set: &KeySet) {
        let issuer = &self.config.issuer;
        for (key, skip) in set.skipped() {
            if skip.is_alarm() {
                tracing::error!(%issuer, %key, reason = %skip, "the issuer publishes a secret key; it is not used");
            } else {
                tracing::info!(%issuer, %key, reason = %skip, "a key of the issuer is not used");
            }
        }
        if set.is_empty() {
            tracing::error!(%issuer, "the issuer's key set has no usable key; all its tokens are refused");
        } else {
            tracing::info!(%issuer, keys = set.len(), "the issuer's keys were read");
        }
    }

    async fn bytes(&self) -> Result<Bytes, KeyError> {
        match &self.config.keys {
            KeySource::File(path) => read_file(path).await,
            KeySource::Url(url) => fetch(self.fetch.as_ref(), url).await,
            KeySource::Discovery => {
                let metadata = discover(&self.config.issuer, self.fetch.as_ref()).await?;
                fetch(self.fetch.as_ref(), &metadata.jwks_uri).await
            }
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            inode,
        })
    }
}

/// Fetches a document of at most [`JWKS_BYTES_MAX`], whoever carries it.
pub(super) async fn fetch(from: &dyn FetchKeys, url: &Url) -> Result<Bytes, KeyError> {
    let bytes = from.get(url).await.map_err(|source| KeyError::Fetch {
        url: url.to_string(),
        source,
    })?;
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(KeyError::TooLarge {
            max: JWKS_BYTES_MAX,
        });
    }
    Ok(bytes)
}

async fn read_file(path: &Path) -> Result<Bytes, KeyError> {
    let failed = |source| KeyError::File {
        file: path.display().to_string(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let limit = u64::try_from(JWKS_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
