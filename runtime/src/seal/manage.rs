//! What an operator does with keys while the server runs: see, move, encrypt anew, destroy.
//!
//! Each step is one transaction, and none rests on a step before: whatever is broken off is gone on with by doing it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::ids::Tenant;
use crate::problem::caused;
use crate::store::StoreError;
use crate::store::seals::{Erased, Hanging, KeyState, Purpose, SealedValues, TenantKey};

use super::at_rest::told;
use super::cipher::Key;
use super::{Inner, Provider, SealError, Seals, data_key_bound, tenant};

/// Values that are moved in one transaction: some milliseconds in which nobody else writes.
const BATCH: u32 = 1_000;
/// Shortest pause between two such transactions. Else they are as long as the transactions, so that others write half of the time.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// How often one batch is tried again because the key to which it moves was changed meanwhile.
const TRIES: usize = 5;
/// Keys of tenants that are read at once.
const PAGE: u32 = 500;
/// Keys of providers that are tried. There is one for each time that the operator added one.
const PROVIDER_KEYS_MAX: u32 = 1_000;

/// A key of a tenant, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStanding {
    /// The key, without itself.
    pub key: TenantKey,
    /// Values that hang on it; those of a destroyed key cannot be opened.
    pub values: u64,
}

/// What became of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Whether it went on with one that was broken off.
    pub resumed: bool,
    /// The version on which everything hangs.
    pub to: u32,
    /// Values that were moved.
    pub moved: u64,
    /// Values that do not open, and so could not be moved.
    pub unopened: u64,
    /// Versions that were destroyed, since nothing hangs on them.
    pub destroyed: Vec<u32>,
    /// Versions on which something still hangs.
    pub left: Vec<u32>,
    /// Whether what was destroyed is overwritten in the file.
    pub settled: bool,
}

/// What became of encrypting keys of tenants under the newest key of the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// The newest key of the provider.
    pub newest: String,
    /// Keys that were encrypted under it.
    pub rewrapped: u64,
    /// Keys that do not open, and why the first does not.
    pub unopened: Vec<String>,
    /// Keys of the provider under which something is encrypted.
    pub in_use: Vec<String>,
    /// Keys that the provider has and nothing needs.
    pub removable: Vec<String>,
    /// Whether what was there before is overwritten in the file.
    pub settled: bool,
}

/// What became of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// What was destroyed.
    pub erased: Erased,
    /// Keys of what else is kept for the tenant, and rows of that.
    pub rest: (u64, u64),
    /// Whether the keys are overwritten in the file.
    pub settled: bool,
}

/// Tries the provider on one key of a tenant for each key of its own, and whether it could encrypt: before anything is encrypted
/// under it that was not.
pub async fn try_provider(values: &dyn SealedValues, provider: &Provider) -> Result<(), SealError> {
    provider.newest().await?;
    for key in values.key_of_each_provider(PROVIDER_KEYS_MAX).await? {
        let bound = tenant::bound(&key.tenant, key.purpose, key.version);
        provider.unwrap(tenant::wrapped(&key)?, &bound).await?;
    }
    Ok(())
}

impl Seals {
    /// Tries the provider on one key of a tenant for each key of its own, and whether it could encrypt.
    pub async fn try_keys(&self) -> Result<(), SealError> {
        let inner = self.inner()?;
        try_provider(inner.values.as_ref(), &inner.provider).await
    }

    /// The name of the key of the provider under which keys of tenants are encrypted.
    pub async fn newest(&self) -> Result<String, SealError> {
        Ok(self.inner()?.provider.newest().await?)
    }

    /// Every key of every tenant, in the order of their making.
    pub async fn standing(
        &self,
        mut each: impl FnMut(KeyStanding) + Send,
    ) -> Result<(), SealError> {
        let inner = self.inner()?;
        let mut place = 0;
        loop {
            let page = inner.values.keys_behind(place, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            place = *last;
            for (_, key) in page {
                let values = match key.purpose {
                    Purpose::Value => inner.values.hanging(&key.tenant, key.version).await?,
                    Purpose::Equality => 0,
                };
                each(KeyStanding { key, values });
            }
        }
    }

    /// The tenants that have a key for new values.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, SealError> {
        let mut all = Vec::new();
        let inner = self.inner()?;
        let mut place = 0;
        loop {
            let page = inner.values.keys_behind(place, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(all);
            };
            place = *last;
            let active =
                |key: &TenantKey| key.state == KeyState::Active && key.purpose == Purpose::Value;
            let page = page.into_iter().map(|(_, key)| key);
            all.extend(page.filter(active).map(|key| key.tenant));
        }
    }

