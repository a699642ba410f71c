use std::time::Instant;

use serde_json::json;

use super::super::{compile, package, testing};
use super::*;
use crate::engine::testing::engine;

const SERVES: &str =
    r#"(component (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)) REST)"#;

fn packed(rest: &str, manifest: &Manifest) -> Vec<u8> {
    let component = wat::parse_str(SERVES.replace("REST", rest)).unwrap();
    package::write(&component, manifest).unwrap()
}

fn importing(imports: &[&str]) -> Vec<u8> {
    let imports: Vec<String> = imports
        .iter()
        .map(|name| format!(r#"(import "{name}" (instance))"#))
        .collect();
    let text = format!(
        r#"(component {} (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#,
        imports.join(" ")
    );
    package::write(&wat::parse_str(text).unwrap(), &testing::manifest("a", &[])).unwrap()
}

fn refused(bytes: &[u8]) -> AdmissionError {
    examine(bytes).err().expect("a refusal")
}

fn admitter(dir: &std::path::Path) -> Admitter {
    Admitter::new(
        engine(),
        compile::testing::compiler(),
        Cache::open(&dir.join("cache")).unwrap(),
    )
}

#[test]
fn a_good_package_passes_and_its_digest_is_that_of_its_bytes() {
    let manifest = testing::manifest("a", &[("n", &["clock"], false)]);
    let bytes = packed("", &manifest);
    let examined = examine(&bytes).unwrap();
    assert_eq!(examined.manifest, manifest);
    assert_eq!(examined.digest, Digest::of(&bytes));
}

#[test]
fn a_component_that_serves_nothing_is_refused() {
    let bare = wat::parse_str("(component)").unwrap();
    let bytes = package::write(&bare, &testing::manifest("a", &[])).unwrap();
    assert!(matches!(refused(&bytes), AdmissionError::NoHandler));
    let function =
        r#"(component (import "f" (func $f)) (export "bailiwick:tool/handler@0.1.0" (func $f)))"#;
    if let Ok(bare) = wat::parse_str(function) {
        let bytes = package::write(&bare, &testing::manifest("a", &[])).unwrap();
        assert!(examine(&bytes).is_err());
    }
}

#[test]
fn known_imports_pass_and_one_unknown_refuses_by_name() {
    let known = [
        "wasi:io/poll@0.2.6",
        "wasi:sockets/tcp@0.2.9",
        "wasi:http/outgoing-handler@0.2.10",
    ];
    assert!(examine(&importing(&known)).is_ok());
    for extra in [
        "evil:host/extra@1.0.0",
        "wasi:io/poll@0.3.0",
        "wasi:nn/graph@0.2.0",
    ] {
        let bytes = importing(&[known[0], extra]);
        let error = refused(&bytes);
        assert!(
            matches!(&error, AdmissionError::Imports(names) if names == &[extra]),
            "{error}"
        );
        assert!(error.to_string().contains(extra));
    }
}

#[test]
fn an_import_that_is_no_interface_is_unknown_whatever_its_name() {
    let function = r#"(component (import "log" (func)) (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#;
    let bytes = package::write(
        &wat::parse_str(function).unwrap(),
        &testing::manifest("a", &[]),
    )
    .unwrap();
    assert!(matches!(refused(&bytes), AdmissionError::Imports(_)));
}

#[test]
fn many_unknown_imports_make_a_short_message() {
    let names: Vec<String> = (0..50).map(|n| format!("evil:host/i{n}@1.0.0")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = refused(&importing(&names)).to_string();
    assert!(text.len() < 600 && text.contains("42 more"), "{text}");
}

#[test]
fn a_bad_schema_is_refused_with_tool_and_place() {
    let mut manifest = testing::manifest("a", &[]);
    manifest.tools[0].input_schema =
        json!({"type": "object", "properties": {"x": {"$ref": "https://evil.example/"}}});
    let text = refused(&packed("", &manifest)).to_string();
    assert!(
        text.contains("input schema of tool `a`") && text.contains("/properties/x"),
        "{text}"
    );
    let mut manifest = testing::manifest("a", &[]);
    manifest.tools[0].output_schema = Some(json!({"type": "array"}));
    assert!(
        refused(&packed("", &manifest))
            .to_string()
            .contains("output schema")
    );
}

#[test]
fn the_patterns_of_a_package_are_bounded_over_all_its_schemas() {
    let mut manifest = testing::manifest("a", &[]);
    let patterns = |number: usize| -> serde_json::Map<_, _> {
        (0..number).map(|n| (format!("^p{n}"), json!({}))).collect()
    };
    let mut second = manifest.tools[0].clone();
    second.name = "b".parse().unwrap();
    second.output_schema = Some(json!({"type": "object", "$defs": {"x": {"pattern": "^a"}}}));
    manifest.tools.push(second);
    let rest = SCHEMA_PATTERNS_MAX - 1;
    manifest.tools[0].input_schema = json!({"type": "object", "patternProperties": patterns(rest)});
    assert!(examine(&packed("", &manifest)).is_ok());
    manifest.tools[0].input_schema =
        json!({"type": "object", "patternProperties": patterns(rest + 1)});
    let error = refused(&packed("", &manifest));
    assert!(matches!(error, AdmissionError::Patterns { found } if found == rest + 2));
    let text = error.to_string();
    assert!(text.contains("in the tool itself"), "{text}");
}

#[test]
fn a_bad_manifest_is_refused() {
    let mut manifest = testing::manifest("a", &[]);
    manifest.title = "pay\u{202E}lap".to_owned();
    assert!(matches!(
        refused(&packed("", &manifest)),
        AdmissionError::Manifest(_)
    ));
}

#[tokio::test]
async fn a_package_is_compiled_once_and_loaded_ever_after() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = packed("", &testing::manifest("a", &[]));
    let admitter = admitter(dir.path());
    let package = admitter.admit(bytes.clone()).await.unwrap();
    assert_eq!(package.component_digest(), Digest::of(&bytes));
    let broken = Admitter {
        compiler: Compiler::new("/nowhere".into()),
        ..admitter
    };
    assert!(broken.admit(bytes).await.is_ok());
    let other = packed("", &testing::manifest("b", &[]));
    assert!(matches!(
        broken.admit(other).await,
        Err(AdmissionError::Compile(_))
    ));
}

#[tokio::test]
async fn a_tampered_entry_is_not_loaded_but_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = packed("", &testing::manifest("a", &[]));
    let admitter = admitter(dir.path());
    admitter.admit(bytes.clone()).await.unwrap();
    let entry = std::fs::read_dir(admitter.cache.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let entry = entry
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "native"))
        .unwrap();
    let mut native = std::fs::read(&entry).unwrap();
    let whole = native.clone();
    *native.last_mut().unwrap() ^= 1;
    std::fs::write(&entry, &native).unwrap();
    admitter.admit(bytes).await.unwrap();
    assert_eq!(std::fs::read(&entry).unwrap().len(), whole.len());
    assert_ne!(std::fs::read(&entry).unwrap(), native);
}

