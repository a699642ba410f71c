//! `wasi:keyvalue` for a guest: values in the stores of its grant, for as long as the consent lives.
//!
//! Scope, limit, act, record. A guest cannot tell a store or a key that it was not granted from one that is not there. The meter
//! learns the operator's name of the store and sizes, never a key or a byte of a value.

mod key;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use key::{decoded, encoded, is_key};
use stores::Part;
pub use stores::{Bucket, Stores};

use super::meter::Meter;
use crate::capability::{Access, Kv};
use crate::clock::SharedClock;
use crate::ids::StoreName;
use crate::limits::{
    KV_BATCH_BYTES_MAX, KV_BATCH_MAX, KV_KEY_BYTES_MAX, KV_PAGE_KEYS_MAX, KV_VALUE_BYTES_MAX,
};
use crate::problem::caused;
use crate::revocation::Live;
use crate::sandbox::Effect;
use crate::store::kv::{self, Swapped, Version, Writing};

/// Why a guest does not get what it wants. The texts are for its author, and name nothing that a guest gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Not granted, not bound, or not any more: all the same.
    #[error("there is no grant for this")]
    Denied,
    /// A key cannot be one.
    #[error("a key is 1 to {KV_KEY_BYTES_MAX} bytes without control characters")]
    Key,
    /// A value is too large.
    #[error("a value has at most {KV_VALUE_BYTES_MAX} bytes")]
    Value,
    /// A batch is too large.
    #[error("a batch has at most {KV_BATCH_MAX} keys and reads at most {KV_BATCH_BYTES_MAX} bytes")]
    Batch,
    /// The cursor is none of ours.
    #[error("the cursor is not one that a list gave")]
    Cursor,
    /// The call has done all that it may.
    #[error("this call has used up the operations or bytes that it may")]
    UsedUp,
    /// The store holds all that it may.
    #[error("the store is full; delete something first")]
    Full,
    /// There is no number to add to.
    #[error("the value is not a number of 64 bits in decimal text, or the sum would not be")]
    Number,
    /// Our own fault; the reason is in the log.
    #[error("the store cannot be used now")]
    Unavailable,
}

/// What a refusal is recorded as that concerns no store which the call has.
const NAMELESS: &str = "kv (refused)";

/// What a key held at one moment.
pub struct Cas {
    bucket: Bucket,
    key: String,
    seen: Option<Version>,
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
}

/// What one call does in stores, under its grant. Its budgets are the call's, however many stores it opens.
pub struct Session {
    scopes: Vec<(Kv, Live)>,
    parts: BTreeMap<StoreName, Bucket>,
    meter: Meter,
    clock: SharedClock,
    operations_left: u32,
    out_left: u64,
    in_left: u64,
}

/// One admitted operation.
struct Step {
    live: Live,
    effect: String,
}

impl Session {
    /// Opens a store.
    pub fn open(&mut self, name: &str) -> Result<Bucket, KvError> {
        self.charge(1, 0)?;
        let granted = self.scopes.iter();
        let mut granted =
            granted.filter(|(scope, live)| scope.store.as_str() == name && !live.is_revoked());
        let found = granted
            .next()
            .and_then(|(scope, _)| self.parts.get(&scope.store));
        match found {
            Some(bucket) => Ok(bucket.clone()),
            // A name that a guest made up gets into no record.
            None => Err(self.refuse(NAMELESS.to_owned(), KvError::Denied)),
        }
    }

    /// The value under a key.
    pub async fn get(&mut self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let values = self.read(bucket, &[key], self.in_left).await?;
        Ok(values.into_iter().next().flatten())
    }

