//! Configurations for tests: what every one has, and more behind it.

use std::path::Path;

use super::{Config, ConfigError};

/// A configuration that says no more than it must, and this behind it.
pub(super) fn parse(more: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:8137\"\npublic_url = \"https://mcp.example\"\n[tools]\ndir = \"t\"\n[state]\nurl = \"sqlite://a.db\"\n{more}"
    );
    Config::parse("bailiwick.toml", &text, Path::new("/srv"))
}
