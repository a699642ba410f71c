#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("url"), |bytes: &[u8]| run("url", bytes));
