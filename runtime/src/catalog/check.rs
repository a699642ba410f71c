//! Judges what a manifest says: names, texts, needs and numbers, before anything is compiled.
//!
//! People and models read these texts and trust what they see, so what cannot be seen is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manifest::{Definition, Manifest, Need, Requires, Wishes};
use super::schema::text;
use crate::capability::Kind;
use crate::ids::ToolName;
use crate::limits::{
    CALL_WALL_MAX, DESCRIPTION_CHARS_MAX, MEMORY_BYTES_MAX, NEEDS_PER_PACKAGE_MAX,
    SENTENCE_CHARS_MAX, TITLE_CHARS_MAX, TOOLS_PER_PACKAGE_MAX,
};

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is written in a format that this build does not know.
    #[error(
        "its format is {0}, and this server reads format 1; pack it with this version of `bailiwick`"
    )]
    Format(u32),
    /// A text is empty, too long, or holds what cannot be seen.
    #[error("{field} {what}")]
    Text { field: String, what: String },
    /// Two needs have one id.
    #[error("two needs have the id `{0}`; give each its own")]
    NeedTwice(String),
    /// A need asks for nothing.
    #[error("the need `{0}` asks for nothing; remove it or say what it is for")]
    NeedEmpty(String),
    /// A need holds a capability of another kind than it says.
    #[error(
        "the need `{id}` is of kind `{kind}` and asks for `{capability}`; make it a need of its own"
    )]
    NeedKind {
        id: String,
        kind: Kind,
        capability: String,
    },
    /// There is too much of something.
    #[error("it has {found} {what}; at most {max} are allowed")]
    TooMany {
        what: &'static str,
        found: usize,
        max: usize,
    },
    /// A wish is out of range.
    #[error("`limits.{field}` is {found}; choose 1 to {max}")]
    Wish {
        field: &'static str,
        found: u32,
        max: u32,
    },
    /// The package serves nothing.
    #[error("it has no tool")]
    NoTool,
    /// Two tools have one name.
    #[error("two of its tools are called `{0}`; rename one")]
    ToolTwice(ToolName),
    /// A tool takes a kind of capability that no need asks for.
    #[error(
        "the tool `{tool}` takes `{kind}`, and no need asks for it; add `[[needs]]` with `kind = \"{kind}\"` to tool.toml"
    )]
    Unneeded { tool: ToolName, kind: Kind },
}

/// Judges a manifest. Its schemas are judged apart, where they are compiled.
pub fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    package(manifest)?;
    tools(manifest)
}

/// Judges all that stands in a manifest before its tools are known.
pub fn package(manifest: &Manifest) -> Result<(), ManifestError> {
    if manifest.format != 1 {
        return Err(ManifestError::Format(manifest.format));
    }
    word("`version`", &manifest.version)?;
    line("`title`", &manifest.title, TITLE_CHARS_MAX)?;
    prose(
        "`description`",
        &manifest.description,
        DESCRIPTION_CHARS_MAX,
    )?;
    prose("`publisher`", manifest.publisher.as_str(), TITLE_CHARS_MAX)?;
    needs(&manifest.needs)?;
    wishes(&manifest.limits)?;
    requires(&manifest.requires)
}

fn needs(needs: &[Need]) -> Result<(), ManifestError> {
    at_most("needs", needs.len(), NEEDS_PER_PACKAGE_MAX)?;
    let mut ids = BTreeSet::new();
    for need in needs {
        word("the id of a need", &need.id)?;
        if !ids.insert(&need.id) {
            return Err(ManifestError::NeedTwice(need.id.clone()));
        }
        if need.capabilities.is_empty() {
            return Err(ManifestError::NeedEmpty(need.id.clone()));
        }
        at_most(
            "capabilities in one need",
            need.capabilities.len(),
            NEEDS_PER_PACKAGE_MAX,
        )?;
        if let Some(other) = need.capabilities.iter().find(|one| one.kind() != need.kind) {
            return Err(ManifestError::NeedKind {
                id: need.id.clone(),
                kind: need.kind,
                capability: other.to_string(),
            });
        }
        line(
            &format!("the reason of need `{}`", need.id),
            &need.reason,
            SENTENCE_CHARS_MAX,
        )?;
    }
    Ok(())
}

fn wishes(wishes: &Wishes) -> Result<(), ManifestError> {
    let mib = u32::try_from(MEMORY_BYTES_MAX / (1024 * 1024)).unwrap_or(u32::MAX);
    let ms = u32::try_from(CALL_WALL_MAX.as_millis()).unwrap_or(u32::MAX);
    for (field, wish, max) in [
        ("memory_mib", wishes.memory_mib, mib),
        ("timeout_ms", wishes.timeout_ms, ms),
    ] {
        if let Some(found) = wish.filter(|found| !(1..=max).contains(found)) {
            return Err(ManifestError::Wish { field, found, max });
        }
    }
    Ok(())
}

