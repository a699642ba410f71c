//! What running calls stand on, and how it is taken from them.
//!
//! Every capability that a user had to agree to is [`Live`] as long as one of the consents behind it is. Whoever acts under it
//! acts inside [`Live::pass`], so that looking and acting are one step: a revocation waits for the steps that have begun, and
//! none begins after it. Decides nothing and reads no state: it is told what has ended.

mod gate;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::capability::{Capability, Tier};
use crate::ids::TenantUser;
use crate::limits::RECENT_REVOCATIONS_MAX;
use gate::{Gate, Inside, is_open};

/// How long a revocation waits for the calls that it stops. A guest is dropped where it stands, at the latest at the next
/// tick of 1 ms; what takes longer is a machine that is overloaded.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The consent behind an effect was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consent for this was revoked")]
pub struct Revoked;

/// Whether what was agreed to still is.
#[derive(Debug, Clone)]
pub struct Live(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Nobody had to agree.
    Free,
    /// Somebody agreed, perhaps twice. It ends with the last of them; of none, at once.
    Under(Arc<[Arc<Gate>]>),
    /// Calls within each other stand on this, each as under [`Kind::Under`], the innermost first. It ends with the first of
    /// them that ends.
    Each(Arc<[Arc<[Arc<Gate>]>]>),
}

impl Live {
    /// For what needs no consent: capabilities of tier T0, and our own requests.
    pub fn free() -> Self {
        Self(Kind::Free)
    }

    /// Whatever ends one of them ends this. `within` is of the inner call, whose gates no call outside of it knows: they are
    /// always passed first, so that two calls never wait for each other's gates.
    pub fn both(within: Self, outside: Self) -> Self {
        match (&within.0, &outside.0) {
            (Kind::Free, _) => outside,
            (_, Kind::Free) => within,
            (Kind::Under(_) | Kind::Each(_), Kind::Under(_) | Kind::Each(_)) => {
                let all = within.groups().chain(outside.groups());
                Self(Kind::Each(all.cloned().collect()))
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = &Arc<[Arc<Gate>]>> {
        let all = match &self.0 {
            Kind::Free => &[][..],
            Kind::Under(gates) => std::slice::from_ref(gates),
            Kind::Each(groups) => groups,
        };
        all.iter()
    }

    /// Acts, unless it was revoked. The step must not wait, and must not pass again.
    pub fn pass<T>(&self, step: impl FnOnce() -> T) -> Result<T, Revoked> {
        match &self.0 {
            Kind::Free => Ok(step()),
            Kind::Under(gates) => {
                let gate = gates.iter().find(|gate| gate.is_open()).ok_or(Revoked)?;
                gate.pass(step)
            }
            Kind::Each(groups) => {
                let mut passed: Vec<(&Arc<Gate>, Inside<'_>)> = Vec::with_capacity(groups.len());
                for gates in groups.iter() {
                    // One consent may be behind several of them, and its gate is passed once.
                    let among = |(gate, _): &(&Arc<Gate>, _)| {
                        gates.iter().any(|one| Arc::ptr_eq(one, gate))
                    };
                    if passed.iter().any(among) {
                        continue;
                    }
                    let gate = gates.iter().find(|gate| gate.is_open()).ok_or(Revoked)?;
                    passed.push((gate, gate.enter()?));
                }
                let done = step();
                drop(passed);
                Ok(done)
            }
        }
    }

    /// Whether it was revoked. What follows from a `false` may be outdated: effects go through [`Live::pass`].
    pub fn is_revoked(&self) -> bool {
        match &self.0 {
            Kind::Free => false,
            Kind::Under(gates) => !is_open(gates),
            Kind::Each(groups) => groups.iter().any(|gates| !is_open(gates)),
        }
    }

    /// Waits until it is revoked.
    pub async fn revoked(&self) {
        match &self.0 {
            Kind::Free => std::future::pending().await,
            Kind::Under(gates) => {
                for gate in gates.iter() {
                    gate.told.cancelled().await;
                }
            }
            Kind::Each(groups) => {
                let ends = groups.iter().map(|gates| {
                    Box::pin(async move {
                        for gate in gates.iter() {
                            gate.told.cancelled().await;
                        }
                    })
                });
                futures_util::future::select_all(ends).await;
            }
        }
    }

    /// Drives an effect, step by step, and drops it where it stands when the consent is revoked.
    pub async fn guard<F: Future>(&self, effect: F) -> Result<F::Output, Revoked> {
        let mut effect = pin!(effect);
        let mut revoked = pin!(self.revoked());
        std::future::poll_fn(|context| {
            if revoked.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Revoked));
            }
            match self.pass(|| effect.as_mut().poll(context)) {
                Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
                Ok(Poll::Pending) => Poll::Pending,
                Err(Revoked) => Poll::Ready(Err(Revoked)),
            }
        })
        .await
    }
}

/// What one call stands on: each of its capabilities, and whether it still is agreed to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Standing {
    each: Arc<[(Capability, Live)]>,
    /// What else the whole call stands on: that the calls around it may make it.
    whole: Arc<[Live]>,
}

