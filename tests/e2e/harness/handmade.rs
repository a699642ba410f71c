//! Guests out of bare instructions, for what Rust has no words for, made components as `component new` does.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::packages::root;

/// Where the strings of the description lie.
const STRINGS: usize = 64;

/// A component with one tool of this name, whose `call` has this body: it sees `$name`, `$name_len`, `$at` and `$len`
/// (the arguments) and returns the address of a result, as `$number` makes one of hexadecimal text.
pub fn component(tool: &str, fields: &str, call: &str) -> Vec<u8> {
    let parts = Parts {
        tool,
        fields,
        call,
        ..Parts::default()
    };
    parts.component()
}

/// What a component consists of.
pub struct Parts<'a> {
    /// The name of its one tool.
    pub tool: &'a str,
    /// The kind of capability that it takes, if any.
    pub kind: &'a str,
    /// Imports of `hostile.wit`, and whatever else stands before its memory.
    pub fields: &'a str,
    /// What its allocator does first.
    pub realloc: &'a str,
    /// What it does once its reply was read.
    pub after: &'a str,
    /// The body of `call`.
    pub call: &'a str,
    /// The world of `hostile.wit`.
    pub world: &'a str,
    /// How its strings are encoded. What is ASCII is the same in all but UTF-16.
    pub encoding: StringEncoding,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            tool: "",
            kind: "",
            fields: "",
            realloc: "",
            after: "",
            call: "",
            world: "guest",
            encoding: StringEncoding::UTF8,
        }
    }
}

impl Parts<'_> {
    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_dir(root().join("wit")).unwrap();
        let wit = include_str!("hostile.wit");
        let package = resolve.push_str("hostile.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some(self.world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, self.encoding).unwrap();
        let encoder = ComponentEncoder::default().validate(true);
        encoder.module(&module).unwrap().encode().unwrap()
    }

    fn text(&self) -> String {
        let Self {
            tool,
            kind,
            fields,
            realloc,
            after,
            call,
            ..
        } = self;
        let schema = r#"{"type":"object"}"#;
        // Each text is at an even place, as it must be where it may be UTF-16.
        let even = |text: &str| text.len().next_multiple_of(2);
        let (name, description) = (STRINGS, STRINGS + even(tool));
        let schema_at = description + even(tool);
        let kind_at = schema_at + even(schema);
        assert!(kind_at + kind.len() < 480, "the strings fit");
        // The result of `describe`, and 16 bytes behind it the one definition: an option is its case and what it holds. What
        // it takes is a list of one string at the most.
        let words = [
            &[528, 1, 0, 0][..],
            &[name, tool.len()],
            &[0, 0, 0],
            &[description, tool.len()],
            &[schema_at, schema.len()],
            &[0, 0, 0],
            &[480, usize::from(!kind.is_empty())],
        ];
        let data = |words: &[usize]| {
            let mut data = String::new();
            for word in words {
                for byte in u32::try_from(*word).unwrap().to_le_bytes() {
                    write!(data, "\\{byte:02x}").unwrap();
                }
            }
            data
        };
        let (kinds, described) = (data(&[kind_at, kind.len()]), data(&words.concat()));
        let escaped = schema.replace('"', "\\\"");
        let pad = |text: &str| "\\00".repeat(even(text) - text.len());
        let (tool, escaped) = (format!("{tool}{}", pad(tool)), escaped + &pad(schema));
        format!(
            r#"(module {fields}
        (memory (export "memory") 2)
        (data (i32.const {STRINGS}) "{tool}{tool}{escaped}{kind}")
        (data (i32.const 480) "{kinds}")
        (data (i32.const 512) "{described}")
        (global $next (mut i32) (i32.const 65536))
        (func (export "cabi_realloc")
            (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
            (local $at i32)
            {realloc}
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get $len)))
            (local.get $at))
        (func $number (param $number i64) (result i32)
            (local $at i32) (local $digit i32)
            (local.set $at (i32.const 2064))
            (loop $digits
                (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                (local.set $digit (i32.and (i32.wrap_i64 (local.get $number)) (i32.const 15)))
                (i32.store8 (local.get $at) (i32.add (local.get $digit)
                    (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
                (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
                (br_if $digits (i32.gt_u (local.get $at) (i32.const 2048))))
            ;; ok, one block, no structured output; the block is a text
            (i32.store (i32.const 1024) (i32.const 0))
            (i32.store (i32.const 1028) (i32.const 1040))
            (i32.store (i32.const 1032) (i32.const 1))
            (i32.store (i32.const 1036) (i32.const 0))
            (i32.store (i32.const 1040) (i32.const 0))
            (i32.store (i32.const 1048) (i32.const 2048))
            (i32.store (i32.const 1052) (i32.const 16))
            (i32.const 1024))
        (func (export "bailiwick:tool/handler@0.1.0#describe") (result i32) (i32.const 512))
        (func (export "cabi_post_bailiwick:tool/handler@0.1.0#call") (param $result i32) {after})
        (func (export "bailiwick:tool/handler@0.1.0#call")
            (param $name i32) (param $name_len i32) (param $at i32) (param $len i32) (result i32)
            {call}))"#
        )
    }
}

/// Grows its table until the host says no, then a million times more, and answers how many elements it has.
pub fn table_grow() -> Vec<u8> {
    let call = r#"
        (local $round i32)
        (loop $more
            (br_if $more (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000)))))
        (loop $again
            (drop (table.grow $t (ref.null func) (i32.const 1000000)))
            (local.set $round (i32.add (local.get $round) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $round) (i32.const 1000000))))
        (call $number (i64.extend_i32_u (table.size $t)))"#;
    component("table_grow", "(table $t 1 funcref)", call)
}

/// Jumps through a table of ten thousand branches without end: most of them go back to the head of a loop.
pub fn br_table_loop() -> Vec<u8> {
    let targets = "$a $b ".repeat(5_000);
    let call = format!(
        r#"
        (local $n i32)
        (loop $a
            (loop $b
                (local.set $n (i32.add (local.get $n) (i32.const 7)))
                (br_table {targets} $a (i32.rem_u (local.get $n) (i32.const 10000)))))
        unreachable"#
    );
    component("br_table_loop", "", &call)
}
