//! A component that does what another imports, and nothing else.
//!
//! Where guests run in processes of their own, the server holds a mirror of each: it imports what the guest imports, is linked
//! as the guest would be, and exports every function of it under a flat name. A message of the process is then one call of the
//! mirror, and reaches what the guest itself would have reached in this process: the same host functions, behind the same
//! table of handles, which the engine checks. A process that lies has what a guest that lies has.
//!
//! In the exports handles are the numbers by which the mirror's own table knows them, and lists of bytes are places in its
//! memory, so that their bytes are copied at once.

mod code;

use std::collections::HashMap;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmSignature};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{
    Case, Docs, Field, Function, FunctionKind, InterfaceId, Param, Resolve, Result_, SizeAlign,
    Stability, Tuple, Type, TypeDef, TypeDefKind, TypeId, TypeOwner, Variant, WorldId, WorldItem,
    WorldKey,
};

use super::surface::{AT, BYTES, LENGTH, drop_name, function_name};

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The component cannot be read as one with interfaces.
    #[error("its interfaces cannot be read: {0}")]
    Unreadable(String),
    /// It is a package of interfaces.
    #[error("it has interfaces and no code")]
    NoComponent,
    /// It imports something that is no interface.
    #[error("it imports `{0}`, which is no interface")]
    NoInterface(String),
    /// A function of it takes or gives what has no place here.
    #[error("`{0}` takes or gives a {1}, which is not provided")]
    Type(String, &'static str),
    /// Ours, and a fault.
    #[error("its mirror cannot be encoded: {0}")]
    Encode(String),
}

/// One function of an import, as the mirror passes it on.
struct Passed {
    module: String,
    name: String,
    export: String,
    import: WasmSignature,
    exported: WasmSignature,
    /// Size and alignment of what it gives by a pointer.
    room: Option<(i32, i32)>,
}

/// The mirror of a component, as bytes.
pub(super) fn of(component: &[u8]) -> Result<Vec<u8>, MirrorError> {
    let unreadable = |error: String| MirrorError::Unreadable(error.replace('\n', " "));
    let decoded = decode(component).map_err(|error| unreadable(format!("{error:#}")))?;
    let DecodedWasm::Component(mut resolve, world) = decoded else {
        return Err(MirrorError::NoComponent);
    };
    let package = resolve
        .push_str("mirror.wit", &interface())
        .map_err(|error| encode(&error))?;
    let calls = resolve
        .packages
        .get(package)
        .and_then(|package| package.interfaces.values().next().copied())
        .ok_or_else(|| encode(&"it has no interface"))?;
    let imports = imported(&resolve, world)?;
    let mut passed = Vec::new();
    let mut dropped = Vec::new();
    let mut types = Types::new(&mut resolve, calls)?;
    for (name, interface) in imports {
        let functions: Vec<Function> = types.functions(interface);
        for function in functions {
            passed.push((name.clone(), types.pass(&name, &function)?, function));
        }
        for resource in types.resources(interface) {
            dropped.push((name.clone(), resource.clone()));
            types.export(drop_name(&name, &resource), vec![Type::U32], None);
        }
    }
    let exports = |name: &str| resolve.interfaces.get(calls)?.functions.get(name).cloned();
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let passed = passed.into_iter().map(|(module, export, function)| {
        let exported = exports(&export).ok_or_else(|| encode(&"a function is missing"))?;
        let import = resolve.wasm_signature(AbiVariant::GuestImport, &function);
        let room = function.result.filter(|_| import.retptr).map(|given| {
            let size = sizes.size(&given).size_wasm32();
            let align = sizes.align(&given).align_wasm32();
            (number(size), number(align))
        });
        Ok(Passed {
            exported: resolve.wasm_signature(AbiVariant::GuestExport, &exported),
            module,
            name: function.name,
            export,
            import,
            room,
        })
    });
    let passed: Vec<Passed> = passed.collect::<Result<_, MirrorError>>()?;
    let only = resolve
        .worlds
        .get_mut(world)
        .ok_or_else(|| encode(&"it has no world"))?;
    only.exports.clear();
    only.exports.insert(
        WorldKey::Interface(calls),
        WorldItem::Interface {
            id: calls,
            stability: Stability::Unknown,
            external_id: None,
            docs: Docs::default(),
            span: Default::default(),
        },
    );
    let mut module = code::core(&passed, &dropped);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| encode(&format!("{error:#}")))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| encode(&format!("{error:#}")))
}

