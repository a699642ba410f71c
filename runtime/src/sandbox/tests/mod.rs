//! What a call can reach and how it ends, by guests of a few instructions.

mod endings;
mod faults;
mod reach;

use std::time::Duration;

use wasmtime::component::Component;

use super::testing::{context, run, sandbox};
use super::{Content, Ending, Outcome, RunContext};

pub(super) const LOG: &str =
    r#"(import "bailiwick:tool/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
pub(super) const PROGRESS: &str = r#"(import "bailiwick:tool/progress@0.1.0" "report"
    (func $report (param f64 i32 f64 i32 i32 i32 i32)))"#;
pub(super) const MONOTONIC: &str =
    r#"(import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))"#;
pub(super) const SUBSCRIBE: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration"
    (func $subscribe (param i64) (result i32)))"#;
pub(super) const BLOCK: &str =
    r#"(import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))"#;

pub(super) fn within(millis: u64) -> RunContext {
    RunContext {
        deadline: Duration::from_millis(millis),
        ..context()
    }
}

#[track_caller]
pub(super) fn text(outcome: &Outcome) -> &str {
    match &outcome.ending {
        Ending::Replied(reply) => match reply.content.as_slice() {
            [Content::Text(text)] => text,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn number(outcome: &Outcome) -> u64 {
    u64::from_str_radix(text(outcome), 16).unwrap()
}

pub(super) async fn once(component: &Component) -> Outcome {
    run(&sandbox(), component, &[], "{}", context()).await
}
