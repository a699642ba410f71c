//! Compiles the source of packages to components: with cargo, or with the command that `tool.toml` names.
//!
//! It runs the author's own build on the author's own machine and trusts it as any build is trusted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::pack::STACK_BYTES;
use super::tool_toml::{BuildCommand, ToolToml};

/// The target of Rust packages: its `cdylib`s are components.
pub const TARGET: &str = "wasm32-wasip2";

/// Variables by which a build around ours would change ours: the one that compiled this program, a test run, a wrapper.
const LEAKS: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_MAKEFLAGS",
];

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A program could not be run.
    #[error("`{program}` could not be run: {source}; install it, or put its folder on the path")]
    Run {
        program: String,
        #[source]
        source: std::io::Error,
    },
    /// There is no Rust for this folder.
    #[error(
        "there is no Rust toolchain for `{}`: {said}; run `rustup toolchain install` there",
        .dir.display()
    )]
    Toolchain { dir: PathBuf, said: String },
    /// The target is missing and could not be added.
    #[error(
        "Rust has no target `{TARGET}`, and `rustup target add {TARGET}` failed: {said}; run it where the network is, or install the package of your system that holds it"
    )]
    Target { said: String },
    /// There is no crate.
    #[error("`{}` holds no crate that cargo can read: {said}", .dir.display())]
    Crate { dir: PathBuf, said: String },
    /// The build failed; what it said was told as it went.
    #[error("the build of `{}` failed; what it printed says why", .dir.display())]
    Failed { dir: PathBuf },
    /// The build made no component.
    #[error(
        "the build of `{}` made no component; add `[lib]` with `crate-type = [\"cdylib\"]` to its Cargo.toml",
        .dir.display()
    )]
    NoArtifact { dir: PathBuf },
    /// The command did not make what it was to make.
    #[error("the build command ended well and `{}` is not there; correct `build.artifact`", .artifact.display())]
    NoSuchArtifact { artifact: PathBuf },
    /// The task was stopped.
    #[error("the build was stopped")]
    Stopped,
}

/// What cargo knows of one crate.
struct Crate {
    id: String,
    workspace: PathBuf,
}

/// Builds the packages of these folders; answers their components in the same order. Crates of one workspace are built
/// by one cargo.
pub fn build_many(
    sources: &[(PathBuf, ToolToml)],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<PathBuf>, BuildError> {
    let mut crates = BTreeMap::new();
    for (dir, toml) in sources {
        if toml.build.is_none() {
            crates.insert(dir, find(dir)?);
        }
    }
    let mut workspaces: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
    for one in crates.values() {
        workspaces.entry(&one.workspace).or_default().push(&one.id);
    }
    let mut made = Vec::new();
    for (workspace, ids) in &workspaces {
        ensure_target(workspace, progress)?;
        let selection = ids.iter().flat_map(|id| ["--package", *id]);
        made.extend(cargo(workspace, selection.chain(["--lib"]), progress)?);
    }
    sources
        .iter()
        .map(|(dir, toml)| match (&toml.build, crates.get(dir)) {
            (Some(build), _) => command(dir, build, progress),
            (None, found) => made
                .iter()
                .find(|artifact| found.is_some_and(|found| artifact.package == found.id))
                .map(|artifact| artifact.path.clone())
                .ok_or_else(|| BuildError::NoArtifact { dir: dir.clone() }),
        })
        .collect()
}

/// Builds these examples of the crate in `dir`, all of them when none is named, each a component by itself; answers
/// them by name.
pub fn build_examples(
    dir: &Path,
    names: &[&str],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    let found = find(dir)?;
    ensure_target(&found.workspace, progress)?;
    let mut selection = vec!["--package", &found.id];
    match names {
        [] => selection.push("--examples"),
        names => selection.extend(names.iter().flat_map(|name| ["--example", *name])),
    }
    let made = cargo(&found.workspace, selection.into_iter(), progress)?;
    let made = made.into_iter().filter(|one| one.package == found.id);
    Ok(made.map(|one| (one.name, one.path)).collect())
}

/// Makes sure that Rust can build for our target in this folder.
pub fn ensure_target(dir: &Path, progress: &(dyn Fn(&str) + Sync)) -> Result<(), BuildError> {
    let (well, sysroot, said) = output(dir, "rustc", &["--print", "sysroot"])?;
    if !well {
        return Err(BuildError::Toolchain {
            dir: dir.to_owned(),
            said,
        });
    }
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    if library.is_dir() {
        return Ok(());
    }
    progress(&format!(
        "Rust has no target {TARGET} yet: running rustup target add {TARGET}"
    ));
    match output(dir, "rustup", &["target", "add", TARGET]) {
        Ok((true, ..)) => Ok(()),
        Ok((false, _, said)) => Err(BuildError::Target { said }),
        Err(error) => Err(BuildError::Target {
            said: error.to_string(),
        }),
    }
}

fn find(dir: &Path) -> Result<Crate, BuildError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
        workspace_root: PathBuf,
    }
    #[derive(Deserialize)]
    struct Package {
        id: String,
        manifest_path: PathBuf,
    }
    let refuse = |said: String| BuildError::Crate {
        dir: dir.to_owned(),
        said,
    };
    let dir = std::fs::canonicalize(dir).map_err(|error| refuse(error.to_string()))?;
    let (well, text, said) = output(
        &dir,
        "cargo",
        &["metadata", "--no-deps", "--format-version", "1"],
    )?;
    if !well {
        return Err(refuse(said));
    }
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let manifest = dir.join("Cargo.toml");
    let package = metadata
        .packages
        .into_iter()
        .find(|package| package.manifest_path == manifest)
        .ok_or_else(|| refuse("its Cargo.toml is not one of its workspace".to_owned()))?;
    Ok(Crate {
        id: package.id,
        workspace: metadata.workspace_root,
    })
}

