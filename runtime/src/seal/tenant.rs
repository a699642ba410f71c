//! The keys of tenants as they are used: read first, then opened, and held for a while as they are.

use std::sync::Arc;

use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant};
use crate::limits::{TENANT_KEY_HELD_MAX, TENANT_KEYS_HELD_MAX};
use crate::store::seals::{KeyState, Purpose, TenantKey, WrappedKey};

use super::cipher::{Bound, Key};
use super::{Inner, SealError};

/// How often the keys of a tenant are read again because another process changed them meanwhile.
const TRIES: usize = 5;

/// Keys of tenants by what was opened. Whoever asks for one has read its row: a key that was destroyed is asked for by nobody.
pub(super) type Held = moka::sync::Cache<Digest, Arc<Key>>;

pub(super) fn held() -> Held {
    moka::sync::Cache::builder()
        .max_capacity(TENANT_KEYS_HELD_MAX)
        .time_to_live(TENANT_KEY_HELD_MAX)
        .build()
}

/// What new values of a tenant are encrypted under.
pub(super) struct Keys {
    pub(super) version: u32,
    pub(super) value: Arc<Key>,
    /// There where it was asked for.
    pub(super) equality: Option<Arc<Key>>,
}

/// What a key is when it is encrypted; that it was destroyed is an error.
pub(super) fn wrapped(key: &TenantKey) -> Result<&WrappedKey, SealError> {
    key.wrapped.as_ref().ok_or(match key.state {
        KeyState::Erased => SealError::Erased,
        KeyState::Active | KeyState::Retired => SealError::Retired,
    })
}

pub(super) fn bound(tenant: &Tenant, purpose: Purpose, version: u32) -> Bound {
    Bound::to("tenant key")
        .and(tenant.as_str().as_bytes())
        .and(purpose.as_str().as_bytes())
        .and(&version.to_be_bytes())
}

impl Inner {
    /// The keys of a tenant for new values, those of one moment; what is missing is made.
    pub(super) async fn keys_for_new(
        &self,
        tenant: &Tenant,
        equal: bool,
        now: Timestamp,
    ) -> Result<Keys, SealError> {
        for _ in 0..TRIES {
            let active = self.values.active_keys(tenant).await?;
            let of = |purpose| active.iter().find(|key| key.purpose == purpose);
            let equality = match (equal, of(Purpose::Equality)) {
                (false, _) => None,
                (true, Some(key)) => Some(key),
                (true, None) => {
                    self.make(tenant, Purpose::Equality, None, now).await?;
                    continue;
                }
            };
            let Some(value) = of(Purpose::Value) else {
                self.make(tenant, Purpose::Value, None, now).await?;
                continue;
            };
            return Ok(Keys {
                version: value.version,
                value: self.unwrapped(value).await?,
                equality: match equality {
                    Some(key) => Some(self.unwrapped(key).await?),
                    None => None,
                },
            });
        }
        Err(SealError::Changing)
    }

    /// The key under which the marks of a tenant are made.
    pub(super) async fn equality_key(&self, tenant: &Tenant) -> Result<Arc<Key>, SealError> {
        let active = self.values.active_keys(tenant).await?;
        let key = active.iter().find(|key| key.purpose == Purpose::Equality);
        self.unwrapped(key.ok_or(SealError::Erased)?).await
    }

    /// Makes the next key of a tenant. `false` when another process was faster; its key serves.
    pub(super) async fn make(
        &self,
        tenant: &Tenant,
        purpose: Purpose,
        instead_of: Option<u32>,
        now: Timestamp,
    ) -> Result<bool, SealError> {
        let version = self.values.next_version(tenant, purpose).await?;
        let key = Key::random()?;
        let bound = bound(tenant, purpose, version);
        let wrapped = self.provider.wrap(&key, &bound).await?;
        // No record, no key. Two processes that make the same leave two records of it.
        let event = Event::new(EventKind::KeysMade)
            .tenant(tenant)
            .fact("purpose", purpose.as_str())
            .fact("version", version)
            .fact("provider_key", wrapped.provider_key.as_str());
        self.audit.event(event).await?;
        let made = TenantKey {
            tenant: tenant.clone(),
            purpose,
            version,
            state: KeyState::Active,
            wrapped: Some(wrapped),
            made_at: now,
            retired_at: None,
            destroyed_at: None,
        };
        Ok(self.values.add_key(&made, instead_of).await?)
    }

    /// The key itself. What was read of it is what it is found by: its row moved to another place finds nothing.
    pub(super) async fn unwrapped(&self, key: &TenantKey) -> Result<Arc<Key>, SealError> {
        let wrapped = wrapped(key)?;
        let bound = bound(&key.tenant, key.purpose, key.version);
        let place = Bound::to("held")
            .and(bound.as_bytes())
            .and(wrapped.provider_key.as_bytes())
            .and(&wrapped.bytes);
        let place = Digest::of(place.as_bytes());
        if let Some(held) = self.held.get(&place) {
            return Ok(held);
        }
        let opened = Arc::new(self.provider.unwrap(wrapped, &bound).await?);
        self.held.insert(place, Arc::clone(&opened));
        Ok(opened)
    }
}
