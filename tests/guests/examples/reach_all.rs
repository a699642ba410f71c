//! Tries everything that WASI has and says what it could really reach.
//!
//! The probe of an empty world: with no grant the reply says `false`, or is empty, in every field but `random`. With
//! grants it says exactly those.

#![cfg(target_family = "wasm")]

use std::io::Read;

use bailiwick_guests::{calls, files, http, kv, sockets, user};
use bailiwick_sdk::guest::secret_exists;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasip2::cli::environment;
use wasip2::clocks::{monotonic_clock, wall_clock};

/// How long the clock is watched, in nanoseconds: several of its steps.
const WATCHED_NS: u64 = 5_000_000;

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The address to ask for; `http://example.com/` if left out.
    #[serde(default)]
    url: Option<String>,
    /// What stands for a value.
    #[serde(default)]
    handle: String,
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
    /// The stores in which something can be kept and found.
    stores: Vec<String>,
    /// The keys of all that the operator set.
    settings: Vec<String>,
    /// What the user answered, or why not.
    ask: String,
    /// The names of secrets that requests carry.
    secrets: Vec<String>,
    /// What came of a call of the tool `hello`.
    call: String,
    /// What was told of the user.
    claims: Vec<String>,
    /// An address that nobody gave it.
    said: String,
    /// What the handle stands for.
    opened: Option<String>,
}

const STORES: [&str; 4] = ["memory", "other", "default", ""];
const SECRETS: [&str; 4] = ["tracker", "other", "*", ""];
const CLAIMS: [&str; 8] = [
    "subject", "nickname", "email", "name", "sub", "jti", "scope", "",
];

/// Tries everything and says what it reached.
#[tool]
fn reach_all(target: Target) -> Json<Reach> {
    // Asking and calling come before whatever has an effect.
    let ask = user::ask();
    let call = calls::made("hello", r#"{"name": "reach_all"}"#);
    let url = target.url.as_deref().unwrap_or("http://example.com/");
    let url = match target.handle.as_str() {
        "" => url.to_owned(),
        handle => format!("{url}?to={handle}"),
    };
    let answer = http::send("GET", &url, &[], b"");
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
        stores: some(&STORES, |name| {
            kv::keep(name, "reach-all") && kv::value(name, "reach-all").is_some()
        }),
        settings: user::settings(),
        ask,
        secrets: some(&SECRETS, secret_exists),
        call,
        claims: some(&CLAIMS, |name| user::claim(name) != "denied"),
        opened: bailiwick_sdk::guest::reveal(&target.handle).ok(),
        said: ["some", "one", "@example", ".com"].concat(),
    })
}

fn some(names: &[&str], there: impl Fn(&str) -> bool) -> Vec<String> {
    let names = names.iter().filter(|name| there(name));
    names.map(|&name| name.to_owned()).collect()
}

/// Whether either clock moves while the guest waits, which needs no grant, and the time of day.
fn clock() -> (bool, u64) {
    let (mono, wall) = (monotonic_clock::now(), wall_clock::now());
    monotonic_clock::subscribe_duration(WATCHED_NS).block();
    let now = wall_clock::now();
    let moved = monotonic_clock::now() != mono
        || (now.seconds, now.nanoseconds) != (wall.seconds, wall.nanoseconds);
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
