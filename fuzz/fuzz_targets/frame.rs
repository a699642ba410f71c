#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("frame"), |bytes: &[u8]| run("frame", bytes));
