//! A guest that imports every function that there is, and calls the one whose number it is given.
//!
//! It is made of the interfaces themselves, so that no function is forgotten: what a new version of them has is called as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::cli::terminal_input::TerminalInput;
use wasmtime_wasi::p2::bindings::cli::terminal_output::TerminalOutput;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, ReaddirIterator, TcpSocket, UdpSocket,
};
use wasmtime_wasi_http::p2::bindings::http::types as http;
use wit_parser::abi::{AbiVariant, FlatTypes, WasmType};
use wit_parser::{Function, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId};

use crate::engine::{ImportClass, classify};
use crate::host::kv::{Bucket, Cas};
use crate::sandbox::denied::{Incoming, Outgoing};
use crate::sandbox::state::State;
use crate::sandbox::testing::encoded;

/// What gives the guest the handles that it calls with. Nothing is behind them: no function gets as far as to look.
const HANDLES: &str = "test:every/handles";
/// Where functions that return by a pointer would put it.
const RETURNED: &str = "(i32.const 32768)";

/// The guest before it is compiled.
pub(super) struct Every {
    pub(super) guest: Vec<u8>,
    /// One with the same imports but [`HANDLES`], which only a test links.
    pub(super) imports: Vec<u8>,
    /// Its functions, by their numbers. To let go of a handle is one of them.
    pub(super) names: Vec<String>,
    resources: Vec<String>,
}

/// One function, as a core module sees it.
struct Import {
    interface: String,
    name: String,
    params: Vec<WasmType>,
    results: Vec<WasmType>,
    arguments: Vec<String>,
}

impl Every {
    pub(super) fn made() -> Self {
        let mut resolve = Resolve::default();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        for wit in [library(), ours] {
            resolve.push_dir(wit).unwrap();
        }
        let interfaces = linked(&resolve);
        let resources: Vec<_> = interfaces
            .iter()
            .flat_map(|(_, id)| resources(&resolve, *id))
            .collect();
        let package = resolve
            .push_str("every.wit", &world(&resolve, &interfaces))
            .unwrap();
        let world = resolve.select_world(&[package], Some("every")).unwrap();
        let all: Vec<Import> = interfaces
            .iter()
            .flat_map(|(name, id)| functions(&resolve, name, *id))
            .collect();
        let imports: String = all.iter().enumerate().map(imported).collect();
        let handles: String = resources
            .iter()
            .map(|one| {
                format!(r#"(import "{HANDLES}" "give-{one}" (func $give-{one} (result i32)))"#)
            })
            .collect();
        let calls: String = all.iter().enumerate().map(called).collect();
        let echo = "(call $text (local.get $at) (local.get $len))";
        let body = format!(
            "(local $which i32) (local.set $which (i32.load (local.get $at))) {calls} {echo}"
        );
        Self {
            guest: encoded(&resolve, world, &format!("{handles}{imports}"), &body),
            imports: encoded(&resolve, world, &imports, echo),
            names: all
                .iter()
                .map(|one| format!("{}#{}", one.interface, one.name))
                .collect(),
            resources,
        }
    }

    /// Functions and resources of all that it imports.
    pub(super) fn count(&self) -> usize {
        self.names.len() + self.resources.len()
    }

    /// Links what gives it handles.
    pub(super) fn give_handles(&self, linker: &mut Linker<State>) {
        let mut handles = linker.instance(HANDLES).unwrap();
        for name in &self.resources {
            let give = match name.as_str() {
                "bucket" => give::<Bucket>,
                "cas" => give::<Cas>,
                "descriptor" => give::<Descriptor>,
                "directory-entry-stream" => give::<ReaddirIterator>,
                "error" => give::<wasmtime::Error>,
                "fields" => give::<http::Fields>,
                "future-incoming-response" => give::<http::FutureIncomingResponse>,
                "future-trailers" => give::<http::FutureTrailers>,
                "incoming-body" => give::<http::IncomingBody>,
                "incoming-datagram-stream" => give::<Incoming>,
                "incoming-request" => give::<http::IncomingRequest>,
                "incoming-response" => give::<http::IncomingResponse>,
                "input-stream" => give::<DynInputStream>,
                "network" => give::<Network>,
                "outgoing-body" => give::<http::OutgoingBody>,
                "outgoing-datagram-stream" => give::<Outgoing>,
                "outgoing-request" => give::<http::OutgoingRequest>,
                "outgoing-response" => give::<http::OutgoingResponse>,
                "output-stream" => give::<DynOutputStream>,
                "pollable" => give::<DynPollable>,
                "request-options" => give::<http::RequestOptions>,
                "resolve-address-stream" => give::<ResolveAddressStream>,
                "response-outparam" => give::<http::ResponseOutparam>,
                "tcp-socket" => give::<TcpSocket>,
                "terminal-input" => give::<TerminalInput>,
                "terminal-output" => give::<TerminalOutput>,
                "udp-socket" => give::<UdpSocket>,
                other => panic!("a resource that nobody gives: {other}"),
            };
            give(&mut handles, name);
        }
    }
}

/// The argument by which the guest is told which function to call.
pub(super) fn argument(number: usize) -> String {
    format!("{number:04}")
}

fn give<T: 'static>(handles: &mut LinkerInstance<'_, State>, resource: &str) {
    handles
        .func_wrap(
            &format!("give-{resource}"),
            |_: StoreContextMut<'_, State>, ()| Ok((Resource::<T>::new_own(u32::MAX),)),
        )
        .unwrap();
}

/// The interfaces of the library, in the very files that its functions are made of.
fn library() -> PathBuf {
    // Whatever is of other platforms need not be on this machine.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &here])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let mut packages = told["packages"].as_array().unwrap().iter();
    let library = packages
        .find(|one| one["name"] == "wasmtime-wasi-http")
        .unwrap();
    Path::new(library["manifest_path"].as_str().unwrap()).with_file_name("wit")
}

