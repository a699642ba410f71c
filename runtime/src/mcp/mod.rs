//! The wire: MCP 2026-07-28, and 2025-11-25 / 2025-06-18 for older clients, on one endpoint.
//!
//! Every request is judged at the edge (host, origin, size, token, method, body, version, scopes) before the SDK sees it; no
//! request leaves anything behind for the next one once it is answered, but for the sessions that an operator may turn on. Never decides what a caller may do: it asks the [`Line`] and shows the answer.

mod content;
mod context;
mod door;
mod edge;
mod elicit;
mod front;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handler;
mod line;
mod listing;
mod message;
mod metadata;
mod progress;
mod respond;
mod router;
mod running;
mod sessions;

pub use door::{Door, Visitor};
pub use front::{Front, guarded};
pub use line::{
    Answer, Call, EdgeRefusal, Era, Line, Listed, NotScoped, NotVerified, Operation, Pending,
    Progress, RequestFacts, Said, SessionTurn, SessionTurned, WeakSignIn,
};
pub use router::{Ready, Settings, router};

#[cfg(test)]
mod tests;
