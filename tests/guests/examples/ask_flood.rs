//! Puts the largest questions to the host that are none, without end.
//!
//! Each costs a bounded check and is refused; the call runs out of time.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Ask, tool};

/// Asks what cannot be asked, for ever.
#[tool]
fn ask_flood(ask: Ask) -> String {
    let choices: Vec<_> = (0..600).map(|n| format!("\"choice{n}\"")).collect();
    let choices = choices.join(",");
    // The last property is none that a form knows, so all before it are looked at.
    let schema = format!(
        r#"{{"type":"object","properties":{{"a":{{"type":"string","enum":[{choices}]}},"z":{{}}}}}}"#
    );
    let message = "m".repeat(1024 * 1024 - 64 * 1024);
    let mut asked = 0_u64;
    loop {
        let small = ask.form_with("Which?", &schema);
        let large = ask.form_with(&message, &schema);
        asked += u64::from(small.is_ok()) + u64::from(large.is_ok());
        if asked > 0 {
            return "something was asked".into();
        }
    }
}