/// What every mirror exports.
fn interface() -> String {
    format!(
        "package bailiwick:mirror;
         interface calls {{
             record {BYTES} {{ {AT}: u32, {LENGTH}: u32 }}
             put: func(bytes: list<u8>) -> u32;
             get: func(at: u32, length: u32) -> list<u8>;
             reset: func();
         }}"
    )
}

fn encode(error: &dyn std::fmt::Display) -> MirrorError {
    MirrorError::Encode(error.to_string().replace('\n', " "))
}

fn number(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

/// The imported interfaces, each under the name by which the component imports it.
fn imported(resolve: &Resolve, world: WorldId) -> Result<Vec<(String, InterfaceId)>, MirrorError> {
    let Some(world) = resolve.worlds.get(world) else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (key, item) in &world.imports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Interface { id, .. } => all.push((name, *id)),
            WorldItem::Function(_) => return Err(MirrorError::NoInterface(name)),
            // A type that the world names for itself is no import of the component.
            WorldItem::Type { .. } => {}
        }
    }
    Ok(all)
}

/// The types of the exports: those of the imports without handles and lists of bytes.
struct Types<'a> {
    resolve: &'a mut Resolve,
    calls: InterfaceId,
    bytes: Type,
    known: HashMap<TypeId, Type>,
}

impl<'a> Types<'a> {
    fn new(resolve: &'a mut Resolve, calls: InterfaceId) -> Result<Self, MirrorError> {
        let bytes = resolve.interfaces.get(calls);
        let bytes = bytes.and_then(|calls| calls.types.get(BYTES).copied());
        Ok(Self {
            bytes: Type::Id(bytes.ok_or_else(|| encode(&"it has no bytes"))?),
            resolve,
            calls,
            known: HashMap::new(),
        })
    }

    fn functions(&self, interface: InterfaceId) -> Vec<Function> {
        let interface = self.resolve.interfaces.get(interface);
        interface.map_or_else(Vec::new, |one| one.functions.values().cloned().collect())
    }

    /// The resources that an interface defines, not those that it takes from another.
    fn resources(&self, interface: InterfaceId) -> Vec<String> {
        let types = self.resolve.interfaces.get(interface);
        let types = types.into_iter().flat_map(|one| &one.types);
        let defined = types.filter(|(_, id)| {
            let kind = self.resolve.types.get(**id).map(|one| &one.kind);
            matches!(kind, Some(TypeDefKind::Resource))
        });
        defined.map(|(name, _)| name.clone()).collect()
    }

    /// Exports a function of an import, and says under which name.
    fn pass(&mut self, interface: &str, function: &Function) -> Result<String, MirrorError> {
        let name = function_name(interface, &function.name);
        let place = format!("{interface}#{}", function.name);
        let params = function.params.iter();
        let params = params
            .map(|param| self.of(&param.ty, &place))
            .collect::<Result<_, _>>()?;
        let result = function.result.map(|given| self.of(&given, &place));
        self.export(name.clone(), params, result.transpose()?);
        Ok(name)
    }

    fn export(&mut self, name: String, params: Vec<Type>, result: Option<Type>) {
        let params = params.into_iter().enumerate().map(|(index, ty)| Param {
            name: format!("p{index}"),
            ty,
            span: Default::default(),
        });
        let function = Function {
            name: name.clone(),
            kind: FunctionKind::Freestanding,
            params: params.collect(),
            result,
            docs: Docs::default(),
            stability: Stability::Unknown,
            span: Default::default(),
            external_id: None,
        };
        if let Some(calls) = self.resolve.interfaces.get_mut(self.calls) {
            calls.functions.insert(name, function);
        }
    }

