//! Stores of the host, by `wasi:keyvalue`.

use crate::guest::keyvalue::wasi::keyvalue::{atomics, batch, store};

use super::{Cas as AnyCas, Handle, KvError, Page, SwapError};

/// An open store.
#[derive(Debug)]
pub(super) struct Bucket(store::Bucket);

/// What a key held at one moment.
#[derive(Debug)]
pub(super) struct Cas(atomics::Cas);

pub(super) fn open(name: &str) -> Result<Bucket, KvError> {
    Ok(Bucket(store::open(name)?))
}

impl From<store::Error> for KvError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::AccessDenied | store::Error::NoSuchStore => Self::Denied,
            store::Error::Other(what) => Self::Failed(what),
        }
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

impl Bucket {
    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.get(key)?)
    }

    pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        Ok(self.0.set(key, value)?)
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), KvError> {
        Ok(self.0.delete(key)?)
    }

    pub(super) fn exists(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.0.exists(key)?)
    }

    pub(super) fn page(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        let page = self.0.list_keys(cursor)?;
        Ok(Page {
            keys: page.keys,
            cursor: page.cursor,
        })
    }

    pub(super) fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        Ok(atomics::increment(&self.0, key, delta)?)
    }

    pub(super) fn cas(&self, key: &str) -> Result<Cas, KvError> {
        Ok(Cas(atomics::Cas::new(&self.0, key)?))
    }

    pub(super) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        let pairs = batch::get_many(&self.0, &owned(keys))?;
        Ok(pairs.into_iter().map(|(_, value)| value).collect())
    }

    pub(super) fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result<(), KvError> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.to_vec()))
            .collect();
        Ok(batch::set_many(&self.0, &pairs)?)
    }

    pub(super) fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        Ok(batch::delete_many(&self.0, &owned(keys))?)
    }
}

impl Cas {
    pub(super) fn current(&self) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.current()?)
    }

    pub(super) fn swap(self, value: &[u8]) -> Result<(), SwapError> {
        atomics::swap(self.0, value).map_err(|error| match error {
            atomics::CasError::CasFailed(newer) => {
                SwapError::Changed(AnyCas(Handle::Host(Cas(newer))))
            }
            atomics::CasError::StoreError(error) => SwapError::Store(error.into()),
        })
    }
}
