//! Packages and their manifests as anybody may hand them in, before anything of them is compiled.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::sync::LazyLock;

use serde_json::json;
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, InstanceType, Module,
};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Validator, WasmFeatures};

use super::admit::{HANDLER, examine};
use super::check;
use super::manifest::{Manifest, SECTION, canonical_text};
use super::package::{read, write};
use super::testing;
use crate::engine::ImportClass;
use crate::limits::{
    MANIFEST_BYTES_MAX, NEEDS_PER_PACKAGE_MAX, PACKAGE_IMPORTS_MAX, TOOLS_PER_PACKAGE_MAX,
};

/// A component that serves tools, with these imports and without a manifest.
fn serving(imports: &[&str]) -> Vec<u8> {
    let mut component = Component::new();
    if !imports.is_empty() {
        let mut types = ComponentTypeSection::new();
        types.instance(&InstanceType::new());
        component.section(&types);
        let mut section = ComponentImportSection::new();
        for name in imports {
            section.import(*name, ComponentTypeRef::Instance(0));
        }
        component.section(&section);
    }
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    let own = u32::try_from(imports.len()).unwrap_or(u32::MAX);
    exports.export(HANDLER, ComponentExportKind::Instance, own, None);
    component.section(&exports);
    component.finish()
}

static SERVING: LazyLock<Vec<u8>> = LazyLock::new(|| serving(&[]));

/// The bytes of a manifest's section.
pub(crate) fn manifest(bytes: &[u8]) {
    // Of all that says how it is written, only the one spelling is read.
    let mut component = SERVING.clone();
    let custom = wasm_encoder::CustomSection {
        name: SECTION.into(),
        data: bytes.into(),
    };
    component.push(0);
    wasm_encoder::Encode::encode(&custom, &mut component);
    let contents = read(&component).expect("a component with one section more");
    let Ok(manifest) = contents.manifest() else {
        assert!(
            examine(&component).is_err(),
            "a package without a manifest was admitted"
        );
        return;
    };
    assert!(bytes.len() <= MANIFEST_BYTES_MAX);
    let text = canonical_text(&manifest);
    assert_eq!(
        text.as_bytes(),
        bytes,
        "it is written otherwise than it was read"
    );
    let again: Manifest = serde_json::from_str(&text).expect("what was just written");
    assert!(again == manifest, "it reads otherwise the second time");
    assert_eq!(again.needs_digest(), manifest.needs_digest());
    let is_good = check::check(&manifest).is_ok();
    let examined = examine(&component);
    assert!(
        is_good || examined.is_err(),
        "a manifest that is refused was admitted"
    );
    if is_good {
        assert!((1..=TOOLS_PER_PACKAGE_MAX).contains(&manifest.tools.len()));
        assert!(manifest.needs.len() <= NEEDS_PER_PACKAGE_MAX);
        for need in &manifest.needs {
            assert!(need.capabilities.iter().all(|one| one.kind() == need.kind));
            for one in need.capabilities.iter() {
                let read = one.to_string().parse::<crate::capability::Capability>();
                assert_eq!(
                    read.as_ref(),
                    Ok(one),
                    "a capability reads otherwise than it is written"
                );
            }
        }
        let hidden = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!hidden(&manifest.title) && !hidden(&manifest.description));
    }
    if let Ok(examined) = examined {
        assert!(examined.manifest == manifest);
        let packed = write(&component, &manifest).expect("a package that was admitted");
        assert!(
            examine(&packed).is_ok(),
            "it is refused once it was packed again"
        );
    }
}

pub(crate) fn manifest_seeds() -> Vec<Vec<u8>> {
    let plain = testing::manifest("notes", &[]);
    let mut full = testing::manifest(
        "notes",
        &[
            ("book", &["files write notes a"], false),
            ("web", &["http GET,POST *.example.com:8443 /v1/"], true),
            ("store", &["kv write cache"], true),
            ("who", &["claims email"], true),
            ("now", &["clock"], true),
        ],
    );
    full.limits.memory_mib = Some(32);
    full.limits.timeout_ms = Some(500);
    full.requires.roles = vec!["admin".to_owned()];
    full.requires.acr = Some("gold".to_owned());
    for tool in &mut full.tools {
        tool.title = Some("Ein Titel, 題".to_owned());
        tool.input_schema = json!({
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 10, "pattern": "^[a-z]+$"}, "n": {"$ref": "#/$defs/n"}},
            "$defs": {"n": {"type": "integer", "minimum": -1}},
            "required": ["text"],
            "additionalProperties": false,
        });
        tool.output_schema =
            Some(json!({"type": "object", "properties": {"done": {"type": "boolean"}}}));
    }
    [plain, full]
        .iter()
        .map(|one| canonical_text(one).into_bytes())
        .collect()
}