    fn of(&mut self, ty: &Type, place: &str) -> Result<Type, MirrorError> {
        let Type::Id(id) = *ty else {
            return Ok(*ty);
        };
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let mirrored = self.defined(id, place)?;
        self.known.insert(id, mirrored);
        Ok(mirrored)
    }

    fn optional(&mut self, ty: Option<Type>, place: &str) -> Result<Option<Type>, MirrorError> {
        ty.map(|ty| self.of(&ty, place)).transpose()
    }

    fn defined(&mut self, id: TypeId, place: &str) -> Result<Type, MirrorError> {
        let not = |what| Err(MirrorError::Type(place.to_owned(), what));
        let Some(defined) = self.resolve.types.get(id).cloned() else {
            return not("type that is nowhere");
        };
        let kind = match defined.kind {
            TypeDefKind::Type(same) => return self.of(&same, place),
            TypeDefKind::Handle(_) => return Ok(Type::U32),
            TypeDefKind::List(of) => match self.of(&of, place)? {
                Type::U8 => return Ok(self.bytes),
                of => TypeDefKind::List(of),
            },
            TypeDefKind::Option(of) => TypeDefKind::Option(self.of(&of, place)?),
            TypeDefKind::Result(of) => TypeDefKind::Result(Result_ {
                ok: self.optional(of.ok, place)?,
                err: self.optional(of.err, place)?,
            }),
            TypeDefKind::Tuple(of) => {
                let types = of.types.iter().map(|one| self.of(one, place));
                TypeDefKind::Tuple(Tuple {
                    types: types.collect::<Result<_, _>>()?,
                })
            }
            TypeDefKind::Record(mut of) => {
                let fields = of.fields.into_iter().map(|field| {
                    let ty = self.of(&field.ty, place)?;
                    Ok(Field { ty, ..field })
                });
                of.fields = fields.collect::<Result<_, MirrorError>>()?;
                TypeDefKind::Record(of)
            }
            TypeDefKind::Variant(of) => {
                let cases = of.cases.into_iter().map(|case| {
                    let ty = self.optional(case.ty, place)?;
                    Ok(Case { ty, ..case })
                });
                TypeDefKind::Variant(Variant {
                    cases: cases.collect::<Result<_, MirrorError>>()?,
                })
            }
            same @ (TypeDefKind::Enum(_) | TypeDefKind::Flags(_)) => same,
            TypeDefKind::Resource => return not("resource by itself"),
            TypeDefKind::Map(..) => return not("map"),
            TypeDefKind::FixedLengthList(..) => return not("list of fixed length"),
            TypeDefKind::Future(_) => return not("future"),
            TypeDefKind::Stream(_) => return not("stream"),
            TypeDefKind::Unknown => return not("type that is not known"),
        };
        Ok(Type::Id(self.add(kind)))
    }

    /// What has fields or cases is named: a component exports nothing else.
    fn add(&mut self, kind: TypeDefKind) -> TypeId {
        let named = matches!(
            kind,
            TypeDefKind::Record(_)
                | TypeDefKind::Variant(_)
                | TypeDefKind::Enum(_)
                | TypeDefKind::Flags(_)
        );
        let name = named.then(|| format!("t{}", self.known.len()));
        let id = self.resolve.types.alloc(TypeDef {
            name: name.clone(),
            kind,
            owner: match named {
                true => TypeOwner::Interface(self.calls),
                false => TypeOwner::None,
            },
            docs: Docs::default(),
            stability: Stability::Unknown,
            span: Default::default(),
            external_id: None,
        });
        if let (Some(name), Some(calls)) = (name, self.resolve.interfaces.get_mut(self.calls)) {
            calls.types.insert(name, id);
        }
        id
    }
}
