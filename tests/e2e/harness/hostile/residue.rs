//! Guests that look for what an earlier call left where they can see it.

use super::component;

/// Looks at every slot of a table of 19 000 and at its globals for what an earlier call left, fills them, and answers how much
/// it found.
pub fn residue_table() -> Vec<u8> {
    let fields = "(table $t 1000 funcref) (elem declare func $mark) (func $mark) (global $left (mut i64) (i64.const 0))";
    let call = "(local $slot i32) (local $found i64)
        (local.set $found (global.get $left))
        (global.set $left (i64.const 1))
        (if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 18000))) (then unreachable))
        (loop $more
            (if (i32.eqz (ref.is_null (table.get $t (local.get $slot))))
                (then (local.set $found (i64.add (local.get $found) (i64.const 1)))))
            (table.set $t (local.get $slot) (ref.func $mark))
            (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $slot) (i32.const 19000))))
        (call $number (local.get $found))";
    component("residue_table", fields, call)
}

/// Reads what the engine keeps of it on the stack and was never written, after a call that wrote a mark to as much of the stack
/// as it could, and answers how much it found.
pub fn residue_stack() -> Vec<u8> {
    const LOCALS: usize = 48;
    let each = |text: &dyn Fn(usize) -> String| (0..LOCALS).map(text).collect::<String>();
    let locals = each(&|n| format!("(local $l{n} i64)"));
    // A path that the compiler cannot rule out, so that what was never written has a place of its own.
    let written =
        each(&|n| format!("(local.set $l{n} (i64.add (local.get $mark) (i64.const {n})))"));
    let sum = each(&|n| format!("(local.set $sum (i64.or (local.get $sum) (local.get $l{n})))"));
    let fields = format!(
        "(func $frame (param $depth i32) (param $mark i64) (result i64) (local $sum i64) {locals}
            (if (i64.ne (local.get $mark) (i64.const 0)) (then {written}))
            (if (local.get $depth) (then (local.set $sum
                (call $frame (i32.sub (local.get $depth) (i32.const 1)) (local.get $mark)))))
            {sum} (local.get $sum))"
    );
    let call = "(local $found i64)
        (local.set $found (call $frame (i32.const 500) (i64.const 0)))
        (drop (call $frame (i32.const 500) (i64.const 0xa55aa55aa55a0000)))
        (call $number (i64.or (local.get $found) (call $frame (i32.const 500) (i64.const 0))))";
    component("residue_stack", &fields, call)
}
