//! Guests that lie where code meets its host: in pointers, lengths, encodings, handles and cases, in what the host calls back,
//! and in what they are made of.

mod residue;

use std::fmt::Write;

use wit_component::StringEncoding;

pub use residue::{residue_stack, residue_table};

use super::handmade::{Parts, component};

/// The case that does all of it as it is meant, and so is answered with its own number.
pub const CONTROL: usize = 99;

const LOG: &str = r#"(import "bailiwick:tool/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const PROGRESS: &str = r#"(import "bailiwick:tool/progress@0.1.0" "report"
    (func $report (param f64 i32 f64 i32 i32 i32 i32)))"#;
const EXIT: &str = r#"(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))"#;
const RANDOM: &str =
    r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))"#;
const POLL: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $subscribe (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $drop_pollable (param i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $ready (param i32) (result i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop_stream (param i32)))"#;
const HTTP: &str = r#"
    (import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.6" "[static]fields.from-list" (func $from_list (param i32 i32 i32)))
    (import "wasi:http/types@0.2.6" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-method"
        (func $set_method (param i32 i32 i32 i32) (result i32)))"#;
const FILES: &str = r#"
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.open-at"
        (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.set-times"
        (func $set_times (param i32 i32 i64 i32 i32 i64 i32 i32)))"#;

/// The body of a `call` that takes one of these ways, by the number in `{"case":"07"}`, and answers that number if it is still
/// there afterwards.
fn ways<'a>(control: &'a str, bodies: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = "(local $case i32) (local $a i32) (local $b i32) (local.set $case (i32.add
        (i32.mul (i32.const 10) (i32.sub (i32.load8_u offset=9 (local.get $at)) (i32.const 48)))
        (i32.sub (i32.load8_u offset=10 (local.get $at)) (i32.const 48))))"
        .to_owned();
    for (number, body) in bodies.into_iter().enumerate().chain([(CONTROL, control)]) {
        let is = format!("(i32.eq (local.get $case) (i32.const {number}))");
        write!(text, "(if {is} (then {body}))").unwrap();
    }
    text + "(call $number (i64.extend_i32_u (local.get $case)))"
}

/// Memory for what is large: 512 pages more.
const LARGE: &str = "(drop (memory.grow (i32.const 512)))";

/// What no value of its type is, over every kind of import. Each ends in a trap.
pub const LIES: [&str; 30] = [
    // an enum that has no such case
    "(call $log (i32.const 99) (i32.const 64) (i32.const 4))",
    "(call $log (i32.const -1) (i32.const 64) (i32.const 4))",
    // texts that are not in memory, or only in part
    "(call $log (i32.const 2) (i32.const 0x7fffffff) (i32.const 16))",
    "(call $log (i32.const 2) (i32.const 131068) (i32.const 16))",
    "(call $log (i32.const 2) (i32.const -16) (i32.const 32))",
    "(call $log (i32.const 2) (i32.const 64) (i32.const 0x80000004))",
    "(call $log (i32.const 2) (i32.const 64) (i32.const -1))",
    // texts that are no UTF-8: no first byte, overlong, a surrogate, cut off, past the last character
    "(i32.store (i32.const 4096) (i32.const 0xfeff)) (call $log (i32.const 2) (i32.const 4096) (i32.const 2))",
    "(i32.store (i32.const 4096) (i32.const 0x80c0)) (call $log (i32.const 2) (i32.const 4096) (i32.const 2))",
    "(i32.store (i32.const 4096) (i32.const 0x80a0ed)) (call $log (i32.const 2) (i32.const 4096) (i32.const 3))",
    "(i32.store (i32.const 4096) (i32.const 0x82e2)) (call $log (i32.const 2) (i32.const 4096) (i32.const 2))",
    "(i32.store (i32.const 4096) (i32.const 0x808090f4)) (call $log (i32.const 2) (i32.const 4096) (i32.const 4))",
    // an option and a result that are neither
    "(call $report (f64.const 1) (i32.const 7) (f64.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    "(call $report (f64.const 1) (i32.const 0) (f64.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0))",
    "(call $exit (i32.const 5))",
    // a variant that has no such case, of a resource that there is
    "(drop (call $set_method (call $request (call $fields)) (i32.const 10) (i32.const 64) (i32.const 4)))",
    // the text of a case, not in memory
    "(drop (call $set_method (call $request (call $fields)) (i32.const 9) (i32.const -4) (i32.const 8)))",
    // handles that nobody gave: zero, one past the end, the last number
    "(call $block (i32.const 0))",
    "(call $block (i32.const 12345))",
    "(call $block (i32.const -1))",
    // a handle of another type, and one that is given back: used, given back again, given away twice
    "(call $block (call $stdout))",
    "(local.set $a (call $subscribe (i64.const 1))) (call $drop_pollable (local.get $a)) (call $block (local.get $a))",
    "(local.set $a (call $subscribe (i64.const 1))) (call $drop_pollable (local.get $a))
     (call $drop_pollable (local.get $a))",
    "(local.set $a (call $fields)) (drop (call $request (local.get $a))) (drop (call $request (local.get $a)))",
    // what others still hang on
    "(local.set $a (call $stdout)) (drop (call $ready (local.get $a))) (call $drop_stream (local.get $a))",
    // lists that are not aligned, that wrap, and of nothing
    "(call $poll (i32.const 2049) (i32.const 1) (i32.const 1024))",
    "(call $poll (i32.const 1024) (i32.const 0x40000001) (i32.const 1024))",
    "(call $poll (i32.const 1024) (i32.const 0) (i32.const 1024))",
    // places for a result that are not aligned, and not in memory
    "(call $random (i64.const 16) (i32.const 1025))",
    "(call $random (i64.const 16) (i32.const -8))",
];

