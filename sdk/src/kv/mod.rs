//! Values under keys, in the stores that the operator bound and the user agreed to.
//!
//! What is written stays between calls: for the same user in the same tenant, or for a whole tenant where the operator says so. A
//! key is 1 to 512 bytes without control characters, a value at most 256 KiB.

mod native;
#[cfg(target_family = "wasm")]
mod wasi;

use std::fmt;

use crate::capability::Capability;
use native::Memory;

/// How often [`Store::update`] tries before it gives up.
const TRIES_MAX: usize = 32;

/// The stores that this call may reach. Kind `kv`.
#[derive(Debug, Clone)]
pub struct Kv {
    stores: Stores,
}

#[derive(Debug, Clone)]
enum Stores {
    /// Those of the host.
    #[cfg(target_family = "wasm")]
    Host,
    /// Those of a test.
    Memory(Memory),
}

/// One store, as far as the grant reaches.
#[derive(Debug)]
pub struct Store {
    bucket: Bucket,
}

#[derive(Debug)]
enum Bucket {
    #[cfg(target_family = "wasm")]
    Host(wasi::Bucket),
    Memory(native::Bucket),
}

/// What a key held at one moment, for a [`swap`](Cas::swap) that overwrites nothing else.
#[derive(Debug)]
pub struct Cas(Handle);

#[derive(Debug)]
enum Handle {
    #[cfg(target_family = "wasm")]
    Host(wasi::Cas),
    Memory(native::Cas),
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order of their bytes.
    pub keys: Vec<String>,
    /// Where the next page begins; none when this is the last.
    pub cursor: Option<String>,
}

/// Why a store could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvError {
    /// The call has no grant for this store, this key, or for writing, whether or not it exists.
    Denied,
    /// Others kept writing under the key.
    Contended,
    /// It did not work; the text says why.
    Failed(String),
}

/// Why a value was not swapped.
#[derive(Debug)]
#[non_exhaustive]
pub enum SwapError {
    /// The key was written since. Here is a new handle, for another try.
    Changed(Cas),
    /// It could not be tried.
    Store(KvError),
}

impl Capability for Kv {
    const KIND: &'static str = "kv";

    fn handle() -> Self {
        #[cfg(target_family = "wasm")]
        let stores = Stores::Host;
        #[cfg(not(target_family = "wasm"))]
        let stores = Stores::Memory(Memory::default());
        Self { stores }
    }
}

impl Kv {
    /// Empty stores of these names, in memory: for tests outside a sandbox. A clone has the same stores.
    pub fn in_memory<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            stores: Stores::Memory(Memory::of(names)),
        }
    }

    /// The store that the manifest names `name`.
    ///
    /// # Errors
    ///
    /// [`KvError::Denied`] when this call was not granted it.
    pub fn store(&self, name: &str) -> Result<Store, KvError> {
        let bucket = match &self.stores {
            #[cfg(target_family = "wasm")]
            Stores::Host => Bucket::Host(wasi::open(name)?),
            Stores::Memory(memory) => Bucket::Memory(memory.open(name)?),
        };
        Ok(Store { bucket })
    }
}

/// Does the same with whichever store it is.
macro_rules! on {
    ($bucket:expr, $name:ident => $act:expr) => {
        match $bucket {
            #[cfg(target_family = "wasm")]
            Bucket::Host($name) => $act,
            Bucket::Memory($name) => $act,
        }
    };
}

impl Store {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        on!(&self.bucket, bucket => bucket.get(key))
    }

    /// The value under a key, as text.
    ///
    /// # Errors
    ///
    /// See [`KvError`]; [`KvError::Failed`] when it is not UTF-8.
    pub fn get_text(&self, key: &str) -> Result<Option<String>, KvError> {
        let text = self.get(key)?.map(String::from_utf8).transpose();
        text.map_err(|_| KvError::Failed("the value is not text in UTF-8".into()))
    }

    /// Puts a value under a key, in place of what was there.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), KvError> {
        on!(&self.bucket, bucket => bucket.set(key, value.as_ref()))
    }

    /// Removes a key; does nothing where there is none.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn delete(&self, key: &str) -> Result<(), KvError> {
        on!(&self.bucket, bucket => bucket.delete(key))
    }

    /// Whether there is a value under a key.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn exists(&self, key: &str) -> Result<bool, KvError> {
        on!(&self.bucket, bucket => bucket.exists(key))
    }

    /// A page of the keys that the grant covers: the first, or the one where `cursor` leads.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn page(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        on!(&self.bucket, bucket => bucket.page(cursor))
    }

    /// All keys that the grant covers, page by page.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn keys(&self) -> Result<Vec<String>, KvError> {
        let mut page = self.page(None)?;
        let mut keys = page.keys;
        while let Some(cursor) = page.cursor {
            page = self.page(Some(&cursor))?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    }

    /// Adds to the number under a key, in decimal text, and returns the sum; no value is 0. Nothing is lost, whoever else adds at
    /// the same moment.
    ///
    /// # Errors
    ///
    /// See [`KvError`]; [`KvError::Failed`] when there is no number, or the sum would not be one of 64 bits.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        on!(&self.bucket, bucket => bucket.increment(key, delta))
    }

    /// Remembers what a key holds now, for a [`swap`](Cas::swap).
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn compare_and_swap(&self, key: &str) -> Result<Cas, KvError> {
        Ok(Cas(match &self.bucket {
            #[cfg(target_family = "wasm")]
            Bucket::Host(bucket) => Handle::Host(bucket.cas(key)?),
            Bucket::Memory(bucket) => Handle::Memory(bucket.cas(key)?),
        }))
    }

    /// Puts under a key what `change` makes of what is there, and makes it anew when somebody else was faster.
    ///
    /// # Errors
    ///
    /// See [`KvError`]; [`KvError::Contended`] when others were faster 32 times.
    pub fn update(
        &self,
        key: &str,
        mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>,
    ) -> Result<(), KvError> {
        let mut cas = self.compare_and_swap(key)?;
        for _ in 0..TRIES_MAX {
            let value = change(cas.current()?);
            match cas.swap(value) {
                Ok(()) => return Ok(()),
                Err(SwapError::Changed(newer)) => cas = newer,
                Err(SwapError::Store(error)) => return Err(error),
            }
        }
        Err(KvError::Contended)
    }

    /// The values under at most 100 keys at one moment, in their order.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        on!(&self.bucket, bucket => bucket.get_many(keys))
    }

    /// Puts at most 100 values under their keys, or none of them.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result<(), KvError> {
        on!(&self.bucket, bucket => bucket.set_many(pairs))
    }

    /// Removes at most 100 keys, or none of them.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        on!(&self.bucket, bucket => bucket.delete_many(keys))
    }
}

