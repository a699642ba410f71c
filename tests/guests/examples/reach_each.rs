//! Tries just what it is told to and says of each attempt what came of it.
//!
//! The probe of the law: the harness names places inside and outside of a grant, and computes by itself which of them can
//! be reached.

#![cfg(target_family = "wasm")]

use bailiwick_guests::{calls, http, kv, user};
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasip2::clocks::{monotonic_clock, wall_clock};

/// How long the clock is watched, in nanoseconds: several of its steps.
const WATCHED_NS: u64 = 5_000_000;

#[derive(Deserialize, JsonSchema)]
struct Attempts {
    /// Requests, each a method and an address; all of them at once.
    requests: Vec<(String, String)>,
    /// Files to read.
    read: Vec<String>,
    /// Files to make.
    write: Vec<String>,
    /// Values to read, each a store and a key.
    #[serde(default)]
    value: Vec<(String, String)>,
    /// Keys to keep something under, each with its store.
    #[serde(default)]
    keep: Vec<(String, String)>,
    /// What the operator may have set.
    #[serde(default)]
    settings: Vec<String>,
    /// Whether to ask the user something.
    #[serde(default)]
    ask: bool,
    /// Names that may be those of secrets.
    #[serde(default)]
    exists: Vec<String>,
    /// Other tools to call, each with the text of its arguments, and what is put to what they are given, in pieces.
    #[serde(default)]
    calls: Vec<(String, String, Vec<Vec<String>>)>,
    /// Claims to be told; `subject` is the pseudonym.
    #[serde(default)]
    claims: Vec<String>,
    /// What may be personal data.
    #[serde(default)]
    given: Vec<String>,
    /// What is to be answered, each in pieces.
    #[serde(default)]
    say: Vec<Vec<String>>,
    /// Handles to open.
    #[serde(default)]
    open: Vec<String>,
    /// Handles to have delivered, each with a method and the address before it.
    #[serde(default)]
    deliver: Vec<(String, String, String)>,
    /// What the operator's rules read.
    #[expect(dead_code, reason = "for the operator's rules alone")]
    level: i64,
}

#[derive(Serialize, JsonSchema)]
struct Reached {
    /// What came of each request.
    requests: Vec<http::Probe>,
    /// What stands in each file that was read.
    read: Vec<Option<String>>,
    /// Whether each file was made.
    write: Vec<bool>,
    /// The text under each key.
    value: Vec<Option<String>>,
    /// Whether something was kept under each key.
    keep: Vec<bool>,
    /// What the operator set under each key.
    settings: Vec<Option<String>>,
    /// The keys of all that the operator set.
    all_settings: Vec<String>,
    /// What the user answered, or why not.
    ask: Option<String>,
    /// Whether each name is that of a secret.
    exists: Vec<bool>,
    /// What came of each call.
    calls: Vec<String>,
    /// What was told of each claim.
    claims: Vec<String>,
    /// What came in.
    given: Vec<String>,
    /// What was to be answered.
    said: Vec<String>,
    /// What each handle stands for.
    opened: Vec<Option<String>>,
    /// Whether time goes on.
    clock: bool,
    /// Whether the host takes a report of progress.
    progress: bool,
}

/// Tries what it is told to and says what it reached.
#[tool]
fn reach_each(attempts: Attempts) -> Json<Reached> {
    // Asking and calling come before whatever has an effect.
    let ask = attempts.ask.then(user::ask);
    let calls = attempts.calls.iter();
    let calls = calls
        .map(|(tool, arguments, given)| calls::made(tool, &giving(arguments, given)))
        .collect();
    let value = attempts.value.iter();
    let keep = attempts.keep.iter();
    let settings = attempts.settings.iter();
    let exists = attempts.exists.iter();
    let claims = attempts.claims.iter();
    let read = attempts.read.iter();
    let write = attempts.write.iter();
    let open = attempts.open.iter();
    let opened = open
        .map(|handle| bailiwick_sdk::guest::reveal(handle).ok())
        .collect();
    let requests = http::send_all(&attempts.requests);
    // One after the other: an answer ends where its host is given more.
    for (method, url, handle) in &attempts.deliver {
        http::send(method, &format!("{url}{handle}"), &[], b"");
    }
    Json(Reached {
        opened,
        requests,
        ask,
        calls,
        value: value.map(|(store, key)| kv::value(store, key)).collect(),
        keep: keep.map(|(store, key)| kv::keep(store, key)).collect(),
        settings: settings.map(|key| user::setting(key)).collect(),
        all_settings: user::settings(),
        exists: exists
            .map(|name| bailiwick_sdk::guest::secret_exists(name))
            .collect(),
        claims: claims.map(|name| user::claim(name)).collect(),
        said: attempts.say.iter().map(|pieces| pieces.concat()).collect(),
        given: attempts.given,
        read: read
            .map(|path| std::fs::read_to_string(path).ok())
            .collect(),
        write: write
            .map(|path| std::fs::write(path, "written").is_ok())
            .collect(),
        clock: clock(),
        progress: bailiwick_guests::progress(),
    })
}

/// Arguments in which nothing is given, with this given.
fn giving(arguments: &str, pieces: &[Vec<String>]) -> String {
    let texts = pieces
        .iter()
        .map(|pieces| format!("\"{}\"", pieces.concat()));
    let given = texts.collect::<Vec<_>>().join(",");
    arguments.replacen("\"given\":[]", &format!("\"given\":[{given}]"), 1)
}

/// Whether either clock moves while the guest waits. Waiting needs no grant.
fn clock() -> bool {
    let (mono, wall) = (monotonic_clock::now(), wall_clock::now());
    monotonic_clock::subscribe_duration(WATCHED_NS).block();
    let now = wall_clock::now();
    monotonic_clock::now() != mono
        || (now.seconds, now.nanoseconds) != (wall.seconds, wall.nanoseconds)
}
