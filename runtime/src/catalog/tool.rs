//! An admitted package and its tools.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::component::Component;

use super::cache::Native;
use super::manifest::{Definition, Manifest, Need};
use super::schema::{Schema, SchemaError, SchemaMismatch};
use crate::capability::{Capability, CapabilitySet, Kind, Methods, Tier};
use crate::ids::{Digest, NameError, Publisher, ToolName};

/// An admitted package: one component and what it said of itself.
pub struct Package {
    manifest: Manifest,
    component_digest: Digest,
    manifest_digest: Digest,
    schemas: Vec<Schemas>,
    component: Component,
    apart: Option<Apart>,
}

/// What there is of a package for running it in a process of its own.
pub struct Apart {
    /// What stands for it in this process.
    pub mirror: Component,
    /// Its own code, for that process.
    pub code: Native,
}

/// The compiled schemas of one tool.
pub(super) struct Schemas {
    input: Schema,
    output: Option<Schema>,
}

impl Schemas {
    /// Judges and compiles both schemas of a definition. An error says which one it is about.
    pub(super) fn compile(definition: &Definition) -> Result<Self, (&'static str, SchemaError)> {
        let input = Schema::compile(&definition.input_schema).map_err(|e| ("input schema", e))?;
        let output = definition.output_schema.as_ref().map(Schema::compile);
        let output = output.transpose().map_err(|e| ("output schema", e))?;
        Ok(Self { input, output })
    }
}

impl Package {
    /// Only admission makes packages; `schemas` are those of `manifest.tools`, in their order.
    pub(super) fn new(
        manifest: Manifest,
        component_digest: Digest,
        schemas: Vec<Schemas>,
        component: Component,
        apart: Option<Apart>,
    ) -> Self {
        Self {
            manifest_digest: manifest.needs_digest(),
            manifest,
            component_digest,
            schemas,
            component,
            apart,
        }
    }

    /// What the package said of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the file.
    pub fn component_digest(&self) -> Digest {
        self.component_digest
    }

    /// SHA-256 of the needs.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest_digest
    }

    /// The compiled component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// What it needs to run in a process of its own; none where guests run in this one.
    pub fn apart(&self) -> Option<&Apart> {
        self.apart.as_ref()
    }

    /// The tools of the package, each under its name behind the operator's prefix.
    pub(super) fn tools(self: &Arc<Self>, prefix: &str) -> Result<Vec<Tool>, NameError> {
        let all = self.manifest.tools.iter().enumerate();
        all.map(|(index, definition)| {
            Ok(Tool {
                package: Arc::clone(self),
                index,
                name: format!("{prefix}{}", definition.name).parse()?,
                definition_digest: definition.digest(),
            })
        })
        .collect()
    }
}

/// One tool of an admitted package, pinned by digest.
#[derive(Clone)]
pub struct Tool {
    package: Arc<Package>,
    index: usize,
    /// The name under which it is served: the definition's, behind the operator's prefix.
    name: ToolName,
    definition_digest: Digest,
}

/// What a client may be told about the effects of a tool: computed by us from its needs, never said by the author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotations {
    /// It changes nothing outside its sandbox.
    pub read_only: bool,
    /// It may change or delete what is there.
    pub destructive: bool,
    /// Calling it again with the same arguments has no further effect.
    pub idempotent: bool,
    /// It reaches beyond what the operator keeps.
    pub open_world: bool,
}

impl Tool {
    /// The name under which it is served.
    pub fn name(&self) -> &ToolName {
        &self.name
    }

    /// The package that it belongs to.
    pub fn package(&self) -> &Arc<Package> {
        &self.package
    }

