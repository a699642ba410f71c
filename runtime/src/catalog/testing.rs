//! Tools for the tests of later stages: an empty component, everything else through the real makers.

use std::sync::{Arc, LazyLock};

use serde_json::json;
use wasmtime::component::Component;

use super::manifest::{Definition, Manifest, Need, Requires, Wishes};
use super::tool::{Package, Schemas, Tool};
use crate::ids::Digest;

static ENGINE: LazyLock<wasmtime::Engine> = LazyLock::new(wasmtime::Engine::default);

/// A manifest with one tool, both called `name`, that takes any object.
///
/// Each need is an id, the texts of its capabilities, which are of one kind, and whether it is optional.
pub(crate) fn manifest(name: &str, needs: &[(&str, &[&str], bool)]) -> Manifest {
    let needs: Vec<Need> = needs
        .iter()
        .filter(|(_, capabilities, _)| !capabilities.is_empty())
        .map(|(id, capabilities, optional)| {
            let all: Vec<crate::capability::Capability> = capabilities
                .iter()
                .map(|text| text.parse().expect("a capability"))
                .collect();
            Need {
                id: (*id).to_owned(),
                kind: all[0].kind(),
                capabilities: all.into_iter().collect(),
                reason: format!("for the test of {id}"),
                optional: *optional,
            }
        })
        .collect();
    let mut capabilities: Vec<_> = needs.iter().map(|need| need.kind).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    Manifest {
        format: 1,
        name: name.parse().expect("a name"),
        version: "1.0.0".to_owned(),
        title: format!("The {name} tool"),
        description: format!("What {name} is for"),
        publisher: "example.test".parse().expect("a publisher"),
        needs,
        limits: Wishes::default(),
        requires: Requires::default(),
        tools: vec![Definition {
            name: name.parse().expect("a name"),
            title: None,
            description: format!("Does {name}"),
            input_schema: json!({"type": "object"}),
            output_schema: None,
            capabilities,
        }],
    }
}

/// A package of this manifest whose component is empty. Its digest is that of the manifest.
pub(crate) fn package(manifest: Manifest) -> Arc<Package> {
    let empty = wasm_encoder::Component::new().finish();
    #[expect(clippy::disallowed_methods, reason = "eight bytes of ours")]
    let component = Component::new(&ENGINE, &empty).expect("the empty component");
    let schemas = manifest.tools.iter().map(Schemas::compile);
    let schemas = schemas.collect::<Result<_, _>>().expect("schemas");
    let digest = Digest::of(&serde_json::to_vec(&manifest).expect("a manifest"));
    Arc::new(Package::new(manifest, digest, schemas, component, None))
}

/// The tools of this manifest.
pub(crate) fn tools(of: Manifest) -> Vec<Tool> {
    package(of).tools("").expect("names")
}

/// One tool of this name with these needs; see [`manifest`].
#[cfg(test)]
pub(crate) fn tool(name: &str, needs: &[(&str, &[&str], bool)]) -> Tool {
    tool_of(manifest(name, needs))
}

/// The first tool of this manifest.
pub(crate) fn tool_of(manifest: Manifest) -> Tool {
    tools(manifest).remove(0)
}
