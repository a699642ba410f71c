//! What the server tells of itself beside the audit: numbers, how it stands, how its log looks.
//!
//! Counting takes no lock and allocates nothing: a number is an atomic, and its labels come from sets that are closed when the
//! program is built, or are names of admitted tools, of which there is a bound. Never holds a user, a tenant, an argument, or
//! any text of a caller.

mod count;
pub mod log;
mod meters;
mod page;
mod process;
mod trace;
mod words;

pub use count::{Seconds, Words};
pub use meters::Meters;
pub use page::{Family, Label, Samples, number, print};
pub use process::process;
pub use trace::{Trace, Tracer};
