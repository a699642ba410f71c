#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("rules"), |bytes: &[u8]| run("rules", bytes));
