#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("token"), |bytes: &[u8]| run("token", bytes));
