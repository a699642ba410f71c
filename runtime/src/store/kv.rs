//! What guests keep between calls: values under keys, behind one trait, apart from the state of the server.
//!
//! Every operation is one transaction. Tenant and user stand in every key, quotas are counted in the transaction that fills
//! them, and a version is never given twice. Time comes from the caller. Decides nothing: who may reach a space is not its
//! business.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::{StoreName, Tenant, User};

/// Values that every call can share.
pub type SharedKeyValues = Arc<dyn KeyValues>;

/// Whose part of which store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Space {
    /// The operator's name for the store.
    pub store: StoreName,
    /// The isolation key.
    pub tenant: Tenant,
    /// The user; none where a tenant shares the store.
    pub user: Option<User>,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// Bytes of keys and values that the space may hold.
    pub bytes_max: u64,
    /// Keys that the space may hold.
    pub keys_max: u64,
    /// The time.
    pub now: Timestamp,
    /// What has ended by then is forgotten. What has ended since is not there, and fills the space.
    pub sure: Timestamp,
    /// When what is written ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Which writing a value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub(super) i64);

/// What a swap came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The value was written.
    Done,
    /// Nothing was written: this is what the key holds now.
    Changed(Option<Version>),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The space would hold more than it may. What makes it smaller is still done.
    #[error("the space would hold more than it may")]
    Full,
    /// What would be read is larger than it may be.
    #[error("what would be read is larger than it may be")]
    TooLarge,
    /// The value is no number of 64 bits in decimal text, or the sum is none.
    #[error("the value is not a number, or the sum would not be one")]
    Number,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KvError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Values under keys. What has ended at `now` is not there.
#[async_trait]
pub trait KeyValues: Send + Sync + 'static {
    /// The values under these keys at one moment, in their order, of at most `bytes_max` in all.
    async fn get(
        &self,
        space: &Space,
        keys: &[&str],
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, KvError>;

    /// Which writing the value under a key is from.
    async fn version(
        &self,
        space: &Space,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Version>, KvError>;

    /// At most `max` keys that begin with `prefix` and come behind `after`, in the order of their bytes.
    async fn keys(
        &self,
        space: &Space,
        prefix: &str,
        after: &str,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<String>, KvError>;

    /// Puts each value under its key, or none of them; of a key that comes twice, the last counts.
    async fn set(
        &self,
        space: &Space,
        pairs: &[(&str, &[u8])],
        writing: &Writing,
    ) -> Result<(), KvError>;

    /// Removes these keys, as far as they are there. What has ended by `sure` is forgotten.
    async fn delete(&self, space: &Space, keys: &[&str], sure: Timestamp) -> Result<(), KvError>;

    /// Puts a value under a key whose value is still from the writing that was seen, or which still has none.
    async fn swap(
        &self,
        space: &Space,
        key: &str,
        seen: Option<Version>,
        value: &[u8],
        writing: &Writing,
    ) -> Result<Swapped, KvError>;

    /// Adds to the number under a key, in decimal text; no value is 0. The sum.
    async fn increment(
        &self,
        space: &Space,
        key: &str,
        delta: i64,
        writing: &Writing,
    ) -> Result<i64, KvError>;

    /// Forgets what has ended. How many values went.
    async fn prune(&self, sure: Timestamp) -> Result<u64, KvError>;
}