    /// The values under these keys, at one moment.
    pub async fn get_many(
        &mut self,
        bucket: &Bucket,
        keys: &[&str],
    ) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        self.read(bucket, keys, KV_BATCH_BYTES_MAX).await
    }

    async fn read(
        &mut self,
        bucket: &Bucket,
        keys: &[&str],
        bytes_max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        let step = self.begin(bucket, Access::Read, keys, 0)?;
        let most = bytes_max.min(self.in_left);
        let part = &bucket.0;
        let act = part.values.get(&part.space, keys, most, self.clock.now());
        let values = self.act(&step, act).await?;
        let bytes = values.iter().flatten().map(Vec::len).sum();
        self.received(step.effect, bytes);
        Ok(values)
    }

    /// Whether there is a value under a key.
    pub async fn exists(&mut self, bucket: &Bucket, key: &str) -> Result<bool, KvError> {
        let step = self.begin(bucket, Access::Read, &[key], 0)?;
        let part = &bucket.0;
        let act = part.values.version(&part.space, key, self.clock.now());
        Ok(self.act(&step, act).await?.is_some())
    }

    /// The keys that are granted, page by page.
    pub async fn list(&mut self, bucket: &Bucket, cursor: Option<&str>) -> Result<Page, KvError> {
        self.charge(1, 0)?;
        let part = Arc::clone(&bucket.0);
        let scopes = self.readable(&part.space.store);
        if scopes.is_empty() {
            return Err(self.refuse(NAMELESS.to_owned(), KvError::Denied));
        }
        let effect = effect(Access::Read, &part.space.store);
        self.meter.note(effect.clone(), once());
        let after = match cursor {
            Some(cursor) => {
                decoded(cursor).ok_or_else(|| self.refuse(effect.clone(), KvError::Cursor))?
            }
            None => String::new(),
        };
        let mut keys = Vec::new();
        for (prefix, live) in scopes {
            // One more than fits says whether there is another page.
            let max = (KV_PAGE_KEYS_MAX + 1).saturating_sub(keys.len());
            let step = Step {
                live,
                effect: effect.clone(),
            };
            let now = self.clock.now();
            let act = part.values.keys(&part.space, &prefix, &after, max, now);
            keys.extend(self.act(&step, act).await?);
            if keys.len() > KV_PAGE_KEYS_MAX {
                break;
            }
        }
        let more = keys.len() > KV_PAGE_KEYS_MAX;
        keys.truncate(KV_PAGE_KEYS_MAX);
        let cursor = keys.last().filter(|_| more).map(|last| encoded(last));
        let bytes: usize = keys.iter().map(String::len).sum();
        if u64::try_from(bytes).is_ok_and(|bytes| bytes > self.in_left) {
            return Err(self.refused(&effect, KvError::UsedUp));
        }
        self.received(effect, bytes);
        Ok(Page { keys, cursor })
    }

    /// Puts a value under a key.
    pub async fn set(&mut self, bucket: &Bucket, key: &str, value: &[u8]) -> Result<(), KvError> {
        self.set_many(bucket, &[(key, value)]).await
    }

    /// Puts each value under its key, or none of them.
    pub async fn set_many(
        &mut self,
        bucket: &Bucket,
        pairs: &[(&str, &[u8])],
    ) -> Result<(), KvError> {
        let keys: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
        let bytes = pairs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let values = pairs.iter().map(|(_, value)| value.len());
        let step = self.begin_write(bucket, &keys, values, bytes)?;
        let part = &bucket.0;
        let writing = self.writing(part);
        let act = part.values.set(&part.space, pairs, &writing);
        self.act(&step, act).await?;
        self.sent(step.effect, bytes);
        Ok(())
    }

    /// Removes these keys.
    pub async fn delete(&mut self, bucket: &Bucket, keys: &[&str]) -> Result<(), KvError> {
        let step = self.begin(bucket, Access::Write, keys, 0)?;
        let part = &bucket.0;
        let act = part.values.delete(&part.space, keys, self.clock.sure());
        self.act(&step, act).await
    }

    /// Remembers what a key holds.
    pub async fn cas(&mut self, bucket: &Bucket, key: &str) -> Result<Cas, KvError> {
        let step = self.begin(bucket, Access::Write, &[key], 0)?;
        let part = &bucket.0;
        let act = part.values.version(&part.space, key, self.clock.now());
        Ok(Cas {
            seen: self.act(&step, act).await?,
            bucket: bucket.clone(),
            key: key.to_owned(),
        })
    }

    /// The value under the key of a handle.
    pub async fn current(&mut self, cas: &Cas) -> Result<Option<Vec<u8>>, KvError> {
        self.get(&cas.bucket, &cas.key).await
    }

    /// Puts a value under the key of a handle, unless it was written since; then there is another handle.
    pub async fn swap(&mut self, cas: &Cas, value: &[u8]) -> Result<Option<Cas>, KvError> {
        let (bucket, key) = (&cas.bucket, cas.key.as_str());
        let bytes = key.len() + value.len();
        let step = self.begin_write(bucket, &[key], [value.len()], bytes)?;
        let part = &bucket.0;
        let writing = self.writing(part);
        let act = part
            .values
            .swap(&part.space, key, cas.seen, value, &writing);
        match self.act(&step, act).await? {
            Swapped::Done => {
                self.sent(step.effect, bytes);
                Ok(None)
            }
            Swapped::Changed(seen) => Ok(Some(Cas {
                bucket: bucket.clone(),
                key: key.to_owned(),
                seen,
            })),
        }
    }

    /// Adds to the number under a key.
    pub async fn increment(
        &mut self,
        bucket: &Bucket,
        key: &str,
        delta: i64,
    ) -> Result<i64, KvError> {
        let bytes = key.len() + delta.to_string().len();
        let step = self.begin_write(bucket, &[key], [0], bytes)?;
        let part = &bucket.0;
        let writing = self.writing(part);
        let act = part.values.increment(&part.space, key, delta, &writing);
        let sum = self.act(&step, act).await?;
        self.sent(step.effect, bytes);
        Ok(sum)
    }

    /// Scope and limit of what writes.
    fn begin_write(
        &mut self,
        bucket: &Bucket,
        keys: &[&str],
        values: impl IntoIterator<Item = usize>,
        bytes: usize,
    ) -> Result<Step, KvError> {
        let step = self.begin(bucket, Access::Write, keys, bytes)?;
        if values.into_iter().any(|bytes| bytes > KV_VALUE_BYTES_MAX) {
            return Err(self.refuse(step.effect, KvError::Value));
        }
        Ok(step)
    }

    /// Scope and limit: one grant covers all of these keys, and the call has enough left. It counts before it is done.
    fn begin(
        &mut self,
        bucket: &Bucket,
        access: Access,
        keys: &[&str],
        bytes_out: usize,
    ) -> Result<Step, KvError> {
        // What is refused costs as much as anything else, so it counts as well.
        self.charge(keys.len(), bytes_out)?;
        let store = &bucket.0.space.store;
        let effect = effect(access, store);
        let covers = |scope: &Kv| {
            scope.store == *store
                && scope.access >= access
                && keys.iter().all(|key| scope.prefix.contains(key))
        };
        let mut granted = self.scopes.iter();
        let granted = granted.find(|(scope, live)| covers(scope) && !live.is_revoked());
        let Some((_, live)) = granted else {
            return Err(self.refuse(effect, KvError::Denied));
        };
        let live = live.clone();
        if keys.len() > KV_BATCH_MAX {
            return Err(self.refuse(effect, KvError::Batch));
        }
        if !keys.iter().all(|key| is_key(key)) {
            return Err(self.refuse(effect, KvError::Key));
        }
        // A call that only looked can begin again.
        match access {
            Access::Read => self.meter.note(effect.clone(), once()),
            Access::Write => self.meter.record(effect.clone(), once()),
        }
        Ok(Step { live, effect })
    }

    /// Takes from what the call has left.
    fn charge(&mut self, operations: usize, bytes_out: usize) -> Result<(), KvError> {
        let operations = u32::try_from(operations.max(1)).unwrap_or(u32::MAX);
        let bytes = u64::try_from(bytes_out).unwrap_or(u64::MAX);
        let left = self.operations_left.checked_sub(operations);
        let (Some(operations), Some(bytes)) = (left, self.out_left.checked_sub(bytes)) else {
            return Err(self.refuse(NAMELESS.to_owned(), KvError::UsedUp));
        };
        (self.operations_left, self.out_left) = (operations, bytes);
        Ok(())
    }

    /// Acts under the consent, and stops where it is revoked.
    async fn act<T>(
        &self,
        step: &Step,
        act: impl Future<Output = Result<T, kv::KvError>>,
    ) -> Result<T, KvError> {
        let done = match step.live.guard(act).await {
            Ok(done) => done,
            Err(_revoked) => return Err(self.refused(&step.effect, KvError::Denied)),
        };
        done.map_err(|error| match error {
            kv::KvError::Full => self.refused(&step.effect, KvError::Full),
            kv::KvError::TooLarge if self.in_left >= KV_BATCH_BYTES_MAX => {
                self.refused(&step.effect, KvError::Batch)
            }
            kv::KvError::TooLarge => self.refused(&step.effect, KvError::UsedUp),
            kv::KvError::Number => self.refused(&step.effect, KvError::Number),
            kv::KvError::Store(error) => {
                tracing::error!(
                    error = %caused(&error),
                    "a store of keys and values failed"
                );
                self.refused(&step.effect, KvError::Unavailable)
            }
        })
    }

    /// Records a refusal of something that was not counted before.
    fn refuse(&self, effect: String, why: KvError) -> KvError {
        let refused = Effect {
            count: 1,
            refused: 1,
            ..Effect::default()
        };
        self.meter.note(effect, refused);
        why
    }

    /// The same for what was.
    fn refused(&self, effect: &str, why: KvError) -> KvError {
        let refused = Effect {
            refused: 1,
            ..Effect::default()
        };
        self.meter.note(effect.to_owned(), refused);
        why
    }

    fn received(&mut self, effect: String, bytes: usize) {
        let bytes_in = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.in_left = self.in_left.saturating_sub(bytes_in);
        let received = Effect {
            bytes_in,
            ..Effect::default()
        };
        self.meter.note(effect, received);
    }

    fn sent(&self, effect: String, bytes: usize) {
        let sent = Effect {
            bytes_out: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..Effect::default()
        };
        self.meter.note(effect, sent);
    }

    fn writing(&self, part: &Part) -> Writing {
        let now = self.clock.now();
        Writing {
            bytes_max: part.bound.bytes_max,
            keys_max: part.bound.keys_max,
            now,
            sure: self.clock.sure(),
            expires_at: part.bound.ttl.map(|ttl| now.plus(ttl)),
        }
    }

    /// The prefixes of a store that may be read, in their order, without those that lie within another.
    fn readable(&self, store: &StoreName) -> BTreeMap<String, Live> {
        let scopes = self.scopes.iter();
        let own = scopes.filter(|(scope, live)| scope.store == *store && !live.is_revoked());
        let own: Vec<_> = own
            .map(|(scope, live)| (scope.prefix.as_str(), live))
            .collect();
        let within = |prefix: &str| {
            let mut others = own.iter().map(|(other, _)| *other);
            others.any(|other| other != prefix && prefix.starts_with(other))
        };
        let outermost = own.iter().filter(|(prefix, _)| !within(prefix));
        outermost
            .map(|(prefix, live)| ((*prefix).to_owned(), (*live).clone()))
            .collect()
    }
}

fn once() -> Effect {
    Effect {
        count: 1,
        ..Effect::default()
    }
}

/// An effect as records name it. The name of the store is the operator's.
fn effect(access: Access, store: &StoreName) -> String {
    format!("kv {access} {store}")
}

#[cfg(test)]
mod tests;
