#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("key_set"), |bytes: &[u8]| run("key_set", bytes));
