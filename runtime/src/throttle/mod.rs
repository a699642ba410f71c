//! Limits on everybody: by address before a token is read, and by tenant, user, client, tool and tier once a call is permitted.
//!
//! A call is held against all of its limits at once, and then counts for all of them or for none: whoever is throttled by one
//! uses up no other, and nobody else's. What counts is monotonic time, so a clock that is set changes no rate; daily budgets go
//! by the clock, and its latest day holds. Whose limits are whose is known by digests alone.

mod addresses;
mod calls;
mod days;
mod places;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use addresses::{Addresses, counts};
pub use calls::{Calls, Refusal, Taken, Whose};
pub use places::{Place, Places, Way};

use crate::config::Limits;

/// The limits in force, which every stage reads anew.
pub type SharedLimits = Arc<ArcSwap<Limits>>;