impl Cas {
    /// The value under the key. If it was written since, [`swap`](Self::swap) will fail.
    ///
    /// # Errors
    ///
    /// See [`KvError`].
    pub fn current(&self) -> Result<Option<Vec<u8>>, KvError> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Handle::Host(cas) => cas.current(),
            Handle::Memory(cas) => cas.current(),
        }
    }

    /// Puts a value under the key, unless it was written since the handle was made.
    ///
    /// # Errors
    ///
    /// See [`SwapError`].
    pub fn swap(self, value: impl AsRef<[u8]>) -> Result<(), SwapError> {
        match self.0 {
            #[cfg(target_family = "wasm")]
            Handle::Host(cas) => cas.swap(value.as_ref()),
            Handle::Memory(cas) => cas.swap(value.as_ref()),
        }
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("this call may not use that store or key in this way"),
            Self::Contended => f.write_str("others kept writing at the same place; try again"),
            Self::Failed(what) => write!(f, "the store could not be used: {what}"),
        }
    }
}

impl std::error::Error for KvError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Store {
        Kv::in_memory(["memory"]).store("memory").unwrap()
    }

    #[test]
    fn a_store_that_was_not_given_is_denied() {
        let kv = Kv::in_memory(["memory"]);
        assert!(kv.store("memory").is_ok());
        assert_eq!(kv.store("other").unwrap_err(), KvError::Denied);
        assert_eq!(Kv::handle().store("memory").unwrap_err(), KvError::Denied);
    }

    #[test]
    fn a_value_is_kept_until_it_is_deleted() {
        let kv = Kv::in_memory(["memory"]);
        kv.store("memory").unwrap().set("a", "1").unwrap();
        let store = kv.clone().store("memory").unwrap();
        assert_eq!(store.get_text("a").unwrap().as_deref(), Some("1"));
        assert!(store.exists("a").unwrap());
        store.delete("a").unwrap();
        assert_eq!(store.get("a"), Ok(None));
        store.set("b", [0xff]).unwrap();
        assert!(store.get_text("b").is_err());
        assert!(matches!(store.set("a\n", "1"), Err(KvError::Failed(_))));
    }

    #[test]
    fn keys_come_in_their_order_page_by_page() {
        let store = memory();
        let keys: Vec<String> = (0..600).map(|n| format!("{n:03}")).collect();
        for some in keys.chunks(100) {
            let pairs: Vec<(&str, &[u8])> =
                some.iter().map(|key| (key.as_str(), &b"v"[..])).collect();
            store.set_many(&pairs).unwrap();
        }
        assert!(store.page(None).unwrap().cursor.is_some());
        assert_eq!(store.keys().unwrap(), keys);
        store.delete_many(&["000", "001"]).unwrap();
        let two = store.get_many(&["000", "002"]).unwrap();
        assert_eq!(two, [None, Some(b"v".to_vec())]);
    }

    #[test]
    fn a_number_grows_and_what_is_none_does_not() {
        let store = memory();
        assert_eq!(store.increment("n", 5), Ok(5));
        assert_eq!(store.increment("n", -7), Ok(-2));
        assert_eq!(store.get_text("n").unwrap().as_deref(), Some("-2"));
        store.set("n", "x").unwrap();
        assert!(store.increment("n", 1).is_err());
    }

    #[test]
    fn what_was_written_in_between_is_not_overwritten() {
        let store = memory();
        let cas = store.compare_and_swap("a").unwrap();
        store.set("a", "1").unwrap();
        let Err(SwapError::Changed(cas)) = cas.swap("2") else {
            panic!("it was written in between")
        };
        assert_eq!(cas.current().unwrap().unwrap(), b"1");
        cas.swap("2").unwrap();
        let mut rounds = 0;
        let others = memory();
        others.set("a", "0").unwrap();
        others
            .update("a", |held| {
                rounds += 1;
                if rounds == 1 {
                    others.set("a", "1").unwrap();
                }
                [held.unwrap_or_default(), b"+".to_vec()].concat()
            })
            .unwrap();
        assert_eq!(
            (rounds, others.get("a").unwrap().unwrap()),
            (2, b"1+".to_vec())
        );
        let busy = others.update("a", |_| {
            others.set("a", "1").unwrap();
            Vec::new()
        });
        assert_eq!(busy, Err(KvError::Contended));
    }
}
