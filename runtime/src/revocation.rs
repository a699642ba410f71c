//! What running calls stand on, and how it is taken from them.
//!
//! Every capability that a user had to agree to is [`Live`] as long as one of the consents behind it is. Whoever acts under it
//! acts inside [`Live::pass`], so that looking and acting are one step: a revocation waits for the steps that have begun, and
//! none begins after it. Decides nothing and reads no state: it is told what has ended.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::capability::{Capability, Tier};

/// How long a revocation waits for the calls that it stops. A guest is dropped where it stands, at the latest at the next
/// tick of 1 ms; what takes longer is a machine that is overloaded.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The consent behind an effect was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consent for this was revoked")]
pub struct Revoked;

/// One consent, as one running call stands on it.
#[derive(Debug, Default)]
struct Gate {
    revoked: RwLock<bool>,
    told: CancellationToken,
}

impl Gate {
    fn revoke(&self) {
        // Waits for the steps that have begun; each is one poll, which never waits itself.
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.cancel();
    }

    fn pass<T>(&self, step: impl FnOnce() -> T) -> Result<T, Revoked> {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        if *revoked { Err(Revoked) } else { Ok(step()) }
    }

    fn is_open(&self) -> bool {
        self.pass(|| ()).is_ok()
    }
}

/// Whether what was agreed to still is.
#[derive(Debug, Clone)]
pub struct Live(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Nobody had to agree.
    Free,
    /// Somebody agreed, perhaps twice. It ends with the last of them; of none, at once.
    Under(Arc<[Arc<Gate>]>),
}

impl Live {
    /// For what needs no consent: capabilities of tier T0, and our own requests.
    pub fn free() -> Self {
        Self(Kind::Free)
    }

    /// Acts, unless it was revoked. The step must not wait, and must not pass again.
    pub fn pass<T>(&self, step: impl FnOnce() -> T) -> Result<T, Revoked> {
        match &self.0 {
            Kind::Free => Ok(step()),
            Kind::Under(gates) => {
                let gate = gates.iter().find(|gate| gate.is_open()).ok_or(Revoked)?;
                gate.pass(step)
            }
        }
    }

