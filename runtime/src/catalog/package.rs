//! Reads and writes the manifest section of a component, and lists what the component imports and exports.
//!
//! The bytes are foreign: they are walked by a bounded parser, nothing is compiled or run. Only sections of the
//! outermost component count; what stands inside a nested one is that one's business.

use std::ops::Range;

use wasm_encoder::{Encode, RawSection};
use wasmparser::{
    ComponentTypeRef, Encoding, GlobalSectionReader, Operator, Parser, Payload, ValType,
};

use super::manifest::{Manifest, SECTION};
use super::schema::text;
use crate::limits::{MANIFEST_BYTES_MAX, PACKAGE_IMPORTS_MAX};

/// First bytes of a component: `\0asm`, version 13, layer 1.
const COMPONENT_HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// Id of a custom section.
const CUSTOM: u8 = 0;

/// Why bytes are no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// It is no component at all.
    #[error("it is no WebAssembly component: {0}; build it again")]
    Malformed(String),
    /// It is a core module.
    #[error(
        "it is a core module, not a component; build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// There is no manifest.
    #[error("it has no section `{SECTION}`; run `bailiwick build` or `bailiwick pack` on it")]
    NoManifest,
    /// There is more than one manifest, so that two readers could read two different ones.
    #[error("it has more than one section `{SECTION}`; run `bailiwick pack` on it again")]
    SeveralManifests,
    /// The manifest is too large.
    #[error("its manifest has {found} bytes; at most {MANIFEST_BYTES_MAX} are allowed")]
    ManifestSize { found: usize },
    /// The manifest is not what a manifest is.
    #[error("its manifest cannot be read: {0}; run `bailiwick pack` on it again")]
    Manifest(String),
    /// The manifest is not the one spelling of what it says.
    #[error("its manifest is not canonical JSON (RFC 8785); run `bailiwick pack` on it again")]
    NotCanonical,
    /// There are too many imports or exports to look at.
    #[error("it has more than {PACKAGE_IMPORTS_MAX} imports or exports")]
    Imports,
}

/// What stands in a component, without its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents<'a> {
    /// The one manifest section, if there is one.
    pub manifest: Option<&'a [u8]>,
    /// The names of what it imports, in order.
    pub imports: Vec<Import>,
    /// The names of the interfaces that it exports, in order. Single functions are not among them.
    pub interfaces: Vec<String>,
    /// Largest initial stack pointer of its core modules, in bytes, where one can be recognised.
    pub stack_bytes: Option<u32>,
    sections: Vec<(u8, Range<usize>)>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name, such as `wasi:io/poll@0.2.6`.
    pub name: String,
    /// Whether it is an interface under its own name, the only kind that is ever linked.
    pub interface: bool,
}

/// Walks a component.
pub fn read(bytes: &[u8]) -> Result<Contents<'_>, PackageError> {
    let mut contents = Contents {
        manifest: None,
        imports: Vec::new(),
        interfaces: Vec::new(),
        stack_bytes: None,
        sections: Vec::new(),
    };
    let mut depth = 0_usize;
    let mut complete = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        if depth == 0 {
            if let Some(section) = payload.as_section() {
                contents.sections.push(section);
            }
            contents.outer(&payload)?;
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) if depth == 0 => complete = true,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::GlobalSection(globals) => {
                contents.stack_bytes = contents.stack_bytes.max(stack_pointer(globals));
            }
            _ => {}
        }
    }
    if complete {
        Ok(contents)
    } else {
        Err(PackageError::Malformed("it is cut off".to_owned()))
    }
}

