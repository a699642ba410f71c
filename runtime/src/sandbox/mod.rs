//! Runs a guest under its grants: a fresh instance per call, linked by what is granted.
//!
//! Knows nothing of tokens, rules or consents; a grant set is all that it takes.

mod outcome;

pub use outcome::{Body, Content, Effect, Ending, Outcome, Reply, Usage};
