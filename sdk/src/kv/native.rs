//! Stores in memory: what a tool's own tests stand on, in place of the host's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Cas as AnyCas, Handle, KvError, Page, SwapError};

/// Keys of one page, as many as the host gives.
const PAGE_KEYS_MAX: usize = 256;
/// Keys of one batch, as many as the host takes.
const BATCH_MAX: usize = 100;
/// Longest key, in bytes, as the host takes it.
const KEY_BYTES_MAX: usize = 512;
/// Largest value, in bytes, as the host takes it.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// Stores by name. A clone has the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(BTreeMap<String, Bucket>);

/// One store.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket(Arc<Mutex<Values>>);

#[derive(Debug, Default)]
struct Values {
    /// Each value with the number of its writing.
    held: BTreeMap<String, (u64, Vec<u8>)>,
    writings: u64,
}

/// What a key held at one moment.
#[derive(Debug)]
pub(super) struct Cas {
    bucket: Bucket,
    key: String,
    seen: Option<u64>,
}

impl Memory {
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter();
        Self(
            names
                .map(|name| (name.to_owned(), Bucket::default()))
                .collect(),
        )
    }

    pub(super) fn open(&self, name: &str) -> Result<Bucket, KvError> {
        self.0.get(name).cloned().ok_or(KvError::Denied)
    }
}

fn failed<T>(what: &str) -> Result<T, KvError> {
    Err(KvError::Failed(what.to_owned()))
}

fn check<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), KvError> {
    let mut count = 0;
    for key in keys {
        count += 1;
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
            return failed("a key is 1 to 512 bytes without control characters");
        }
    }
    if count > BATCH_MAX {
        return failed("a batch has at most 100 keys");
    }
    Ok(())
}

impl Values {
    fn put(&mut self, key: &str, value: &[u8]) {
        self.writings += 1;
        let entry = (self.writings, value.to_vec());
        self.held.insert(key.to_owned(), entry);
    }

    fn writing(&self, key: &str) -> Option<u64> {
        self.held.get(key).map(|(writing, _)| *writing)
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        check([key])?;
        Ok(self.lock().held.get(key).map(|(_, value)| value.clone()))
    }

    pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        self.set_many(&[(key, value)])
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), KvError> {
        self.delete_many(&[key])
    }

    pub(super) fn exists(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.get(key)?.is_some())
    }

    pub(super) fn page(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        let after = cursor.unwrap_or_default();
        let values = self.lock();
        let mut rest = values.held.keys().filter(|key| key.as_str() > after);
        let keys: Vec<_> = rest.by_ref().take(PAGE_KEYS_MAX).cloned().collect();
        let more = rest.next().is_some();
        let cursor = keys.last().filter(|_| more).cloned();
        Ok(Page { keys, cursor })
    }

    pub(super) fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        check([key])?;
        let mut values = self.lock();
        let number = match values.held.get(key) {
            Some((_, value)) => String::from_utf8_lossy(value).parse().ok(),
            None => Some(0_i64),
        };
        let Some(sum) = number.and_then(|number| number.checked_add(delta)) else {
            return failed("the value is not a number of 64 bits in decimal text");
        };
        values.put(key, sum.to_string().as_bytes());
        Ok(sum)
    }

    pub(super) fn cas(&self, key: &str) -> Result<Cas, KvError> {
        check([key])?;
        Ok(Cas {
            seen: self.lock().writing(key),
            bucket: self.clone(),
            key: key.to_owned(),
        })
    }

    pub(super) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        check(keys.iter().copied())?;
        let values = self.lock();
        let found = keys.iter().map(|key| values.held.get(*key));
        Ok(found
            .map(|one| one.map(|(_, value)| value.clone()))
            .collect())
    }

    pub(super) fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result<(), KvError> {
        check(pairs.iter().map(|(key, _)| *key))?;
        if pairs.iter().any(|(_, value)| value.len() > VALUE_BYTES_MAX) {
            return failed("a value has at most 262144 bytes");
        }
        let mut values = self.lock();
        for (key, value) in pairs {
            values.put(key, value);
        }
        Ok(())
    }

    pub(super) fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        check(keys.iter().copied())?;
        let mut values = self.lock();
        for key in keys {
            values.held.remove(*key);
        }
        Ok(())
    }
}

impl Cas {
    pub(super) fn current(&self) -> Result<Option<Vec<u8>>, KvError> {
        self.bucket.get(&self.key)
    }

    pub(super) fn swap(self, value: &[u8]) -> Result<(), SwapError> {
        let mut values = self.bucket.lock();
        let now = values.writing(&self.key);
        if now == self.seen {
            values.put(&self.key, value);
            return Ok(());
        }
        drop(values);
        let newer = Cas { seen: now, ..self };
        Err(SwapError::Changed(AnyCas(Handle::Memory(newer))))
    }
}
