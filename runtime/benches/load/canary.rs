//! A guest that searches all that it can see for what another left there, before it writes anything, and then leaves a canary
//! wherever it can: linear memory, table, globals and stack.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// How much of everything a guest takes.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Pages of memory that it begins with.
    pub pages: u32,
    /// Pages by which it grows.
    pub grows: u32,
    /// Elements of its table.
    pub elements: u32,
    /// Calls within calls, each with some hundred bytes of stack.
    pub depth: u32,
}

/// Stays within what the pool clears by writing: 128 KiB of memory, 64 KiB of table, 32 KiB of stack.
pub const SMALL: Size = Size {
    pages: 2,
    grows: 0,
    elements: 200,
    depth: 100,
};
/// Goes beyond it everywhere, so that the rest is given back to the kernel.
pub const LARGE: Size = Size {
    pages: 2,
    grows: 30,
    elements: 10_000,
    depth: 1_500,
};

/// Length of a canary in bytes.
pub const MARK_BYTES: usize = 8;

/// The arguments that carry a canary. The guest finds it at a place that is known.
pub fn arguments(mark: &str) -> String {
    format!("{{\"mark\":\"{mark}\"}}")
}

/// Where the strings of the description lie.
const STRINGS: usize = 64;
/// Where what the guest is called with begins: the end of the first page.
const GIVEN: usize = 65_536;
/// What it is called with ends before this.
const FREE: usize = GIVEN + 4_096;
/// Below it lie the guest's own constants, and later its reply.
const OWN: usize = 4_096;

