#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("note"), |bytes: &[u8]| run("note", bytes));
