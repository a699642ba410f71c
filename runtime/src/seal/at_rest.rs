//! What an operator does about the keys of what else is kept: consents, sign-ins, the server's own keys, kept values.

use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::ids::Tenant;
use crate::problem::caused;
use crate::store::rest::{RestPlace, RestRotated, RestStanding};
use crate::store::seals::KeyState;

use super::{REST, SealError, Seals};

impl Seals {
    /// Every key of what else is kept, file by file.
    pub async fn rest_standing(&self) -> Result<Vec<RestStanding>, SealError> {
        let mut all = Vec::new();
        for file in &self.inner()?.rest {
            all.extend(file.standing().await?);
        }
        Ok(all)
    }

    /// The owners that have a key for what else is kept; none stands for the server.
    pub async fn rest_owners(&self) -> Result<Vec<Option<Tenant>>, SealError> {
        let mut all: Vec<_> = self.rest_standing().await?;
        all.retain(|key| key.state == KeyState::Active);
        let mut all: Vec<_> = all.into_iter().map(|key| key.place.tenant).collect();
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Gives an owner new keys for what else is kept, encrypts that under them, and destroys the old ones: file by file.
    pub async fn rotate_rest(
        &self,
        owner: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<Vec<(&'static str, RestRotated)>, SealError> {
        let inner = self.inner()?;
        let event = |kind| {
            let event = Event::new(kind).fact("purpose", REST);
            match owner {
                Some(tenant) => event.tenant(tenant),
                None => event,
            }
        };
        let mut all = Vec::new();
        for file in &inner.rest {
            let standing = file.standing().await?;
            let is_there = standing
                .iter()
                .any(|key| key.place.tenant.as_ref() == owner && key.state == KeyState::Active);
            if !is_there {
                continue;
            }
            let begun = event(EventKind::KeysRotating).fact("file", file.name());
            inner.audit.event(begun).await?;
            let Some(rotated) = file.rotate(owner, now).await? else {
                continue;
            };
            let done = event(EventKind::KeysRotated)
                .fact("file", file.name())
                .fact("to", rotated.to)
                .fact("moved", rotated.moved)
                .fact("unopened", rotated.unopened);
            inner.audit.event(done).await?;
            all.push((file.name(), rotated));
        }
        Ok(all)
    }

    /// Writes anew what named an erased tenant or its users; `false` where that could not be done.
    pub(super) async fn rewrite_rest(&self) -> bool {
        let Ok(inner) = self.inner() else {
            return false;
        };
        let mut all = vec![("the encrypted values", inner.values.rewrite().await)];
        for file in &inner.rest {
            all.push((file.name(), file.rewrite().await));
        }
        // The keys are destroyed, so all the rest is still done.
        for (file, done) in &all {
            if let Err(error) = done {
                tracing::warn!(file, error = %caused(error), "what was erased could not be overwritten");
            }
        }
        all.iter().all(|(_, done)| done.is_ok())
    }

    /// Overwrites what was destroyed in each file; `false` when others were at work on one.
    pub async fn settle_rest(&self) -> Result<bool, SealError> {
        let mut settled = true;
        for file in &self.inner()?.rest {
            settled &= file.settle().await?;
        }
        Ok(settled)
    }
}

/// A key of what else is kept, in words.
pub(super) fn told(place: &RestPlace) -> String {
    let owner = place.tenant.as_ref().map_or("the server", Tenant::as_str);
    format!("{owner} {REST} {} ({})", place.version, place.file)
}
