//! Puts the manifest into a component: what its author wrote, and what it says of its own tools.
//!
//! The component is asked once, in a sandbox in which every capability is absent. What comes out passes the very checks
//! of admission, so that a package that was packed is a package that is admitted.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::inspect::shown;
use super::tool_toml::ToolToml;
use crate::capability::{CapabilityError, Kind, SealedField};
use crate::catalog::admit::{self, AdmissionError};
use crate::catalog::cache::{Cache, Key};
use crate::catalog::manifest::{Definition, Manifest};
use crate::catalog::package::{self, Contents, PackageError};
use crate::catalog::{CompileError, Compiler, Part};
use crate::engine::{ImportClass, WasmEngine, classify};
use crate::ids::{Digest, NameError, ToolName};
use crate::sandbox::{DescribeError, Described, Sandbox, Services};

/// Initial stack for which the server's memory pool is laid out: more is slower, not wrong.
pub const STACK_BYTES: u32 = 64 * 1024;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It would not be admitted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// It cannot be asked what it is.
    #[error("it cannot be asked for its tools: {0}")]
    Describe(#[from] DescribeError),
    /// A tool has no valid name.
    #[error("the component calls a tool `{found}`: {source}; rename it")]
    Name {
        found: String,
        #[source]
        source: NameError,
    },
    /// A schema is no JSON.
    #[error("the {which} of tool `{tool}` is no JSON: {source}")]
    Schema {
        tool: ToolName,
        which: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A tool takes a capability that does not exist.
    #[error(
        "the tool `{tool}` takes `{found}`, which is no kind of capability that this build knows"
    )]
    Kind {
        tool: ToolName,
        found: String,
        #[source]
        source: CapabilityError,
    },
    /// There is no room to compile.
    #[error("there is no folder for what is compiled")]
    Scratch(#[source] std::io::Error),
}

impl From<PackageError> for PackError {
    fn from(error: PackageError) -> Self {
        Self::Admission(error.into())
    }
}

impl From<CompileError> for PackError {
    fn from(error: CompileError) -> Self {
        Self::Admission(error.into())
    }
}

/// A package, and what its author should look at.
#[derive(Debug)]
pub struct Packed {
    /// The file.
    pub bytes: Vec<u8>,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What was written into it.
    pub manifest: Manifest,
    /// What is not wrong, and perhaps not meant.
    pub warnings: Vec<String>,
}

/// Packs components.
pub struct Packer {
    engine: Arc<WasmEngine>,
    compiler: Compiler,
    sandbox: Sandbox,
}

impl Packer {
    /// Asks components in a sandbox of this engine.
    pub fn new(engine: Arc<WasmEngine>, compiler: Compiler) -> Self {
        Self {
            sandbox: Sandbox::new(Arc::clone(&engine), Services::none()),
            engine,
            compiler,
        }
    }

    /// Packs a component with what `toml` says of it.
    pub async fn pack(&self, component: &[u8], toml: &ToolToml) -> Result<Packed, PackError> {
        let bare = package::strip(component)?;
        let contents = package::read(&bare)?;
        // Before it is compiled: the message names the import.
        admit::classes(&contents.imports)?;
        if !contents
            .interfaces
            .iter()
            .any(|name| name == admit::HANDLER)
        {
            return Err(AdmissionError::NoHandler.into());
        }
        let described = self.describe(&bare).await?;
        assemble(&bare, &contents, toml, described)
    }

    async fn describe(&self, bare: &[u8]) -> Result<Vec<Described>, PackError> {
        let scratch = private_folder().map_err(PackError::Scratch)?;
        let cache = Cache::open(&scratch.path().join("cache")).map_err(AdmissionError::from)?;
        let code = self
            .compiler
            .compile(bare, Part::Guest, cache.dir())
            .await?;
        let key = Key {
            component: Digest::of(bare),
            configuration: self.engine.configuration_digest(),
            part: Part::Guest,
        };
        let native = cache.keep(key, &code).map_err(AdmissionError::from)?;
        let component = native
            .load(self.engine.engine())
            .map_err(AdmissionError::load)?;
        Ok(self.sandbox.describe(&component).await?)
    }
}

/// The package of a component that said this of itself.
fn assemble(
    bare: &[u8],
    contents: &Contents<'_>,
    toml: &ToolToml,
    described: Vec<Described>,
) -> Result<Packed, PackError> {
    let tools = described.into_iter().map(definition);
    let manifest = toml.manifest(tools.collect::<Result<_, _>>()?);
    let bytes = package::write(bare, &manifest)?;
    let digest = admit::examine(&bytes)?.digest;
    Ok(Packed {
        warnings: warnings(&manifest, contents),
        digest,
        bytes,
        manifest,
    })
}

