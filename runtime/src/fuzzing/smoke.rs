//! Every target for some thousand inputs: its seeds, and changes of them by a generator that makes the same ones in every run.
//!
//! Looks for nothing by itself: without instrumentation it does not know what it has reached. It holds that targets stay good, and that
//! what they found once is not back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{TARGETS, Target, find};

/// Longest input. Most bounds of ours lie above; what is about them stands in the seeds.
const BYTES_MAX: usize = 4 * 1024;

/// SplitMix64: the same numbers on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// One change of an input.
fn change(bytes: &mut Vec<u8>, chance: &mut Chance, seeds: &[Vec<u8>], words: &[&str]) {
    const TELLING: [u8; 12] = [
        0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'{', b'[', b'0', b'-', b'\n',
    ];
    let at = chance.below(bytes.len() + 1);
    let end = (at + chance.below(24)).min(bytes.len());
    match chance.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        1 if at < bytes.len() => bytes[at] = chance.byte(),
        2 => bytes.insert(at, *chance.one(&TELLING).unwrap()),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            // The end of another behind the beginning of this one.
            let other = chance.one(seeds).unwrap();
            let from = chance.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        6 => {
            let other = chance.one(seeds).unwrap();
            let from = chance.below(other.len() + 1);
            let piece = other[from..(from + chance.below(40)).min(other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let word = chance.one(words).map_or(&[][..], |word| word.as_bytes());
            let end = if chance.below(2) == 0 { at } else { end };
            bytes.splice(at..end, word.iter().copied());
        }
    }
}

fn run(name: &str) {
    let target = find(name);
    let seeds = (target.seeds)();
    for seed in &seeds {
        judged(target, seed);
    }
    judged(target, &[]);
    // Each target has inputs of its own.
    let mut chance = Chance(name.bytes().fold(1, |all, byte| all * 31 + u64::from(byte)));
    for _ in 0..u64::from(target.inputs) * times() {
        let mut bytes = chance.one(&seeds).unwrap().clone();
        for _ in 0..=chance.below(4) {
            change(&mut bytes, &mut chance, &seeds, target.words);
        }
        bytes.truncate(BYTES_MAX);
        judged(target, &bytes);
    }
}

/// How many times as many inputs as in every run, where somebody wants more (`BAILIWICK_FUZZ_TIMES`).
fn times() -> u64 {
    let said = std::env::var("BAILIWICK_FUZZ_TIMES").ok();
    said.map_or(1, |said| said.parse().unwrap())
}

/// Runs a target, and shows the input where it fails.
fn judged(target: &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        let shown = bytes.escape_ascii();
        panic!("target `{}` fails for b\"{shown}\"", target.name);
    }
}

macro_rules! smoke {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            let all: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(all, run);
        }
    };
}

smoke!(frame token key_set url path manifest rules component state message log note);

#[test]
fn every_target_has_its_binary() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let named = manifest["bin"].as_array().unwrap().iter();
    let named: Vec<_> = named.map(|one| one["name"].as_str().unwrap()).collect();
    for Target { name, .. } in &TARGETS {
        assert!(named.contains(name), "{name}");
        let text = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let is_run = [
            format!("seed(\"{name}\")"),
            format!("run(\"{name}\", bytes)"),
        ];
        assert!(is_run.iter().all(|call| text.contains(call)), "{name}");
    }
    assert_eq!(named.len(), TARGETS.len());
}
