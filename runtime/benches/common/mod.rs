//! What both benches share: the packages, and the whole server as `bailiwick serve --dev` starts it.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod stages;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bailiwick::author::{self, Packer, ToolToml, Written};
use bailiwick::catalog::{Compiler, package};
use bailiwick::clock::SystemClock;
use bailiwick::dev;
use bailiwick::engine::{Pool, WasmEngine};
use bailiwick::idp::{self, DEFAULT_SCOPE, DevIdp};
use bailiwick::server::{self, Options, Running};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The client that the token names.
pub const CLIENT: &str = "bailiwick-bench";

/// What asks the guest that waits: nothing but a clock, which needs no consent.
const SLEEP: &str = r#"
name = "sleep_poll"
version = "0.1.0"
title = "Sleep"
description = "Waits for longer than it may."
publisher = "bailiwick"

[[needs]]
id = "clock"
kind = "clock"
reason = "It waits."
optional = false

[limits]
timeout_ms = 8000
"#;

/// The program that compiles packages.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_bailiwick"))
}

fn workspace(dir: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir)
}

fn packer() -> anyhow::Result<Packer> {
    let engine = WasmEngine::new(Pool {
        calls_in_flight_max: 1,
        ..Pool::default()
    })?;
    Ok(Packer::new(Arc::new(engine), Compiler::new(program())))
}

/// Builds the example `name` of the crate in `dir` and packs it into `out` with what `toml` says of it.
async fn packed(dir: &str, name: &str, toml: &ToolToml, out: &Path) -> anyhow::Result<Written> {
    let dir = workspace(dir);
    let made = tokio::task::spawn_blocking(move || {
        author::build::build_examples(&dir, &[], &|line| eprintln!("  {line}"))
    })
    .await??;
    let component = made
        .get(name)
        .with_context(|| format!("there is no example `{name}`"))?;
    Ok(author::pack(&packer()?, component, toml, out).await?)
}

/// The package that answers what it is given.
pub async fn echo(out: &Path) -> anyhow::Result<Written> {
    let toml = ToolToml::read(&workspace("tests/fixtures").join("echo.toml"))?;
    packed("tests/fixtures", "echo", &toml, out).await
}

/// The package that waits in a host function until its time is over.
pub async fn sleep(out: &Path) -> anyhow::Result<Written> {
    packed(
        "tests/guests",
        "sleep_poll",
        &ToolToml::parse("sleep.toml", SLEEP)?,
        out,
    )
    .await
}

/// The same component under another name: another file, and so another digest, another compilation and another tool.
pub fn renamed(package: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let mut manifest = package::read(package)?.manifest()?;
    manifest.name = name.parse()?;
    for tool in &mut manifest.tools {
        tool.name = name.parse()?;
    }
    Ok(package::write(&package::strip(package)?, &manifest)?)
}

/// So many packages in this folder, `echo` and copies of it under other names.
pub async fn copies(folder: &Path, count: usize) -> anyhow::Result<()> {
    let package = folder.join("echo.wasm");
    echo(&package).await?;
    let package = std::fs::read(package)?;
    for copy in 1..count {
        let name = format!("echo-{copy}");
        let file = folder.join(format!("{name}.wasm"));
        std::fs::write(file, renamed(&package, &name)?)?;
    }
    Ok(())
}

/// A port whose neighbour is free too: the embedded identity provider listens there.
fn two_ports() -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0")?;
        let address = first.local_addr()?;
        let Some(next) = address.port().checked_add(1) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", next)).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("there are no two free ports side by side")
}

/// The folder of packages of a server that keeps everything in `dir`.
pub fn tools_dir(dir: &Path) -> PathBuf {
    dir.join("tools.d")
}

/// The folder of its rules.
pub fn rules_dir(dir: &Path) -> PathBuf {
    dir.join("policy.d")
}

/// Starts the whole server on everything in `dir`, with the rules of `serve --dev`; answers with a token of `alice`.
pub async fn start(dir: &Path) -> anyhow::Result<(Running, String)> {
    bailiwick::crypto::install()?;
    let mut config = dev::config_in(dir, Some(two_ports()?))?;
    let (address, provider) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
    let token = provider.access_token(DevIdp::user("alice")?, CLIENT, DEFAULT_SCOPE)?;
    let options = Options {
        compiler: Some(program()),
        idp: Some((address, idp::router(provider))),
        ..Options::default()
    };
    Ok((server::start(config, options).await?, token))
}

/// Processor time that the live threads of a process have used, in nanoseconds.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended meanwhile is not read.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        sum += text
            .split_whitespace()
            .next()
            .unwrap_or("0")
            .parse::<u64>()?;
    }
    Ok(sum)
}
