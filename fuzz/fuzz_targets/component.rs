#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("component"), |bytes: &[u8]| run("component", bytes));
