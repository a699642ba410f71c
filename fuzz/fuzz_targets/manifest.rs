#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("manifest"), |bytes: &[u8]| run("manifest", bytes));