#[tokio::test]
async fn what_does_not_compile_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = packed(
        "(core module (func (result i32) i64.const 0))",
        &testing::manifest("a", &[]),
    );
    let error = admitter(dir.path()).admit(bytes).await.unwrap_err();
    assert!(
        matches!(error, AdmissionError::Compile(CompileError::Invalid(_))),
        "{error}"
    );
}

#[tokio::test]
async fn loading_is_far_cheaper_than_compiling() {
    use std::fmt::Write;
    let dir = tempfile::tempdir().unwrap();
    let mut functions = String::new();
    for n in 0..2_000 {
        write!(functions, "(func (param i32) (result i32)").unwrap();
        for step in 0..20 {
            write!(
                functions,
                "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const {n})) (i32.const {step})))"
            )
            .unwrap();
        }
        functions.push_str("(local.get 0))");
    }
    let bytes = packed(
        &format!("(core module {functions})"),
        &testing::manifest("a", &[]),
    );
    let admitter = admitter(dir.path());
    let digest = Digest::of(&bytes);
    let begun = Instant::now();
    admitter.admit(bytes).await.unwrap();
    let compiled = begun.elapsed();
    let key = Key {
        component: digest,
        configuration: engine().configuration_digest(),
        part: Part::Guest,
    };
    let loaded = (0..5)
        .map(|_| {
            let begun = Instant::now();
            assert!(admitter.cached(key).is_some());
            begun.elapsed()
        })
        .min()
        .unwrap();
    println!(
        "compiled in {compiled:?}, loaded in {loaded:?}, {} times faster",
        compiled.as_nanos() / loaded.as_nanos()
    );
    assert!(compiled > loaded * 10);
}

#[test]
fn what_no_call_has_room_for_is_the_fault_of_the_package_and_what_is_not_mapped_is_not() {
    let mapped = wasmtime::Error::from(std::io::Error::from(std::io::ErrorKind::OutOfMemory));
    assert!(AdmissionError::load(mapped.context("to map")).may_pass_later());
    let mapped = wasmtime::Error::from(rustix::io::Errno::NOMEM);
    let error = AdmissionError::load(mapped.context("to map"));
    assert!(error.may_pass_later());
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    let read = wasmtime::Error::from(rustix::io::Errno::IO);
    let error = AdmissionError::load(read.context("to map"));
    assert!(error.may_pass_later());
    assert!(error.to_string().contains("cache folder"), "{error}");
    let large = wasmtime::Error::msg("a memory does not fit");
    let error = AdmissionError::load(large);
    assert!(!error.may_pass_later());
    assert!(error.to_string().contains("a memory does not fit"));
}
