//! Looks for anything like a token in all that it can read: what it is told of its user, settings, files, the environment, its
//! arguments and its memory.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Caller, Config, Json, tool};
use schemars::JsonSchema;
use serde::Serialize;

const NAMES: [&str; 14] = [
    "email",
    "name",
    "token",
    "access_token",
    "id_token",
    "refresh_token",
    "authorization",
    "bearer",
    "jwt",
    "jti",
    "sub",
    "signature",
    "raw",
    "credentials",
];

#[derive(Serialize, JsonSchema)]
struct Found {
    /// What looks like a token.
    tokens: Vec<String>,
    /// How many texts it looked at.
    looked_at: usize,
}

/// Looks for a token.
#[tool]
fn token_probe(caller: Caller, config: Config) -> Json<Found> {
    let mut seen: Vec<String> = std::env::args().collect();
    seen.extend(std::env::vars().map(|(key, value)| format!("{key}={value}")));
    seen.extend(config.all().into_values());
    seen.extend(caller.subject().ok());
    let claims = NAMES
        .into_iter()
        .filter_map(|name| caller.claim_text(name).ok());
    seen.extend(claims.flatten());
    for path in ["/", ".", "/proc/self/environ", "/run/secrets", "/etc"] {
        seen.extend(std::fs::read_to_string(path).ok());
        let listed = std::fs::read_dir(path).into_iter().flatten().flatten();
        seen.extend(listed.map(|entry| entry.path().display().to_string()));
    }
    let looked_at = seen.len();
    // The header of a JSON Web Token begins so, whatever it holds.
    let is_token = |text: &String| text.contains("eyJ") || text.contains("Bearer ");
    Json(Found {
        tokens: seen.into_iter().filter(is_token).collect(),
        looked_at,
    })
}