impl Standing {
    /// For calls that no consent stands behind: of authors and of tests.
    pub fn free<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> Self {
        let free = capabilities
            .into_iter()
            .map(|one| (one.clone(), Live::free()));
        Self::of_each(free)
    }

    fn of_each(each: impl IntoIterator<Item = (Capability, Live)>) -> Self {
        Self {
            each: each.into_iter().collect(),
            whole: Arc::new([]),
        }
    }

    /// Of this capability. What is not among those of the call is revoked.
    pub fn of(&self, capability: &Capability) -> Live {
        let known = self.each.iter().find(|(one, _)| one == capability);
        known.map_or_else(|| Live(Kind::Under(Arc::new([]))), |(_, live)| live.clone())
    }

    /// Of a call within another one, which may do these things of its own: each ends with what stands behind it here, and
    /// where `shared` says so with what stands behind it in the call outside as well. All of it ends with `made_by`, by which
    /// the call outside makes this one.
    pub fn narrowed<'a>(
        &self,
        capabilities: impl IntoIterator<Item = &'a Capability>,
        (outside, made_by): (&Self, &Capability),
        shared: impl Fn(&Capability) -> bool,
    ) -> Self {
        let narrowed = capabilities.into_iter().map(|one| {
            let live = match shared(one) {
                true => Live::both(self.around(one), outside.around(one)),
                false => self.around(one),
            };
            (one.clone(), live)
        });
        let made_by = outside.around(made_by);
        let whole = outside.whole.iter().cloned().chain([made_by]);
        Self {
            each: narrowed.collect(),
            whole: whole.collect(),
        }
    }

    /// Of the first capability that this one lies within; of none, revoked.
    fn around(&self, capability: &Capability) -> Live {
        let known = self.each.iter().find(|(one, _)| capability.within(one));
        known.map_or_else(|| Live(Kind::Under(Arc::new([]))), |(_, live)| live.clone())
    }

    /// Whether the call must stop: it holds nothing any more that somebody had to agree to, or it lost what cannot be taken
    /// from it: open files of a folder, data that it was given or has opened, and what it was told of its user.
    pub fn is_lost(&self) -> bool {
        if self.whole.iter().any(Live::is_revoked) {
            return true;
        }
        let (mut agreed, mut left) = (false, false);
        for (capability, live) in self.each.iter() {
            let revoked = live.is_revoked();
            let kept = matches!(
                capability,
                Capability::Files(_)
                    | Capability::Data(_)
                    | Capability::Claims(_)
                    | Capability::Reveal(_)
                    | Capability::Deliver(_)
            );
            if revoked && kept {
                return true;
            }
            if matches!(live.0, Kind::Under(_) | Kind::Each(_)) {
                agreed = true;
                left |= !revoked;
            }
        }
        agreed && !left
    }

    /// Waits until the call must stop.
    pub async fn lost(&self) {
        while !self.is_lost() {
            // Each of them ends at most once, so this comes round no oftener than there are capabilities.
            let each = self.each.iter().map(|(_, live)| live);
            let next = each.chain(self.whole.iter());
            let next = next.filter(|live| !live.is_revoked());
            let next: Vec<_> = next.map(|live| Box::pin(live.revoked())).collect();
            if next.is_empty() {
                return std::future::pending().await;
            }
            futures_util::future::select_all(next).await;
        }
    }
}

