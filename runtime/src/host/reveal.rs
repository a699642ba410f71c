//! Opens values that were encrypted for a package, inside the sandbox, as far as the call was granted that.
//!
//! Scope, limit, act, record. A guest cannot tell a value that it may not open from one that is not there. The meter learns the
//! class, the field and the size, never the value nor its handle.

use zeroize::Zeroizing;

use super::meter::Meter;
use crate::capability::Reveal;
use crate::clock::SharedClock;
use crate::limits::REVEALS_MAX;
use crate::problem::caused;
use crate::protect::{Handle, Hush};
use crate::revocation::Live;
use crate::sandbox::Effect;
use crate::seal::{Owner, SealError, Seals};

/// What a refusal is recorded as, whatever was asked for.
const NAMELESS: &str = "reveal (refused)";

/// Why a value is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevealError {
    /// Not granted, not there, or not any more: all the same.
    #[error("there is no grant for this")]
    Denied,
    /// Its key was destroyed.
    #[error("the key of the value was destroyed")]
    Destroyed,
    /// The call has opened all that it may.
    #[error("a call opens at most {REVEALS_MAX} values")]
    TooMany,
    /// The key cannot be had now; the reason is in the log.
    #[error("the value cannot be opened now")]
    Unavailable,
}

/// What is kept for the package of a call.
#[derive(Clone)]
pub struct Kept {
    /// Where.
    pub seals: Seals,
    /// For whom.
    pub owner: Owner,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Kept({:?})", self.owner)
    }
}

/// Opens values for one call.
pub struct Opener {
    scopes: Vec<(Reveal, Live)>,
    kept: Kept,
    hush: Hush,
    meter: Meter,
    clock: SharedClock,
    left: u32,
}

impl Opener {
    /// For these scopes, each with the consent behind it. From the first value on, `hush` keeps what the guest says beside its
    /// reply.
    pub fn new(
        scopes: Vec<(Reveal, Live)>,
        kept: Kept,
        hush: Hush,
        meter: Meter,
        clock: SharedClock,
    ) -> Self {
        Self {
            scopes,
            kept,
            hush,
            meter,
            clock,
            left: REVEALS_MAX,
        }
    }

    /// Opens the value behind a handle.
    pub async fn reveal(&mut self, handle: &str) -> Result<Zeroizing<String>, RevealError> {
        // limit: before anything is looked up, so that guessing ends as well
        let Some(left) = self.left.checked_sub(1) else {
            self.refused();
            return Err(RevealError::TooMany);
        };
        self.left = left;
        // scope
        let Ok(handle) = handle.parse::<Handle>() else {
            self.refused();
            return Err(RevealError::Denied);
        };
        let (seals, owner) = (&self.kept.seals, &self.kept.owner);
        let sealed = match seals.look(owner, &handle, self.clock.now()).await {
            Ok(sealed) => sealed,
            Err(SealError::Unknown | SealError::NoKey) => {
                self.refused();
                return Err(RevealError::Denied);
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let allowed = |(scope, live): &&(Reveal, Live)| {
            scope.allows(&sealed.class, &sealed.field) && !live.is_revoked()
        };
        let Some((_, live)) = self.scopes.iter().find(allowed) else {
            self.refused();
            return Err(RevealError::Denied);
        };
        // act: nothing is said any more before there is something to say
        self.hush.hush();
        let effect = format!("reveal {} {}", sealed.class, sealed.field);
        let opened = live.guard(seals.open(sealed)).await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(_) => {
                self.refused();
                return Err(RevealError::Denied);
            }
        };
        // record
        match opened {
            Ok(value) => {
                self.note(effect, 0, value.len());
                Ok(value)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &SealError) -> RevealError {
        self.refused();
        if matches!(error, SealError::Erased) {
            return RevealError::Destroyed;
        }
        tracing::error!(error = %caused(error), "an encrypted value cannot be opened");
        RevealError::Unavailable
    }

    fn refused(&self) {
        self.note(NAMELESS.to_owned(), 1, 0);
    }

    fn note(&self, effect: String, refused: u64, bytes: usize) {
        // What was opened can be opened again.
        self.meter.note(
            effect,
            Effect {
                count: 1,
                refused,
                bytes_out: 0,
                bytes_in: u64::try_from(bytes).unwrap_or(u64::MAX),
            },
        );
    }
}