/// One component that cargo made.
struct Artifact {
    package: String,
    name: String,
    path: PathBuf,
}

fn cargo<'a>(
    workspace: &Path,
    selection: impl Iterator<Item = &'a str>,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Artifact>, BuildError> {
    let mut command = clean("cargo", workspace);
    command.args(["build", "--release", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // Given here and not asked of authors: size and speed of every call depend on them.
    for setting in [
        format!("target.{TARGET}.rustflags=[\"-C\",\"link-arg=-zstack-size={STACK_BYTES}\"]"),
        "profile.release.lto=true".to_owned(),
        "profile.release.codegen-units=1".to_owned(),
        "profile.release.opt-level=3".to_owned(),
        "profile.release.strip=true".to_owned(),
        "profile.release.panic=\"abort\"".to_owned(),
    ] {
        command.args(["--config", &setting]);
    }
    let (well, lines) = run(command.args(selection), "cargo", progress)?;
    if !well {
        return Err(BuildError::Failed {
            dir: workspace.to_owned(),
        });
    }
    Ok(lines.iter().filter_map(|line| artifact(line)).collect())
}

fn artifact(line: &str) -> Option<Artifact> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        package_id: String,
        target: Target,
        filenames: Vec<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let message: Message = serde_json::from_str(line).ok()?;
    let wasm = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    };
    Some(Artifact {
        path: message.filenames.into_iter().find(wasm)?,
        package: message.package_id,
        name: message.target.name,
    })
    .filter(|_| message.reason == "compiler-artifact")
}