/// The calls that run, each with the consents that it stands on. Cheap to clone: every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct RunningCalls(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    /// Grows with every revocation, so that a call can tell that it may have looked too early.
    revocations: u64,
    /// The last of them, so that a call need not look again for what concerns others.
    recent: VecDeque<Ended>,
    last: u64,
    running: HashMap<u64, Arc<Call>>,
}

/// What has ended.
#[derive(Debug)]
enum Ended {
    /// These consents.
    Consents(Vec<Uuid>),
    /// Some of this user's.
    Of(TenantUser),
}

impl Calls {
    fn note(&mut self, ended: Ended) {
        self.revocations += 1;
        if self.recent.len() >= RECENT_REVOCATIONS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(ended);
    }

    /// Whether something may have ended since then that this call found. What is no longer remembered may be anything.
    fn concerns(&self, since: Looked, whose: Option<&TenantUser>, ids: &[Uuid]) -> bool {
        let count = usize::try_from(self.revocations.saturating_sub(since.0)).unwrap_or(usize::MAX);
        let Some(first) = self.recent.len().checked_sub(count) else {
            return true;
        };
        self.recent.iter().skip(first).any(|ended| match ended {
            Ended::Consents(those) => those.iter().any(|one| ids.contains(one)),
            Ended::Of(user) => whose.is_none_or(|whose| whose == user),
        })
    }
}

#[derive(Debug, Default)]
struct Call {
    held: Mutex<HashMap<Uuid, Arc<Gate>>>,
    standing: Mutex<Option<Standing>>,
    ended: CancellationToken,
}

/// When consents were looked at: what was revoked later is not in what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked(u64);

/// A call that is known to run, until this is dropped.
#[derive(Debug)]
pub struct RunningCall {
    calls: RunningCalls,
    number: u64,
    /// Whose consents it looks at; anybody's where that is not known.
    whose: Option<TenantUser>,
    call: Arc<Call>,
}

impl RunningCalls {
    /// A call begins that looks at the consents of this user.
    pub fn enter_for(&self, whose: TenantUser) -> RunningCall {
        let mut call = self.enter();
        call.whose = Some(whose);
        call
    }

    /// A call begins.
    pub fn enter(&self) -> RunningCall {
        let mut calls = self.lock();
        calls.last = calls.last.wrapping_add(1);
        let (number, call) = (calls.last, Arc::new(Call::default()));
        calls.running.insert(number, Arc::clone(&call));
        RunningCall {
            calls: self.clone(),
            number,
            whose: None,
            call,
        }
    }

