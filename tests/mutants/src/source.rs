//! The copy of the project with mutants in it, and its build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::plant::{Mutant, plant};

/// How often lines are left alone where a change does not compile.
const TRIES: usize = 8;
/// Files that hold tests, or what only tests and fuzzing use.
const APART: [&str; 4] = ["tests.rs", "testing.rs", "fuzz.rs", "self_test.rs"];

/// What was built.
pub struct Built {
    pub mutants: Vec<Mutant>,
    /// The program of the tests.
    pub program: PathBuf,
    /// The folder of the runtime in the copy.
    pub runtime: PathBuf,
}

impl Built {
    pub fn functions(&self) -> usize {
        let names = self.mutants.iter().map(|one| (&one.file, &one.function));
        names.collect::<BTreeSet<_>>().len()
    }
}

/// Copies the project, plants mutants below these paths, and builds the tests of the library.
pub fn build(project: &Path, work: &Path, paths: &[PathBuf]) -> anyhow::Result<Built> {
    let tree = work.join("tree");
    copy(project, &tree)?;
    let runtime = tree.join("runtime");
    let sources = runtime.join("src");
    let mut files = BTreeSet::new();
    for path in paths {
        gather(&project.join("runtime/src"), path, &mut files)?;
    }
    ensure!(!files.is_empty(), "there is no Rust file below these paths");
    let own = "/// Which mutant is switched on.\n#[doc(hidden)]\npub mod mutants;\n";
    let lib = fs::read_to_string(sources.join("lib.rs"))?;
    write(&sources.join("lib.rs"), &format!("{lib}\n{own}"))?;
    write(&sources.join("mutants.rs"), include_str!("planted.rs"))?;

    let mut without: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for _ in 0..TRIES {
        let mut mutants = Vec::new();
        for file in &files {
            let text = fs::read_to_string(project.join("runtime/src").join(file))?;
            let lines = without.get(file).map_or(&[][..], Vec::as_slice);
            let planted = plant(file, &text, lines, &mut mutants)
                .with_context(|| format!("{file} cannot be read"))?;
            write(&sources.join(file), &planted)?;
        }
        write(
            &sources.join("mutants.count"),
            &(mutants.len() + 1).to_string(),
        )?;
        let wrong = cargo(project, &tree, &["check", "--lib"])?.wrong;
        if wrong.is_empty() {
            let lines: usize = without.values().map(Vec::len).sum();
            eprintln!("left alone, for a change does not compile there: {lines} lines");
            let program = cargo(project, &tree, &["test", "--lib", "--no-run"])?.program;
            let program = program.context("the tests of the library do not compile")?;
            return Ok(Built {
                mutants,
                program,
                runtime,
            });
        }
        for (file, line) in wrong {
            let lines = without.entry(file).or_default();
            ensure!(
                !lines.contains(&line),
                "line {line} does not compile without a change"
            );
            lines.push(line);
        }
    }
    bail!("changes that do not compile are left after {TRIES} tries: {without:?}")
}

/// Copies what git knows, or would take, and writes only what is different, so that little is built anew.
fn copy(project: &Path, tree: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git")
        .current_dir(project)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()?;
    ensure!(listed.status.success(), "git does not list the project");
    let _ = fs::remove_dir_all(tree.join("runtime/src"));
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let from = project.join(name);
        if from.is_file() {
            let to = tree.join(name);
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            if fs::read(&to).ok() != fs::read(&from).ok() {
                fs::copy(&from, &to)?;
            }
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text)?;
    }
    Ok(())
}

fn gather(root: &Path, path: &Path, files: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let whole = root.join(path);
    if whole.is_dir() {
        for entry in fs::read_dir(&whole)? {
            let name = entry?.file_name();
            if name != "tests" {
                gather(root, &path.join(name), files)?;
            }
        }
        return Ok(());
    }
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    if name.ends_with(".rs") && !APART.contains(&name.as_str()) {
        files.insert(path.to_string_lossy().into_owned());
    }
    Ok(())
}

/// What cargo said.
struct Said {
    /// Files below the sources and lines that do not compile.
    wrong: Vec<(String, usize)>,
    program: Option<PathBuf>,
}

fn cargo(project: &Path, tree: &Path, arguments: &[&str]) -> anyhow::Result<Said> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(project.join("target"), PathBuf::from);
    let output = Command::new("cargo")
        .current_dir(tree)
        .args(arguments)
        .args(["-p", "bailiwick", "--message-format", "json"])
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()?;
    let mut said = Said {
        wrong: Vec::new(),
        program: None,
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(program) = message["executable"].as_str() {
            said.program = Some(program.into());
        }
        let told = &message["message"];
        if told["level"] != "error" {
            continue;
        }
        for span in told["spans"].as_array().into_iter().flatten() {
            let file = span["file_name"].as_str().unwrap_or_default();
            if let (Some(file), Some(line)) = (
                file.strip_prefix("runtime/src/"),
                span["line_start"].as_u64(),
            ) && span["is_primary"] == true
            {
                said.wrong.push((file.to_owned(), usize::try_from(line)?));
            }
        }
        eprintln!("{}", told["rendered"].as_str().unwrap_or_default());
    }
    said.wrong.sort();
    said.wrong.dedup();
    ensure!(
        output.status.success() || !said.wrong.is_empty(),
        "cargo failed; what it said is above"
    );
    Ok(said)
}