impl<'a> Contents<'a> {
    /// Takes in one payload of the outermost component.
    fn outer(&mut self, payload: &Payload<'a>) -> Result<(), PackageError> {
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => return Err(PackageError::CoreModule),
            Payload::CustomSection(section) if section.name() == SECTION => {
                let before = self.manifest.replace(section.data());
                return before.map_or(Ok(()), |_| Err(PackageError::SeveralManifests));
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import.map_err(malformed)?;
                    self.imports.push(Import {
                        name: import.name.name.to_owned(),
                        interface: matches!(import.ty, ComponentTypeRef::Instance(_))
                            && import.name.implements.is_none()
                            && import.name.version_suffix.is_none(),
                    });
                    bounded(self.imports.len())?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(malformed)?;
                    if export.kind == wasmparser::ComponentExternalKind::Instance {
                        self.interfaces.push(export.name.name.to_owned());
                    }
                    bounded(self.interfaces.len())?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The manifest, which must be there, small enough, and in its one spelling.
    pub fn manifest(&self) -> Result<Manifest, PackageError> {
        let bytes = self.manifest.ok_or(PackageError::NoManifest)?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(PackageError::ManifestSize { found: bytes.len() });
        }
        let manifest: Manifest = serde_json::from_slice(bytes)
            .map_err(|error| PackageError::Manifest(text(&error.to_string())))?;
        if canonical(&manifest)? == bytes {
            Ok(manifest)
        } else {
            Err(PackageError::NotCanonical)
        }
    }
}

/// The component with this manifest, in place of any that it had. Everything else is kept byte by byte.
pub fn write(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, PackageError> {
    let section = canonical(manifest)?;
    if section.len() > MANIFEST_BYTES_MAX {
        return Err(PackageError::ManifestSize {
            found: section.len(),
        });
    }
    let bare = strip(component)?;
    let mut out = bare;
    let custom = wasm_encoder::CustomSection {
        name: SECTION.into(),
        data: section.into(),
    };
    out.push(CUSTOM);
    custom.encode(&mut out);
    Ok(out)
}

/// The component without any manifest section.
pub fn strip(component: &[u8]) -> Result<Vec<u8>, PackageError> {
    let mut kept = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(malformed)?;
        let ours = matches!(&payload, Payload::CustomSection(custom) if custom.name() == SECTION);
        match (&payload, depth) {
            (
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                },
                0,
            ) => return Err(PackageError::CoreModule),
            (_, 0) if !ours => kept.extend(payload.as_section()),
            _ => {}
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let mut out = COMPONENT_HEADER.to_vec();
    for (id, range) in kept {
        let data = component
            .get(range)
            .ok_or_else(|| PackageError::Malformed("a section is cut off".to_owned()))?;
        out.push(id);
        RawSection { id, data }.encode(&mut out);
    }
    Ok(out)
}

fn canonical(manifest: &Manifest) -> Result<Vec<u8>, PackageError> {
    serde_json_canonicalizer::to_vec(manifest)
        .map_err(|error| PackageError::Manifest(text(&error.to_string())))
}

fn malformed(error: wasmparser::BinaryReaderError) -> PackageError {
    PackageError::Malformed(text(&error.to_string()))
}

fn bounded(number: usize) -> Result<(), PackageError> {
    if number > PACKAGE_IMPORTS_MAX {
        Err(PackageError::Imports)
    } else {
        Ok(())
    }
}

/// The initial stack pointer: by the convention of every C-like toolchain the first mutable `i32` global.
fn stack_pointer(globals: GlobalSectionReader<'_>) -> Option<u32> {
    let global = globals
        .into_iter()
        .flatten()
        .find(|global| global.ty.mutable && global.ty.content_type == ValType::I32)?;
    match global.init_expr.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => u32::try_from(value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn section(bytes: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        out.push(CUSTOM);
        let custom = wasm_encoder::CustomSection {
            name: SECTION.into(),
            data: data.into(),
        };
        custom.encode(&mut out);
        out
    }

    fn manifest_of(bytes: &[u8]) -> Result<Manifest, PackageError> {
        read(bytes)?.manifest()
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = testing::manifest("a", &[("n", &["http GET a.example /"], false)]);
        let packed = write(&component("(component)"), &manifest).unwrap();
        assert_eq!(manifest_of(&packed), Ok(manifest));
        assert_eq!(
            manifest_of(&component("(component)")),
            Err(PackageError::NoManifest)
        );
    }

    #[test]
    fn writing_again_replaces_and_keeps_the_rest() {
        let bare = component(
            r#"(component (core module (memory 1)) (import "a:b/c@1.0.0" (instance)) (@custom "other" "x"))"#,
        );
        let first = write(&bare, &testing::manifest("first", &[])).unwrap();
        let second = write(&first, &testing::manifest("second", &[])).unwrap();
        assert_eq!(manifest_of(&second).unwrap().name.as_str(), "second");
        assert_eq!(strip(&second).unwrap(), strip(&bare).unwrap());
        assert_eq!(strip(&bare).unwrap(), bare);
    }

    #[test]
    fn one_section_and_no_other() {
        let manifest = testing::manifest("a", &[]);
        let packed = write(&component("(component)"), &manifest).unwrap();
        let twice = section(&packed, &canonical(&testing::manifest("b", &[])).unwrap());
        assert_eq!(manifest_of(&twice), Err(PackageError::SeveralManifests));
        // Packing mends it.
        assert_eq!(
            manifest_of(&write(&twice, &manifest).unwrap()),
            Ok(manifest)
        );
    }

    #[test]
    fn a_nested_section_does_not_speak_for_the_whole() {
        let inner = write(&component("(component)"), &testing::manifest("inner", &[])).unwrap();
        let inner = wasm_encoder::RawSection {
            id: 4,
            data: &inner,
        };
        let mut outer = wasm_encoder::Component::new();
        outer.section(&inner);
        let outer = outer.finish();
        assert_eq!(manifest_of(&outer), Err(PackageError::NoManifest));
        let packed = write(&outer, &testing::manifest("outer", &[])).unwrap();
        assert_eq!(manifest_of(&packed).unwrap().name.as_str(), "outer");
    }

    #[test]
    fn only_the_canonical_spelling_is_a_manifest() {
        let bare = component("(component)");
        let manifest = testing::manifest("a", &[]);
        let right = canonical(&manifest).unwrap();
        assert!(manifest_of(&section(&bare, &right)).is_ok());
        let pretty = serde_json::to_vec_pretty(&manifest).unwrap();
        assert_eq!(
            manifest_of(&section(&bare, &pretty)),
            Err(PackageError::NotCanonical)
        );
        let spaced = [&right[..], b" "].concat();
        assert_eq!(
            manifest_of(&section(&bare, &spaced)),
            Err(PackageError::NotCanonical)
        );
        let text = String::from_utf8(right).unwrap();
        let unknown = text.replacen('{', r#"{"a":1,"#, 1);
        assert!(matches!(
            manifest_of(&section(&bare, unknown.as_bytes())),
            Err(PackageError::Manifest(_))
        ));
        let twice = text.replacen(r#""format":1"#, r#""format":1,"format":1"#, 1);
        assert!(matches!(
            manifest_of(&section(&bare, twice.as_bytes())),
            Err(PackageError::Manifest(_))
        ));
        assert!(matches!(
            manifest_of(&section(&bare, b"{}")),
            Err(PackageError::Manifest(_))
        ));
    }

    #[test]
    fn a_manifest_is_bounded() {
        let found = MANIFEST_BYTES_MAX + 1;
        let bytes = section(&component("(component)"), &vec![b' '; found]);
        assert_eq!(
            manifest_of(&bytes),
            Err(PackageError::ManifestSize { found })
        );
    }

    #[test]
    fn what_is_no_component_is_said_so() {
        assert_eq!(read(&component("(module)")), Err(PackageError::CoreModule));
        for bad in [&b""[..], b"\0asm", b"#!/bin/sh", &COMPONENT_HEADER[..7]] {
            assert!(
                matches!(read(bad), Err(PackageError::Malformed(_))),
                "{bad:?}"
            );
        }
        let whole = write(&component("(component)"), &testing::manifest("a", &[])).unwrap();
        for end in COMPONENT_HEADER.len() + 1..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn imports_and_interfaces_are_listed_and_functions_are_told_apart() {
        let bytes = component(
            r#"(component
                (import "wasi:io/poll@0.2.6" (instance $i))
                (import "plain" (func $f))
                (component $c (import "nested:a/b@1.0.0" (instance)))
                (export "x:y/z@1.0.0" (instance $i))
                (export "run" (func $f)))"#,
        );
        let contents = read(&bytes).unwrap();
        let imports: Vec<_> = contents
            .imports
            .iter()
            .map(|i| (&*i.name, i.interface))
            .collect();
        assert_eq!(imports, [("wasi:io/poll@0.2.6", true), ("plain", false)]);
        assert_eq!(contents.interfaces, ["x:y/z@1.0.0"]);
    }

    #[test]
    fn the_stack_is_the_first_mutable_i32_global() {
        let with = |globals: &str| {
            let bytes = component(&format!("(component (core module {globals}))"));
            read(&bytes).unwrap().stack_bytes
        };
        assert_eq!(
            with("(global i32 (i32.const 7)) (global (mut i32) (i32.const 65536))"),
            Some(65536)
        );
        assert_eq!(with("(global (mut i64) (i64.const 1))"), None);
    }
}
