//! One consent, as one running call stands on it: looking and acting are one step.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio_util::sync::CancellationToken;

use super::Revoked;

/// One consent, as one running call stands on it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    revoked: RwLock<bool>,
    /// Fires when it was revoked.
    pub(super) told: CancellationToken,
}

impl Gate {
    pub(super) fn revoke(&self) {
        // Waits for the steps that have begun; each is one poll, which never waits itself.
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.cancel();
    }

    pub(super) fn pass<T>(&self, step: impl FnOnce() -> T) -> Result<T, Revoked> {
        self.enter().map(|_inside| step())
    }

    /// Whoever revokes waits until what comes back is dropped.
    pub(super) fn enter(&self) -> Result<Inside<'_>, Revoked> {
        let once = once::Once::of(std::ptr::from_ref(self).addr());
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        match *revoked {
            true => Err(Revoked),
            false => Ok(Inside {
                _revoked: revoked,
                _once: once,
            }),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.pass(|| ()).is_ok()
    }
}

/// A step that has passed a gate.
pub(super) struct Inside<'a> {
    _revoked: RwLockReadGuard<'a, bool>,
    _once: once::Once,
}

/// That nobody passes a gate within itself: whoever revokes waits for the first step, and the second one for them. Looked at in
/// builds with assertions, and so by every test.
mod once {
    use std::cell::RefCell;

    thread_local! {
        static PASSED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) struct Once(usize);

    impl Once {
        pub(super) fn of(gate: usize) -> Self {
            if cfg!(debug_assertions) {
                let again = PASSED.with_borrow(|passed| passed.contains(&gate));
                debug_assert!(!again, "a gate is passed within itself");
                PASSED.with_borrow_mut(|passed| passed.push(gate));
            }
            Self(gate)
        }
    }

    impl Drop for Once {
        fn drop(&mut self) {
            if cfg!(debug_assertions) {
                PASSED.with_borrow_mut(|passed| {
                    if let Some(place) = passed.iter().rposition(|gate| *gate == self.0) {
                        passed.remove(place);
                    }
                });
            }
        }
    }
}

/// Whether one of them is.
pub(super) fn is_open(gates: &[Arc<Gate>]) -> bool {
    gates.iter().any(|gate| gate.is_open())
}
