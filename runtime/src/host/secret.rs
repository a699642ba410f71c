//! Secrets of the operator, attached to the requests of a call and shown to nobody.
//!
//! Scope, limit, act, record. A secret goes where three agree: the user's grant names exactly this host and this form, the
//! operator bound it for both, and the request was admitted under a grant for `http`. It is put in at the last moment, while
//! the consent still holds, and what comes back passes a veil. The meter learns name, host and counts.

mod body;
mod loan;
mod sign;
mod source;
#[cfg(test)]
mod tests;
mod value;
mod vault;
mod whole;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use moka::sync::Cache;

pub use loan::Loan;
pub(super) use loan::veil;
pub use sign::BodyDigest;
pub use source::ReadError;
pub use value::KeyError;

use super::deliver::{Courier, Parcel};
use super::meter::Meter;
use crate::capability::{Authority, Secret, SecretForm};
use crate::clock::SharedClock;
use crate::config::{AwsScope, SecretBinding};
use crate::egress::{Admitted, Egress};
use crate::grant::Holder;
use crate::ids::{SecretName, Tenant};
use crate::limits::{SECRET_VALUES_MAX, VAULT_TTL_MAX};
use crate::protect::Lent;
use crate::revocation::Live;
use crate::sandbox::Effect;
use source::Source;
use value::{Shape, Value};

/// The secrets that an operator bound, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<BTreeMap<SecretName, Arc<Bound>>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// One of them.
struct Bound {
    hosts: Vec<Authority>,
    form: SecretForm,
    user: String,
    aws: Option<AwsScope>,
    source: Source,
    clock: SharedClock,
    /// What was read last, per tenant where the source is.
    slots: Cache<Option<Tenant>, Arc<tokio::sync::Mutex<Slot>>>,
}

/// The value that was read last, and the one before it.
#[derive(Default)]
struct Slot {
    now: Option<(Arc<Value>, Instant)>,
    before: Option<Arc<Value>>,
}

/// What is attached, and what is looked for beside it: somebody may still answer with what was rotated away.
struct Values {
    now: Arc<Value>,
    before: Option<Arc<Value>>,
}

impl Secrets {
    /// Takes the operator's bindings. Variables of the environment are read now and never again; `vault` is how vaults are
    /// reached, and `clock` what requests are signed by.
    pub fn new(
        bindings: &[SecretBinding],
        vault: Option<&Arc<Egress>>,
        clock: &SharedClock,
    ) -> Self {
        let bound = |binding: &SecretBinding| Bound {
            hosts: binding.hosts.clone(),
            form: binding.form.clone(),
            user: binding.user.clone(),
            aws: binding.aws.clone(),
            source: Source::new(&binding.source, Shape::of(&binding.form), vault),
            clock: Arc::clone(clock),
            slots: Cache::builder()
                .max_capacity(SECRET_VALUES_MAX)
                .time_to_idle(VAULT_TTL_MAX)
                .build(),
        };
        let all = bindings.iter();
        let all = all.map(|one| (one.name.clone(), Arc::new(bound(one))));
        Self(Arc::new(all.collect()))
    }

    /// What a call with these grants lends to its requests, each as long as its consent holds.
    pub fn lender(&self, scopes: Vec<(Secret, Live)>, holder: &Holder, meter: &Meter) -> Lender {
        if scopes.is_empty() {
            return Lender::default();
        }
        Lender {
            lending: Some(Arc::new(Lending {
                secrets: self.clone(),
                scopes,
                holder: holder.clone(),
                meter: meter.clone(),
            })),
            lent: Lent::default(),
            courier: None,
        }
    }

    /// Whether each of them can be read: none where that is different for each tenant. Never a value.
    pub async fn readable(&self) -> Vec<(SecretName, Option<Result<(), ReadError>>)> {
        let mut all = Vec::new();
        for (name, bound) in self.0.iter() {
            let read = match bound.source.is_per_tenant() {
                true => None,
                false => Some(bound.read(None).await.map(drop)),
            };
            all.push((name.clone(), read));
        }
        all
    }

