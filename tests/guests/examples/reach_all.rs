//! Tries everything that WASI has and says what it could really reach.
//!
//! The probe of an empty world: with no grant the reply says `false`, or is empty, in every field but `random`. With
//! grants it says exactly those.

#![cfg(target_family = "wasm")]

use std::io::Read;

use bailiwick_guests::{files, http, sockets};
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasip2::cli::environment;
use wasip2::clocks::{monotonic_clock, wall_clock};

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The address to ask for; `http://example.com/` if left out.
    #[serde(default)]
    url: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Reach {
    /// Whether the request had a response.
    http: bool,
    /// The status, or why there was none.
    http_detail: String,
    /// The names of the mounts.
    files: Vec<String>,
    /// The mounts that take a new file.
    files_writable: Vec<String>,
    /// Paths outside of all mounts that could be opened.
    files_outside: Vec<String>,
    /// Whether time goes on.
    clock: bool,
    /// The time of day in seconds.
    clock_seconds: u64,
    /// The names of environment variables.
    env: Vec<String>,
    /// The arguments of the program.
    args: Vec<String>,
    /// Whether standard input has anything.
    stdin: bool,
    /// Whether any socket or resolver answers.
    sockets: bool,
    /// What they answer.
    sockets_detail: String,
    /// Whether two random numbers differ.
    random: bool,
    /// Whether the host takes a report of progress.
    progress: bool,
}

/// Tries everything and says what it reached.
#[tool]
fn reach_all(target: Target) -> Json<Reach> {
    let url = target.url.as_deref().unwrap_or("http://example.com/");
    let answer = http::send("GET", url, &[], b"");
    let sockets = sockets::probe();
    let (clock, clock_seconds) = clock();
    let env = environment::get_environment();
    Json(Reach {
        http: answer.status.is_some(),
        http_detail: match answer.status {
            Some(status) => status.to_string(),
            None => answer.error.unwrap_or_default(),
        },
        files: files::mounts(),
        files_writable: files::writable(),
        files_outside: outside(),
        clock,
        clock_seconds,
        env: env.into_iter().map(|(name, _)| name).collect(),
        args: environment::get_arguments(),
        stdin: std::io::stdin().read(&mut [0; 16]).is_ok_and(|n| n > 0),
        sockets: sockets.reached,
        sockets_detail: sockets.detail,
        random: wasip2::random::random::get_random_u64()
            != wasip2::random::random::get_random_u64(),
        progress: bailiwick_guests::progress(),
    })
}

/// Whether either clock moves while the guest works, and the time of day.
fn clock() -> (bool, u64) {
    let (mono, wall) = (monotonic_clock::now(), wall_clock::now());
    let mut moved = false;
    for _ in 0..200_000 {
        let now = wall_clock::now();
        moved |= monotonic_clock::now() != mono;
        moved |= (now.seconds, now.nanoseconds) != (wall.seconds, wall.nanoseconds);
        if moved {
            break;
        }
    }
    (moved, wall.seconds)
}

fn outside() -> Vec<String> {
    let paths = ["/", "/etc/passwd", "/proc/self/environ", "/tmp", ".", ".."];
    paths
        .into_iter()
        .filter(|path| std::fs::metadata(path).is_ok())
        .map(str::to_owned)
        .collect()
}
