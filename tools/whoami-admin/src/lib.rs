//! Answers administrators alone. The demand stands in `tool.toml`, where the host reads it; the tool itself neither
//! checks nor could check who calls.

use bailiwick_sdk::tool;

/// Confirms that the caller is an administrator.
#[tool(name = "whoami-admin", title = "Am I an administrator?")]
fn whoami_admin() -> &'static str {
    "You are an administrator: this tool is run for nobody else."
}
