//! Runs MCP tools as WebAssembly components under the authority of their caller.
//!
//! The modules stand in layers, lowest first; a module imports only what stands above it here. `ARCHITECTURE.md` has the line of a
//! call through them.

// words
pub mod capability;
pub mod clock;
pub mod dialogue;
pub mod ids;
pub mod limits;
pub mod problem;
pub mod protect;
pub mod stack;
// ground
pub mod audit;
pub mod config;
pub mod egress;
pub mod engine;
pub mod hardening;
pub mod private_file;
pub mod rate;
pub mod revocation;
pub mod seal;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod turns;
// evidence
pub mod catalog;
pub mod clients;
pub mod consent;
pub mod identity;
pub mod policy;
// decision
pub mod grant;
// execution
pub mod host;
pub mod sandbox;
// edge
pub mod admin;
pub mod author;
pub mod idp;
pub mod listen;
pub mod mcp;
pub mod web;
// composition
pub mod call;
pub mod cli;
pub mod crypto;
pub mod demo;
pub mod dev;
pub mod follow;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod server;
