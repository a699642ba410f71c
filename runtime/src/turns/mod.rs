//! Whose turn it is among calls that compute for long.
//!
//! A call computes freely for a first slice, which nearly every call ends within. After it, it goes on by turns of a tick each.
//! There are fewer turns at once than threads, so that one thread is always left to calls that are not long. Turns go round over
//! the tenants, then over the users of a tenant, then over the calls of a user: whoever makes fifty calls gets no more of the
//! processors than who makes one. A call that waits for something else has no turn. Never ends a call: its deadline goes on
//! while it waits for a turn.

mod apart;
#[cfg(test)]
mod apart_tests;
mod order;
#[cfg(test)]
mod order_tests;
mod pace;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::ids::{Digest, Tenant, User};
use crate::throttle::SharedLimits;
pub use apart::{Apart, Reins};
use order::{Id, Order, Party};
use pace::Pace;

/// For whom a call computes.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// For a user of a tenant.
    User(&'a Tenant, &'a User),
    /// For ourselves, as when a package is asked what it is.
    Own,
}

/// The turns of one process.
#[derive(Clone)]
pub struct Turns {
    order: Arc<Mutex<Order<Waker>>>,
    /// Where the shares of tenants are found; all are even where there is none.
    limits: Option<SharedLimits>,
}

impl Turns {
    /// For so many threads that run calls.
    pub fn new(threads: usize) -> Self {
        Self {
            order: Arc::new(Mutex::new(Order::new(threads.saturating_sub(1)))),
            limits: None,
        }
    }

    /// With the shares that the operator gives to tenants.
    pub fn with_limits(self, limits: SharedLimits) -> Self {
        Self {
            limits: Some(limits),
            ..self
        }
    }

    /// Turns that are taken, and calls that take turns.
    pub fn counts(&self) -> (usize, usize) {
        self.order().counts()
    }

    /// Computes, by turns once it has computed for long.
    pub async fn pace<F: Future>(&self, whose: Whose<'_>, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        let mut pace = Pace::new(self, whose);
        std::future::poll_fn(move |context| pace.poll(guest.as_mut(), context)).await
    }

    /// The pace of a process that computes for a call.
    pub fn apart<'a>(&'a self, whose: Whose<'a>) -> Apart<'a> {
        Apart::new(self, whose)
    }

    fn order(&self) -> MutexGuard<'_, Order<Waker>> {
        // Nothing panics while it is held.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn weight(&self, whose: Whose<'_>) -> NonZeroU32 {
        let Whose::User(tenant, _) = whose else {
            return NonZeroU32::MIN;
        };
        let share = |limits: &SharedLimits| limits.load().shares.get(tenant).copied();
        self.limits
            .as_ref()
            .and_then(share)
            .unwrap_or(NonZeroU32::MIN)
    }

    fn join(&self, whose: Whose<'_>, used: Duration) -> Seat {
        let (party, weight) = (party(whose), self.weight(whose));
        let id = self.order().join(party, weight, nanos(used));
        Seat {
            turns: self.clone(),
            id,
        }
    }
}

/// A call among those that take turns, until it is dropped.
struct Seat {
    turns: Turns,
    id: Id,
}

impl Seat {
    /// Whether the call has a turn. If not, it is woken when it has.
    fn want(&self, waker: &Waker) -> bool {
        self.turns.order().want(self.id, waker.clone())
    }

    /// Its turn took so long. Where it goes on, it waits for the next one.
    fn end(&self, took: Duration, goes_on: Option<&Waker>) {
        let told = self
            .turns
            .order()
            .end(self.id, nanos(took), goes_on.cloned());
        told.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let told = self.turns.order().leave(self.id);
        told.into_iter().for_each(Waker::wake);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// None of the parts can hold a zero byte.
fn party(whose: Whose<'_>) -> Party {
    let (tenant, issuer, subject) = match whose {
        Whose::User(tenant, user) => (tenant.as_str(), user.issuer.as_str(), user.subject.as_str()),
        // No tenant is without a name.
        Whose::Own => ("", "", ""),
    };
    let user = [issuer, subject].join("\0");
    Party {
        tenant: Digest::of(tenant.as_bytes()),
        user: Digest::of(user.as_bytes()),
    }
}
