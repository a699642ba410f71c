//! Asks to be told everything of its user: every standard claim, what is about the token, other spellings, and huge names.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Caller, Json, tool};
use schemars::JsonSchema;
use serde::Serialize;

const NAMES: [&str; 48] = [
    "email",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "phone_number",
    "address",
    "birthdate",
    "picture",
    "locale",
    "sub",
    "subject",
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "scope",
    "scp",
    "roles",
    "groups",
    "cnf",
    "act",
    "acr",
    "amr",
    "azp",
    "client_id",
    "sid",
    "nonce",
    "token",
    "access_token",
    "authorization",
    "Authorization",
    "EMAIL",
    "Email",
    " email",
    "email ",
    "email\0",
    "e\u{301}mail",
    "ｅｍａｉｌ",
    "email.0",
    "/email",
    "$.email",
    "*",
    "",
    "..",
    "department",
];

#[derive(Serialize, JsonSchema)]
struct Told {
    /// The pseudonym.
    subject: Option<String>,
    /// What it was told, as `name=value`.
    told: Vec<String>,
    /// What the token does not have, though it may be told.
    absent: Vec<String>,
    /// How many names were refused.
    refused: usize,
}

/// Asks for everything.
#[tool]
fn claims_probe(caller: Caller) -> Json<Told> {
    let mut all = Told {
        subject: caller.subject().ok(),
        told: Vec::new(),
        absent: Vec::new(),
        refused: 0,
    };
    let huge = "x".repeat(900_000);
    for name in NAMES.into_iter().chain([huge.as_str()]) {
        match caller.claim_text(name) {
            Ok(Some(value)) => all.told.push(format!("{name}={value}")),
            Ok(None) => all.absent.push(name.to_owned()),
            Err(_) => all.refused += 1,
        }
    }
    Json(all)
}
