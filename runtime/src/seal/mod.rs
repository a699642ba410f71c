//! Values under encryption: a tool holds a [`Handle`], the host holds the value, and a key of the tenant stands between.
//!
//! A value is encrypted under a key of its own, that one under a key of its tenant, and that one under a key of a provider that
//! the operator names. Each is bound to its place, so that none opens in another. No plain value and no plain key is written,
//! logged or told in an error.

mod at_rest;
mod cipher;
mod key_file;
mod manage;
mod provider;
mod rest;
mod tenant;
mod transit;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::audit::{Audit, AuditError};
use crate::clock::Timestamp;
use crate::ids::{Publisher, Tenant, ToolName};
use crate::limits::{SEALED_BATCH_MAX, SEALED_FIELD_BYTES_MAX, SEALED_VALUE_BYTES_MAX};
use crate::protect::{Class, Handle};
use crate::store::rest::RestFile;
use crate::store::seals::{Kept, KeyState, Most, SealedRow, SharedSealedValues, TenantKey};
use crate::store::{StoreError, random};

use cipher::{Bound, Key};
use tenant::Keys;

pub use key_file::{NewVersion, NewVersionError, add_version};
pub use manage::{Erasure, KeyStanding, Rewrapped, Rotated, try_provider};
pub use provider::{Provider, ProviderError};
pub use rest::{PURPOSE as REST, Rest};

/// How often values are bound anew to a key that took the place of theirs while they were encrypted.
const KEEP_TRIES: usize = 3;
/// After so many values others have their turn on the thread.
const TURN: usize = 64;

/// To whom an encrypted value belongs: nobody else opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The isolation key.
    pub tenant: Tenant,
    /// Who publishes the package to which the value was given.
    pub publisher: Publisher,
    /// The name of that package.
    pub package: ToolName,
}

/// A value that is to be encrypted.
pub struct Plain {
    /// Where it stood: the tool, and the place with `*` for every place in an array (`customer_add:/phones/*`).
    pub field: String,
    /// What it is.
    pub class: Class,
    /// The value.
    pub value: Zeroizing<String>,
    /// Whether its handle shall show which values are equal.
    pub equal: bool,
}

/// Why a value was not encrypted or not opened. Says nothing of the value.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The configuration has no key.
    #[error("the operator has set no key to encrypt with")]
    NoKey,
    /// The value is larger than one may be.
    #[error(
        "a value, or the name of its place, is larger than can be encrypted: at most {SEALED_VALUE_BYTES_MAX} and {SEALED_FIELD_BYTES_MAX} bytes"
    )]
    TooLarge,
    /// There are more values than can be encrypted at once.
    #[error(
        "there are more values than can be encrypted at once, which are {SEALED_BATCH_MAX}; send fewer"
    )]
    TooMany,
    /// The tenant keeps as many values as it may.
    #[error(
        "no more encrypted values are kept for this tenant; the operator sets how many, with `values_max` in `[seal]`"
    )]
    Full,
    /// The package keeps as many values of the tenant as it may.
    #[error(
        "no more encrypted values are kept of this package for this tenant; the operator sets how many, with `package_values_max` \
         in `[seal]`"
    )]
    PackageFull,
    /// There is no such value for this owner.
    #[error("there is no such encrypted value")]
    Unknown,
    /// Its key was destroyed.
    #[error("the key of this value was destroyed")]
    Erased,
    /// Nothing was ever encrypted for this tenant.
    #[error("there is no key of this tenant; nothing was encrypted for it")]
    NoTenant,
    /// What is kept does not open under its key: it was changed, or moved from another place.
    #[error("an encrypted value or the key of one was changed or moved; restore it from a backup")]
    Damaged,
    /// A value hangs on a key that was destroyed when nothing hung on it.
    #[error(
        "a value hangs on a version of its tenant's key that was retired and destroyed; an older state of it was put back"
    )]
    Retired,
    /// The key of the tenant was changed again and again.
    #[error("the key of the tenant is being changed; try again")]
    Changing,
    /// The holder of the keys did not do what it was asked to.
    #[error("the key of the tenant cannot be used")]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error("encrypted values cannot be read or written")]
    Store(#[from] StoreError),
    /// What is to be done cannot be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Values that were encrypted and not yet kept.
pub struct Prepared {
    handles: Vec<Handle>,
    /// None where there was nothing to encrypt.
    bound: Option<Ready>,
}

/// What is to be kept, and what binds it to another key where its own was retired.
struct Ready {
    inner: Arc<Inner>,
    tenant: Tenant,
    /// The version of the tenant's key under which they were encrypted, and that on which they hang by now.
    first: u32,
    key_version: u32,
    rows: Vec<SealedRow>,
    data_keys: Vec<Key>,
}

impl SealError {
    /// Whether it may go well at another time, without anybody mending anything here.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_passing(),
            Self::Changing | Self::Store(_) | Self::Audit(_) => true,
            Self::NoKey
            | Self::TooLarge
            | Self::TooMany
            | Self::Full
            | Self::PackageFull
            | Self::Unknown
            | Self::Erased
            | Self::NoTenant
            | Self::Damaged
            | Self::Retired => false,
        }
    }
}

