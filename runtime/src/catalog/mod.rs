//! The admitted tools: digest, manifest, definitions, compiled component.
//!
//! A package is admitted whole or refused with a reason; the others stay up.

pub mod manifest;

use std::sync::Arc;

use crate::ids::{Digest, Publisher, ToolName};
use manifest::{Definition, Manifest};

/// An admitted package: one component and what it said of itself.
pub struct Package {
    manifest: Manifest,
    component_digest: Digest,
    manifest_digest: Digest,
    component: wasmtime::component::Component,
}

impl Package {
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
    pub fn component(&self) -> &wasmtime::component::Component {
        &self.component
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

    /// Who publishes it.
    pub fn publisher(&self) -> &Publisher {
        &self.package.manifest.publisher
    }

    /// SHA-256 of the definition.
    pub fn definition_digest(&self) -> Digest {
        self.definition_digest
    }
}
