//! Recurses without end and without use of linear memory, so that the stack of the engine runs out.
//!
//! A clean trap.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

/// What to call next. The optimiser cannot know it, so it cannot make a loop of the recursion.
struct Step(fn(&Step, u64) -> u64);

/// Recurses without end.
#[tool]
fn recurse() -> String {
    let step = std::hint::black_box(Step(down));
    down(&step, 0).to_string()
}

fn down(step: &Step, depth: u64) -> u64 {
    (step.0)(step, depth + 1).rotate_left(1) ^ depth
}
