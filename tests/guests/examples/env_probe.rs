//! Reads its environment, its arguments, its folder and its standard input.
//!
//! All of them are empty.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

use std::io::Read;

use bailiwick_sdk::Json;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
struct Surroundings {
    env: Vec<(String, String)>,
    args: Vec<String>,
    initial_cwd: Option<String>,
    stdin_bytes: usize,
}

/// Reads its surroundings.
#[tool]
fn env_probe() -> Json<Surroundings> {
    let mut stdin = Vec::new();
    // An error is as empty as an end.
    let _ = std::io::stdin().take(4096).read_to_end(&mut stdin);
    Json(Surroundings {
        env: wasip2::cli::environment::get_environment(),
        args: wasip2::cli::environment::get_arguments(),
        initial_cwd: wasip2::cli::environment::initial_cwd(),
        stdin_bytes: stdin.len(),
    })
}
