//! What outsiders send, read by what reads it, and held against a second reading or a law.
//!
//! A target is a function of bytes that panics where something is wrong. It stands in a file `fuzz.rs` beside what it is about, so that
//! nothing is made public for it. `cargo fuzz` runs targets for hours (`fuzz/run`), and `cargo test` runs every one of them for some
//! thousand inputs (`smoke`). In no other build is any of this there: what turns it on is a `cfg` of the compiler and no feature, which
//! another crate could ask for.

pub(crate) mod choices;
pub(crate) mod json;
#[cfg(test)]
mod smoke;

use crate::{audit, catalog, consent, egress, identity, mcp, policy, sandbox};

/// One target.
pub struct Target {
    /// Its name: that of its binary, and of the folder of its inputs.
    pub name: &'static str,
    /// Judges one input. Panics where something is wrong.
    pub run: fn(&[u8]),
    /// Inputs to begin with, good ones and bad ones. Made by code: none is a key or a token that anybody takes.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that a generator would hardly find by itself.
    pub words: &'static [&'static str],
    /// Inputs of one run of the tests, as many as take a second or two there.
    pub inputs: u32,
}

/// All of them.
pub static TARGETS: [Target; 12] = [
    Target {
        name: "frame",
        run: mcp::fuzz::frame,
        seeds: mcp::fuzz::seeds,
        words: mcp::fuzz::WORDS,
        inputs: 20_000,
    },
    Target {
        name: "token",
        run: identity::fuzz::token,
        seeds: identity::fuzz::token_seeds,
        words: identity::fuzz::TOKEN_WORDS,
        inputs: 20_000,
    },
    Target {
        name: "key_set",
        run: identity::fuzz::key_set,
        seeds: identity::fuzz::key_set_seeds,
        words: identity::fuzz::KEY_SET_WORDS,
        inputs: 10_000,
    },
    Target {
        name: "url",
        run: egress::fuzz::url,
        seeds: egress::fuzz::url_seeds,
        words: egress::fuzz::URL_WORDS,
        inputs: 30_000,
    },
    Target {
        name: "path",
        run: sandbox::fuzz::path,
        seeds: sandbox::fuzz::path_seeds,
        words: sandbox::fuzz::PATH_WORDS,
        inputs: 200,
    },
    Target {
        name: "manifest",
        run: catalog::fuzz::manifest,
        seeds: catalog::fuzz::manifest_seeds,
        words: catalog::fuzz::MANIFEST_WORDS,
        inputs: 3_000,
    },
    Target {
        name: "rules",
        run: policy::fuzz::rules,
        seeds: policy::fuzz::seeds,
        words: policy::fuzz::WORDS,
        inputs: 60,
    },
    Target {
        name: "component",
        run: catalog::fuzz::component,
        seeds: catalog::fuzz::component_seeds,
        words: catalog::fuzz::COMPONENT_WORDS,
        inputs: 20_000,
    },
    Target {
        name: "state",
        run: consent::fuzz::state,
        seeds: consent::fuzz::seeds,
        words: &[],
        inputs: 20_000,
    },
    Target {
        name: "message",
        run: sandbox::fuzz::message,
        seeds: sandbox::fuzz::message_seeds,
        words: &[],
        inputs: 50_000,
    },
    Target {
        name: "log",
        run: audit::fuzz::log,
        seeds: audit::fuzz::log_seeds,
        words: &[],
        inputs: 3_000,
    },
    Target {
        name: "note",
        run: audit::fuzz::note,
        seeds: audit::fuzz::note_seeds,
        words: audit::fuzz::NOTE_WORDS,
        inputs: 20_000,
    },
];

/// The target of this name.
fn find(name: &str) -> &'static Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| unreachable!("there is no target `{name}`"))
}

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    (find(name).run)(bytes);
}

/// Writes the seeds of the target of this name into `FOLDER/TARGET/` and its words into `FOLDER/TARGET.dict`, in the form that libFuzzer
/// reads, where `BAILIWICK_SEEDS` names a folder. It does so before libFuzzer reads either.
#[cfg(fuzzing)]
pub fn seed(name: &str) {
    let Some(folder) = std::env::var_os("BAILIWICK_SEEDS").map(std::path::PathBuf::from) else {
        return;
    };
    let target = find(name);
    let escaped = |word: &&str| -> String {
        let bytes = word.bytes().map(|byte| format!("\\x{byte:02x}"));
        format!("\"{}\"\n", bytes.collect::<String>())
    };
    // An empty file would be no dictionary.
    let words = target.words.iter().map(escaped);
    let words = format!("# {name}\n{}", words.collect::<String>());
    let own = folder.join(name);
    let written = std::fs::create_dir_all(&own).and_then(|()| {
        std::fs::write(folder.join(format!("{name}.dict")), words)?;
        let mut seeds = (target.seeds)().into_iter().enumerate();
        seeds.try_for_each(|(at, seed)| std::fs::write(own.join(format!("seed-{at}")), seed))
    });
    assert!(written.is_ok(), "no seeds: {written:?}");
}
