#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("message"), |bytes: &[u8]| run("message", bytes));
