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

mod admin;
mod admission;
mod asking;
mod attacks;
mod cli;
mod cli_rules;
mod cli_state;
mod clients;
mod crossing;
mod data;
mod duties;
mod egress;
mod every_call;
mod facts;
mod files;
mod folder;
mod intersection;
mod isolation;
mod kv;
mod law;
mod layers;
mod offers;
mod outage;
mod outsider;
mod pii;
mod policy;
mod reach;
mod revocation;
mod rules;
mod sessions;
mod sign_ins;
mod trials;