/// Every interface that is linked. That it is every one says the list by which packages are admitted.
fn linked(resolve: &Resolve) -> Vec<(String, InterfaceId)> {
    let all = resolve.interfaces.iter();
    let named = all.filter_map(|(id, _)| Some((resolve.id_of(id)?, id)));
    let mut linked: Vec<_> = named
        .filter(|(name, _)| classify(name) != ImportClass::Unknown)
        .collect();
    linked.sort_by(|one, other| one.0.cmp(&other.0));
    let admitted = include_str!("../../../engine/imports.rs");
    let admitted = admitted.split("#[cfg(test)]").next().unwrap();
    let admitted = admitted.split("fn class(&self)").nth(1).unwrap();
    let mut admitted: Vec<_> = admitted
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.contains(':'))
        .collect();
    let mut found: Vec<_> = linked
        .iter()
        .map(|(_, id)| resolve.interfaces[*id].name.as_deref().unwrap())
        .collect();
    admitted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, admitted);
    linked
}

/// What an interface defines that handles are of.
fn resources(resolve: &Resolve, id: InterfaceId) -> Vec<String> {
    let types = resolve.interfaces[id].types.iter();
    types
        .filter(|(_, id)| matches!(resolve.types[**id].kind, TypeDefKind::Resource))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The world of the guest, in the language of interfaces.
fn world(resolve: &Resolve, interfaces: &[(String, InterfaceId)]) -> String {
    let (mut handles, mut imports) = (String::new(), String::new());
    for (name, id) in interfaces {
        let resources = resources(resolve, *id);
        if !resources.is_empty() {
            handles.push_str(&format!("use {name}.{{{}}};\n", resources.join(", ")));
        }
        for one in resources {
            handles.push_str(&format!("give-{one}: func() -> {one};\n"));
        }
        imports.push_str(&format!("import {name};\n"));
    }
    format!(
        "package test:every;
         interface handles {{ {handles} }}
         world every {{ import handles; {imports} export bailiwick:tool/handler@0.1.0; }}"
    )
}

fn functions(resolve: &Resolve, interface: &str, id: InterfaceId) -> Vec<Import> {
    let functions = resolve.interfaces[id].functions.values();
    let functions = functions.map(|function| {
        let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
        assert!(!signature.indirect_params, "{}", function.name);
        let mut arguments = arguments(resolve, function);
        arguments.extend(signature.retptr.then(|| RETURNED.to_owned()));
        assert_eq!(arguments.len(), signature.params.len(), "{}", function.name);
        Import {
            interface: interface.to_owned(),
            name: function.name.clone(),
            params: signature.params,
            results: signature.results,
            arguments,
        }
    });
    let drops = resources(resolve, id).into_iter().map(|one| Import {
        interface: interface.to_owned(),
        name: format!("[resource-drop]{one}"),
        params: vec![WasmType::I32],
        results: Vec::new(),
        arguments: vec![format!("(call $give-{one})")],
    });
    functions.chain(drops).collect()
}

/// Handles where handles are taken, and nothing else.
fn arguments(resolve: &Resolve, function: &Function) -> Vec<String> {
    let mut all = Vec::new();
    for param in &function.params {
        if let Some(handle) = handle(resolve, &param.ty) {
            all.push(format!("(call $give-{handle})"));
            continue;
        }
        let mut storage = [WasmType::I32; Resolve::MAX_FLAT_PARAMS];
        let mut flat = FlatTypes::new(&mut storage);
        assert!(resolve.push_flat(&param.ty, &mut flat));
        let flat = flat.to_vec().into_iter().enumerate();
        // Of the two cases of a result the one without a handle.
        let is_second = match kind(resolve, &param.ty) {
            Some(TypeDefKind::Result(of)) => of.ok.is_some_and(|ok| handle(resolve, &ok).is_some()),
            _ => false,
        };
        all.extend(flat.map(|(at, flat)| {
            let value = u8::from(at == 0 && is_second);
            format!("({}.const {value})", core(flat))
        }));
    }
    all
}

/// What a type is behind its other names; nothing for a simple one.
fn kind<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a TypeDefKind> {
    let Type::Id(id) = ty else {
        return None;
    };
    match &resolve.types[*id].kind {
        TypeDefKind::Type(other) => kind(resolve, other),
        kind => Some(kind),
    }
}

/// The resource of a handle.
fn handle<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a str> {
    match kind(resolve, ty)? {
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => Some(resource(resolve, *id)),
        _ => None,
    }
}

fn resource(resolve: &Resolve, id: TypeId) -> &str {
    let ty = &resolve.types[id];
    match &ty.kind {
        TypeDefKind::Type(Type::Id(other)) => resource(resolve, *other),
        _ => ty.name.as_deref().unwrap(),
    }
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

fn imported((number, one): (usize, &Import)) -> String {
    let types = |all: &[WasmType]| all.iter().map(|ty| format!(" {}", core(*ty))).collect();
    let (params, results): (String, String) = (types(&one.params), types(&one.results));
    let Import {
        interface, name, ..
    } = one;
    format!(
        r#"(import "{interface}" "{name}" (func $f{number} (param{params}) (result{results})))"#
    )
}

fn called((number, one): (usize, &Import)) -> String {
    let which: [u8; 4] = argument(number).into_bytes().try_into().unwrap();
    let (which, arguments) = (i32::from_le_bytes(which), one.arguments.join(" "));
    let call = format!("(call $f{number} {arguments})");
    let call = match one.results.is_empty() {
        true => call,
        false => format!("(drop {call})"),
    };
    format!("(if (i32.eq (local.get $which) (i32.const {which})) (then {call}))")
}
