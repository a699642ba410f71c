//! The admitted tools: digest, manifest, definitions, compiled component.
//!
//! A package is admitted whole or refused with a reason; the others stay up. Nothing here runs a guest or decides who
//! may call it.

pub mod admit;
pub mod cache;
mod cache_prune;
pub mod check;
pub mod compile;
mod described;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod manifest;
mod mirror;
mod mismatch;
mod names;
pub mod package;
mod pattern;
pub mod schema;
mod schema_walk;
mod state;
pub(crate) mod surface;
#[cfg(any(test, fuzzing))]
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what makes values for tests panics where it cannot"
)]
pub(crate) mod testing;
mod tool;
mod watch;

pub use admit::AdmissionError;
pub use cache::Native;
pub use compile::{CompileError, Compiler, Part, compile_component};
pub use schema::SchemaMismatch;
pub use state::{Change, ChangeKind, Refused, Snapshot};
pub use tool::{Annotations, Apart, Package, Tool};
pub use watch::{Catalog, CatalogError};

pub(crate) use described::described;
