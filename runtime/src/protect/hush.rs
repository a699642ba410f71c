//! From some moment on, nothing that a call says beside its reply is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What stands in the log in place of what was said.
pub(super) const HUSHED: &str = "(not kept: the call has opened encrypted data)";

/// Shared by all that a call can say something to, and by what makes it silent.
#[derive(Debug, Clone, Default)]
pub struct Hush(Arc<AtomicBool>);

impl Hush {
    /// From now on nothing is kept.
    pub fn hush(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether that is so.
    pub fn is_hushed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
