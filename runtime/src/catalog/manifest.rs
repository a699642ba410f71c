//! What a package says of itself: its needs, its wishes and its tools.
//!
//! The manifest is canonical JSON (RFC 8785) in the component's custom section `bailiwick-manifest`. Nothing has to be
//! run to read it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::{CapabilitySet, Kind};
use crate::ids::{Digest, Publisher, ToolName};

/// Name of the custom section that holds the manifest.
pub const SECTION: &str = "bailiwick-manifest";

/// The manifest of one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the manifest; 1.
    pub format: u32,
    /// Name of the package.
    pub name: ToolName,
    /// Version, as the author counts.
    pub version: String,
    /// Title for people.
    pub title: String,
    /// What the package is for.
    pub description: String,
    /// Who publishes it. Unsigned: a claim until signatures are checked.
    pub publisher: Publisher,
    /// What it asks for.
    pub needs: Vec<Need>,
    /// The limits that it wishes.
    pub limits: Wishes,
    /// What the author demands of callers, beside the operator's rules.
    pub requires: Requires,
    /// The tools that the component serves.
    pub tools: Vec<Definition>,
}

/// One thing that a package asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Name of the need within the package.
    pub id: String,
    /// The kind of all its capabilities.
    pub kind: Kind,
    /// The capabilities, at the size at which they are asked for.
    pub capabilities: CapabilitySet,
    /// Why, in a sentence that a user can read.
    pub reason: String,
    /// Whether the tool works without it.
    pub optional: bool,
}

/// Limits that an author wishes; the operator's limits bound them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Linear memory of one call, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Longest call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

/// What the author demands of callers. It only narrows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Roles that the caller must all have.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Scopes that the token must all have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The `acr` that the sign-in must reach, by the order of the caller's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
}

/// One tool, as a client sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The MCP name.
    pub name: ToolName,
    /// Title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the tool does, for the model.
    pub description: String,
    /// JSON Schema of the arguments; its root type is `object`.
    pub input_schema: Value,
    /// JSON Schema of structured output, where there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// The kinds of capability that its signature takes.
    #[serde(default)]
    pub capabilities: Vec<Kind>,
}

impl Manifest {
    /// All capabilities that the package asks for.
    pub fn needs(&self) -> CapabilitySet {
        self.needs
            .iter()
            .flat_map(|need| need.capabilities.iter().cloned())
            .collect()
    }

    /// SHA-256 over the canonical JSON of the needs: changes exactly when what is asked for changes.
    pub fn needs_digest(&self) -> Digest {
        canonical_digest(&self.needs)
    }
}

impl Definition {
    /// SHA-256 over the canonical JSON of name, title, description and schemas.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical().as_bytes())
    }

    /// Canonical JSON of name, title, description and schemas.
    pub fn canonical(&self) -> String {
        canonical_text(&serde_json::json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
        }))
    }
}

/// SHA-256 over RFC 8785 canonical JSON.
pub fn canonical_digest(value: &impl Serialize) -> Digest {
    Digest::of(canonical_text(value).as_bytes())
}

/// RFC 8785 canonical JSON.
pub(crate) fn canonical_text(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings cannot be written, and no type of ours has one.
    serde_json_canonicalizer::to_string(value).unwrap_or_else(|error| error.to_string())
}