    /// Whether the operator bound this secret for this host in this form.
    pub fn binds(&self, secret: &Secret) -> bool {
        self.bound(secret).is_some()
    }

    fn bound(&self, secret: &Secret) -> Option<&Arc<Bound>> {
        let bound = self.0.get(&secret.name)?;
        (bound.form == secret.form && bound.hosts.contains(&secret.at)).then_some(bound)
    }
}

impl Bound {
    /// Reads the value, which must be good still.
    async fn read(&self, holder: Option<&Holder>) -> Result<Arc<Value>, ReadError> {
        let value = self.source.read(holder).await?;
        match value.is_over(self.clock.now()) {
            true => Err(KeyError::Over.into()),
            false => Ok(value),
        }
    }

    /// The value as it is now. One caller reads and the others wait for it.
    async fn values(&self, holder: &Holder) -> Result<Values, ReadError> {
        let tenant = self.source.is_per_tenant().then(|| holder.tenant.clone());
        let slot = self.slots.get_with(tenant, Arc::default);
        let mut slot = slot.lock().await;
        let fresh = self.source.fresh();
        let known = slot.now.as_ref();
        let known = known.filter(|(value, read)| {
            // What has ended is not kept for its time: whoever renews it may have done so.
            fresh.is_none_or(|fresh| read.elapsed() < fresh) && !value.is_over(self.clock.now())
        });
        let now = match known {
            Some((now, _)) => Arc::clone(now),
            None => {
                let read = self.read(Some(holder)).await?;
                match slot.now.take() {
                    Some((old, _)) if old == read => {}
                    Some((old, _)) => slot.before = Some(old),
                    None => {}
                }
                slot.now = Some((Arc::clone(&read), Instant::now()));
                read
            }
        };
        let before = slot.before.clone();
        Ok(Values { now, before })
    }
}

/// What one call lends to its requests. Cheap to clone: every clone is the same call.
#[derive(Clone, Default)]
pub struct Lender {
    lending: Option<Arc<Lending>>,
    lent: Lent,
    courier: Option<Courier>,
}

struct Lending {
    secrets: Secrets,
    scopes: Vec<(Secret, Live)>,
    holder: Holder,
    meter: Meter,
}

impl Lender {
    /// Whether requests carry the secret of this name: granted, live, and bound. Does not read it.
    pub fn exists(&self, name: &str) -> bool {
        self.lending.as_ref().is_some_and(|lending| {
            let mut scopes = lending.scopes.iter();
            scopes.any(|(secret, live)| {
                secret.name.as_str() == name && !live.is_revoked() && lending.secrets.binds(secret)
            })
        })
    }

    /// The same, with encrypted values that requests may carry.
    pub fn delivering(mut self, courier: Option<Courier>) -> Self {
        self.courier = courier;
        self
    }

    /// The encrypted values that an admitted request may carry; none where nothing is delivered to its host.
    pub fn parcel(&self, admitted: &Admitted) -> Option<Parcel> {
        self.courier.as_ref()?.parcel(admitted)
    }

    /// What delivers encrypted values; none where nothing may be.
    pub fn courier(&self) -> Option<&Courier> {
        self.courier.as_ref()
    }

    /// What was lent up to now.
    pub fn lent(&self) -> &Lent {
        &self.lent
    }

    /// Tells the meter how often what was lent had to be masked.
    pub fn record(&self) {
        let Some(lending) = &self.lending else {
            return;
        };
        for (name, count) in self.lent.masked() {
            let masked = Effect {
                count,
                ..Effect::default()
            };
            lending
                .meter
                .note(format!("secret {name} (masked)"), masked);
        }
    }
}

impl fmt::Debug for Lender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.lending.as_ref().map_or(0, |one| one.scopes.len());
        write!(out, "Lender({scopes} scopes, {:?})", self.lent)
    }
}
