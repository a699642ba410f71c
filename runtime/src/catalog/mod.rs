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
pub mod manifest;
mod mismatch;
mod names;
pub mod package;
mod pattern;
pub mod schema;
mod schema_walk;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod tool;
mod watch;

pub use admit::AdmissionError;
pub use compile::{CompileError, Compiler, compile_component};
pub use schema::SchemaMismatch;
pub use state::{Change, ChangeKind, Refused, Snapshot};
pub use tool::{Annotations, Package, Tool};
pub use watch::{Catalog, CatalogError};

pub(crate) use described::described;