    /// The consents that calls stand on, without those that were taken from them.
    pub fn held(&self) -> Vec<Uuid> {
        let running: Vec<_> = self.lock().running.values().cloned().collect();
        let mut ids: Vec<_> = running.iter().flat_map(|call| call.ids()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The same, where something of this user's has ended that is not known by name: a call of theirs that is looking now
    /// has to look again.
    pub fn look_again(&self, whose: &TenantUser) -> Vec<Uuid> {
        self.lock().note(Ended::Of(whose.clone()));
        self.held()
    }

    /// Takes these consents from every call: when it returns, no step under them is being done or will be, and the calls
    /// that had to stop have ended. To be called once it is in the state that the consents have ended.
    pub async fn revoke(&self, ids: &[Uuid]) {
        // Those from which one was taken, and those that a call makes from which one was.
        let affected = self.take(ids);
        // One time for all of them: whoever waits for the answer waits no longer for many than for one.
        let until = tokio::time::Instant::now() + STOP_MAX;
        for call in affected {
            let stops = call.standing().is_some_and(|standing| standing.is_lost());
            if stops
                && tokio::time::timeout_at(until, call.ended.cancelled())
                    .await
                    .is_err()
            {
                tracing::warn!("a call whose consent was revoked has not ended yet");
            }
        }
    }

    /// The same for whoever does not wait for the calls to end: one of them must not keep it from the next.
    pub fn revoke_soon(&self, ids: &[Uuid]) {
        self.take(ids);
    }

    fn take(&self, ids: &[Uuid]) -> Vec<Arc<Call>> {
        let running: Vec<_> = {
            let mut calls = self.lock();
            calls.note(Ended::Consents(ids.to_vec()));
            calls.running.values().cloned().collect()
        };
        // Of all first: a call may stand on what is taken from another.
        let taken: Vec<bool> = running.iter().map(|call| call.take(ids)).collect();
        let lost = |call: &Call| call.standing().is_some_and(|standing| standing.is_lost());
        let affected = running.into_iter().zip(taken);
        affected
            .filter(|(call, taken)| *taken || lost(call))
            .map(|(call, _)| call)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    fn ids(&self) -> Vec<Uuid> {
        let held = self.lock();
        let open = held.iter().filter(|(_, gate)| gate.is_open());
        open.map(|(id, _)| *id).collect()
    }

    fn take(&self, ids: &[Uuid]) -> bool {
        let held = self.lock();
        let gates: Vec<_> = ids.iter().filter_map(|id| held.get(id)).cloned().collect();
        drop(held);
        for gate in &gates {
            gate.revoke();
        }
        !gates.is_empty()
    }

    fn standing(&self) -> Option<Standing> {
        let standing = self.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Gate>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCall {
    /// To be called before consents are looked up.
    pub fn look(&self) -> Looked {
        Looked(self.calls.lock().revocations)
    }

    /// From now on the call stands on these consents. `false` when something was revoked since it looked that it may have
    /// found: then nothing of what it found counts, and it has to look again.
    #[must_use]
    pub fn hold(&self, looked: Looked, ids: impl IntoIterator<Item = Uuid>) -> bool {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let calls = self.calls.lock();
        if calls.concerns(looked, self.whose.as_ref(), &ids) {
            return false;
        }
        let gates = ids.into_iter().map(|id| (id, Arc::default())).collect();
        *self.call.lock() = gates;
        true
    }

    /// What it stands on, where each capability is told with the consents behind it: none for what needs none.
    pub fn stand(
        &self,
        capabilities: impl IntoIterator<Item = (Capability, Vec<Uuid>)>,
    ) -> Standing {
        let held = self.call.lock();
        let live = |capability: &Capability, ids: Vec<Uuid>| {
            // What rules have asked about, though it is of no effect by itself, stands on a consent all the same.
            if capability.tier() == Tier::T0 && ids.is_empty() {
                return Live::free();
            }
            let gates = ids.iter().filter_map(|id| held.get(id)).cloned();
            Live(Kind::Under(gates.collect()))
        };
        let all = capabilities
            .into_iter()
            .map(|(capability, ids)| (capability.clone(), live(&capability, ids)));
        let standing = Standing::of_each(all);
        drop(held);
        self.stand_on(standing.clone());
        standing
    }

    /// What it stands on is this from now on: a revocation judges by it whether the call must stop.
    pub fn stand_on(&self, standing: Standing) {
        let known = self.call.standing.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.calls.lock().running.remove(&self.number);
        self.call.ended.cancel();
    }
}

#[cfg(test)]
mod tests;
