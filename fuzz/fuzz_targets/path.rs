#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("path"), |bytes: &[u8]| run("path", bytes));
