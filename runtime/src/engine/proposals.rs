//! One module for each proposal that is off: none of them compiles.

use wasmtime::Module;
use wasmtime::component::Component;

use super::testing::engine;

/// The module is refused, and for the proposal that it uses: the engine says these words.
#[track_caller]
fn refused(text: &str, words: &str) {
    let bytes = wat::parse_str(text).unwrap();
    let error = Module::new(engine().engine(), bytes).expect_err("a disabled proposal compiled");
    let error = format!("{error:#}");
    assert!(error.contains(words), "{error}");
}

#[track_caller]
fn component_refused(text: &str, words: &str) {
    let bytes = wat::parse_str(text).unwrap();
    let refused = Component::new(engine().engine(), bytes).map(drop);
    let error = format!("{:#}", refused.expect_err("a disabled proposal compiled"));
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_the_toolchains_emit_compiles() {
    for text in [
        "(module (func (export \"f\") (result i32 i32) i32.const 1 i32.const 2))",
        "(module (memory 1) (func i32.const 0 i32.const 0 i32.const 4 memory.fill))",
        "(module (func (param v128) (result v128) local.get 0 i32x4.abs))",
        "(module (table 1 funcref) (func (result funcref) ref.null func))",
        "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
        "(module (func (param i32) (result i32) local.get 0 i32.extend8_s))",
    ] {
        Module::new(engine().engine(), wat::parse_str(text).unwrap()).unwrap();
    }
}

#[test]
fn threads_are_off() {
    refused(
        "(module (memory 1 1) (func (result i32) i32.const 0 i32.atomic.load))",
        "threads support is not enabled",
    );
}

#[test]
fn shared_memory_is_off() {
    refused("(module (memory 1 1 shared))", "threads must be enabled");
}

#[test]
fn shared_everything_threads_are_off() {
    refused(
        "(module (type (shared (func))))",
        "shared-everything-threads",
    );
}

#[test]
fn memory64_is_off() {
    refused("(module (memory i64 1))", "memory64");
}

#[test]
fn multi_memory_is_off() {
    refused("(module (memory 1) (memory 1))", "multiple memories");
}

#[test]
fn custom_page_sizes_are_off() {
    refused("(module (memory 1 (pagesize 1)))", "custom page sizes");
}

#[test]
fn tail_calls_are_off() {
    refused("(module (func $f return_call $f))", "tail calls");
}

#[test]
fn wide_arithmetic_is_off() {
    refused(
        "(module (func (param i64 i64) (result i64 i64) local.get 0 local.get 1 i64.mul_wide_u))",
        "wide arithmetic",
    );
}

#[test]
fn relaxed_simd_is_off() {
    refused(
        "(module (func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle))",
        "relaxed SIMD",
    );
}

#[test]
fn garbage_collection_is_off() {
    refused("(module (type (struct (field i32))))", "gc");
    refused("(module (func (param (ref null extern))))", "gc");
}

#[test]
fn function_references_are_off() {
    refused(
        "(module (type $t (func)) (func (param (ref $t)) local.get 0 call_ref $t))",
        "function references",
    );
}

#[test]
fn exceptions_are_off() {
    refused("(module (tag $t) (func throw $t))", "exceptions");
}

#[test]
fn stack_switching_is_off() {
    refused(
        "(module (type $f (func)) (type $c (cont $f)))",
        "stack switching",
    );
}

#[test]
fn component_async_is_off() {
    component_refused("(component (type (future u8)))", "component model async");
    component_refused("(component (type (stream u8)))", "component model async");
    component_refused(
        "(component (core func (canon backpressure.inc)))",
        "component model async",
    );
}

#[test]
fn error_context_is_off() {
    component_refused(
        "(component (core func (canon error-context.drop)))",
        "error-context feature",
    );
}

#[test]
fn component_threads_are_off() {
    component_refused(
        "(component (core func (canon thread.index)))",
        "component model threading",
    );
}

#[test]
fn fixed_length_lists_and_maps_are_off() {
    component_refused("(component (type (list u8 4)))", "component model");
    component_refused("(component (type (map string u8)))", "component model");
}

#[test]
fn a_core_module_is_no_component() {
    component_refused(
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)))",
        "component parser",
    );
}