fn definition(described: Described) -> Result<Definition, PackError> {
    // What a component says of itself is foreign text: shown, it must not command a terminal.
    let name: ToolName = described.name.parse().map_err(|source| PackError::Name {
        found: shown(&described.name).replace('\n', "\\n"),
        source,
    })?;
    let schema = |which, text: &str| -> Result<Value, PackError> {
        serde_json::from_str(text).map_err(|source| PackError::Schema {
            tool: name.clone(),
            which,
            source,
        })
    };
    let kinds = described.capabilities.iter().map(|kind| {
        kind.parse().map_err(|source| PackError::Kind {
            tool: name.clone(),
            found: shown(kind),
            source,
        })
    });
    let kinds: BTreeSet<Kind> = kinds.collect::<Result<_, _>>()?;
    Ok(Definition {
        input_schema: schema("input schema", &described.input_schema)?,
        output_schema: match &described.output_schema {
            Some(text) => Some(schema("output schema", text)?),
            None => None,
        },
        title: described.title,
        description: described.description,
        capabilities: kinds.into_iter().collect(),
        name,
    })
}

fn warnings(manifest: &Manifest, contents: &Contents<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let taken: BTreeSet<Kind> = manifest
        .tools
        .iter()
        .flat_map(|tool| tool.capabilities.iter().copied())
        .collect();
    let needed: BTreeSet<Kind> = manifest.needs.iter().map(|need| need.kind).collect();
    let imported: BTreeSet<Kind> = contents
        .imports
        .iter()
        .filter_map(|import| match classify(&import.name) {
            ImportClass::Capability(kind) => Some(kind),
            ImportClass::Inert if import.name.starts_with("wasi:clocks/") => Some(Kind::Clock),
            ImportClass::Inert
            | ImportClass::Stub
            | ImportClass::Ours(_)
            | ImportClass::Unknown => None,
        })
        .collect();
    for need in &manifest.needs {
        let (id, kind) = (&need.id, need.kind);
        // What is handed in and out needs no import and no parameter.
        if kind == Kind::Secret {
            continue;
        }
        if kind == Kind::Data {
            let unknown = need.capabilities.classes();
            for class in unknown.iter().filter(|class| class.built_in().is_none()) {
                warnings.push(format!("the need `{id}` asks for data of class `{class}`, which no server looks for unless its operator defines it; docs/data.md has the classes"));
            }
            continue;
        }
        if matches!(kind, Kind::Reveal | Kind::Deliver) {
            let all = need.capabilities.iter();
            let what =
                all.filter_map(|one| one.as_reveal().or(one.as_deliver().map(|one| &one.what)));
            let mut places = what.filter_map(|what| what.field.as_ref());
            let of = |field: &SealedField| {
                let mut tools = manifest.tools.iter();
                tools.any(|tool| tool.name.as_str() == field.tool())
            };
            if let Some(field) = places.find(|field| !of(field)) {
                warnings.push(format!("the need `{id}` names the field `{field}`, and the package has no tool `{}`; begin it with the name of the tool to which the value was given", field.tool()));
            }
        }
        // The host does it, where a tool says that it wants it.
        if kind == Kind::Deliver {
            if !taken.contains(&kind) {
                warnings.push(format!("the need `{id}` asks for `deliver`, and no tool takes it, so it is granted to none; take `Deliver` as an argument, or name `deliver` in the `capabilities` of the definition"));
            }
            if !needed.contains(&Kind::Http) {
                warnings.push(format!("the need `{id}` asks for `deliver`, and no need of kind `http` reaches its hosts; add one"));
            }
            continue;
        }
        // What it lends to the tools that it calls needs no import of its own.
        let lent = matches!(kind, Kind::Http | Kind::Files | Kind::Kv | Kind::Claims);
        if lent && needed.contains(&Kind::Call) && !imported.contains(&kind) {
            continue;
        }
        if !imported.contains(&kind) {
            warnings.push(format!("the need `{id}` asks for `{kind}`, and the component has no import with which it could use it; remove the need, or use it"));
        } else if !taken.contains(&kind) && kind == Kind::Reveal {
            warnings.push(format!("the need `{id}` asks for `reveal`, and no tool takes it, so it is granted to none; take `Reveal` as an argument, or name `reveal` in the `capabilities` of the definition"));
        } else if !taken.contains(&kind) {
            warnings.push(format!("the need `{id}` asks for `{kind}`, and no tool takes it as an argument; users are asked for it all the same"));
        }
    }
    for kind in imported.difference(&needed) {
        // Every standard library brings files and clocks along; only these are wishes.
        if matches!(
            kind,
            Kind::Http
                | Kind::Progress
                | Kind::Ask
                | Kind::Kv
                | Kind::Config
                | Kind::Secret
                | Kind::Call
                | Kind::Claims
                | Kind::Reveal
        ) {
            warnings.push(format!("the component imports `{kind}`, and no need asks for it: every use will be denied; add `[[needs]]` with `kind = \"{kind}\"` if it is meant"));
        }
    }
    if let Some(stack) = contents.stack_bytes.filter(|stack| *stack > STACK_BYTES) {
        warnings.push(format!("its stack has {} KiB, and calls are fastest with {} KiB; link with `-z stack-size={STACK_BYTES}`", stack / 1024, STACK_BYTES / 1024));
    }
    warnings
}

/// A folder that is ours alone, whatever the umask.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