fn command(
    dir: &Path,
    build: &BuildCommand,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<PathBuf, BuildError> {
    let Some((program, arguments)) = build.command.split_first() else {
        return Err(BuildError::Failed {
            dir: dir.to_owned(),
        });
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir);
    let (well, lines) = run(&mut command, program, progress)?;
    lines.iter().for_each(|line| progress(line));
    let artifact = dir.join(&build.artifact);
    match (well, artifact.is_file()) {
        (false, _) => Err(BuildError::Failed {
            dir: dir.to_owned(),
        }),
        (true, false) => Err(BuildError::NoSuchArtifact { artifact }),
        (true, true) => Ok(artifact),
    }
}

/// A command of the Rust toolchain that nothing around us bends.
fn clean(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    for variable in LEAKS {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end: whether it ended well, and the lines of its output. Its complaints go to `progress` as
/// they come.
fn run(
    command: &mut Command,
    program: &str,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(bool, Vec<String>), BuildError> {
    let refuse = |source| BuildError::Run {
        program: program.to_owned(),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(refuse)?;
    let (out, complaints) = (child.stdout.take(), child.stderr.take());
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in lines(complaints) {
                progress(&line);
            }
        });
        lines(out).collect()
    });
    let status = child.wait().map_err(refuse)?;
    Ok((status.success(), lines))
}

fn lines(of: Option<impl std::io::Read>) -> impl Iterator<Item = String> {
    of.into_iter()
        .flat_map(|of| BufReader::new(of).split(b'\n'))
        .map_while(Result::ok)
        .map(|line| String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Whether it ended well, what it answered, and the last thing that it complained of.
fn output(
    dir: &Path,
    program: &str,
    arguments: &[&str],
) -> Result<(bool, String, String), BuildError> {
    let output = clean(program, dir)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::Run {
            program: program.to_owned(),
            source,
        })?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let mut said = complaint
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        said.next().unwrap_or("it said nothing").to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(build: &str) -> (tempfile::TempDir, ToolToml) {
        let head = "name=\"a\"\nversion=\"1\"\ntitle=\"A\"\ndescription=\"Does a\"\npublisher=\"example.test\"\n";
        let toml = ToolToml::parse("tool.toml", &format!("{head}{build}")).unwrap();
        (tempfile::tempdir().unwrap(), toml)
    }

    fn build(script: &str) -> (Result<Vec<PathBuf>, BuildError>, Vec<String>) {
        let (dir, toml) = package(&format!(
            "[build]\ncommand=[\"/bin/sh\",\"-c\",\"{script}\"]\nartifact=\"a.wasm\"\n"
        ));
        let told = std::sync::Mutex::new(Vec::new());
        let made = build_many(&[(dir.path().to_owned(), toml)], &|line| {
            told.lock().unwrap().push(line.to_owned())
        });
        (made, told.into_inner().unwrap())
    }

    #[test]
    fn another_language_is_built_by_its_command() {
        let (made, told) = build("echo working >&2; echo x > a.wasm");
        assert!(made.unwrap()[0].ends_with("a.wasm"));
        assert_eq!(told, ["working"]);
    }

    #[test]
    fn a_command_that_fails_or_makes_nothing_is_an_error() {
        assert!(matches!(build("exit 3").0, Err(BuildError::Failed { .. })));
        assert!(matches!(
            build("true").0,
            Err(BuildError::NoSuchArtifact { .. })
        ));
    }

    #[test]
    fn a_folder_without_a_crate_is_an_error() {
        let (dir, toml) = package("");
        let made = build_many(&[(dir.path().to_owned(), toml)], &|_| ());
        assert!(matches!(made, Err(BuildError::Crate { .. })));
    }

    #[test]
    fn a_crate_becomes_a_component_with_a_small_stack() {
        let (dir, toml) = package("");
        let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        write(
            "Cargo.toml",
            "[package]\nname=\"a-tool\"\nversion=\"0.1.0\"\nedition=\"2024\"\n[lib]\ncrate-type=[\"cdylib\"]\n[workspace]\n",
        );
        write(
            "src/lib.rs",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f(n: u32) -> u32 { println!(\"{n}\"); n }\n",
        );
        write(
            "rust-toolchain.toml",
            include_str!("../../../rust-toolchain.toml"),
        );
        let told = std::sync::Mutex::new(Vec::new());
        let made = build_many(&[(dir.path().to_owned(), toml)], &|line| {
            told.lock().unwrap().push(line.to_owned())
        });
        let made = made.unwrap_or_else(|error| panic!("{error}: {:?}", told.lock().unwrap()));
        let bytes = std::fs::read(&made[0]).unwrap();
        let contents = crate::catalog::package::read(&bytes).unwrap();
        assert_eq!(contents.stack_bytes, Some(STACK_BYTES));
        assert!(
            contents
                .imports
                .iter()
                .any(|import| import.name.starts_with("wasi:cli/"))
        );
    }
}
