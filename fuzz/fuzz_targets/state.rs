#![no_main]

use bailiwick::fuzzing::{run, seed};

libfuzzer_sys::fuzz_target!(init: seed("state"), |bytes: &[u8]| run("state", bytes));
