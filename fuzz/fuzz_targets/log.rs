#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("log"), |bytes: &[u8]| run("log", bytes));
