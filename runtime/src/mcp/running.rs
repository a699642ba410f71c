//! The calls of older revisions that run, so that their clients can cancel them.
//!
//! Those revisions cancel by a notification, which is a request of its own. Without sessions the id of a call is unique to
//! nobody, so it counts together with the caller, token included: a notification reaches no call of another token, and
//! none at all where two calls bear that id. In a session it counts together with that. Forgets a call when it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ids::Digest;

/// Calls by whose they are and request id. There are no more of them than requests that are being answered.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<Key, Vec<One>>>);

/// The fingerprint of a caller, or the name of a session.
type Key = (Digest, RequestId);

#[derive(Debug)]
struct One {
    /// Ours, for two calls may bear the same id.
    id: Uuid,
    cancel: CancellationToken,
}

impl Running {
    /// Makes a call known until what is returned is dropped.
    #[must_use = "a call is known for as long as this is kept"]
    pub fn enter(
        self: &Arc<Self>,
        whose: Digest,
        request: RequestId,
        id: Uuid,
        cancel: CancellationToken,
    ) -> Entered {
        let key = (whose, request);
        let one = One { id, cancel };
        self.calls().entry(key.clone()).or_default().push(one);
        Entered {
            running: Arc::clone(self),
            key,
            id,
        }
    }

    /// Cancels the call of theirs that bears this id. Whether there is one is not told.
    pub fn cancel(&self, whose: Digest, request: &RequestId) {
        let key = (whose, request.clone());
        // Two programs of one user may share a token and count their requests alike: better none than the wrong one.
        if let Some([one]) = self.calls().get(&key).map(Vec::as_slice) {
            one.cancel.cancel();
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<Key, Vec<One>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is known.
#[derive(Debug)]
pub(super) struct Entered {
    running: Arc<Running>,
    key: Key,
    id: Uuid,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut calls = self.running.calls();
        if let Some(alike) = calls.get_mut(&self.key) {
            alike.retain(|one| one.id != self.id);
            if alike.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}