pub(crate) const MANIFEST_WORDS: &[&str] = &[
    "\"format\":1",
    "\"name\":",
    "\"needs\":[",
    "\"kind\":\"http\"",
    "\"kind\":\"files\"",
    "\"capabilities\":[",
    "http GET * /",
    "http POST a.example /",
    "files write notes",
    "kv read cache",
    "secret ",
    "\"tools\":[",
    "\"input_schema\":{\"type\":\"object\"}",
    "\"$ref\":\"#\"",
    "\"pattern\":\"(a*)*\"",
    "\"allOf\":[",
    "\"optional\":true",
    "\"limits\":{",
    "\u{202e}",
    "\u{200b}",
    "\\u0000",
    "1e400",
    "-0",
    "1.0",
    "null",
];

/// A whole package.
pub(crate) fn component(bytes: &[u8]) {
    let contents = read(bytes);
    let Ok(examined) = examine(bytes) else {
        return;
    };
    let contents = contents.expect("an admitted package that cannot be walked");
    assert!(examined.imports.len() <= PACKAGE_IMPORTS_MAX);
    assert!(
        examined
            .imports
            .iter()
            .all(|(_, class)| *class != ImportClass::Unknown),
        "an unknown import"
    );
    assert_eq!(examined.imports.len(), contents.imports.len());
    assert!(contents.interfaces.iter().any(|name| name == HANDLER));
    // Where the engine takes the bytes at all, what it would link is what was looked at, and each is an interface.
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    if let Ok(types) = validator.validate_all(bytes) {
        for (name, _) in &examined.imports {
            let item = types.component_item_for_import(name).map(|item| item.ty);
            let is_interface = matches!(item, Some(ComponentEntityType::Instance(_)));
            assert!(is_interface, "the engine links `{name}` as something else");
        }
        let instances = types.component_instance_count();
        assert!(
            instances >= examined.imports.len(),
            "an import that nobody looked at"
        );
    }
    // Two manifests are none.
    let twice = [bytes, bytes.get(8..).unwrap_or_default()].concat();
    assert!(
        examine(&twice).is_err(),
        "a package with two manifests was admitted"
    );
    let packed = write(bytes, &examined.manifest).expect("a package that was admitted");
    assert!(
        examine(&packed).is_ok(),
        "it is refused once it was packed again"
    );
}

pub(crate) fn component_seeds() -> Vec<Vec<u8>> {
    let manifest = testing::manifest("notes", &[("book", &["files write notes"], false)]);
    let packed = |bare: &[u8]| write(bare, &manifest).expect("a small package");
    let known = [
        "wasi:io/poll@0.2.6",
        "wasi:filesystem/types@0.2.6",
        "bailiwick:tool/log@0.1.0",
    ];
    let mut nested = Component::new();
    nested.section(&wasm_encoder::ModuleSection(&Module::new()));
    let nested = nested.finish();
    let body = serving(&[]);
    let nested = [nested.as_slice(), body.get(8..).unwrap_or_default()].concat();
    vec![
        packed(&SERVING),
        packed(&serving(&known)),
        packed(&serving(&[
            "wasi:http/outgoing-handler@0.2.10",
            "wasi:sockets/tcp@0.2.9",
        ])),
        packed(&serving(&["evil:host/extra@1.0.0"])),
        packed(&nested),
        serving(&known),
        Module::new().finish(),
    ]
}

pub(crate) const COMPONENT_WORDS: &[&str] = &[
    "bailiwick-manifest",
    "bailiwick:tool/handler@0.1.0",
    "wasi:io/poll@0.2.6",
    "wasi:io/poll@0.3.0",
    "evil:host/x@1.0.0",
    "wasi:filesystem/types@0.2.6",
    "bailiwick:tool/log@0.1.0",
    "@0.2.6",
    "implements",
    "\u{0}asm",
    "\u{1}",
    "\u{d}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_good_seeds_are_admitted_and_the_others_are_not() {
        let admitted: Vec<bool> = component_seeds()
            .iter()
            .map(|seed| examine(seed).is_ok())
            .collect();
        assert_eq!(admitted, [true, true, true, false, true, false, false]);
        for seed in manifest_seeds() {
            let manifest: Manifest = serde_json::from_slice(&seed).unwrap();
            check::check(&manifest).unwrap();
        }
    }
}