    /// Gives a tenant a new key, moves its values to that, and destroys the old one. Where that was broken off before, it is gone
    /// on with. `progress` is told of every batch: how many values were moved, and how many there were to move.
    pub async fn rotate(
        &self,
        tenant: &Tenant,
        now: Timestamp,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Rotated, SealError> {
        let inner = self.inner()?;
        let begun = inner.retired(tenant).await?;
        let active = inner.active(tenant).await?.ok_or(SealError::NoTenant)?;
        // Nothing is begun that could not be gone on with.
        for key in begun.iter().chain([&active]) {
            inner.unwrapped(key).await?;
        }
        let event = Event::new(EventKind::KeysRotating)
            .tenant(tenant)
            .fact("resumed", !begun.is_empty())
            .fact("active", active.version);
        inner.audit.event(event).await?;
        let mut rotated = Rotated {
            resumed: !begun.is_empty(),
            ..Rotated::default()
        };
        if begun.is_empty() {
            // Where another process was faster, its rotation is joined.
            let instead_of = Some(active.version);
            inner.make(tenant, Purpose::Value, instead_of, now).await?;
        }
        let mut retired = inner
            .move_retired(tenant, &mut rotated, &mut progress)
            .await?;
        if rotated.resumed && rotated.moved == 0 && rotated.unopened > 0 {
            // What is left does not open, and shall not keep the key from being replaced that others hang on.
            let instead_of = Some(active.version);
            inner.make(tenant, Purpose::Value, instead_of, now).await?;
            rotated.unopened = 0;
            retired = inner
                .move_retired(tenant, &mut rotated, &mut progress)
                .await?;
        }
        rotated.to = inner.active(tenant).await?.map_or(0, |key| key.version);
        let event = Event::new(EventKind::KeysRotated)
            .tenant(tenant)
            .fact("to", rotated.to)
            .fact("moved", rotated.moved)
            .fact("unopened", rotated.unopened)
            .fact(
                "from",
                retired.iter().map(|key| key.version).collect::<Vec<_>>(),
            );
        inner.audit.event(event).await?;
        for key in &retired {
            let dropped = inner.values.drop_key(tenant, key.version, now).await?;
            match dropped {
                true => rotated.destroyed.push(key.version),
                false if inner.values.hanging(tenant, key.version).await? > 0 => {
                    rotated.left.push(key.version);
                }
                // Another process destroyed it.
                false => {}
            }
        }
        rotated.settled = inner.values.settle().await?;
        Ok(rotated)
    }

    /// Encrypts every key of a tenant under the newest key of the provider.
    pub async fn rewrap(&self) -> Result<Rewrapped, SealError> {
        let inner = self.inner()?;
        let mut done = Rewrapped {
            newest: inner.provider.newest().await?,
            ..Rewrapped::default()
        };
        let mut place = 0;
        loop {
            let page = inner.values.keys_behind(place, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            place = *last;
            for (_, key) in page {
                inner.rewrap_one(&key, &mut done).await?;
            }
        }
        for file in &inner.rest {
            for key in file.standing().await? {
                match file.rewrap(&key).await {
                    Ok(true) => done.rewrapped += 1,
                    Ok(false) => {}
                    Err(StoreError::Keys(error)) => {
                        let error = caused(&*error);
                        done.unopened.push(format!("{}: {error}", told(&key.place)));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let all = inner.values.key_of_each_provider(PROVIDER_KEYS_MAX).await?;
        let in_use = all.into_iter().filter_map(|key| key.wrapped);
        let mut in_use: Vec<_> = in_use.map(|wrapped| wrapped.provider_key).collect();
        for key in self.rest_standing().await? {
            in_use.extend(key.wrapped.map(|wrapped| wrapped.provider_key));
        }
        in_use.sort();
        in_use.dedup();
        done.in_use = in_use;
        let mut known = inner.provider.known().await?;
        known.retain(|one| *one != done.newest && !done.in_use.contains(one));
        done.removable = known;
        let event = Event::new(EventKind::KeysRewrapped)
            .fact("provider_key", done.newest.as_str())
            .fact("rewrapped", done.rewrapped)
            .fact("unopened", done.unopened.len());
        inner.audit.event(event).await?;
        done.settled = inner.values.settle().await? & self.settle_rest().await?;
        Ok(done)
    }

    /// Destroys every key of a tenant, and with them every value. Recorded before it is done.
    pub async fn erase(&self, tenant: &Tenant, now: Timestamp) -> Result<Erasure, SealError> {
        let inner = self.inner()?;
        let keys = inner.values.keys_of(tenant).await?;
        let mut of_rest = self.rest_standing().await?;
        of_rest.retain(|key| key.place.tenant.as_ref() == Some(tenant));
        if keys.is_empty() && of_rest.is_empty() {
            return Err(SealError::NoTenant);
        }
        let there = keys.iter().filter(|key| key.wrapped.is_some()).count();
        let also = of_rest.iter().filter(|key| key.wrapped.is_some()).count();
        let event = Event::new(EventKind::KeysErasing)
            .tenant(tenant)
            .fact("keys", there)
            .fact("rest_keys", also);
        inner.audit.event(event).await?;
        let erased = inner.values.erase(tenant, now).await?;
        let mut rest = (0, 0);
        for file in &inner.rest {
            let (keys, rows) = file.erase(tenant, now).await?;
            rest = (rest.0 + keys, rest.1 + rows);
        }
        let rewritten = self.rewrite_rest().await;
        let settled = inner.values.settle().await? & self.settle_rest().await? & rewritten;
        let event = Event::new(EventKind::KeysErased)
            .tenant(tenant)
            .fact("keys", erased.keys)
            .fact("values", erased.values)
            .fact("rest_keys", rest.0)
            .fact("rest_rows", rest.1)
            .fact("overwritten", settled);
        inner.audit.event(event).await?;
        Ok(Erasure {
            erased,
            rest,
            settled,
        })
    }
}

impl Inner {
    /// The key of a tenant for new values.
    async fn active(&self, tenant: &Tenant) -> Result<Option<TenantKey>, SealError> {
        let active = self.values.active_keys(tenant).await?;
        let mut active = active.into_iter();
        Ok(active.find(|key| key.purpose == Purpose::Value))
    }

    /// Keys in whose place others are, and which are still there.
    async fn retired(&self, tenant: &Tenant) -> Result<Vec<TenantKey>, SealError> {
        let mut all = self.values.keys_of(tenant).await?;
        all.retain(|key| {
            key.purpose == Purpose::Value && key.state == KeyState::Retired && key.wrapped.is_some()
        });
        Ok(all)
    }

    /// Moves what hangs on keys in whose place another came; these keys.
    async fn move_retired(
        &self,
        tenant: &Tenant,
        rotated: &mut Rotated,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Vec<TenantKey>, SealError> {
        let retired = self.retired(tenant).await?;
        let mut all = 0;
        for key in &retired {
            all += self.values.hanging(tenant, key.version).await?;
        }
        for key in &retired {
            self.move_all(key, rotated, &mut |moved| progress(moved, all))
                .await?;
        }
        Ok(retired)
    }

    /// Moves what hangs on a key to that for new values.
    async fn move_all(
        &self,
        from: &TenantKey,
        rotated: &mut Rotated,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), SealError> {
        let tenant = &from.tenant;
        let old = self.unwrapped(from).await?;
        let mut place = 0;
        loop {
            let page = self
                .values
                .hanging_behind(tenant, from.version, place, BATCH);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            place = last.place;
            let began = Instant::now();
            let moved = self.move_batch(from, &old, &page).await?;
            rotated.moved += moved.0;
            rotated.unopened += moved.1;
            progress(rotated.moved);
            tokio::time::sleep(began.elapsed().max(PAUSE_MIN)).await;
        }
    }

    /// How many were moved, and how many do not open.
    async fn move_batch(
        &self,
        from: &TenantKey,
        old: &Key,
        page: &[Hanging],
    ) -> Result<(u64, u64), SealError> {
        let tenant = &from.tenant;
        for _ in 0..TRIES {
            let active = self.active(tenant).await?.ok_or(SealError::Erased)?;
            let new: Arc<Key> = self.unwrapped(&active).await?;
            let mut moved = Vec::with_capacity(page.len());
            for one in page {
                let bound = data_key_bound(tenant, &one.id, from.version);
                let Ok(data_key) = old.open(&one.data_key, &bound) else {
                    continue;
                };
                let bound = data_key_bound(tenant, &one.id, active.version);
                moved.push(Hanging {
                    data_key: new.seal(&data_key, &bound)?,
                    ..*one
                });
            }
            let unopened = page.len() - moved.len();
            let rehung = self
                .values
                .rehang(tenant, from.version, active.version, &moved);
            if let Some(number) = rehung.await? {
                return Ok((number, u64::try_from(unopened).unwrap_or(u64::MAX)));
            }
        }
        Err(SealError::Changing)
    }

    async fn rewrap_one(&self, key: &TenantKey, done: &mut Rewrapped) -> Result<(), SealError> {
        let Some(wrapped) = &key.wrapped else {
            return Ok(());
        };
        if wrapped.provider_key == done.newest {
            return Ok(());
        }
        let opened = match self.unwrapped(key).await {
            Ok(opened) => opened,
            // What passes would pass for all of them.
            Err(SealError::Provider(error)) if !error.is_passing() => {
                let place = format!("{} {} {}", key.tenant, key.purpose.as_str(), key.version);
                done.unopened.push(format!("{place}: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let bound = tenant::bound(&key.tenant, key.purpose, key.version);
        let anew = self.provider.wrap(&opened, &bound).await?;
        // Not if it was destroyed or encrypted anew meanwhile.
        if self.values.rewrap_key(key, &anew).await? {
            done.rewrapped += 1;
        }
        Ok(())
    }
}