/// Passes what no value is, one lie a call.
pub fn lift_lies() -> Vec<u8> {
    let control = "(call $log (i32.const 2) (i32.const 64) (i32.const 4))
        (drop (call $set_method (call $request (call $fields)) (i32.const 9) (i32.const 64) (i32.const 4)))
        (i32.store (i32.const 4096) (call $subscribe (i64.const 1)))
        (call $poll (i32.const 4096) (i32.const 1) (i32.const 4104))
        (call $drop_pollable (i32.load (i32.const 4096)))
        (local.set $a (call $stdout)) (local.set $b (call $ready (local.get $a)))
        (call $drop_pollable (local.get $b)) (call $drop_stream (local.get $a))
        (call $random (i64.const 16) (i32.const 4112))";
    let call = ways(control, LIES);
    let fields = [LOG, PROGRESS, EXIT, RANDOM, POLL, HTTP].concat();
    component("lift_lies", &fields, &call)
}

/// Texts in the encoding that changes with the text, which the host reads anew: half a character, an odd place, a length that is
/// none with its mark taken away, and one that is not in memory.
pub const TEXTS: [&str; 6] = [
    "(i32.store (i32.const 4096) (i32.const 0xd800)) (call $log (i32.const 2) (i32.const 4096) (i32.const 0x80000001))",
    "(i32.store (i32.const 4096) (i32.const 0xd800dc00))
     (call $log (i32.const 2) (i32.const 4096) (i32.const 0x80000002))",
    "(call $log (i32.const 2) (i32.const 4097) (i32.const 0x80000001))",
    "(call $log (i32.const 2) (i32.const 4096) (i32.const -1))",
    "(call $log (i32.const 2) (i32.const 131070) (i32.const 0x80000002))",
    "(call $log (i32.const 2) (i32.const 131070) (i32.const 3))",
];

/// Lies in texts that are Latin-1 or UTF-16.
pub fn text_lies() -> Vec<u8> {
    let control = "(i32.store (i32.const 4096) (i32.const 0xdc00d83d))
        (call $log (i32.const 2) (i32.const 4096) (i32.const 0x80000002))
        (i32.store (i32.const 4096) (i32.const 0xfffefdfc))
        (call $log (i32.const 2) (i32.const 4096) (i32.const 4))";
    let parts = Parts {
        tool: "text_lies",
        fields: LOG,
        call: &ways(control, TEXTS),
        encoding: StringEncoding::CompactUTF16,
        ..Parts::default()
    };
    parts.component()
}

/// Texts of 32 MiB, and of one that grows to twice its bytes on the way.
pub const TEXT_BOMBS: [&str; 3] = [
    // Latin-1, all zeros
    "(call $log (i32.const 2) (i32.const 131072) (i32.const 33554432))",
    // UTF-16
    "(call $log (i32.const 2) (i32.const 131072) (i32.const 0x81000000))",
    // Latin-1, each byte of which is two
    "(memory.fill (i32.const 131072) (i32.const 0xe9) (i32.const 33554432))
     (call $log (i32.const 2) (i32.const 131072) (i32.const 33554432))",
];

