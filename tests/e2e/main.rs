//! Everything end to end, in one binary, so that it links once: real packages, a real server on loopback, real HTTP.
//!
//! The names of the tests are the rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

mod harness;

mod abuse;
mod admin;
mod admission;
mod analyst;
mod apart;
mod asking;
mod at_rest;
mod attacks;
mod bindings;
mod bound;
mod calling;
mod claims;
mod cli;
mod cli_rules;
mod cli_state;
mod clients;
mod complete;
mod crossing;
mod data;
mod degraded;
mod delivered;
mod drills;
mod duties;
mod egress;
mod every_call;
mod evidence;
mod facts;
mod files;
mod folder;
mod gone;
mod hardening;
mod held;
mod intersection;
mod isolation;
mod keeping;
mod key_drill;
mod keys;
mod kv;
mod law;
mod layers;
mod limits;
mod offers;
mod opaque;
mod outage;
mod outsider;
mod pii;
mod policy;
mod reach;
mod revocation;
mod rules;
mod sealed;
mod secrets;
mod sessions;
mod sign_ins;
mod silence;
mod telemetry;
mod tls;
mod trials;
mod web;
