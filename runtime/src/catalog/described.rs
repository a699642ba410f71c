//! Tools on paper: rules can be asked about them, and there is nothing in them to run.
//!
//! Only commands that test rules make them. They never enter a [`Catalog`](super::Catalog), which is where calls find their
//! tool, and their component is empty: no sandbox finds an export in it.

use std::sync::{Arc, LazyLock};

use wasmtime::component::Component;

use super::manifest::Manifest;
use super::tool::{Package, Schemas, Tool};
use super::{check, manifest};

/// The preamble of a component and nothing else.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

static ENGINE: LazyLock<wasmtime::Engine> = LazyLock::new(wasmtime::Engine::default);

/// The tools of a manifest that was written down, judged as the manifest of a package is.
pub(crate) fn described(manifest: Manifest) -> Result<Vec<Tool>, String> {
    check::check(&manifest).map_err(|error| error.to_string())?;
    let schemas = manifest.tools.iter().map(|tool| {
        Schemas::compile(tool).map_err(|(which, error)| format!("the {which}: {error}"))
    });
    let schemas = schemas.collect::<Result<Vec<_>, _>>()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "eight bytes of ours, and no guest"
    )]
    let component = Component::new(&ENGINE, EMPTY).map_err(|error| error.to_string())?;
    let digest = manifest::canonical_digest(&manifest);
    let package = Package::new(manifest, digest, schemas, component, None);
    Arc::new(package)
        .tools("")
        .map_err(|error| error.to_string())
}