impl Prepared {
    /// One for each value, in their order.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Keeps them, all or none.
    pub async fn keep(self, now: Timestamp) -> Result<(), SealError> {
        let Some(mut ready) = self.bound else {
            return Ok(());
        };
        let inner = Arc::clone(&ready.inner);
        for _ in 0..KEEP_TRIES {
            let kept = inner.values.keep(
                &ready.tenant,
                (ready.first, ready.key_version),
                &ready.rows,
                inner.most,
            );
            match kept.await? {
                Kept::Done => return Ok(()),
                Kept::Full => return Err(SealError::Full),
                Kept::PackageFull => return Err(SealError::PackageFull),
                // Rotated meanwhile: what was encrypted stays, its own keys hang on another.
                Kept::NotActive(KeyState::Retired) => ready.bind_anew(now).await?,
                Kept::NotActive(KeyState::Active | KeyState::Erased) | Kept::NoKey => {
                    return Err(SealError::Erased);
                }
            }
        }
        Err(SealError::Changing)
    }
}

impl Ready {
    async fn bind_anew(&mut self, now: Timestamp) -> Result<(), SealError> {
        let keys = self.inner.keys_for_new(&self.tenant, false, now).await?;
        for (row, data_key) in self.rows.iter_mut().zip(&self.data_keys) {
            let bound = data_key_bound(&self.tenant, &row.id, keys.version);
            row.data_key = keys.value.seal(data_key.expose(), &bound)?;
            row.key_version = keys.version;
        }
        self.key_version = keys.version;
        Ok(())
    }
}

/// A value that is kept, not yet opened.
pub struct Sealed {
    /// Where it stood.
    pub field: String,
    /// What it is.
    pub class: Class,
    owner: Owner,
    handle: Handle,
    /// When it was looked at.
    at: Timestamp,
}

/// How values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// For how long.
    pub span: Duration,
    /// How many.
    pub most: Most,
}

/// Encrypts and opens; none where the operator has set no key.
#[derive(Clone, Default)]
pub struct Seals(Option<Arc<Inner>>);

struct Inner {
    values: SharedSealedValues,
    provider: Arc<Provider>,
    audit: Audit,
    span: Duration,
    most: Most,
    held: tenant::Held,
    /// Files whose rows are encrypted, for the commands about keys.
    rest: Vec<Arc<dyn RestFile>>,
}

impl Seals {
    /// Encrypts under keys of this provider and keeps the values there.
    pub fn new(
        values: SharedSealedValues,
        provider: impl Into<Arc<Provider>>,
        audit: Audit,
        keeping: Keeping,
    ) -> Self {
        Self::with_rest(values, provider, audit, keeping, Vec::new())
    }

    /// The same for commands about keys, which are about those of these files as well.
    pub fn with_rest(
        values: SharedSealedValues,
        provider: impl Into<Arc<Provider>>,
        audit: Audit,
        keeping: Keeping,
        rest: Vec<Arc<dyn RestFile>>,
    ) -> Self {
        Self(Some(Arc::new(Inner {
            values,
            provider: provider.into(),
            audit,
            span: keeping.span,
            most: keeping.most,
            held: tenant::held(),
            rest,
        })))
    }

    fn inner(&self) -> Result<&Arc<Inner>, SealError> {
        self.0.as_ref().ok_or(SealError::NoKey)
    }

    /// Whether there is a key to encrypt with.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Encrypts, and keeps nothing yet.
    pub async fn prepare(
        &self,
        owner: &Owner,
        plain: Vec<Plain>,
        now: Timestamp,
    ) -> Result<Prepared, SealError> {
        let inner = self.inner()?;
        if plain.is_empty() {
            return Ok(Prepared {
                handles: Vec::new(),
                bound: None,
            });
        }
        if plain.len() > SEALED_BATCH_MAX {
            return Err(SealError::TooMany);
        }
        let too_large = |one: &Plain| {
            one.value.len() > SEALED_VALUE_BYTES_MAX || one.field.len() > SEALED_FIELD_BYTES_MAX
        };
        if plain.iter().any(too_large) {
            return Err(SealError::TooLarge);
        }
        let equal = plain.iter().any(|one| one.equal);
        let keys = inner.keys_for_new(&owner.tenant, equal, now).await?;
        let mut ready = Ready {
            inner: Arc::clone(inner),
            tenant: owner.tenant.clone(),
            first: keys.version,
            key_version: keys.version,
            rows: Vec::with_capacity(plain.len()),
            data_keys: Vec::with_capacity(plain.len()),
        };
        let mut handles = Vec::with_capacity(plain.len());
        for (at, one) in plain.into_iter().enumerate() {
            if at % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let (handle, row, data_key) = encrypted(owner, one, &keys, now, inner.span)?;
            handles.push(handle);
            ready.rows.push(row);
            ready.data_keys.push(data_key);
        }
        Ok(Prepared {
            handles,
            bound: Some(ready),
        })
    }

