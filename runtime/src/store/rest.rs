//! Keys of what is kept encrypted, and the files that they stand in, each behind a trait.
//!
//! A file holds its own keys, encrypted by whoever implements [`RestKeys`]: so a row and its key are read in one step, and a key is
//! destroyed in the transaction that sees that nothing hangs on it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::StoreError;
use super::seals::{KeyState, WrappedKey};
use crate::clock::Timestamp;
use crate::ids::Tenant;

/// Keys that every file can share.
pub type SharedRestKeys = Arc<dyn RestKeys>;

/// Which key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RestPlace {
    /// Of which file.
    pub file: &'static str,
    /// The isolation key; none for what belongs to the server.
    pub tenant: Option<Tenant>,
    /// Its number, from 1 on.
    pub version: u32,
}

/// A key that is open.
pub trait RestKey: Send + Sync {
    /// Encrypts, bound to these parts.
    fn seal(&self, plain: &[u8], bound: &[Vec<u8>]) -> Result<Vec<u8>, StoreError>;

    /// Opens what was encrypted under this key and bound to the same parts; none where it was not.
    fn open(&self, sealed: &[u8], bound: &[Vec<u8>]) -> Option<Zeroizing<Vec<u8>>>;
}

/// Makes keys and opens them.
#[async_trait]
pub trait RestKeys: Debug + Send + Sync + 'static {
    /// A new key for this place.
    async fn make(&self, place: &RestPlace) -> Result<WrappedKey, StoreError>;

    /// Tells the operator of a key that was made and is kept now.
    fn made(&self, place: &RestPlace, wrapped: &WrappedKey);

    /// The key itself, which may be held in memory for a while.
    async fn open(
        &self,
        place: &RestPlace,
        wrapped: &WrappedKey,
    ) -> Result<Arc<dyn RestKey>, StoreError>;

    /// The same key encrypted under the newest key of the provider; none where it is already.
    async fn rewrap(
        &self,
        place: &RestPlace,
        wrapped: &WrappedKey,
    ) -> Result<Option<WrappedKey>, StoreError>;
}

/// One version of a key, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestStanding {
    /// Which key.
    pub place: RestPlace,
    /// What becomes of it.
    pub state: KeyState,
    /// The key itself, encrypted; none when it was destroyed.
    pub wrapped: Option<WrappedKey>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When another took its place.
    pub retired_at: Option<Timestamp>,
    /// When it was destroyed.
    pub destroyed_at: Option<Timestamp>,
    /// Rows that hang on it.
    pub rows: u64,
}

/// What became of a rotation in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestRotated {
    /// Whether it went on with one that was broken off.
    pub resumed: bool,
    /// The version on which everything hangs.
    pub to: u32,
    /// Rows that were encrypted anew.
    pub moved: u64,
    /// Rows that do not open, and so could not be.
    pub unopened: u64,
    /// Versions that were destroyed, since nothing hangs on them.
    pub destroyed: Vec<u32>,
    /// Versions on which something still hangs.
    pub left: Vec<u32>,
}

/// A file whose rows are encrypted.
#[async_trait]
pub trait RestFile: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Every key, destroyed ones as well, in the order of their making.
    async fn standing(&self) -> Result<Vec<RestStanding>, StoreError>;

    /// Gives an owner a new key, encrypts its rows under that, and destroys the old one; goes on with a rotation that was broken off.
    /// None where there is no key to replace.
    async fn rotate(
        &self,
        tenant: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<Option<RestRotated>, StoreError>;

    /// Encrypts one key under the newest key of the provider. Whether it was under another.
    async fn rewrap(&self, key: &RestStanding) -> Result<bool, StoreError>;

    /// Destroys every key of a tenant, and ends or removes what hung on them: how many keys and rows.
    async fn erase(&self, tenant: &Tenant, now: Timestamp) -> Result<(u64, u64), StoreError>;

    /// Writes the tables anew that named an erased tenant or its users, and its keys, so that no page holds an old copy of a row. Others that write
    /// wait for one table at a time.
    async fn rewrite(&self) -> Result<(), StoreError>;

    /// Overwrites what was destroyed in the files of the database; `false` when others were at work on it all the time.
    async fn settle(&self) -> Result<bool, StoreError>;
}
