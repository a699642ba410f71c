//! What a guest can reach outside its sandbox: one file per capability, on plain data, apart from the Wasm glue.
//!
//! Every host function has the same four steps: scope, limit, act, record. None of them knows a token, a rule or a consent.

pub mod ask;
pub mod caller;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod files;
pub mod http;
pub mod kv;
pub mod log;
pub mod meter;
pub mod progress;
pub mod reveal;
pub mod secret;
pub mod task;
pub mod tools;