/// Hands over texts that are larger than what a host call may copy.
pub fn string_bomb() -> Vec<u8> {
    let control = "(memory.fill (i32.const 131072) (i32.const 0xe9) (i32.const 10000))
        (call $log (i32.const 2) (i32.const 131072) (i32.const 10000))";
    let bodies = TEXT_BOMBS.map(|body| format!("{LARGE} {body}"));
    let control = format!("{LARGE} {control}");
    let parts = Parts {
        tool: "string_bomb",
        fields: LOG,
        call: &ways(&control, bodies.iter().map(String::as_str)),
        encoding: StringEncoding::CompactUTF16,
        ..Parts::default()
    };
    parts.component()
}

/// Lists of two million empty fields, and of a thousand that share one value of 16 MiB.
pub const LIST_BOMBS: [&str; 2] = [
    "(call $from_list (i32.const 131072) (i32.const 2000000) (i32.const 4096))",
    "(loop $more
        (local.set $b (i32.add (i32.const 131072) (i32.mul (local.get $a) (i32.const 16))))
        (i32.store (local.get $b) (i32.const 64))
        (i32.store offset=4 (local.get $b) (i32.const 4))
        (i32.store offset=8 (local.get $b) (i32.const 1048576))
        (i32.store offset=12 (local.get $b) (i32.const 16777216))
        (local.set $a (i32.add (local.get $a) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $a) (i32.const 1000))))
     (call $from_list (i32.const 131072) (i32.const 1000) (i32.const 4096))",
];

/// Hands over lists of lists that are small where they lie and large where they are copied.
pub fn list_bomb() -> Vec<u8> {
    let control =
        "(i32.store (i32.const 4096) (i32.const 64)) (i32.store (i32.const 4100) (i32.const 4))
        (i32.store (i32.const 4104) (i32.const 64)) (i32.store (i32.const 4108) (i32.const 4))
        (call $from_list (i32.const 4096) (i32.const 1) (i32.const 4112))
        (if (i32.load (i32.const 4112)) (then unreachable))";
    let bodies = LIST_BOMBS.map(|body| format!("{LARGE} {body}"));
    let call = ways(control, bodies.iter().map(String::as_str));
    component("list_bomb", HTTP, &call)
}

/// Bits and cases that no flag and no variant has, of a folder that there is.
pub const FLAGS: [&str; 4] = [
    "(call $open (i32.load (i32.load (i32.const 4096))) (i32.const -1) (i32.const 64) (i32.const 4)
        (i32.const 1) (i32.const 3) (i32.const 4104))",
    "(call $open (i32.load (i32.load (i32.const 4096))) (i32.const 0) (i32.const 64) (i32.const 4)
        (i32.const -1) (i32.const 3) (i32.const 4104))",
    "(call $open (i32.load (i32.load (i32.const 4096))) (i32.const 0) (i32.const 64) (i32.const 4)
        (i32.const 1) (i32.const -1) (i32.const 4104))",
    "(call $set_times (i32.load (i32.load (i32.const 4096))) (i32.const 0x102) (i64.const 1) (i32.const -1)
        (i32.const 2) (i64.const -1) (i32.const -1) (i32.const 4104))",
];

/// Opens a folder's files with flags that there are none of.
pub fn flag_lies() -> Vec<u8> {
    let first = "(call $directories (i32.const 4096)) (if (i32.ne (i32.load (i32.const 4100)) (i32.const 1)) (then unreachable))";
    let bodies = FLAGS.map(|body| format!("{first} {body}"));
    let control = format!(
        "{first} (call $open (i32.load (i32.load (i32.const 4096))) (i32.const 1) (i32.const 64) (i32.const 4)
            (i32.const 1) (i32.const 3) (i32.const 4104))
         (if (i32.load8_u (i32.const 4104)) (then unreachable))"
    );
    let parts = Parts {
        tool: "flag_lies",
        kind: "files",
        fields: FILES,
        call: &ways(&control, bodies.iter().map(String::as_str)),
        ..Parts::default()
    };
    parts.component()
}

/// What the allocator or the end of a call does while the host waits for it, by its number. Each ends in a trap.
pub const MIDCALL: [&str; 9] = [
    // the allocator: traps, gives places that are not in memory or not aligned, calls the host, recurses without end
    "(global.set $way (i32.const 1)) (call $random (i64.const 64) (i32.const 4096))",
    "(global.set $way (i32.const 2)) (call $random (i64.const 64) (i32.const 4096))",
    "(global.set $way (i32.const 3)) (call $random (i64.const 64) (i32.const 4096))",
    "(global.set $way (i32.const 4)) (call $random (i64.const 64) (i32.const 4096))",
    "(global.set $way (i32.const 5)) (call $random (i64.const 64) (i32.const 4096))",
    // after the reply: traps, calls the host, recurses without end
    "(global.set $way (i32.const 6))",
    "(global.set $way (i32.const 7))",
    "(global.set $way (i32.const 8))",
    // a trap with all the stack that there is in use
    "(call $deep)",
];

