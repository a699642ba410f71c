//! Values under encryption and the keys of their tenants, behind one trait, apart from the state of the server.
//!
//! Everything here is encrypted but names and times: no operation sees a key or a value. Every operation is one transaction, and
//! is correct when several processes share the database. Time comes from the caller.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::{Publisher, Tenant, ToolName};
use crate::protect::Class;

/// Values under encryption that every call can share.
pub type SharedSealedValues = Arc<dyn SealedValues>;

/// What a key of a tenant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// It encrypts the keys of values.
    Value,
    /// It makes the marks by which equal values are seen to be equal.
    Equality,
}

/// What becomes of a key of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// New values are encrypted under it.
    Active,
    /// Another took its place. What still hangs on it opens until it was moved; then the key is destroyed.
    Retired,
    /// It was destroyed with everything that hung on it.
    Erased,
}

/// One version of a key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKey {
    /// The isolation key.
    pub tenant: Tenant,
    /// What it is for.
    pub purpose: Purpose,
    /// Its number, from 1 on; none comes twice.
    pub version: u32,
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
}

/// A key that was encrypted by a provider of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrappedKey {
    /// Under which key of which provider, in the provider's words.
    pub provider_key: String,
    /// What came out.
    pub bytes: Vec<u8>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// Its name.
    pub id: [u8; 16],
    /// The isolation key.
    pub tenant: Tenant,
    /// Who publishes the package to which it was given.
    pub publisher: Publisher,
    /// The name of that package.
    pub package: ToolName,
    /// Where it stood.
    pub field: String,
    /// What it is.
    pub class: Class,
    /// Whether its handle shows which values are equal.
    pub equal: bool,
    /// The version of the tenant's key under which its own key is encrypted.
    pub key_version: u32,
    /// Its own key, encrypted.
    pub data_key: Vec<u8>,
    /// The value, encrypted.
    pub value: Vec<u8>,
    /// When it was kept.
    pub made_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A value's own key, as it hangs on a key of its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hanging {
    /// Where it stands, to go on from there.
    pub place: i64,
    /// The name of the value.
    pub id: [u8; 16],
    /// Its own key, encrypted.
    pub data_key: Vec<u8>,
}

/// How many values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Of one tenant.
    pub tenant: u64,
    /// Of one package for a tenant.
    pub package: u64,
}

/// What became of values that were to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All are kept.
    Done,
    /// None is: the tenant would have more than it may.
    Full,
    /// None is: the package would have more of the tenant's than it may.
    PackageFull,
    /// None is: the key is not one for new values any more.
    NotActive(KeyState),
    /// None is: there is no such key.
    NoKey,
}

/// What was destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Keys.
    pub keys: u64,
    /// Values that cannot be opened any more.
    pub values: u64,
}

/// Values under encryption, and the keys of their tenants.
#[async_trait]
pub trait SealedValues: Send + Sync + 'static {
    /// The keys of a tenant for new values, at most one of each purpose, as they are at one moment.
    async fn active_keys(&self, tenant: &Tenant) -> Result<Vec<TenantKey>, StoreError>;

    /// All keys of a tenant, destroyed ones as well, in the order of their making.
    async fn keys_of(&self, tenant: &Tenant) -> Result<Vec<TenantKey>, StoreError>;

    /// The number that the next key of this purpose has.
    async fn next_version(&self, tenant: &Tenant, purpose: Purpose) -> Result<u32, StoreError>;

    /// Adds the key for new values in the place of `instead_of`, which is retired, or where there is none. `false` when another
    /// did so first: nothing is changed then.
    async fn add_key(&self, key: &TenantKey, instead_of: Option<u32>) -> Result<bool, StoreError>;

    /// At most `max` keys of all tenants, destroyed ones as well, behind this place, each with its own.
    async fn keys_behind(&self, place: i64, max: u32) -> Result<Vec<(i64, TenantKey)>, StoreError>;

    /// One key that is there for each key of a provider, of at most `max` of these.
    async fn key_of_each_provider(&self, max: u32) -> Result<Vec<TenantKey>, StoreError>;

    /// Puts another encryption of the same key in the place of the one that was read; `false` when it is not that any more.
    async fn rewrap_key(&self, read: &TenantKey, wrapped: &WrappedKey) -> Result<bool, StoreError>;

    /// Destroys a retired key on which nothing hangs. `false` when something does, or it is not retired, or was destroyed before.
    async fn drop_key(
        &self,
        tenant: &Tenant,
        version: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Destroys every key of a tenant.
    async fn erase(&self, tenant: &Tenant, now: Timestamp) -> Result<Erased, StoreError>;

    /// Keeps values of one tenant that hang on this version of its key, all or none; and none where the version under which they
    /// were encrypted first was erased since.
    async fn keep(
        &self,
        tenant: &Tenant,
        (first, key_version): (u32, u32),
        rows: &[SealedRow],
        most: Most,
    ) -> Result<Kept, StoreError>;

    /// The value of this name, and the key on which it hangs, as both are at one moment.
    async fn find(&self, id: &[u8; 16]) -> Result<Option<(SealedRow, TenantKey)>, StoreError>;

    /// How many values hang on this version of a tenant's key.
    async fn hanging(&self, tenant: &Tenant, key_version: u32) -> Result<u64, StoreError>;

    /// At most `max` of them, behind this place.
    async fn hanging_behind(
        &self,
        tenant: &Tenant,
        key_version: u32,
        place: i64,
        max: u32,
    ) -> Result<Vec<Hanging>, StoreError>;

    /// Hangs values on another version, by their own keys as encrypted under it. How many were moved: one that was moved or has
    /// ended meanwhile is left. None when `to` is not the key for new values.
    async fn rehang(
        &self,
        tenant: &Tenant,
        from: u32,
        to: u32,
        moved: &[Hanging],
    ) -> Result<Option<u64>, StoreError>;

    /// Forgets values that have ended. How many went.
    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Writes the keys anew, so that no page holds an old copy of one. Others that write wait for it.
    async fn rewrite(&self) -> Result<(), StoreError>;

    /// Overwrites what was destroyed in the files of the database; `false` when others were at work on it all the time.
    async fn settle(&self) -> Result<bool, StoreError>;
}
