//! What both benches share: the packages, and the whole server as `bailiwick serve --dev` starts it.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod agree;
pub mod stages;
pub mod tenants;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bailiwick::author::{self, Packer, ToolToml, Written};
use bailiwick::catalog::{Compiler, package};
use bailiwick::clock::SystemClock;
use bailiwick::config::{Config, Isolation};
use bailiwick::dev;
use bailiwick::engine::{Pool, WasmEngine};
use bailiwick::idp::{self, DEFAULT_SCOPE, DevIdp};
use bailiwick::sandbox::executor;
use bailiwick::server::{self, Options, Running};
use bailiwick::store::SharedStore;

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

/// What asks the guest that answers to any name: nothing.
const COPIED: &str = r#"
name = "copied"
version = "0.1.0"
title = "Copied"
description = "Returns the text that it is given."
publisher = "bailiwick"
"#;

/// What asks the guest that computes: nothing, and for as long as any call may take.
const WORK: &str = r#"
name = "work"
version = "0.1.0"
title = "Work"
description = "Computes for as long as it is told."
publisher = "bailiwick"

[limits]
timeout_ms = 60000
"#;

/// The program that compiles packages.
pub fn program() -> PathBuf {
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

/// The package that reads claims.
pub async fn whoami(out: &Path) -> anyhow::Result<Written> {
    let toml = ToolToml::read(&workspace("tests/fixtures").join("whoami.toml"))?;
    packed("tests/fixtures", "whoami", &toml, out).await
}

/// The package of a tool that we ship, into this folder.
pub async fn shipped(name: &str, folder: &Path) -> anyhow::Result<()> {
    let dirs = [workspace("tools").join(name)];
    author::build(&packer()?, &dirs, folder, |line| eprintln!("  {line}")).await?;
    Ok(())
}

/// Another example beside `echo`, with what this text of a `tool.toml` says of it.
pub async fn fixture(name: &str, toml: &str, out: &Path) -> anyhow::Result<Written> {
    let toml = ToolToml::parse("bench.toml", toml)?;
    packed("tests/fixtures", name, &toml, out).await
}

/// The package that computes for as long as it is told.
pub async fn work(out: &Path) -> anyhow::Result<Written> {
    fixture("work", WORK, out).await
}

/// The package whose component answers to any name.
pub async fn copied(out: &Path) -> anyhow::Result<Written> {
    fixture("copied", COPIED, out).await
}

/// Hostile guests that ask for nothing, each of which may take so long.
pub async fn hostile(names: &[&str], timeout_ms: u32, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let dir = workspace("tests/guests");
    let built: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = tokio::task::spawn_blocking(move || {
        let built: Vec<&str> = built.iter().map(String::as_str).collect();
        author::build::build_examples(&dir, &built, &|line| eprintln!("  {line}"))
    })
    .await??;
    for name in names {
        let toml = format!(
            "name = \"{name}\"\nversion = \"0.1.0\"\ntitle = \"{name}\"\ndescription = \"An attack.\"\n\
             publisher = \"tests\"\n\n[limits]\ntimeout_ms = {timeout_ms}\n"
        );
        let toml = ToolToml::parse("bench.toml", &toml)?;
        let component = made
            .get(*name)
            .with_context(|| format!("there is no guest `{name}`"))?;
        author::pack(
            &packer()?,
            component,
            &toml,
            &folder.join(format!("{name}.wasm")),
        )
        .await?;
    }
    Ok(())
}

/// Packs the bytes of a component.
pub async fn pack(component: &[u8], toml: &str) -> anyhow::Result<Vec<u8>> {
    let toml = ToolToml::parse("bench.toml", toml)?;
    Ok(packer()?.pack(component, &toml).await?.bytes)
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
    start_with(dir, "").await
}

/// The same with more configuration.
pub async fn start_with(dir: &Path, more: &str) -> anyhow::Result<(Running, String)> {
    start_before(dir, more, None).await
}

/// The same with something that stands before the state.
pub async fn start_before(
    dir: &Path,
    more: &str,
    before_state: Option<fn(SharedStore) -> SharedStore>,
) -> anyhow::Result<(Running, String)> {
    // One user calls as fast as the machine can.
    let unlimited = |config: &mut Config| config.limits.all.clear();
    let (running, tokens) = start_for(
        dir,
        more,
        unlimited,
        before_state,
        &[("alice", CLIENT.to_owned())],
    )
    .await?;
    let token = tokens.into_iter().next().context("there is a token")?;
    Ok((running, token))
}

/// The same with the limits that `more` says, and with a token for each of these users through these clients.
pub async fn start_limited(
    dir: &Path,
    more: &str,
    who: &[(&str, String)],
) -> anyhow::Result<(Running, Vec<String>)> {
    start_for(dir, more, |_| {}, None, who).await
}

/// The same with guests where `apart` says, and with a token for `alice` of each tenant.
pub async fn start_tenants(
    dir: &Path,
    apart: bool,
    tenants: &[&str],
) -> anyhow::Result<(Running, Vec<String>)> {
    let change = |config: &mut Config| {
        config.limits.all.clear();
        if apart {
            config.isolation = Isolation::Process;
            config.server.calls_in_flight_max = tenants::APART_CALLS_MAX;
        }
    };
    let (running, _) = start_for(dir, "", change, None, &[]).await?;
    let token = |tenant: &&str| tenants::token(dir, running.address, "alice", tenant);
    let tokens = tenants.iter().map(token).collect::<Result<_, _>>()?;
    Ok((running, tokens))
}

async fn start_for(
    dir: &Path,
    more: &str,
    change: impl FnOnce(&mut Config),
    before_state: Option<fn(SharedStore) -> SharedStore>,
    who: &[(&str, String)],
) -> anyhow::Result<(Running, Vec<String>)> {
    bailiwick::crypto::install()?;
    let mut config = dev::config_in(dir, Some(two_ports()?))?;
    if !more.is_empty() {
        let file = dir.join("bailiwick.toml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{text}{more}"))?;
        config = Config::read(&file)?;
    }
    change(&mut config);
    let (address, provider) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
    let token = |(user, client): &(&str, String)| {
        anyhow::Ok(provider.access_token(DevIdp::user(user)?, client, DEFAULT_SCOPE)?)
    };
    let tokens = who.iter().map(token).collect::<Result<_, _>>()?;
    let apart = config.isolation == Isolation::Process;
    let options = Options {
        compiler: Some(program()),
        executors: apart.then(|| executor::maker(&program())).transpose()?,
        idp: Some((address, idp::router(provider))),
        before_state,
        ..Options::default()
    };
    Ok((server::start(config, options).await?, tokens))
}

/// Processor time that the live threads of a process have used, in nanoseconds. That of threads that end is forgotten.
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