    /// Whether it was revoked. What follows from a `false` may be outdated: effects go through [`Live::pass`].
    pub fn is_revoked(&self) -> bool {
        match &self.0 {
            Kind::Free => false,
            Kind::Under(gates) => !gates.iter().any(|gate| gate.is_open()),
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
pub struct Standing(Arc<[(Capability, Live)]>);

impl Standing {
    /// For calls that no consent stands behind: of authors and of tests.
    pub fn free<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> Self {
        let free = capabilities
            .into_iter()
            .map(|one| (one.clone(), Live::free()));
        Self(free.collect())
    }

    /// Of this capability. What is not among those of the call is revoked.
    pub fn of(&self, capability: &Capability) -> Live {
        let known = self.0.iter().find(|(one, _)| one == capability);
        known.map_or_else(|| Live(Kind::Under(Arc::new([]))), |(_, live)| live.clone())
    }

    /// Whether the call must stop: it holds nothing any more that somebody had to agree to, or it lost folders, whose open
    /// files cannot be taken from it one by one.
    pub fn is_lost(&self) -> bool {
        let (mut agreed, mut left) = (false, false);
        for (capability, live) in self.0.iter() {
            let revoked = live.is_revoked();
            if revoked && matches!(capability, Capability::Files(_)) {
                return true;
            }
            if matches!(live.0, Kind::Under(_)) {
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
            let next = self.0.iter().filter(|(_, live)| !live.is_revoked());
            let next: Vec<_> = next.map(|(_, live)| Box::pin(live.revoked())).collect();
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
    last: u64,
    running: HashMap<u64, Arc<Call>>,
}

#[derive(Debug, Default)]
struct Call {
    held: Mutex<HashMap<Uuid, Arc<Gate>>>,
    standing: OnceLock<Standing>,
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
    call: Arc<Call>,
}

impl RunningCalls {
    /// A call begins.
    pub fn enter(&self) -> RunningCall {
        let mut calls = self.lock();
        calls.last = calls.last.wrapping_add(1);
        let (number, call) = (calls.last, Arc::new(Call::default()));
        calls.running.insert(number, Arc::clone(&call));
        RunningCall {
            calls: self.clone(),
            number,
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

    /// The same, where something has ended that is not known by name: who is looking now has to look again.
    pub fn look_again(&self) -> Vec<Uuid> {
        let mut calls = self.lock();
        calls.revocations = calls.revocations.wrapping_add(1);
        drop(calls);
        self.held()
    }

    /// Takes these consents from every call: when it returns, no step under them is being done or will be, and the calls
    /// that had to stop have ended. To be called once it is in the state that the consents have ended.
    pub async fn revoke(&self, ids: &[Uuid]) {
        let affected = self.take(ids);
        // One time for all of them: whoever waits for the answer waits no longer for many than for one.
        let until = tokio::time::Instant::now() + STOP_MAX;
        for call in affected {
            let stops = call.standing.get().is_some_and(Standing::is_lost);
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
            calls.revocations = calls.revocations.wrapping_add(1);
            calls.running.values().cloned().collect()
        };
        running.into_iter().filter(|call| call.take(ids)).collect()
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Gate>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCall {
    /// To be called before consents are looked up.
    pub fn look(&self) -> Looked {
        Looked(self.calls.lock().revocations)
    }

    /// From now on the call stands on these consents. `false` when something was revoked since it looked: then nothing of
    /// what it found counts, and it has to look again.
    #[must_use]
    pub fn hold(&self, looked: Looked, ids: impl IntoIterator<Item = Uuid>) -> bool {
        let calls = self.calls.lock();
        if calls.revocations != looked.0 {
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
            if capability.tier() == Tier::T0 {
                return Live::free();
            }
            let gates = ids.iter().filter_map(|id| held.get(id)).cloned();
            Live(Kind::Under(gates.collect()))
        };
        let all = capabilities
            .into_iter()
            .map(|(capability, ids)| (capability.clone(), live(&capability, ids)));
        let standing = Standing(all.collect());
        drop(held);
        self.call.standing.get_or_init(|| standing).clone()
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.calls.lock().running.remove(&self.number);
        self.call.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn http() -> Capability {
        "http GET a.example /".parse().unwrap()
    }

    fn files() -> Capability {
        "files read notes".parse().unwrap()
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn running(calls: &RunningCalls, on: &[(Capability, u128)]) -> (RunningCall, Standing) {
        let call = calls.enter();
        assert!(call.hold(call.look(), on.iter().map(|(_, number)| id(*number))));
        let with =
            |(capability, number): &(Capability, u128)| (capability.clone(), vec![id(*number)]);
        let standing = call.stand(on.iter().map(with));
        (call, standing)
    }

    #[tokio::test]
    async fn what_is_revoked_is_not_passed_again_and_the_rest_is() {
        let calls = RunningCalls::default();
        let (_call, standing) = running(&calls, &[(http(), 1), (http_b(), 2)]);
        assert_eq!(standing.of(&http()).pass(|| 7), Ok(7));
        calls.revoke(&[id(1)]).await;
        assert_eq!(standing.of(&http()).pass(|| 7), Err(Revoked));
        assert_eq!(standing.of(&http_b()).pass(|| 7), Ok(7));
        assert!(!standing.is_lost());
        assert_eq!(calls.held(), [id(2)], "nobody looks again for what is gone");
        assert!(
            standing.of(&files()).is_revoked(),
            "what was never granted is not live"
        );
    }

    fn http_b() -> Capability {
        "http GET b.example /".parse().unwrap()
    }

    #[tokio::test]
    async fn a_call_that_holds_nothing_more_is_lost_and_one_that_needs_no_consent_never_is() {
        let calls = RunningCalls::default();
        let (call, standing) = running(&calls, &[(http(), 1), (Capability::Clock, 9)]);
        let waits = tokio::spawn({
            let standing = standing.clone();
            async move { standing.lost().await }
        });
        let ends = tokio::spawn({
            let standing = standing.clone();
            async move {
                standing.lost().await;
                drop(call);
            }
        });
        calls.revoke(&[id(1)]).await;
        assert!(standing.is_lost());
        assert!(
            calls.lock().running.is_empty(),
            "it waits for the call to end"
        );
        ends.await.unwrap();
        waits.await.unwrap();

        let (_free, standing) = running(&calls, &[(Capability::Clock, 9)]);
        calls.revoke(&[id(9)]).await;
        assert!(!standing.is_lost());
        assert_eq!(standing.of(&Capability::Clock).pass(|| ()), Ok(()));
    }

    #[tokio::test]
    async fn a_call_that_loses_a_folder_is_lost_whatever_else_it_holds() {
        let calls = RunningCalls::default();
        let (call, standing) = running(&calls, &[(http(), 1), (files(), 2)]);
        let ended = tokio::spawn({
            let standing = standing.clone();
            async move {
                standing.lost().await;
                drop(call);
            }
        });
        calls.revoke(&[id(2)]).await;
        ended.await.unwrap();
        assert!(standing.is_lost());
        assert!(!standing.of(&http()).is_revoked());
    }

    #[tokio::test]
    async fn two_consents_for_one_thing_end_with_the_last() {
        let calls = RunningCalls::default();
        let call = calls.enter();
        assert!(call.hold(call.look(), [id(1), id(2)]));
        let standing = call.stand([(http(), vec![id(1), id(2)])]);
        calls.revoke(&[id(1)]).await;
        assert!(!standing.of(&http()).is_revoked());
        drop(call);
        calls.revoke(&[id(2)]).await;
        assert!(!standing.is_lost(), "a call that has ended hears no more");
    }

    #[tokio::test]
    async fn whoever_looked_before_a_revocation_looks_again() {
        let calls = RunningCalls::default();
        let call = calls.enter();
        let early = call.look();
        calls.revoke(&[id(1)]).await;
        assert!(!call.hold(early, [id(1)]));
        assert!(calls.held().is_empty());
        assert!(
            call.hold(call.look(), [id(2)]),
            "beside it: a later look counts"
        );
        assert_eq!(calls.held(), [id(2)]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn after_a_revocation_returns_no_step_is_done() {
        for _ in 0..50 {
            let calls = RunningCalls::default();
            let done = Arc::new(AtomicUsize::new(0));
            let steps: Vec<_> = (0..8)
                .map(|_| {
                    let (call, standing) = running(&calls, &[(http(), 1)]);
                    let done = Arc::clone(&done);
                    tokio::spawn(async move {
                        let endless = async {
                            loop {
                                done.fetch_add(1, Ordering::SeqCst);
                                tokio::task::yield_now().await;
                            }
                        };
                        let live = standing.of(&http());
                        let ended: Result<(), Revoked> = live.guard(endless).await;
                        drop(call);
                        ended
                    })
                })
                .collect();
            while done.load(Ordering::SeqCst) < 100 {
                tokio::task::yield_now().await;
            }
            calls.revoke(&[id(1)]).await;
            let after = done.load(Ordering::SeqCst);
            for step in steps {
                assert_eq!(step.await.unwrap(), Err(Revoked));
            }
            assert_eq!(done.load(Ordering::SeqCst), after);
        }
    }
}
