//! Writes a file, and asks the user afterwards whether it should have.
//!
//! The question is refused: a call that began again for its answer would write twice.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::{Ask, AskError, Files, ToolError, tool};

const FORM: &str = r#"{"type":"object","properties":{"sure":{"type":"boolean"}}}"#;

/// Acts first and asks afterwards.
#[tool]
fn ask_after_effect(ask: Ask, files: Files) -> Result<&'static str, ToolError> {
    files.mount("notes")?.write("ask-after-effect", "done")?;
    match ask.form_with("May I write a file?", FORM) {
        Err(AskError::Unavailable) => Ok("the question came too late"),
        other => Err(ToolError::failed(format_args!("{other:?}"))),
    }
}
