//! Asks one question after the other, without end, whatever is answered.
//!
//! Each question ends the run, and a call has few of them. Where nobody can be asked, it runs out of time.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Ask, tool};

const FORM: &str = r#"{"type":"object","properties":{"more":{"type":"boolean"}}}"#;

/// Asks for ever.
#[tool]
fn ask_forever(ask: Ask) -> String {
    let mut asked = 0_u64;
    loop {
        asked = asked.wrapping_add(1);
        let _ = ask.form_with(&format!("Question {asked}: more?"), FORM);
    }
}
