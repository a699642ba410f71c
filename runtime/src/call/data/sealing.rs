//! Pieces that are to be encrypted: first each is noted, then each gets its handle, in the same order.

use std::collections::VecDeque;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::super::ended::Ended;
use crate::audit::Stage;
use crate::mcp::Answer;
use crate::problem::caused;
use crate::protect::{Handle, Piece};
use crate::seal::{Plain, SealError};

/// What is put in the place of pieces.
pub(super) enum Sealing {
    /// Something as long as a handle, while the pieces are noted.
    Noting(Vec<Plain>),
    /// Their handles.
    Giving(VecDeque<Handle>),
}

impl Default for Sealing {
    fn default() -> Self {
        Self::Noting(Vec::new())
    }
}

impl Sealing {
    pub(super) fn giving(handles: &[Handle]) -> Self {
        Self::Giving(handles.iter().copied().collect())
    }

    pub(super) fn seal(&mut self, piece: Piece<'_>) -> String {
        const ZEROS: [u8; 16] = [0; 16];
        match self {
            Self::Noting(plain) => {
                plain.push(Plain {
                    field: piece.field.to_owned(),
                    class: piece.class.clone(),
                    value: Zeroizing::new(piece.text.to_owned()),
                    equal: piece.equal,
                });
                Handle::new(ZEROS, piece.equal.then_some(ZEROS)).to_string()
            }
            // There are as many as were noted; where there were not, nothing readable is put there.
            Self::Giving(handles) => handles
                .pop_front()
                .map_or_else(|| "********".to_owned(), |handle| handle.to_string()),
        }
    }

    pub(super) fn into_plain(self) -> Vec<Plain> {
        match self {
            Self::Noting(plain) => plain,
            Self::Giving(_) => Vec::new(),
        }
    }
}

/// A call ends because something could not be encrypted, or not be kept.
pub(in crate::call) fn unsealed(error: &SealError, event: Uuid) -> Box<Ended> {
    let refused = |reason: &str| {
        let text = format!("the tool was not called: {error}");
        Ended::refused(Stage::Data, reason, Answer::ToolError(text))
    };
    match error {
        SealError::TooLarge | SealError::TooMany => refused("seal-too-large"),
        SealError::Full | SealError::PackageFull => refused("seal-full"),
        SealError::NoKey => refused("data-no-key"),
        error => {
            let error = caused(error);
            tracing::error!(%error, %event, "data could not be encrypted, so a call does not run");
            Ended::failed("seal", Answer::Unavailable { id: event })
        }
    }
}