fn requires(requires: &Requires) -> Result<(), ManifestError> {
    for (field, words) in [("a role", &requires.roles), ("a scope", &requires.scopes)] {
        at_most("roles or scopes", words.len(), NEEDS_PER_PACKAGE_MAX)?;
        for one in words {
            line(&format!("{field} in `requires`"), one, TITLE_CHARS_MAX)?;
        }
    }
    if let Some(acr) = &requires.acr {
        line("the `acr` in `requires`", acr, TITLE_CHARS_MAX)?;
    }
    Ok(())
}

fn tools(manifest: &Manifest) -> Result<(), ManifestError> {
    if manifest.tools.is_empty() {
        return Err(ManifestError::NoTool);
    }
    at_most("tools", manifest.tools.len(), TOOLS_PER_PACKAGE_MAX)?;
    let needed: BTreeSet<Kind> = manifest.needs.iter().map(|need| need.kind).collect();
    let mut names = BTreeSet::new();
    for tool in &manifest.tools {
        if !names.insert(&tool.name) {
            return Err(ManifestError::ToolTwice(tool.name.clone()));
        }
        definition(tool, &needed)?;
    }
    Ok(())
}

fn definition(tool: &Definition, needed: &BTreeSet<Kind>) -> Result<(), ManifestError> {
    let name = &tool.name;
    if let Some(title) = &tool.title {
        line(
            &format!("the title of tool `{name}`"),
            title,
            TITLE_CHARS_MAX,
        )?;
    }
    prose(
        &format!("the description of tool `{name}`"),
        &tool.description,
        DESCRIPTION_CHARS_MAX,
    )?;
    for schema in [Some(&tool.input_schema), tool.output_schema.as_ref()]
        .into_iter()
        .flatten()
    {
        plain(&format!("a schema of tool `{name}`"), schema)?;
    }
    at_most(
        "kinds of capability in one tool",
        tool.capabilities.len(),
        Kind::ALL.len(),
    )?;
    match tool.capabilities.iter().find(|kind| !needed.contains(kind)) {
        Some(kind) => Err(ManifestError::Unneeded {
            tool: name.clone(),
            kind: *kind,
        }),
        None => Ok(()),
    }
}

fn at_most(what: &'static str, found: usize, max: usize) -> Result<(), ManifestError> {
    if found > max {
        return Err(ManifestError::TooMany { what, found, max });
    }
    Ok(())
}

/// 1 to 64 of a small alphabet.
fn word(field: &str, of: &str) -> Result<(), ManifestError> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
    if (1..=64).contains(&of.len()) && of.chars().all(known) {
        return Ok(());
    }
    refuse(field, "is not 1 to 64 of `A-Z a-z 0-9 _ . + -`".to_owned())
}

/// One visible line.
fn line(field: &str, of: &str, max: usize) -> Result<(), ManifestError> {
    if of.contains('\n') {
        return refuse(field, "has more than one line; keep it to one".to_owned());
    }
    prose(field, of, max)
}

/// Visible lines.
fn prose(field: &str, of: &str, max: usize) -> Result<(), ManifestError> {
    if of.trim().is_empty() {
        return refuse(
            field,
            "is empty; say what a user should read there".to_owned(),
        );
    }
    let found = of.chars().count();
    if found > max {
        return refuse(
            field,
            format!("has {found} characters; at most {max} are allowed"),
        );
    }
    visible(field, of)
}

fn visible(field: &str, of: &str) -> Result<(), ManifestError> {
    match of.chars().find(|c| hidden(*c)) {
        None => Ok(()),
        Some(c) => {
            let code = u32::from(c);
            refuse(
                field,
                format!("holds U+{code:04X}, which a reader cannot see; remove it"),
            )
        }
    }
}

/// Every text of a schema: models read its descriptions, too.
fn plain(field: &str, value: &Value) -> Result<(), ManifestError> {
    match value {
        Value::String(of) => visible(field, of),
        Value::Array(items) => items.iter().try_for_each(|item| plain(field, item)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            visible(field, name)?;
            plain(field, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether a character is not seen, or changes how others are seen. A line feed is seen, and so is what an emoji is drawn by.
pub fn hidden(c: char) -> bool {
    match c {
        '\n' | '\u{fe0f}' => false,
        // Private use, and all that lies behind the tags.
        '\u{e000}'..='\u{f8ff}' | '\u{e0000}'.. => true,
        other => other.is_control() || crate::protect::is_unseen(other),
    }
}

fn refuse(field: &str, what: String) -> Result<(), ManifestError> {
    Err(ManifestError::Text {
        field: text(field),
        what,
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
