//! What the line makes of limits: whose call it is, what it took, and how a refusal is told.

use std::time::Duration;

use uuid::Uuid;

use super::ended::Ended;
use crate::audit::Stage;
use crate::capability::Tier;
use crate::mcp::Answer;
use crate::policy::Permit;
use crate::problem::caused;
use crate::sandbox::Usage;
use crate::throttle::Refusal;

/// What a run took of daily budgets.
pub(super) struct Took {
    pub wall: Duration,
    pub reply_bytes: u64,
}

impl Took {
    pub fn of(usage: &Usage) -> Self {
        Self {
            wall: usage.wall,
            reply_bytes: usage.reply_bytes,
        }
    }
}

/// The highest tier of what a call may do, as the rules have it.
pub(super) fn tier(permit: &Permit) -> Tier {
    let tiers = permit.allowed().iter().map(|one| permit.tier(one));
    tiers.max().unwrap_or(Tier::T0)
}

/// A call that a limit refuses, or whose limits cannot be told.
pub(super) fn limited(refusal: Refusal, event: Uuid) -> Box<Ended> {
    match refusal {
        Refusal::Throttled(throttled) => {
            let reason = throttled.reason();
            Ended::refused(Stage::Limits, reason, Answer::Throttled(throttled))
        }
        Refusal::Unavailable(error) => {
            tracing::error!(error = %caused(&error), %event, "what is spent of daily budgets cannot be told, so a call is not made");
            Ended::failed("limits", Answer::Unavailable { id: event })
        }
        Refusal::Contended => Ended::refused(Stage::Limits, "contended", Answer::Busy),
    }
}