const WAY: &str = "(global $way (mut i32) (i32.const 0)) (func $deep (call $deep)) (func $spin (loop $l (br $l)))";

fn way(number: usize, what: &str) -> String {
    format!("(if (i32.eq (global.get $way) (i32.const {number})) (then {what}))")
}

/// Breaks off in the middle of what the host asked of it.
pub fn trap_midcall() -> Vec<u8> {
    let log = "(call $log (i32.const 2) (i32.const 64) (i32.const 4))";
    let realloc = [
        way(1, "unreachable"),
        way(2, "(return (i32.const -1))"),
        way(3, "(return (i32.const 131040))"),
        way(4, log),
        way(5, "(call $deep)"),
        // What is right: memory moves on while the host waits.
        way(
            9,
            "(drop (memory.grow (i32.const 16))) (return (i32.const 200000))",
        ),
    ];
    let after = [way(6, "unreachable"), way(7, log), way(8, "(call $deep)")];
    let control = "(global.set $way (i32.const 9)) (call $random (i64.const 64) (i32.const 4096))
        (global.set $way (i32.const 0))
        (if (i32.ne (i32.load (i32.const 4096)) (i32.const 200000)) (then unreachable))";
    let parts = Parts {
        tool: "trap_midcall",
        fields: &[LOG, RANDOM, WAY].concat(),
        realloc: &realloc.concat(),
        after: &after.concat(),
        call: &ways(control, MIDCALL),
        ..Parts::default()
    };
    parts.component()
}

/// What never comes back to the host that waits for it: the allocator, and the end of the call.
pub const NEVER_BACK: [&str; 2] = [
    "(global.set $way (i32.const 1)) (call $random (i64.const 64) (i32.const 4096))",
    "(global.set $way (i32.const 2))",
];

/// Computes for ever in the middle of what the host asked of it.
pub fn spin_midcall() -> Vec<u8> {
    let parts = Parts {
        tool: "spin_midcall",
        fields: &[RANDOM, WAY].concat(),
        realloc: &way(1, "(call $spin)"),
        after: &way(2, "(call $spin)"),
        call: &ways("", NEVER_BACK),
        ..Parts::default()
    };
    parts.component()
}

/// Computes for ever before it can be called. It does not describe itself: whoever made it has written its manifest himself.
pub fn start_loop() -> Vec<u8> {
    let fields = "(func $spin (loop $l (br $l))) (start $spin)";
    component("start_loop", fields, "unreachable")
}

/// Gives back the first of so many resources of its own, each of which gives back the next when it goes.
pub fn drop_tree() -> Vec<u8> {
    let fields = r#"
        (import "[export]test:hostile/nodes" "[resource-new]node" (func $new (param i32) (result i32)))
        (import "[export]test:hostile/nodes" "[resource-drop]node" (func $drop_node (param i32)))
        (global $made (mut i32) (i32.const 0))
        (global $gone (mut i32) (i32.const 0))
        (func (export "test:hostile/nodes#[dtor]node") (param $next i32)
            (global.set $gone (i32.add (global.get $gone) (i32.const 1)))
            (if (local.get $next) (then (call $drop_node (local.get $next)))))
        (func $tree (param $count i32)
            (local $last i32)
            (loop $more
                (local.set $last (call $new (local.get $last)))
                (global.set $made (i32.add (global.get $made) (i32.const 1)))
                (br_if $more (i32.lt_u (global.get $made) (local.get $count))))
            (call $drop_node (local.get $last)))"#;
    // As deep as handles go, and deeper.
    let deep = "(call $tree (i32.const 9900))";
    let deeper = "(call $tree (i32.const 1000000))";
    let control = "(call $tree (i32.const 20)) (if (i32.ne (global.get $gone) (i32.const 20)) (then unreachable))";
    let parts = Parts {
        tool: "drop_tree",
        fields,
        call: &ways(control, [deep, deeper]),
        world: "tree",
        ..Parts::default()
    };
    parts.component()
}