    /// What is kept under a handle for this owner.
    pub async fn look(
        &self,
        owner: &Owner,
        handle: &Handle,
        now: Timestamp,
    ) -> Result<Sealed, SealError> {
        let (row, key) = self.inner()?.found(owner, handle, now).await?;
        tenant::wrapped(&key)?;
        Ok(Sealed {
            field: row.field,
            class: row.class,
            owner: owner.clone(),
            handle: *handle,
            at: now,
        })
    }

    /// Opens it.
    pub async fn open(&self, sealed: Sealed) -> Result<Zeroizing<String>, SealError> {
        let inner = self.inner()?;
        // Read anew: meanwhile it may have been moved to another key, or its key destroyed.
        let (row, key) = inner
            .found(&sealed.owner, &sealed.handle, sealed.at)
            .await?;
        let tenant_key = inner.unwrapped(&key).await?;
        let bound = data_key_bound(&row.tenant, &row.id, row.key_version);
        let data_key = tenant_key.open(&row.data_key, &bound);
        let data_key = data_key.ok().and_then(|bytes| Key::of(&bytes));
        let data_key = data_key.ok_or(SealError::Damaged)?;
        let plain = data_key.open(&row.value, &value_bound(&row));
        let plain = plain.map_err(|_| SealError::Damaged)?;
        let text = std::str::from_utf8(&plain).map_err(|_| SealError::Damaged)?;
        if let Some(mark) = sealed.handle.equal() {
            let keys = inner.equality_key(&row.tenant).await?;
            let own = keys.mark(text.as_bytes(), &mark_bound(&sealed.owner, &row.class));
            verify_slices_are_equal(&own, mark).map_err(|_| SealError::Unknown)?;
        }
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Forgets values that have ended. How many went.
    pub async fn prune(&self, now: Timestamp) -> Result<u64, SealError> {
        match &self.0 {
            Some(inner) => Ok(inner.values.prune(now).await?),
            None => Ok(0),
        }
    }
}

impl Inner {
    /// What this owner may know of: whatever else there is under a handle is as if it were not there.
    async fn found(
        &self,
        owner: &Owner,
        handle: &Handle,
        now: Timestamp,
    ) -> Result<(SealedRow, TenantKey), SealError> {
        let found = self.values.find(handle.id()).await?;
        let fits = |row: &SealedRow| {
            row.tenant == owner.tenant
                && row.publisher == owner.publisher
                && row.package == owner.package
                && row.equal == handle.equal().is_some()
                && row.expires_at > now
        };
        found.filter(|(row, _)| fits(row)).ok_or(SealError::Unknown)
    }
}

fn encrypted(
    owner: &Owner,
    plain: Plain,
    keys: &Keys,
    now: Timestamp,
    span: Duration,
) -> Result<(Handle, SealedRow, Key), SealError> {
    let mark = match (plain.equal, &keys.equality) {
        (true, Some(key)) => {
            let bound = mark_bound(owner, &plain.class);
            Some(key.mark(plain.value.as_bytes(), &bound))
        }
        (true, None) => return Err(SealError::Changing),
        (false, _) => None,
    };
    let data_key = Key::random()?;
    let id = random()?;
    let mut row = SealedRow {
        id,
        tenant: owner.tenant.clone(),
        publisher: owner.publisher.clone(),
        package: owner.package.clone(),
        field: plain.field,
        class: plain.class,
        equal: plain.equal,
        key_version: keys.version,
        data_key: Vec::new(),
        value: Vec::new(),
        made_at: now,
        expires_at: now.plus(span),
    };
    let bound = data_key_bound(&row.tenant, &row.id, row.key_version);
    row.data_key = keys.value.seal(data_key.expose(), &bound)?;
    row.value = data_key.seal(plain.value.as_bytes(), &value_bound(&row))?;
    Ok((Handle::new(id, mark), row, data_key))
}

/// Not the version of the key: a value stays as it is when its own key is moved to another.
fn value_bound(row: &SealedRow) -> Bound {
    Bound::to("value")
        .and(row.tenant.as_str().as_bytes())
        .and(row.publisher.as_str().as_bytes())
        .and(row.package.as_str().as_bytes())
        .and(row.field.as_bytes())
        .and(row.class.as_str().as_bytes())
        .and(&row.id)
        .and(&[u8::from(row.equal)])
        .and(&row.expires_at.0.to_be_bytes())
}

fn data_key_bound(tenant: &Tenant, id: &[u8; 16], version: u32) -> Bound {
    Bound::to("data key")
        .and(tenant.as_str().as_bytes())
        .and(id)
        .and(&version.to_be_bytes())
}

fn mark_bound(owner: &Owner, class: &Class) -> Bound {
    Bound::to("equality")
        .and(owner.tenant.as_str().as_bytes())
        .and(owner.publisher.as_str().as_bytes())
        .and(owner.package.as_str().as_bytes())
        .and(class.as_str().as_bytes())
}

#[cfg(test)]
mod tests;
