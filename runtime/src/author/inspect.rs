//! Says everything that a consent page would say of a package, and what stands in the file beside it.
//!
//! It reads foreign files: nothing is compiled or run, and nothing that a terminal would obey is printed.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::capability::Tier;
use crate::catalog::admit;
use crate::catalog::check::hidden;
use crate::catalog::manifest::{Definition, Manifest, Need, Requires, Wishes};
use crate::catalog::package::{self, Import, PackageError};
use crate::engine::{ImportClass, classify};
use crate::ids::Digest;

/// What a file says and what it is.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Size of the file, in bytes.
    pub bytes: usize,
    /// SHA-256 of the file.
    pub component_digest: Digest,
    /// Why it would not be admitted; nothing else may then be relied on.
    pub refused: Option<String>,
    /// What it says of itself.
    pub package: Option<Package>,
    /// Its imports, in order.
    pub imports: Vec<Imported>,
    /// Its initial stack, in bytes, where it can be recognised.
    pub stack_bytes: Option<u32>,
}

/// What a package says of itself.
#[derive(Debug, Serialize)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Version.
    pub version: String,
    /// Who says that they publish it.
    pub publisher: String,
    /// Title.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// SHA-256 of its needs.
    pub needs_digest: Digest,
    /// What it asks for.
    pub needs: Vec<Asked>,
    /// What it demands of callers.
    pub requires: Requires,
    /// The limits that it wishes.
    pub limits: Wishes,
    /// Its tools.
    pub tools: Vec<Served>,
}

/// One need.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// Why, as the author says.
    pub reason: String,
    /// Whether the tools work without it.
    pub optional: bool,
    /// What is asked for.
    pub capabilities: Vec<Effect>,
}

/// One capability.
#[derive(Debug, Serialize)]
pub struct Effect {
    /// As rules and logs write it.
    pub capability: String,
    /// As a user reads it.
    pub sentence: String,
    /// How much harm it can do.
    pub tier: Tier,
}

/// One tool.
#[derive(Debug, Serialize)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: Option<String>,
    /// What it does.
    pub description: String,
    /// SHA-256 of its definition.
    pub definition_digest: Digest,
    /// Its arguments, one a line.
    pub arguments: Vec<String>,
    /// Whether it promises structured output.
    pub structured: bool,
}

/// One import.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub class: &'static str,
}

/// Looks into a file. An error says that it is no component at all.
pub fn inspect(bytes: &[u8]) -> Result<Report, PackageError> {
    let contents = package::read(bytes)?;
    Ok(Report {
        bytes: bytes.len(),
        component_digest: Digest::of(bytes),
        refused: admit::examine(bytes).err().map(|error| error.to_string()),
        package: contents.manifest().ok().as_ref().map(said),
        imports: contents.imports.iter().map(imported).collect(),
        stack_bytes: contents.stack_bytes,
    })
}

fn said(manifest: &Manifest) -> Package {
    Package {
        name: manifest.name.to_string(),
        version: manifest.version.clone(),
        publisher: manifest.publisher.to_string(),
        title: manifest.title.clone(),
        description: manifest.description.clone(),
        needs_digest: manifest.needs_digest(),
        needs: manifest.needs.iter().map(asked).collect(),
        requires: manifest.requires.clone(),
        limits: manifest.limits.clone(),
        tools: manifest.tools.iter().map(served).collect(),
    }
}

fn asked(need: &Need) -> Asked {
    let effects = need.capabilities.iter().map(|one| Effect {
        capability: one.to_string(),
        sentence: one.sentence(),
        tier: one.tier(),
    });
    Asked {
        id: need.id.clone(),
        reason: need.reason.clone(),
        optional: need.optional,
        capabilities: effects.collect(),
    }
}

fn served(tool: &Definition) -> Served {
    Served {
        name: tool.name.to_string(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        definition_digest: tool.digest(),
        arguments: arguments(&tool.input_schema),
        structured: tool.output_schema.is_some(),
    }
}

/// The first level of a schema: names, types, and what must be there.
fn arguments(schema: &Value) -> Vec<String> {
    let required = |name: &str| {
        let all = schema.get("required").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|one| one == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let kind = match property.get("type") {
                Some(Value::String(one)) => one.clone(),
                Some(Value::Array(several)) => {
                    let names: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
                    names.join(" or ")
                }
                Some(_) | None => "any".to_owned(),
            };
            let must = if required(name) { ", required" } else { "" };
            let what = property.get("description").and_then(Value::as_str);
            let what = what.map(|what| format!(": {what}")).unwrap_or_default();
            format!("{name} ({kind}{must}){what}")
        })
        .collect()
}

fn imported(import: &Import) -> Imported {
    let class = match classify(&import.name) {
        _ if !import.interface => "unknown: refused",
        ImportClass::Inert => "always there, without effect",
        ImportClass::Ours(_) => "always there, ours",
        ImportClass::Capability(_) => "a capability: denied unless granted",
        ImportClass::Stub => "always denied",
        ImportClass::Unknown => "unknown: refused",
    };
    Imported {
        name: import.name.clone(),
        class,
    }
}