/// The component of a tool of this name. It answers two numbers of 16 hexadecimal digits: how many places were not empty (blocks of 64
/// bytes of memory, elements of the table, globals), and the sum of its own constants, which is the same in every call.
pub fn component(tool: &str, size: Size) -> anyhow::Result<Vec<u8>> {
    let schema = r#"{"type":"object"}"#;
    let (name, description) = (STRINGS, STRINGS + tool.len());
    let schema_at = description + tool.len();
    // The result of `describe`, and 16 bytes behind it the one definition: an option is its case and what it holds.
    let words = [
        &[528, 1, 0, 0][..],
        &[name, tool.len()],
        &[0, 0, 0],
        &[description, tool.len()],
        &[schema_at, schema.len()],
        &[0, 0, 0],
        &[0, 0],
    ];
    let mut data = String::new();
    for word in words.concat() {
        for byte in u32::try_from(word)?.to_le_bytes() {
            write!(data, "\\{byte:02x}")?;
        }
    }
    let escaped = schema.replace('"', "\\\"");
    let Size {
        pages,
        grows,
        elements,
        depth,
    } = size;
    let mark_at = arguments("").find(":\"").context("the mark has a place")? + 2;
    // What is read from memory before a call and used after it has to be on the stack meanwhile.
    let (mut held, mut locals, mut used) = (String::new(), String::new(), String::new());
    for nth in 0..12 {
        write!(locals, "(local $v{nth} i64)")?;
        write!(
            held,
            "(local.set $v{nth} (i64.load offset={} (i32.const {FREE})))",
            nth * 8
        )?;
        write!(
            used,
            "(local.set $mark (i64.add (local.get $mark) (local.get $v{nth})))"
        )?;
    }
    let text = format!(
        r#"(module
        (memory (export "memory") {pages})
        (table $t {elements} funcref)
        (elem declare func $deep)
        (data (i32.const {STRINGS}) "{tool}{tool}{escaped}")
        (data (i32.const 512) "{data}")
        (global $next (mut i32) (i32.const {GIVEN}))
        (global $found (mut i64) (i64.const 0))
        (global $sum (mut i64) (i64.const 0))
        (global $kept (mut i64) (i64.const 0))
        (global $kept_wide (mut v128) (v128.const i64x2 0 0))
        (func $search (param $from i32) (param $to i32)
            (block $end (loop $more
                (br_if $end (i32.ge_u (local.get $from) (local.get $to)))
                (if (v128.any_true (v128.or
                        (v128.or (v128.load (local.get $from)) (v128.load offset=16 (local.get $from)))
                        (v128.or (v128.load offset=32 (local.get $from)) (v128.load offset=48 (local.get $from)))))
                    (then (global.set $found (i64.add (global.get $found) (i64.const 1)))))
                (local.set $from (i32.add (local.get $from) (i32.const 64)))
                (br $more))))
        (func $first
            (local $at i32)
            (loop $more
                (global.set $sum (i64.add (i64.rotl (global.get $sum) (i64.const 1)) (i64.load (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const {OWN}))))
            (call $search (i32.const {OWN}) (i32.mul (memory.size) (i32.const 65536))))
        (start $first)
        (func (export "cabi_realloc")
            (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get $len)))
            (local.get $at))
        (func $deep (param $mark i64) (param $depth i32) (result i64)
            {locals}
            (if (i32.eqz (local.get $depth)) (then (return (local.get $mark))))
            {held}
            (local.set $mark (i64.xor (local.get $mark)
                (call $deep (local.get $mark) (i32.sub (local.get $depth) (i32.const 1)))))
            {used}
            (local.get $mark))
        (func $number (param $number i64) (param $at i32)
            (local $digit i32) (local $end i32)
            (local.set $end (local.get $at))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (loop $digits
                (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                (local.set $digit (i32.and (i32.wrap_i64 (local.get $number)) (i32.const 15)))
                (i32.store8 (local.get $at) (i32.add (local.get $digit)
                    (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
                (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
                (br_if $digits (i32.gt_u (local.get $at) (local.get $end)))))
        (func (export "bailiwick:tool/handler@0.1.0#describe") (result i32) (i32.const 512))
        (func (export "bailiwick:tool/handler@0.1.0#call")
            (param $name i32) (param $name_len i32) (param $given i32) (param $len i32) (result i32)
            (local $mark i64) (local $at i32) (local $end i32)
            (local.set $mark (i64.load offset={mark_at} (local.get $given)))
            ;; what grew, and once more what did not
            (if (i32.eq (i32.const -1) (memory.grow (i32.const {grows}))) (then (unreachable)))
            (local.set $end (i32.mul (memory.size) (i32.const 65536)))
            (call $search (i32.const {FREE}) (local.get $end))
            (loop $more
                (if (i32.eqz (ref.is_null (table.get $t (local.get $at))))
                    (then (global.set $found (i64.add (global.get $found) (i64.const 1)))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $at) (table.size $t))))
            (if (i64.ne (i64.const 0) (global.get $kept))
                (then (global.set $found (i64.add (global.get $found) (i64.const 1)))))
            (if (v128.any_true (global.get $kept_wide))
                (then (global.set $found (i64.add (global.get $found) (i64.const 1)))))
            ;; the canary
            (local.set $at (i32.const {OWN}))
            (loop $more
                (v128.store (local.get $at) (i64x2.splat (local.get $mark)))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (if (i32.eq (local.get $at) (i32.const {GIVEN})) (then (local.set $at (i32.const {FREE}))))
                (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
            (table.fill $t (i32.const 0) (ref.func $deep) (table.size $t))
            (global.set $kept (local.get $mark))
            (global.set $kept_wide (i64x2.splat (local.get $mark)))
            (drop (call $deep (local.get $mark) (i32.const {depth})))
            (call $number (global.get $found) (i32.const 2048))
            (call $number (global.get $sum) (i32.const 2064))
            ;; ok, one block, no structured output; the block is a text
            (i32.store (i32.const 1024) (i32.const 0))
            (i32.store (i32.const 1028) (i32.const 1040))
            (i32.store (i32.const 1032) (i32.const 1))
            (i32.store (i32.const 1036) (i32.const 0))
            (i32.store (i32.const 1040) (i32.const 0))
            (i32.store (i32.const 1048) (i32.const 2048))
            (i32.store (i32.const 1052) (i32.const 32))
            (i32.const 1024)))"#
    );
    let mut module = wat::parse_str(&text)?;
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("tool"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&module)?.encode()
}

/// The two numbers of an answer.
pub fn numbers(text: &str) -> anyhow::Result<(u64, u64)> {
    let (found, sum) = text
        .split_at_checked(16)
        .context("the answer is two numbers")?;
    Ok((
        u64::from_str_radix(found, 16)?,
        u64::from_str_radix(sum, 16)?,
    ))
}
