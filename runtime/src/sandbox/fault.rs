//! A host function that panics, for tests. No other program has any of it.

use std::sync::{Mutex, PoisonError};

/// What the next call of one sandbox meets. Sandboxes of other tests meet nothing.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Option<String>>);

impl Faults {
    /// The next call meets a fault in the first host function that it comes to, which its guest makes the one of this name.
    pub(super) fn arm(&self, name: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// For the call that begins.
    pub(super) fn next(&self) -> Fault {
        Fault(self.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// What one call meets, if it meets something.
#[derive(Debug, Default)]
pub(super) struct Fault(Option<String>);

impl Fault {
    /// Panics, once.
    pub(super) fn strike(&mut self) {
        if let Some(name) = self.0.take() {
            panic!("`{name}` is broken");
        }
    }
}
