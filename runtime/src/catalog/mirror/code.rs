//! The code of a mirror: an allocator, and a step for each function that it passes on.

use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection,
    GlobalType, ImportSection, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_parser::abi::WasmType;

use super::super::surface::{CALLS, drop_name};
use super::{Passed, number};

/// Where the memory of a mirror begins to be given out: nothing stands at address 0.
const FIRST: i32 = 16;
/// Pages with which it begins.
const PAGES: u64 = 2;

fn values(types: &[WasmType]) -> Vec<ValType> {
    let value = |one: &WasmType| match one {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    };
    types.iter().map(value).collect()
}

/// The code: an allocator that is emptied as a whole, and a step for each function.
pub(super) fn core(passed: &[Passed], dropped: &[(String, String)]) -> Vec<u8> {
    let (mut types, mut imports, mut functions) = (
        TypeSection::new(),
        ImportSection::new(),
        FunctionSection::new(),
    );
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    let mut count = 0;
    let mut signature = |params: Vec<ValType>, results: Vec<ValType>| {
        types.ty().function(params, results);
        count += 1;
        count - 1
    };
    for one in passed {
        let ty = signature(values(&one.import.params), values(&one.import.results));
        imports.import(&one.module, &one.name, EntityType::Function(ty));
    }
    for (module, resource) in dropped {
        let ty = signature(vec![ValType::I32], Vec::new());
        let name = format!("[resource-drop]{resource}");
        imports.import(module, &name, EntityType::Function(ty));
    }
    let first = imports.len();
    let mut next = first;
    let mut function = |ty, name: String, body: &wasm_encoder::Function| {
        functions.function(ty);
        code.function(body);
        exports.export(&name, ExportKind::Func, next);
        next += 1;
    };
    let i32s = |count: usize| vec![ValType::I32; count];
    // First, since the others call it.
    let ty = signature(i32s(4), i32s(1));
    function(ty, "cabi_realloc".to_owned(), &realloc());
    let ty = signature(i32s(2), i32s(1));
    let mut put = wasm_encoder::Function::new([]);
    put.instructions().local_get(0).end();
    function(ty, format!("{CALLS}#put"), &put);
    function(ty, format!("{CALLS}#get"), &get(first));
    let ty = signature(Vec::new(), Vec::new());
    let mut reset = wasm_encoder::Function::new([]);
    reset.instructions().i32_const(FIRST).global_set(0).end();
    function(ty, format!("{CALLS}#reset"), &reset);
    for (index, one) in (0..).zip(passed) {
        let params = values(&one.exported.params);
        let ty = signature(params.clone(), values(&one.exported.results));
        let body = pass(index, params.len(), one.room, first);
        function(ty, format!("{CALLS}#{}", one.export), &body);
    }
    for (index, (interface, resource)) in (number(passed.len()).unsigned_abs()..).zip(dropped) {
        let ty = signature(i32s(1), Vec::new());
        let mut body = wasm_encoder::Function::new([]);
        body.instructions().local_get(0).call(index).end();
        let name = format!("{CALLS}#{}", drop_name(interface, resource));
        function(ty, name, &body);
    }
    exports.export("memory", ExportKind::Memory, 0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: PAGES,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let next = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(next, &ConstExpr::i32_const(FIRST));
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&globals)
        .section(&exports)
        .section(&code);
    module.finish()
}

/// Calls the import with what it was called with, and with room for what it gives where that is in memory.
fn pass(
    import: u32,
    params: usize,
    room: Option<(i32, i32)>,
    realloc: u32,
) -> wasm_encoder::Function {
    let local = number(params).unsigned_abs();
    let mut body = wasm_encoder::Function::new([(1, ValType::I32)]);
    let mut code = body.instructions();
    for index in 0..local {
        code.local_get(index);
    }
    if let Some((size, align)) = room {
        code.i32_const(0)
            .i32_const(0)
            .i32_const(align)
            .i32_const(size)
            .call(realloc)
            .local_tee(local);
    }
    code.call(import);
    if room.is_some() {
        code.local_get(local);
    }
    code.end();
    body
}

fn at(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 2,
        memory_index: 0,
    }
}

/// A list of what stands at its first parameter.
fn get(realloc: u32) -> wasm_encoder::Function {
    let mut body = wasm_encoder::Function::new([(1, ValType::I32)]);
    body.instructions()
        .i32_const(0)
        .i32_const(0)
        .i32_const(4)
        .i32_const(8)
        .call(realloc)
        .local_tee(2)
        .local_get(0)
        .i32_store(at(0))
        .local_get(2)
        .local_get(1)
        .i32_store(at(4))
        .local_get(2)
        .end();
    body
}

/// Gives out what is next: (old, old length, alignment, length), of which the first two are always none here.
fn realloc() -> wasm_encoder::Function {
    use wasm_encoder::BlockType::Empty;
    let (align, length, start, end) = (2, 3, 4, 5);
    let mut body = wasm_encoder::Function::new([(2, ValType::I32)]);
    let mut code = body.instructions();
    // start = (next + align - 1) & -align; end = start + length
    code.global_get(0)
        .local_get(align)
        .i32_add()
        .i32_const(1)
        .i32_sub()
        .i32_const(0)
        .local_get(align)
        .i32_sub()
        .i32_and()
        .local_tee(start)
        .local_get(length)
        .i32_add()
        .local_set(end);
    // What is past the end of addresses begins again at their start.
    code.local_get(end)
        .local_get(start)
        .i32_lt_u()
        .if_(Empty)
        .unreachable()
        .end();
    // Pages that are missing: (end + 0xffff) / 0x10000 - size, where the sum may be past the end of addresses.
    code.local_get(end)
        .i64_extend_i32_u()
        .i64_const(0xffff)
        .i64_add()
        .i64_const(16)
        .i64_shr_u()
        .i32_wrap_i64()
        .memory_size(0)
        .i32_gt_u()
        .if_(Empty)
        .local_get(end)
        .i64_extend_i32_u()
        .i64_const(0xffff)
        .i64_add()
        .i64_const(16)
        .i64_shr_u()
        .i32_wrap_i64()
        .memory_size(0)
        .i32_sub()
        .memory_grow(0)
        .i32_const(-1)
        .i32_eq()
        .if_(Empty)
        .unreachable()
        .end()
        .end();
    code.local_get(end).global_set(0).local_get(start).end();
    body
}