/// Fills and copies the largest table without end.
pub fn bulk_table() -> Vec<u8> {
    let fields = "(table $t 19000 funcref) (elem declare func $mark) (func $mark)";
    let call = "(loop $more
            (table.fill $t (i32.const 0) (ref.func $mark) (i32.const 19000))
            (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 18999))
            (br $more))
        unreachable";
    component("bulk_table", fields, call)
}

/// Segments that are dropped, and ranges that begin behind their end.
pub const SEGMENTS: [&str; 4] = [
    "(elem.drop $e) (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))",
    "(data.drop $d) (memory.init $d (i32.const 4096) (i32.const 0) (i32.const 1))",
    "(table.copy $t $t (i32.const -1) (i32.const 0) (i32.const 2))",
    "(memory.copy (i32.const 4096) (i32.const -1) (i32.const 2))",
];

/// Uses what it gave back of itself.
pub fn segment_dropped() -> Vec<u8> {
    let fields = r#"(table $t 4 funcref) (func $mark) (elem $e func $mark) (data $d "mark")"#;
    let control = "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))
        (memory.init $d (i32.const 4096) (i32.const 0) (i32.const 4)) (elem.drop $e) (data.drop $d)
        (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0))";
    component("segment_dropped", fields, &ways(control, SEGMENTS))
}

/// Components that cost a compiler more than they are long: very many functions, tables of branches, loops within each other.
pub fn compile_bombs() -> [(&'static str, Vec<u8>); 3] {
    const BLOCK: [u8; 2] = [0x02, 0x40];
    const LOOP: [u8; 2] = [0x03, 0x40];
    const END: u8 = 0x0b;
    // Two blocks, a constant, and a table of branches with so many targets, which lead to the end of the one and the other in turn.
    let mut branches = BLOCK.repeat(2);
    branches.extend([0x41, 0x00, 0x0e]);
    branches.extend(length(BRANCHES));
    branches.extend((0..=BRANCHES).map(|target| u8::from(target % 2 == 0)));
    branches.extend([END, END]);
    let tables = [branches.repeat(BRANCH_TABLES), vec![END]].concat();
    let loops = [LOOP.repeat(LOOPS), vec![END; LOOPS + 1]].concat();
    [
        (
            "compile_functions",
            of_functions(&vec![vec![END]; FUNCTIONS]),
        ),
        ("compile_br_table", of_functions(&[tables])),
        ("compile_nesting", of_functions(&[loops])),
    ]
}

/// Functions of `compile_functions`.
const FUNCTIONS: usize = 20_000;
/// Targets of one table of branches, close to the most that there can be.
const BRANCHES: usize = 65_000;
/// Tables of branches of `compile_br_table`.
const BRANCH_TABLES: usize = 60;
/// Loops within each other of `compile_nesting`: what they cost grows with the square, and 20,000 of them, in 60 KB, take a
/// compiler 23 s.
const LOOPS: usize = 4_000;

/// A component of one module, whose functions have these bodies.
fn of_functions(bodies: &[Vec<u8>]) -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, Component, Function, FunctionSection, InstanceSection, Module, ModuleArg,
        ModuleSection, TypeSection,
    };

    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for body in bodies {
        functions.function(0);
        let mut function = Function::new([]);
        function.raw(body.iter().copied());
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let mut instances = InstanceSection::new();
    instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    let mut component = Component::new();
    component
        .section(&ModuleSection(&module))
        .section(&instances);
    component.finish()
}

/// The component with another one inside, which it makes and never uses.
pub fn with_inner(component: &[u8], inner: &[u8]) -> Vec<u8> {
    const COMPONENT: u8 = 4;
    const INSTANCE: u8 = 5;
    let mut bytes = component.to_vec();
    // How many there are already: each section of them holds one.
    let mut rest = &component[8..];
    let mut before = 0;
    while let Some((&id, after)) = rest.split_first() {
        before += u8::from(id == COMPONENT);
        let (length, digits) = leb(after);
        rest = &after[digits + length..];
    }
    for (id, contents) in [(COMPONENT, inner), (INSTANCE, &[1, 0, before, 0])] {
        bytes.push(id);
        bytes.extend(length(contents.len()));
        bytes.extend(contents);
    }
    bytes
}

/// A number as it stands in a binary.
pub fn length(mut rest: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A number that stands in a binary, and how many bytes it takes.
fn leb(bytes: &[u8]) -> (usize, usize) {
    let digits = 1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let value = bytes[..digits].iter().rev();
    let value = value.fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, digits)
}