    /// What the package says of this tool.
    pub fn definition(&self) -> &Definition {
        #[expect(
            clippy::indexing_slicing,
            reason = "the index was made from this very list"
        )]
        &self.package.manifest.tools[self.index]
    }

    /// What the package asks for, as far as it is this tool's: what was encrypted is opened or delivered by a tool whose signature
    /// says so, and the others of the package are not asked about for it.
    pub fn needs(&self) -> impl Iterator<Item = &Need> {
        let own = &self.definition().capabilities;
        let needs = self.package.manifest.needs.iter();
        needs.filter(|need| {
            !matches!(need.kind, Kind::Reveal | Kind::Deliver) || own.contains(&need.kind)
        })
    }

    /// The capabilities of these needs.
    pub fn wants(&self) -> CapabilitySet {
        self.needs()
            .flat_map(|need| need.capabilities.iter().cloned())
            .collect()
    }

    /// Who publishes it.
    pub fn publisher(&self) -> &Publisher {
        &self.package.manifest.publisher
    }

    /// SHA-256 of the definition.
    pub fn definition_digest(&self) -> Digest {
        self.definition_digest
    }

    /// Whether arguments fit the input schema. The message says which field and is meant for the caller; it is not
    /// for the audit log, because names of fields are the caller's too.
    pub fn check_arguments(&self, arguments: &Value) -> Result<(), SchemaMismatch> {
        self.schemas().input.check(arguments)
    }

    /// Whether structured output fits the output schema; without a schema there is nothing that it must fit.
    pub fn check_structured(&self, structured: &Value) -> Result<(), SchemaMismatch> {
        match &self.schemas().output {
            Some(schema) => schema.check(structured),
            None => Ok(()),
        }
    }

    /// What a client may be told about its effects, from its needs.
    pub fn annotations(&self) -> Annotations {
        let needs = self.wants();
        // To open a value changes nothing.
        let changes = |one: &Capability| one.tier() > Tier::T1 && one.kind() != Kind::Reveal;
        let read_only = !needs.iter().any(changes);
        Annotations {
            read_only,
            destructive: !read_only,
            idempotent: needs.iter().all(repeats),
            open_world: needs.iter().any(|one| matches!(one, Capability::Http(_))),
        }
    }

    fn schemas(&self) -> &Schemas {
        #[expect(
            clippy::indexing_slicing,
            reason = "admission compiled one entry for each definition"
        )]
        &self.package.schemas[self.index]
    }
}

/// Whether doing it twice is as doing it once.
fn repeats(capability: &Capability) -> bool {
    match capability {
        // RFC 9110 §9.2.2: all of ours are idempotent but POST and PATCH.
        Capability::Http(http) => {
            !Methods::iter(&http.methods).any(|m| matches!(m, "POST" | "PATCH"))
        }
        Capability::Files(_) | Capability::Kv(_) => capability.tier() <= Tier::T1,
        Capability::Clock
        | Capability::Progress
        | Capability::Data(_)
        | Capability::Ask
        | Capability::Config(_)
        // What is done with it is told by the requests.
        | Capability::Secret(_)
        | Capability::Claims(_)
        | Capability::Reveal(_)
        | Capability::Deliver(_)
        // Another tool does nothing with it that is not among the needs of this one.
        | Capability::Call(_) => true,
    }
}

impl std::fmt::Debug for Package {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Package")
            .field("name", &self.manifest.name)
            .field("component", &self.component_digest)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tool")
            .field("name", &self.name)
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::Annotations;

    fn hints(needs: &[&str]) -> Annotations {
        testing::tool("x", &[("n", needs, false)]).annotations()
    }

    #[test]
    fn annotations_follow_from_needs() {
        let hint = |read_only, destructive, idempotent, open_world| Annotations {
            read_only,
            destructive,
            idempotent,
            open_world,
        };
        assert_eq!(hints(&[]), hint(true, false, true, false));
        assert_eq!(hints(&["clock"]), hint(true, false, true, false));
        assert_eq!(hints(&["files read notes"]), hint(true, false, true, false));
        assert_eq!(
            hints(&["files write notes"]),
            hint(false, true, false, false)
        );
        assert_eq!(hints(&["config region"]), hint(true, false, true, false));
        assert_eq!(hints(&["kv read memory"]), hint(true, false, true, false));
        assert_eq!(hints(&["kv write memory"]), hint(false, true, false, false));
        assert_eq!(
            hints(&["http GET a.example /"]),
            hint(true, false, true, true)
        );
        assert_eq!(
            hints(&["http GET,PUT a.example /"]),
            hint(false, true, true, true)
        );
        assert_eq!(
            hints(&["http POST a.example /"]),
            hint(false, true, false, true)
        );
    }

    #[test]
    fn arguments_are_checked_against_the_definition() {
        let tool = testing::tool("x", &[]);
        assert!(tool.check_arguments(&serde_json::json!({"any": 1})).is_ok());
        assert!(tool.check_arguments(&serde_json::json!([])).is_err());
        assert!(tool.check_structured(&serde_json::json!([])).is_ok());
    }
}