impl Report {
    /// As JSON, for programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(package) = &self.package {
            write!(out, "{package}")?;
        }
        writeln!(
            out,
            "component  sha256:{}, {} bytes",
            self.component_digest, self.bytes
        )?;
        match self.stack_bytes {
            Some(stack) => writeln!(out, "stack      {} KiB", stack / 1024)?,
            None => writeln!(out, "stack      not recognised")?,
        }
        writeln!(out, "\nImports")?;
        if self.imports.is_empty() {
            writeln!(out, "  none")?;
        }
        for import in &self.imports {
            writeln!(out, "  {}  {}", shown(&import.name), import.class)?;
        }
        match &self.refused {
            Some(why) => writeln!(out, "\nNot admitted: {}", shown(why)),
            None => writeln!(out, "\nIt would be admitted."),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} {}: {}",
            self.name,
            shown(&self.version),
            shown(&self.title)
        )?;
        writeln!(out, "{}", shown(&self.description))?;
        writeln!(out, "publisher  {} (not signed)", shown(&self.publisher))?;
        writeln!(out, "\nIt asks for")?;
        if self.needs.is_empty() {
            writeln!(out, "  nothing: it can only compute")?;
        }
        for need in &self.needs {
            for effect in &need.capabilities {
                writeln!(
                    out,
                    "  {}  [{:?}, {}]",
                    effect.sentence, effect.tier, effect.capability
                )?;
            }
            let optional = if need.optional { "optional; " } else { "" };
            writeln!(out, "    {optional}because: {}", shown(&need.reason))?;
        }
        for (what, all) in [
            ("roles", &self.requires.roles),
            ("scopes", &self.requires.scopes),
        ] {
            if !all.is_empty() {
                writeln!(
                    out,
                    "  and that the caller has the {what}: {}",
                    shown(&all.join(", "))
                )?;
            }
        }
        if let Some(acr) = &self.requires.acr {
            writeln!(
                out,
                "  and that the caller's sign-in reaches the `acr`: {}",
                shown(acr)
            )?;
        }
        writeln!(out, "\nIt serves")?;
        for tool in &self.tools {
            let title = tool
                .title
                .as_ref()
                .map(|title| format!(": {}", shown(title)));
            writeln!(out, "  {}{}", tool.name, title.unwrap_or_default())?;
            for line in tool.description.lines() {
                writeln!(out, "    {}", shown(line))?;
            }
            for argument in &tool.arguments {
                writeln!(out, "    - {}", shown(argument))?;
            }
            writeln!(out, "    definition sha256:{}", tool.definition_digest)?;
        }
        writeln!(out, "\nneeds      sha256:{}", self.needs_digest)
    }
}

/// A foreign text as one that a terminal does not obey.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c.to_string(),
            c if hidden(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing;

    fn packed(imports: &str, manifest: &Manifest) -> Vec<u8> {
        let text = format!(
            r#"(component {imports} (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#
        );
        package::write(&wat::parse_str(text).unwrap(), manifest).unwrap()
    }

    #[test]
    fn a_report_says_what_a_user_would_be_asked() {
        let mut manifest = testing::manifest(
            "weather",
            &[
                ("api", &["http GET api.example.com /v1/"], false),
                ("now", &["clock"], true),
            ],
        );
        manifest.requires.roles = vec!["staff".to_owned()];
        manifest.tools[0].input_schema = serde_json::json!({"type": "object", "required": ["city"],
            "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": ["integer", "null"]}}});
        let report = inspect(&packed(
            r#"(import "wasi:sockets/tcp@0.2.9" (instance))"#,
            &manifest,
        ))
        .unwrap();
        let mut text = report.to_string();
        let package = report.package.as_ref().unwrap();
        for digest in [
            report.component_digest,
            package.needs_digest,
            package.tools[0].definition_digest,
        ] {
            text = text.replace(&digest.to_string(), "…");
        }
        text = text.replace(&format!("{} bytes", report.bytes), "… bytes");
        insta::assert_snapshot!(text, @r"
        weather 1.0.0: The weather tool
        What weather is for
        publisher  example.test (not signed)

        It asks for
          Read from api.example.com, below /v1/  [T1, http GET api.example.com /v1/]
            because: for the test of api
          See the current time  [T0, clock]
            optional; because: for the test of now
          and that the caller has the roles: staff

        It serves
          weather
            Does weather
            - city (string, required): Where
            - days (integer or null)
            definition sha256:…

        needs      sha256:…
        component  sha256:…, … bytes
        stack      not recognised

        Imports
          wasi:sockets/tcp@0.2.9  always denied

        It would be admitted.
        ");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["package"]["needs"][0]["capabilities"][0]["tier"], "T1");
        assert_eq!(json["refused"], Value::Null);
    }

    #[test]
    fn what_is_refused_is_shown_with_the_reason() {
        let bytes = packed(
            r#"(import "evil:host/x@1.0.0" (instance))"#,
            &testing::manifest("a", &[]),
        );
        let report = inspect(&bytes).unwrap();
        assert!(report.refused.as_ref().unwrap().contains("evil:host/x"));
        assert!(report.to_string().contains("Not admitted"));
        assert!(inspect(b"no").is_err());
    }

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let mut manifest = testing::manifest("a", &[]);
        manifest.title = "\u{1b}]0;owned\u{7}\u{202E}".to_owned();
        let report = inspect(&packed("", &manifest)).unwrap();
        assert!(report.refused.is_some());
        assert!(!report.to_string().chars().any(hidden));
    }
}
