//! The keys of what the state keeps: made and opened by the provider, each bound to its file, owner and version.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::cipher::{Bound, Key};
use super::provider::{Provider, ProviderError};
use super::tenant::{self, Held};
use crate::audit::{Audit, AuditError, Event, EventKind};
use crate::ids::{Digest, Tenant};
use crate::problem::caused;
use crate::store::StoreError;
use crate::store::rest::{RestKey, RestKeys, RestPlace};
use crate::store::seals::WrappedKey;

/// What stands for these keys in the audit log and in what commands print.
pub const PURPOSE: &str = "rest";

/// Longest failure to open or make a key after which the next one is simply asked for. The one writer of the log waits for keys, and all wait
/// for it.
const VAIN_WAIT_MAX: Duration = Duration::from_millis(100);
/// For how many times as long as a longer one no other is asked for, so that the writer waits for a seventh of the time at most.
const PAUSE_TIMES: u32 = 6;

/// Makes and opens keys of what is kept.
pub struct Rest {
    provider: Arc<Provider>,
    held: Held,
    /// Until when no key is asked for that is not held: the provider let us wait in vain.
    paused: Mutex<Option<Instant>>,
    told: Mutex<Told>,
}

/// Who is told of keys that were made.
enum Told {
    /// Nobody yet: the log itself needs a key of these to begin.
    Later(Vec<Event>),
    Log(Audit),
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest(…)")
    }
}

impl Rest {
    /// Keys that are held by this provider.
    pub fn new(provider: Arc<Provider>) -> Self {
        Self {
            provider,
            held: tenant::held(),
            paused: Mutex::new(None),
            told: Mutex::new(Told::Later(Vec::new())),
        }
    }

    /// Records the keys that were made before there was a log, and from now on those that are.
    pub async fn tell(&self, audit: &Audit) -> Result<(), AuditError> {
        let before = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *told, Told::Log(audit.clone()))
        };
        match before {
            Told::Later(events) => {
                for event in events {
                    audit.event(event).await?;
                }
            }
            Told::Log(_) => {}
        }
        Ok(())
    }

    async fn opened(
        &self,
        place: &RestPlace,
        wrapped: &WrappedKey,
    ) -> Result<Arc<Key>, StoreError> {
        let bound = bound(place);
        let name = Bound::to("held")
            .and(bound.as_bytes())
            .and(wrapped.provider_key.as_bytes())
            .and(&wrapped.bytes);
        let name = Digest::of(name.as_bytes());
        if let Some(held) = self.held.get(&name) {
            return Ok(held);
        }
        let opened = self.answer(self.provider.unwrap(wrapped, &bound)).await;
        let opened = Arc::new(opened?);
        self.held.insert(name, Arc::clone(&opened));
        Ok(opened)
    }

    /// What the provider answers, unless it let us wait in vain a moment ago.
    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, StoreError> {
        let paused = *self.paused();
        if paused.is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Keys(
                "the provider of keys did not answer in time a moment ago; it is asked again soon"
                    .into(),
            ));
        }
        let began = Instant::now();
        let answer = asked.await;
        let took = began.elapsed();
        let is_outage = answer.as_ref().is_err_and(ProviderError::is_outage);
        if is_outage && took > VAIN_WAIT_MAX {
            *self.paused() = Some(Instant::now() + took * PAUSE_TIMES);
        }
        answer.map_err(|error| StoreError::Keys(Box::new(error)))
    }

    fn paused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RestKeys for Rest {
    async fn make(&self, place: &RestPlace) -> Result<WrappedKey, StoreError> {
        let key = Key::random()?;
        let bound = bound(place);
        self.answer(self.provider.wrap(&key, &bound)).await
    }

    fn made(&self, place: &RestPlace, wrapped: &WrappedKey) {
        let event = Event::new(EventKind::KeysMade);
        let event = match &place.tenant {
            Some(tenant) => event.tenant(tenant),
            None => event,
        };
        let event = event
            .fact("purpose", PURPOSE)
            .fact("file", place.file)
            .fact("version", place.version)
            .fact("provider_key", wrapped.provider_key.as_str());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *told {
            Told::Later(events) => events.push(event),
            // Not awaited: whoever makes a key may be the writer of the log, which would wait for itself.
            Told::Log(audit) => {
                let audit = audit.clone();
                tokio::spawn(async move {
                    if let Err(error) = audit.event(event).await {
                        let error = caused(&error);
                        tracing::error!(%error, "that a key was made could not be recorded");
                    }
                });
            }
        }
    }

    async fn open(
        &self,
        place: &RestPlace,
        wrapped: &WrappedKey,
    ) -> Result<Arc<dyn RestKey>, StoreError> {
        Ok(self.opened(place, wrapped).await?)
    }

    async fn rewrap(
        &self,
        place: &RestPlace,
        wrapped: &WrappedKey,
    ) -> Result<Option<WrappedKey>, StoreError> {
        let failed = |error| StoreError::Keys(Box::new(error));
        if wrapped.provider_key == self.provider.newest().await.map_err(failed)? {
            return Ok(None);
        }
        let key = self.opened(place, wrapped).await?;
        let anew = self.provider.wrap(&key, &bound(place)).await;
        anew.map(Some).map_err(failed)
    }
}

impl RestKey for Key {
    fn seal(&self, plain: &[u8], bound: &[Vec<u8>]) -> Result<Vec<u8>, StoreError> {
        Key::seal(self, plain, &row_bound(bound))
    }

    fn open(&self, sealed: &[u8], bound: &[Vec<u8>]) -> Option<Zeroizing<Vec<u8>>> {
        Key::open(self, sealed, &row_bound(bound)).ok()
    }
}

fn bound(place: &RestPlace) -> Bound {
    let tenant = place.tenant.as_ref().map_or("", Tenant::as_str);
    Bound::to("rest key")
        .and(place.file.as_bytes())
        .and(tenant.as_bytes())
        .and(&place.version.to_be_bytes())
}

fn row_bound(parts: &[Vec<u8>]) -> Bound {
    let start = Bound::to("rest");
    parts.iter().fold(start, |all, part| all.and(part))
}
